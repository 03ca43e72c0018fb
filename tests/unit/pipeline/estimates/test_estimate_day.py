# SPDX-License-Identifier: Apache-2.0
"""The estimates of a day: which method fills which gap, from what, and what stays missing."""

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from koma.errors import EstimateError
from pipeline.estimates.product import DIGEST, SCHEMA
from pipeline.home import Home
from tests.estimate_homes import (
    DAY,
    DAYS,
    FIRST,
    OTHER,
    STAMPS,
    START,
    code,
    estimate_home,
    estimated,
    metered,
    reads,
    register,
    rows,
    supplied,
    told,
)
from tests.homes import SLOT_MS, Read, at, digests, hand_over, point, reads_of, run

SPLIT, LINEAR, LONG, OVERNIGHT, SILENT, SWITCHED, FRESH = range(7)
LOST = {
    SPLIT: [FIRST + 10],
    LINEAR: [FIRST + 20, FIRST + 21],
    LONG: range(FIRST + 5, FIRST + 30),
    OVERNIGHT: range(FIRST - 3, FIRST + 2),
    SILENT: range(FIRST + 40, STAMPS),
    SWITCHED: range(FIRST - 3, FIRST + 20),
    FRESH: range(FIRST + 40),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    supply = [supplied(k) for k in LOST if k != SWITCHED]
    supply += [supplied(SWITCHED, until="2026-10-07T00:00"), supplied(SWITCHED, OTHER, "2026-10-07T00:00")]
    return estimate_home(tmp_path_factory.mktemp("made") / "home", *LOST.values(), supply=supply)


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.root, tmp_path / "home"))


def known_dwh(number: int, first: int, end: int) -> int:
    return (register(FIRST + end, number) - register(FIRST + first, number)) * 1000


def test_a_lost_register_is_a_split_of_the_exact_sum_of_two_slots(home: Home) -> None:
    found = told(home, SPLIT)
    assert {each: found[each][0] for each in found} == {9: "split", 10: "split"}
    assert sum(dwh or 0 for _, dwh in found.values()) == known_dwh(SPLIT, 9, 11)


def test_a_short_gap_follows_the_line_between_its_neighbours(home: Home) -> None:
    mine = [row for row in rows(home) if row["point_id"] == point(LINEAR)]
    assert [(code(row), row["method"], row["before_dwh"], row["after_dwh"]) for row in mine] == [
        (k, "linear", known_dwh(LINEAR, 18, 19), known_dwh(LINEAR, 22, 23)) for k in (19, 20, 21)
    ]
    assert sum(row["energy_dwh"] for row in mine) == mine[0]["gap_dwh"] == known_dwh(LINEAR, 19, 22)


def test_a_long_gap_has_the_shape_of_days_of_its_kind_and_the_sum_of_its_registers(home: Home) -> None:
    mine = [row for row in rows(home) if row["point_id"] == point(LONG)]
    assert [code(row) for row in mine] == list(range(4, 30))
    assert {row["method"] for row in mine} == {"like_day"}
    assert [row["energy_dwh"] for row in mine] == [known_dwh(LONG, k, k + 1) for k in range(4, 30)]
    assert {tuple(row["reference_days"]) for row in mine} == {(date(2026, 10, 6), date(2026, 10, 5), date(2026, 10, 2))}


def test_a_gap_over_midnight_is_shared_out_whole_over_the_files_of_both_days(home: Home) -> None:
    before, after = told(home, OVERNIGHT, date(2026, 10, 6)), told(home, OVERNIGHT)
    assert (sorted(before), sorted(after)) == ([44, 45, 46, 47], [0, 1])
    assert sum(dwh or 0 for _, dwh in [*before.values(), *after.values()]) == known_dwh(OVERNIGHT, -4, 2)


def test_a_gap_without_end_is_the_mean_of_reference_days(home: Home) -> None:
    mine = [row for row in rows(home) if row["point_id"] == point(SILENT)]
    assert [(code(row), row["method"], row["gap_dwh"]) for row in mine] == [
        (k, "like_day", None) for k in range(39, 48)
    ]
    assert [row["energy_dwh"] for row in mine] == [known_dwh(SILENT, k, k + 1) for k in range(39, 48)]


def test_a_gap_longer_than_the_reach_is_not_made_to_add_up(tmp_path: Path) -> None:
    home = estimate_home(tmp_path / "home", range(FIRST + 5, FIRST + 65))
    assert {row["gap_dwh"] for row in rows(home)} == {known_dwh(0, 4, 65)}
    assert {row["gap_dwh"] for row in rows(home, estimate_reach_days=1)} == {None}
    assert estimated(home, estimate_reach_days=1).methods["like_day"] == 44


def test_reference_days_are_of_the_same_supply_and_the_parts_go_to_whom_each_slot_belongs(home: Home) -> None:
    mine = [row for row in rows(home) if row["point_id"] == point(SWITCHED)]
    before = [row for row in rows(home, date(2026, 10, 6)) if row["point_id"] == point(SWITCHED)]
    assert {row["retailer_code"] for row in mine} == {OTHER}
    assert {row["retailer_code"] for row in before} == {"90013"}
    assert {row["method"] for row in [*before, *mine]} == {"linear"}
    assert sum(row["energy_dwh"] for row in [*before, *mine]) == known_dwh(SWITCHED, -4, 20)


def test_what_there_is_nothing_to_estimate_from_stays_missing(home: Home) -> None:
    mine = [row for row in rows(home) if row["point_id"] == point(FRESH)]
    assert [(row["method"], row["energy_dwh"], row["availability"], row["nem12"], row["espi"]) for row in mine] == [
        ("missing", None, 1, "N", None)
    ] * 40


