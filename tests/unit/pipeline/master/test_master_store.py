# SPDX-License-Identifier: Apache-2.0
"""How a version becomes current, what a crash leaves, and what is kept."""

import fcntl
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from koma.errors import MasterError
from pipeline.home import BusyError, open_home
from pipeline.journal import Journal
from pipeline.master import open_master, store
from pipeline.master.log import read_log, read_texts
from pipeline.master.store import ARRAYS, VERSIONS_KEPT, MasterStore
from tests.unit.pipeline.master.desk import Desk, point

POINT = {"point_id": point(1)}
SUPPLY = {"point_id": point(1), "retailer_code": "11113", "valid_from": "2026-04-01"}


class CrashError(Exception):
    """The process dies here."""


def tree(folder: Path) -> set[str]:
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}


STEPS = [
    (store, "sync_filesystem"),
    (store, "replace_file"),
    (store.StagedVersion, "put"),
    (store.StagedVersion, "close"),
    (MasterStore, "publish_quarantine"),
]


@pytest.mark.parametrize(("owner", "step"), STEPS)
def test_a_crash_leaves_the_version_before_or_the_whole_new_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    def crash(*_: object) -> None:
        raise CrashError

    tables: dict[str, Any] = {"points": [POINT | {"contract_kw": "3"}, {"point_id": "bad"}], "supply": [SUPPLY]}
    desk.learn(points=[POINT])
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, crash)
        with pytest.raises(CrashError):
            desk.learn(now="2026-06-01", **tables)
    done = step == "publish_quarantine"

    assert desk.view.version == (2 if done else 1)
    assert len(desk.view.supply_from) == (1 if done else 0)

    report = desk.learn(now="2026-06-01", **tables)
    assert report.applied is not done
    assert desk.view.version == 2
    assert len(desk.view.supply_from) == 1
    left = tree(desk.home / "master") | tree(desk.home / "quarantine")
    assert not [name for name in left if "/." in name or (name.startswith(".") and name != ".lock")]
    assert {name for name in left if name.endswith(".jsonl")} == (
        {"master/00000002.jsonl", "master/00000003.jsonl"} if done else {"master/00000002.jsonl"}
    )


def test_an_open_version_outlives_the_next(desk: Desk) -> None:
    desk.learn(points=[POINT])
    before = desk.view
    desk.learn(now="2026-06-01", points=[{"point_id": point(0)}])

    assert (before.version, before.n_points) == (1, 1)
    assert (desk.view.version, desk.view.n_points) == (2, 2)
    assert open_master(desk.home, 1).point_id.tolist() == before.point_id.tolist()


def test_the_same_version_is_opened_once(desk: Desk) -> None:
    desk.learn(points=[POINT])

    assert open_master(desk.home) is open_master(desk.home, 1)


def test_arrays_cannot_be_written(desk: Desk) -> None:
    empty = desk.view
    desk.learn(points=[POINT], supply=[SUPPLY])
    for view in (empty, desk.view):
        for name in ARRAYS:
            assert not getattr(view, name).flags.writeable


def test_a_version_that_is_not_there_is_named(desk: Desk) -> None:
    with pytest.raises(MasterError, match="version 7 is not in"):
        open_master(desk.home, 7)


def test_a_broken_pointer_is_named(desk: Desk) -> None:
    desk.learn(points=[POINT])
    (desk.home / "master" / "current").write_text("x")

    with pytest.raises(MasterError, match="current cannot be read"):
        open_master(desk.home)


def test_what_did_not_change_is_not_stored_twice(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY])
    desk.learn(now="2026-06-01", supply=[SUPPLY | {"valid_to": "2026-05-01"}])
    folders = [MasterStore(desk.home).version_folder(version) for version in (1, 2)]

    def shared(name: str) -> bool:
        first, second = ((folder / f"{name}.npy").stat().st_ino for folder in folders)
        return first == second

    assert shared("point_id")
    assert shared("table")
    assert not shared("supply_to")


def test_old_versions_go_and_the_log_stays(desk: Desk) -> None:
    for number in range(VERSIONS_KEPT + 2):
        desk.learn(now="2026-06-01", points=[{"point_id": point(number)}])
    master = desk.home / "master"

    assert desk.view.n_points == VERSIONS_KEPT + 2
    assert len(list(master.glob("v*"))) == VERSIONS_KEPT
    assert len(list((master / "log").iterdir())) == VERSIONS_KEPT + 2


@pytest.mark.parametrize(
    ("intent", "done"), [("intent", "issued"), ("daily_intent", "daily"), ("monthly_intent", "monthly")]
)
def test_the_version_of_an_interrupted_issue_stays(desk: Desk, intent: str, done: str) -> None:
    desk.learn(points=[POINT])
    journal = Journal(open_home(desk.home).path("journal"))
    journal.append({"kind": intent, "to": 1_700_000_000_000, "batches": 1, "master": 1, "extra": False})
    for number in range(VERSIONS_KEPT + 2):
        desk.learn(now="2026-06-01", points=[{"point_id": point(number + 2)}])
    assert open_master(desk.home, 1).n_points == 1

    journal.append({"kind": done, "to": 1_700_000_000_000, "extra": False})
    journal.close()
    desk.learn(now="2026-06-01", points=[{"point_id": point(99)}])
    with pytest.raises(MasterError, match="version 2 is not in"):
        open_master(desk.home, 2)


def test_two_imports_at_once_are_refused(desk: Desk) -> None:
    desk.learn(points=[POINT])
    lock = os.open(desk.home / "master" / ".lock", os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="another import"):
            desk.learn(now="2026-06-01", points=[POINT])
    finally:
        os.close(lock)


def test_every_array_has_its_type(desk: Desk) -> None:
    empty = desk.view
    desk.learn(points=[POINT], supply=[SUPPLY])

    for name in ARRAYS:
        mapped, blank = getattr(desk.view, name), getattr(empty, name)
        assert (mapped.dtype, mapped.ndim, type(mapped)) == (blank.dtype, blank.ndim, np.ndarray)


def test_the_log_tells_all_that_a_version_knows(desk: Desk) -> None:
    """Positions, shards, indexes, numbers, times: what the arrays of a version are made of stands in the log."""
    meter = {"digits": 6, "unit_exponent": -1, "coefficient": 3}
    desk.learn(
        points=[POINT | {"contract_kw": "4.5"}, {"point_id": point(2)}],
        meters=[meter | {"point_id": point(2), "meter_id": "M2"}],
        supply=[SUPPLY | {"customer_ref": "A"}],
    )
    desk.learn(
        now="2026-06-01",
        points=[{"point_id": point(0), "telemetry": 0}],
        meters=[meter | {"point_id": point(1), "meter_id": "M1", "installed_at": "2026-04-01T10:17"}],
        supply=[SUPPLY | {"retailer_code": "22223", "bg_code": "BG"}],
    )
    view, folders = desk.view, MasterStore(desk.home).logged()
    points, meters, supply = (read_log(folders, name) for name in ("points", "meters", "supply"))

    assert points["position"].tolist() == [0, 1, 2]
    assert points["shard"].tolist() == [0, 0, 0]
    assert points["cap_dwh"].tolist() == view.attr_cap_dwh.tolist()
    assert [meters[name].tolist() for name in ("position", "local")] == [[1, 0], [0, 1]]
    assert meters["from_ms"][::-1].tolist() == view.install_from_ms.tolist()
    assert supply["retailer"].tolist() == view.supply_retailer.tolist()
    assert supply["rec_from"].tolist() == view.supply_rec_from.tolist()
    assert read_texts(folders, "supply", "customer_ref").to_pylist() == ["A", ""]
