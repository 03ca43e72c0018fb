# SPDX-License-Identifier: Apache-2.0
"""Rows that were imported before the home had a clock, and state a later time."""

import fcntl
import os

import numpy as np
import pytest

from koma.slots import parse_jst
from pipeline.master import settle
from pipeline.master.log import read_log
from pipeline.master.store import MasterStore
from pipeline.master.view import ALWAYS_MS, OPEN_MS
from tests.unit.pipeline.master.desk import Desk, point

SUPPLY = {"point_id": point(1), "retailer_code": "11113", "valid_from": "2026-04-01"}
NOW_MS = parse_jst("2026-06-01")


@pytest.fixture
def ahead(desk: Desk) -> Desk:
    """A home without a clock that knows the end of a supply twice, from two days of the future."""
    desk.learn(points=[{"point_id": point(1)}], supply=[SUPPLY])
    for recorded, end in (("2026-07-01", "2026-05-01"), ("2026-08-01", "2026-05-03")):
        desk.learn(supply=[SUPPLY | {"valid_to": end, "recorded_at": recorded}])
    return desk


def test_rows_recorded_after_the_clock_count_from_it(ahead: Desk) -> None:
    assert ahead.view.changed_rec_ms.max() == parse_jst("2026-08-01")

    settle(ahead.home, NOW_MS)
    view = ahead.view

    assert view.version == 4
    assert view.supply_rec_from.tolist() == [ALWAYS_MS, NOW_MS, NOW_MS]
    assert view.supply_rec_to.tolist() == [NOW_MS, NOW_MS, OPEN_MS]
    assert view.changed_rec_ms.tolist() == [NOW_MS] * len(view.changed_rec_ms)
    log = read_log(MasterStore(ahead.home).logged(), "supply")
    assert log["rec_from"].tolist() == [ALWAYS_MS, NOW_MS, NOW_MS]


def test_the_next_import_builds_on_what_was_settled(ahead: Desk) -> None:
    settle(ahead.home, NOW_MS)
    ahead.learn(now="2026-06-02", points=[{"point_id": point(2)}], supply=[SUPPLY | {"valid_to": "2026-05-09"}])

    view = ahead.view
    counting = view.supply_rec_from < view.supply_rec_to
    assert view.supply_rec_from[counting].tolist() == [ALWAYS_MS, NOW_MS, parse_jst("2026-06-02")]


def test_what_is_settled_makes_no_new_version(ahead: Desk) -> None:
    settle(ahead.home, None)
    settle(ahead.home, parse_jst("2026-08-01"))
    assert ahead.view.version == 3

    settle(ahead.home, NOW_MS)
    settle(ahead.home, NOW_MS)
    assert ahead.view.version == 4


def test_while_an_import_runs_nothing_is_settled(ahead: Desk) -> None:
    lock = os.open(ahead.home / "master" / ".lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        settle(ahead.home, NOW_MS)
    finally:
        os.close(lock)

    assert ahead.view.version == 3
    assert np.all(ahead.view.changed_version <= 3)
