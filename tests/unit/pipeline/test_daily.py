# SPDX-License-Identifier: Apache-2.0
"""Daily files: the next morning, revised where cells changed, in steps that nothing depends on."""

import random
from pathlib import Path

import pytest

from pipeline import daily
from pipeline.daily import daily_steps, issue_daily
from pipeline.home import Home
from pipeline.instants import DAY_MS, day_instants, first_daily_ms, regular_instants
from pipeline.issuing import issue
from pipeline.journal import Journal, read_state
from tests.homes import (
    HOUR_MS,
    MINUTE_MS,
    SLOT_MS,
    Read,
    Row,
    at,
    digests,
    hand_over,
    iso,
    learn,
    new_home,
    point,
    run,
    settings_of,
)
from tests.independent_reader import daily_files, read_days, read_tree
from tests.reference_times import day_instants as reference_instants

START = at("2026-10-06T22:30")
NOON = at("2026-10-07T12:00")
DAY = at("2026-10-07T00:00")
FIRST = at("2026-10-08T06:15")
POINTS = 5


def town(root: Path) -> Home:
    """A few points: one switches at noon, one at midnight, one has no supplier, one no meter."""
    points: list[Row] = [{"point_id": point(n), "area": "03", "voltage": "LV"} for n in range(POINTS)]
    since = {"installed_at": "2020-01-01T00:00", "removed_at": "", "digits": 6, "unit_exponent": -1, "coefficient": 1}
    meters: list[Row] = [{"point_id": point(n), "meter_id": f"M{n}", **since} for n in range(POINTS - 1)]
    supplied: list[tuple[int, str, str, str]] = [
        (0, "11113", "2020-01-01T00:00", ""),
        (1, "11113", "2020-01-01T00:00", "2026-10-07T12:00"),
        (1, "22223", "2026-10-07T12:00", ""),
        (2, "11113", "2020-01-01T00:00", "2026-10-07T00:00"),
        (2, "22223", "2026-10-07T00:00", ""),
        (4, "22223", "2020-01-01T00:00", ""),
    ]
    names = ("retailer_code", "valid_from", "valid_to")
    supply: list[Row] = [
        {"point_id": point(n), "bg_code": "B", "customer_ref": f"C{n}"} | dict(zip(names, row, strict=True))
        for n, *row in supplied
    ]
    return new_home(root, points=points, meters=meters, supply=supply)


def reads(number: int, *, lost: tuple[int, ...] = ()) -> list[Read]:
    """Reads of a meter from the start of the home until after the first daily instant."""
    stamps = range(START, FIRST + 2 * HOUR_MS, SLOT_MS)
    return [
        Read(f"M{number}", stamp, stamp + 2 * MINUTE_MS, 100 + k * (number + 1))
        for k, stamp in enumerate(stamps)
        if stamp not in lost
    ]


def handed(home: Home, *, lost: tuple[int, ...] = ()) -> None:
    for number in range(POINTS - 1):
        hand_over(home, f"{number}.arrow", reads(number, lost=lost))


