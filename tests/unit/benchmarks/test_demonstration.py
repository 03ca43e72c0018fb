# SPDX-License-Identifier: Apache-2.0
"""The parts by which `./dev demo` judges: what retailers hold against the truth, and what the manifests say."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.demo import MARKER, _fresh
from benchmarks.demonstration.gateway import DemoError
from benchmarks.demonstration.replay import hand_overs
from benchmarks.demonstration.slots import slot_facts
from benchmarks.demonstration.sums import Sums, compared, from_parquet, from_zips, slot_of, truth_totals
from pipeline.delivery import write_delivery
from tests.unit.pipeline.delivery.rows import SLOT, Wanted, delivery, point

START = "2026-08-22T16:30:00+09:00"
NEXT = "2026-08-22T17:00:00+09:00"


def delivered(folder: Path, rows: Sequence[Wanted], *, slot_id: int = SLOT, revision: int = 0) -> None:
    write_delivery(delivery(rows, slot_id=slot_id, revision=revision), folder)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two slots of one retailer; a revision brings one cell and takes the value of another."""
    delivered(tmp_path, [Wanted(point(1), 1234), Wanted(point(2), None, quality="missing"), Wanted(point(3), 5)])
    delivered(tmp_path, [Wanted(point(2), 700), Wanted(point(3), None, quality="missing")], revision=1)
    delivered(tmp_path, [Wanted(point(1), 9)], slot_id=SLOT + 1)
    return tmp_path


def test_the_latest_revision_of_a_cell_counts_in_zips_and_in_parquet(tree: Path) -> None:
    held = {("12345", START): Sums(3, 2, 1934), ("12345", NEXT): Sums(1, 1, 9)}
    assert from_zips("12345", tree.rglob("*.zip")) == held
    assert from_parquet("12345", tree.rglob("*.parquet")) == held


def test_a_cell_that_stands_twice_in_a_revision_is_refused(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    delivered(other, [Wanted(point(1), 1)])
    with pytest.raises(ValueError, match="twice"):
        from_parquet("12345", [*tree.rglob("*.parquet"), *other.rglob("*.parquet")])


def test_one_dwh_or_one_point_too_few_fails_the_verdict() -> None:
    true = {("12345", START): Sums(3, 2, 1934), ("12345", NEXT): Sums(1, 1, 9), ("99999", START): Sums(1, 1, 1)}
    held = {key: sums for key, sums in true.items() if key[0] == "12345"}
    assert compared("12345", held, true).passed
    for wrong in (Sums(3, 2, 1935), Sums(2, 2, 1934), Sums(3, 3, 1934)):
        verdict = compared("12345", {**held, ("12345", START): wrong}, true)
        assert not verdict.passed
        assert (verdict.exact, verdict.slots) == (1, 2)
    assert not compared("12345", {}, true).passed


def test_errors_that_cancel_between_slots_fail_the_verdict() -> None:
    true = {("12345", START): Sums(1, 1, 10), ("12345", NEXT): Sums(1, 1, 20)}
    swapped = {("12345", START): Sums(1, 1, 20), ("12345", NEXT): Sums(1, 1, 10)}
    verdict = compared("12345", swapped, true)
    assert verdict.held == verdict.true
    assert not verdict.passed


def test_totals_leave_out_whole_windows_and_cells_that_nobody_supplies(tmp_path: Path) -> None:
    file = tmp_path / "truth_totals.csv"
    head = "retailer_code,slot_start,expected,available,energy_dwh\n"
    file.write_text(f"{head}12345,,4,3,1943\n12345,{START},3,2,1934\n00000,{START},1,1,5\n")
    assert truth_totals(file) == {("12345", START): Sums(3, 2, 1934)}


def test_the_slot_stands_in_a_delivery_file_s_name(tree: Path) -> None:
    assert {slot_of(path) for path in tree.rglob("*.zip")} == {START, NEXT}


def test_hand_overs_end_on_the_grid_and_the_first_hour_is_one(tmp_path: Path) -> None:
    clocks = ["2245", "2300", "2315", "2330", "2345", "2400", "2415", "2430"]
    for clock in clocks:
        for group in ("00.arrow", "01.csv"):
            (tmp_path / f"hes-20261006T{clock}-{group}").touch()
    found = [[path.name[13:17] for path in group[::2]] for group in hand_overs(tmp_path)]
    assert found == [["2245", "2300", "2315"], ["2330", "2345"], ["2400", "2415"], ["2430"]]


def test_slot_facts_add_up_over_retailers_and_tell_when_points_went_out(tmp_path: Path) -> None:
    for code, expected in (("12345", 60), ("54321", 40)):
        folder = tmp_path / "deliveries" / code / "20260822"
        folder.mkdir(parents=True)
        lines = [
            {"slot_start": START, "revision": 0, "rows": expected - 10, "issued_at": "2026-08-22T17:10:00+09:00"},
            {"slot_start": START, "revision": 0, "rows": 10, "issued_at": "2026-08-22T17:45:00+09:00"},
            {"slot_start": START, "closed": True, "expected": expected, "available": expected - 5, "missing": 5},
            {"slot_start": START, "revision": 1, "rows": 3, "issued_at": "2026-08-22T18:15:00+09:00"},
        ]
        (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "ledger").mkdir()
    ledger = [{"slot_start": START, "received": received, "missing": 100 - received} for received in (90, 96)]
    (tmp_path / "ledger" / "slots-20260822.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ledger))
    facts = slot_facts(tmp_path)[START]
    assert (facts.expected, facts.published, facts.missing, facts.revised) == (100, 90, 10, 6)
    assert (facts.received, facts.missing_now, facts.files) == (96, 4, 6)
    assert [facts.minutes_until(share) for share in (0.5, 0.8, 0.9, 1.0)] == [10, 10, 45, 45]


def test_only_a_folder_of_an_earlier_demonstration_is_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    _fresh(folder)
    (folder / "old").touch()
    _fresh(folder)
    assert [path.name for path in folder.iterdir()] == [MARKER]
    (folder / MARKER).unlink()
    (folder / "mine").touch()
    with pytest.raises(DemoError, match="in use"):
        _fresh(folder)
    assert (folder / "mine").exists()