def test_days_off_are_like_each_other_and_like_no_business_day(tmp_path: Path) -> None:
    sunday = date(2026, 10, 4)
    home = estimate_home(tmp_path / "home", range(6 * 48 + 5, 6 * 48 + 30))
    assert {tuple(row["reference_days"]) for row in rows(home, sunday)} == {(date(2026, 10, 3),)}
    assert {row["nem12"] for row in rows(home, sunday)} == {"S14"}


@pytest.mark.parametrize(("when", "gaps"), [("04:10", {(4, 30)}), ("04:00", {(4, 8), (8, 30)})])
def test_a_gap_through_an_exchange_adds_up_where_its_registers_are_known(
    tmp_path: Path, when: str, gaps: set[tuple[int, int]]
) -> None:
    """The new meter begins at 0 in the middle of a gap; all else is as at the point that keeps its meter."""
    lost, when = range(FIRST + 5, FIRST + 30), f"2026-10-07T{when}"
    gone, shown = set(lost), register(FIRST + 8)
    old = metered(1, "OLD", removed_at=when, removal_register=shown)
    new = metered(1, "NEW", installed_at=when, install_register=0)
    kept = [each for k, each in enumerate(reads(0)) if k not in gone]
    before = [replace(each, meter="OLD") for each in kept if each.read_at_ms < at(when)]
    after = [replace(each, meter="NEW", value=(each.value or 0) - shown) for each in kept if each.read_at_ms > at(when)]
    every = [*kept, *before, *after]
    home = estimate_home(tmp_path / "home", [], [], meters=[metered(0), old, new], given=every)
    found = rows(home)
    energies = [{code(row): row["energy_dwh"] for row in found if row["point_id"] == point(n)} for n in (0, 1)]
    assert sorted(energies[0]) == list(range(4, 30))
    assert energies[0] == energies[1]
    ends = [(row["gap_start"], row["gap_end"]) for row in found if row["point_id"] == point(1)]
    assert {(a.hour * 2 + a.minute // 30, b.hour * 2 + b.minute // 30) for a, b in ends} == gaps


def test_a_register_that_went_back_lies_on_the_line_of_its_neighbours(tmp_path: Path) -> None:
    values = [1000 + 4 * k - (50 if k > FIRST + 10 else 0) for k in range(STAMPS)]
    home = estimate_home(tmp_path / "home", [], given=reads_of("M0", START, values))
    (row,) = rows(home)
    assert (code(row), row["measured"], row["method"], row["energy_dwh"]) == (10, "backward", "linear", 4000)


def test_what_came_late_takes_the_place_of_its_estimate_in_a_further_version(home: Home) -> None:
    first = estimated(home)
    late = [Read("M0", START + (FIRST + 10) * SLOT_MS, START + DAYS * 48 * SLOT_MS, register(FIRST + 10))]
    hand_over(home, "late.arrow", late)
    run(home, xml=False)
    second = estimated(home)
    assert (first.file.name, second.file.name) == ("estimates-20261007-00.parquet", "estimates-20261007-01.parquet")
    assert (first.methods["split"], second.methods["split"]) == (2, 0)
    assert first.file.exists()


def test_made_again_it_changes_no_byte_and_a_later_instant_alone_is_no_version(home: Home) -> None:
    first = estimated(home)
    before = digests(home.path("estimates"))
    assert (first.fresh, estimated(home).fresh) == (True, False)
    run(home, xml=False, wall_ms=START + (DAYS + 3) * 48 * SLOT_MS)
    again = estimated(home)
    assert (again.fresh, again.made_ms > first.made_ms) == (False, True)
    assert digests(home.path("estimates")) == before


def test_each_file_says_by_which_rules_it_was_made(home: Home) -> None:
    table = pq.read_table(estimated(home).file)
    assert table.schema.remove_metadata().equals(SCHEMA)
    facts = json.loads(table.schema.metadata[DIGEST.encode()])
    assert (facts["linear_slots"], facts["lookback_days"], facts["reference_days"]) == (4, 21, 3)
    assert set(table["rules"].to_pylist()) == {1}


def test_estimates_change_no_byte_of_what_is_issued(home: Home, tmp_path: Path) -> None:
    other = Home(shutil.copytree(home.root, tmp_path / "other"))
    estimated(home)
    late = [each for each in reads(0, range(FIRST + 10)) if each.read_at_ms == START + (FIRST + 10) * SLOT_MS]
    more = [Read(each.meter, each.read_at_ms, START + DAYS * 48 * SLOT_MS, each.value) for each in late]
    for one in (home, other):
        hand_over(one, "late.arrow", more)
        run(one)
    estimated(home)
    assert digests(home.deliveries) == digests(other.deliveries)
    assert digests(home.path("ledger")) == digests(other.path("ledger"))


def test_a_day_that_is_not_closed_is_not_estimated(home: Home) -> None:
    with pytest.raises(EstimateError, match="not closed yet"):
        estimated(home, date(2026, 10, 9))


def test_a_day_before_the_home_s_first_is_not_estimated(home: Home) -> None:
    with pytest.raises(EstimateError, match="before 2026-09-28"):
        estimated(home, date(2026, 9, 27))


def test_a_number_of_workers_decides_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = estimated(home)
    monkeypatch.setattr("pipeline.estimates.shard_estimates.CHUNK_CELLS", 1)
    again = estimated(home, DAY, workers=1)
    assert (again.file, again.fresh) == (before.file, False)
