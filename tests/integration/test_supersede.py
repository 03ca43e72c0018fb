# SPDX-License-Identifier: Apache-2.0
"""Deciding a conflict where two meters meet: the decision is about the meter that sent the read, and no other."""

from pathlib import Path

import pytest

from koma.errors import HomeError
from pipeline.home import Home
from pipeline.repair import entries, replay, supersede
from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, Read, at, hand_over, iso, new_home, point, reads_of, run
from tests.independent_reader import read_tree

START = at("2026-10-06T22:30")
EXCHANGE = START + SLOT_MS
SUPPLIER = "11113"


def exchanged(root: Path, **registers: object) -> Home:
    meter = {"point_id": point(1), "digits": 6, "unit_exponent": -1}
    return new_home(
        root,
        points=[{"point_id": point(1)}],
        meters=[
            {**meter, "meter_id": "OLD", "installed_at": "", "removed_at": iso(EXCHANGE), **registers},
            {**meter, "meter_id": "NEW", "installed_at": iso(EXCHANGE), "removed_at": ""},
        ],
        supply=[{"point_id": point(1), "retailer_code": SUPPLIER, "valid_from": "2020-01-01T00:00"}],
    )


def test_a_conflict_at_an_exchange_is_decided_for_the_meter_that_sent_it(tmp_path: Path) -> None:
    home = exchanged(tmp_path / "home")
    hand_over(home, "old.arrow", reads_of("OLD", START, [100, 110]))
    hand_over(home, "new.arrow", reads_of("NEW", EXCHANGE, [5, 9, 9, 9, 9, 9]))
    hand_over(home, "late.arrow", [Read("NEW", EXCHANGE, EXCHANGE + 5 * HOUR_MS, 7)])
    run(home)
    (entry,) = entries(home)

    assert (entry.row["meter_id"], entry.row["code"]) == ("NEW", "conflict")
    supersede(home, entry.id, by="desk", why="the display was read on site")
    run(home)

    cells = read_tree(home.deliveries)
    found = [cells[SUPPLIER, iso(START + k * SLOT_MS), point(1)] for k in range(2)]
    assert [(cell.energy_dwh, cell.revision) for cell in found] == [(10_000, 0), (2_000, 1)]


def test_a_read_cannot_supersede_a_register_that_the_master_gives(tmp_path: Path) -> None:
    home = exchanged(tmp_path / "home", removal_register=110)
    hand_over(home, "old.arrow", reads_of("OLD", START, [100, 111]))
    hand_over(home, "new.arrow", reads_of("NEW", EXCHANGE, [5, 9]))
    run(home)
    (entry,) = entries(home)

    assert (entry.row["meter_id"], entry.row["import_register"]) == ("OLD", 111)
    with pytest.raises(HomeError, match="the master gives the register"):
        supersede(home, entry.id, by="desk", why="the display was read on site")
    assert [each.id for each in entries(home)] == [entry.id]


def test_what_cannot_be_replayed_is_named_and_stays(tmp_path: Path) -> None:
    home = exchanged(tmp_path / "home")
    hand_over(home, "ahead.arrow", [Read("OLD", START, START - 10 * MINUTE_MS, 100)])
    hand_over(home, "twice.arrow", [*reads_of("OLD", START, [100]), Read("OLD", START, START + HOUR_MS, 101)])
    run(home)
    waiting = {entry.row["code"]: entry.id for entry in entries(home)}

    target, done, unfit = replay(home, [], by="desk", why="clock put right")

    assert target is not None
    assert (done, unfit) == ([waiting["future"]], [waiting["conflict"]])
    assert [entry.id for entry in entries(home)] == [waiting["conflict"]]