def test_a_day_holds_for_each_retailer_the_cells_of_its_slots(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    handed(home, lost=(NOON,))
    run(home)
    found = {(f.retailer, f.day_start): f for f in daily_files(home.deliveries)}
    assert [(key, f.revision, f.split, f.issued_at) for key, f in found.items()] == [
        (("11113", iso(DAY - DAY_MS)), 0, 1, iso(FIRST - DAY_MS)),
        (("11113", iso(DAY)), 0, 1, iso(FIRST)),
        (("22223", iso(DAY - DAY_MS)), 0, 1, iso(FIRST - DAY_MS)),
        (("22223", iso(DAY)), 0, 1, iso(FIRST)),
    ]
    assert list(found["11113", iso(DAY - DAY_MS)].slots) == [iso(START + k * SLOT_MS) for k in range(3)]
    mine, other = found["11113", iso(DAY)].slots, found["22223", iso(DAY)].slots
    assert list(mine) == list(other) == [iso(DAY + k * SLOT_MS) for k in range(48)]
    assert [r.point_id for r in mine[iso(NOON - SLOT_MS)]] == [point(0), point(1)]
    assert [r.point_id for r in mine[iso(NOON)]] == [point(0)]
    assert [(r.point_id, r.energy_dwh, r.quality) for r in other[iso(NOON)]] == [
        (point(1), None, "missing"),
        (point(2), None, "missing"),
        (point(4), None, "no_meter"),
    ]
    assert [r.energy_dwh for r in other[iso(NOON + SLOT_MS)]] == [2000, 3000, None]


def test_a_revision_holds_the_cells_that_changed(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    handed(home, lost=(NOON,))
    run(home)
    late = next(read for read in reads(1) if read.read_at_ms == NOON)
    hand_over(home, "late.arrow", [Read(late.meter, late.read_at_ms, FIRST + 130 * MINUTE_MS, late.value)])
    run(home)
    revised = [(f.retailer, f.revision, f.slots) for f in daily_files(home.deliveries) if f.revision]
    assert [(retailer, revision, list(slots)) for retailer, revision, slots in revised] == [
        ("11113", 1, [iso(NOON - SLOT_MS)]),
        ("22223", 1, [iso(NOON)]),
    ]
    assert [(r.point_id, r.energy_dwh, r.customer_ref) for r in revised[1][2][iso(NOON)]] == [(point(1), 2000, "C1")]


def test_a_cell_that_changes_hands_is_withdrawn_from_the_day(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    handed(home)
    run(home)
    rows = {"point_id": point(0), "bg_code": "B", "customer_ref": "X"}
    learn(
        home,
        supply=[
            rows | {"retailer_code": "11113", "valid_from": "2020-01-01T00:00", "valid_to": "2026-10-07T12:00"},
            rows | {"retailer_code": "22223", "valid_from": "2026-10-07T12:00", "valid_to": ""},
        ],
    )
    run(home)
    days, slots = read_days(home.deliveries), read_tree(home.deliveries)
    assert days["11113", iso(NOON), point(0)].quality == "withdrawn"
    assert days["22223", iso(NOON), point(0)].energy_dwh == slots["22223", iso(NOON), point(0)].energy_dwh == 1000
    assert days["11113", iso(NOON - SLOT_MS), point(0)].revision == 0


def test_files_are_cut_by_points(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    handed(home)
    run(home, rows_per_file=2)
    splits = [
        (f.split, sorted({row.point_id for rows in f.slots.values() for row in rows}))
        for f in daily_files(home.deliveries)
        if (f.retailer, f.day_start) == ("22223", iso(DAY))
    ]
    assert splits == [(1, [point(1), point(2)]), (2, [point(4)])]


def test_a_day_is_issued_once_its_instant_is_due(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    handed(home)
    run(home, wall_ms=FIRST - 5 * MINUTE_MS)
    assert {f.day_start for f in daily_files(home.deliveries)} == {iso(DAY - DAY_MS)}
    assert run(home, wall_ms=FIRST).summary()["files"] >= 2
    assert {f.day_start for f in daily_files(home.deliveries)} == {iso(DAY - DAY_MS), iso(DAY)}
    before = digests(home.deliveries)
    run(home, wall_ms=FIRST)
    assert digests(home.deliveries) == before


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, str]:
    """What a home delivers whose daily files are issued in one go."""
    home = town(tmp_path / "whole")
    handed(home)
    run(home, wall_ms=FIRST + HOUR_MS)
    return digests(home.deliveries)


@pytest.mark.parametrize("seed", range(4))
def test_steps_may_be_given_up_and_begun_anew(
    seed: int, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between steps other instants are issued; a generator that is given up stands for a crash."""
    monkeypatch.setattr(daily, "STEP_CELLS", 1)
    chance = random.Random(seed)  # noqa: S311
    home = town(tmp_path / "cut")
    handed(home)
    run(home, wall_ms=FIRST - DAY_MS)
    settings = settings_of(home)
    with home.sole_writer("test"):
        journal = Journal(home.path("journal"))
        instants = [FIRST, FIRST + MINUTE_MS * 5, FIRST + HOUR_MS]
        while instants or journal.state.daily_intent is not None:
            for number, _ in enumerate(daily_steps(home, journal, settings)):
                if instants and chance.random() < 0.5:
                    issue(home, journal, settings, instants.pop(0), extra=False)
                if number == chance.randrange(6):
                    break
            if instants and journal.state.daily_intent is None:
                issue(home, journal, settings, instants.pop(0), extra=False)
        issue_daily(home, journal, settings)
        journal.close()
    assert digests(home.deliveries) == whole


def test_an_open_intent_is_finished_before_anything_is_taken_in(whole: dict[str, str], tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    handed(home)
    run(home, wall_ms=FIRST - DAY_MS)
    with home.sole_writer("test"):
        journal = Journal(home.path("journal"))
        issue(home, journal, settings_of(home), FIRST + HOUR_MS, extra=False)
        next(daily_steps(home, journal, settings_of(home)))
        journal.close()
    assert read_state(home.path("journal")).daily_intent is not None
    hand_over(home, "later.arrow", [Read("M0", NOON + DAY_MS, FIRST, 900)])
    run(home, wall_ms=FIRST + HOUR_MS)
    assert read_state(home.path("journal")).daily_intent is None
    days = {name: digest for name, digest in digests(home.deliveries).items() if "W41120" in name}
    assert days == {name: digest for name, digest in whole.items() if "W41120" in name}


@pytest.mark.parametrize("day", ["2026-10-07", "2027-01-30", "2028-02-28", "2026-12-31"])
def test_instants_of_a_day_are_those_of_its_last_slot_from_another_closing(day: str) -> None:
    first_slot = at(f"{day}T00:00") // SLOT_MS
    found = day_instants(first_slot, [])
    assert list(found) == reference_instants(at(f"{day}T00:00"))
    assert found[0] == first_daily_ms(first_slot)
    assert set(regular_instants(first_slot + 47)[11:]) >= set(found[8:])
    assert day_instants(first_slot, [found[0] - 1, found[0] + 1])[:2] == (found[0], found[0] + 1)
