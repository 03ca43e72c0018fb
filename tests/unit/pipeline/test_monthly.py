# SPDX-License-Identifier: Apache-2.0
"""Monthly files: the fourth business day after the meters were read, revised where months changed, in steps."""

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from koma.clock import ManualClock
from pipeline import compaction, month_cells, month_registers, monthly
from pipeline.checking import check_home
from pipeline.daily import issue_daily
from pipeline.home import Home
from pipeline.instants import DAY_MS, first_monthly_ms, month_instants, next_extra
from pipeline.issuing import issue
from pipeline.journal import Journal, read_state
from pipeline.monthly import issue_monthly, monthly_steps
from pipeline.repair import entries, supersede
from pipeline.retention import forget_deliveries
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
from tests.independent_months import Month, monthly_files, read_months
from tests.independent_reader import read_days, read_tree
from tests.reference_times import month_instants as reference_instants
from tests.unit.pipeline.test_watch import World

START = at("2026-10-06T00:00")
READING = at("2026-10-08T00:00")
FIRST = at("2026-10-15T06:15")  # a weekend and the Sports Day, 12 October, lie between
NOON = at("2026-10-07T12:00")
KEY = (iso(READING), 0)
SINCE = "2020-01-01T00:00"
METER: dict[str, object] = {"installed_at": SINCE, "removed_at": "", "digits": 6, "unit_exponent": -1, "coefficient": 1}


def points_of(days: Mapping[int, object], **more: object) -> list[Row]:
    return [
        {"point_id": point(n), "area": "03", "voltage": "LV", "contract_kw": 5, "meter_read_day": day, **more}
        for n, day in days.items()
    ]


def supplied(*rows: tuple[int, str, str, str]) -> list[Row]:
    names = ("retailer_code", "valid_from", "valid_to")
    return [
        {"point_id": point(n), "bg_code": "B", "customer_ref": f"C&{n}", **dict(zip(names, row, strict=True))}
        for n, *row in rows
    ]


def town(root: Path, *, days: Mapping[int, object] | None = None, supply: list[Row] | None = None) -> Home:
    """Four points: one switches at noon of the 7th, one at the midnight of the 8th, one has no reading day."""
    days = {0: 8, 1: 8, 2: 8, 3: ""} if days is None else days
    rows = supplied(
        (0, "11113", SINCE, ""),
        (1, "11113", SINCE, "2026-10-07T12:00"),
        (1, "22223", "2026-10-07T12:00", ""),
        (2, "11113", SINCE, "2026-10-08T00:00"),
        (2, "22223", "2026-10-08T00:00", ""),
        (3, "11113", SINCE, ""),
    )
    meters = [{"point_id": point(n), "meter_id": f"M{n}", **METER} for n in days]
    return new_home(root, points=points_of(days), meters=meters, supply=rows if supply is None else supply)


def reads(number: int, *, lost: tuple[int, ...] = (), end_ms: int = READING + 2 * HOUR_MS, step: int = 0) -> list[Read]:
    """Reads of a meter that counts `step` each slot, one more than its number unless given."""
    stamps = range(START, end_ms, SLOT_MS)
    return [
        Read(f"M{number}", stamp, stamp + 2 * MINUTE_MS, 100 + k * (step or number + 1))
        for k, stamp in enumerate(stamps)
        if stamp not in lost
    ]


def handed(home: Home, *, lost: tuple[int, ...] = (), points: int = 4) -> None:
    for number in range(points):
        hand_over(home, f"{number}.arrow", reads(number, lost=lost))


def months(home: Home) -> dict[tuple[str, int], Month]:
    """Give the months as last told, by retailer and number of the point, those of the 8th."""
    found = read_months(home.deliveries)
    return {(retailer, int(name[2:])): row for (retailer, day, name), (_, row) in found.items() if day == iso(READING)}


def told(home: Home) -> dict[tuple[str, int], tuple[int | None, str, int, int]]:
    return {key: (row.energy_dwh, row.quality, row.slots, row.missing) for key, row in months(home).items()}


def at_last(root: Path, *, lost: tuple[int, ...] = (), wall_ms: int = FIRST, **changes: Any) -> Home:
    home = town(root)
    handed(home, lost=lost)
    run(home, wall_ms=wall_ms, **changes)
    return home


def test_a_month_holds_for_each_retailer_its_part_of_the_period(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home")
    found = [(f.retailer, f.reading, f.revision, f.split, f.issued_at) for f in monthly_files(home.deliveries)]
    assert found == [("11113", *KEY, 1, iso(FIRST)), ("22223", *KEY, 1, iso(FIRST))]
    noon = iso(NOON)
    assert months(home) == {
        ("11113", 0): Month(point(0), "C&0", iso(START), iso(READING), 96_000, "actual", 96, 0, "20261108"),
        ("11113", 1): Month(point(1), "C&1", iso(START), noon, 72 * 2000, "actual", 72, 0, "20261108"),
        ("11113", 2): Month(point(2), "C&2", iso(START), iso(READING), 96 * 3000, "actual", 96, 0, "20261108"),
        ("22223", 1): Month(point(1), "C&1", noon, iso(READING), 24 * 2000, "actual", 24, 0, "20261108"),
    }


def test_points_without_a_reading_day_are_counted_in_the_ledger(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home")
    lines = [json.loads(line) for line in (home.path("ledger") / "months-2026.jsonl").read_text().splitlines()]
    (line,) = [each for each in lines if each["rows"]]
    assert line == {
        "reading_day": "2026-10-08",
        "issued_at": iso(FIRST),
        "files": 2,
        "rows": 4,
        "available": 4,
        "energy_dwh": 96_000 + 96 * 2000 + 96 * 3000,
        "points_without_reading_day": 1,
    }


def test_the_sum_over_lost_registers_is_known(tmp_path: Path) -> None:
    """Two slots around each lost register are missing; their sum is not."""
    home = at_last(tmp_path / "home", lost=(START + 5 * SLOT_MS, START + 6 * SLOT_MS, START + 9 * SLOT_MS))
    assert told(home)["11113", 0] == (96_000, "actual", 96, 5)
    assert read_tree(home.deliveries)["11113", iso(START + 5 * SLOT_MS), point(0)].energy_dwh is None


@pytest.mark.parametrize("lost", [START, READING])
def test_a_month_whose_register_at_an_end_is_lost_has_no_value(tmp_path: Path, lost: int) -> None:
    home = at_last(tmp_path / "home", lost=(lost,), first_slot=START // SLOT_MS)
    assert told(home)["11113", 0] == (None, "missing", 96, 1)


def test_a_register_lost_at_a_switch_leaves_both_parts_without_a_value(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home", lost=(NOON,))
    assert told(home)["11113", 1] == (None, "missing", 72, 1)
    assert told(home)["22223", 1] == (None, "missing", 24, 1)
    assert told(home)["11113", 0] == (96_000, "actual", 96, 2)


def registers(home: Home, values: dict[int, int | None], *, others: int = 1) -> None:
    """Hand over reads of meter 0, some registers as given, by number of the stamp."""
    mine = [replace(read, value=values.get(k, read.value)) for k, read in enumerate(reads(0, step=others))]
    hand_over(home, "0.arrow", [read for read in mine if read.value is not None])


def test_a_run_may_roll_over_as_a_cell_may(tmp_path: Path) -> None:
    home = town(tmp_path / "home", days={0: 8}, supply=supplied((0, "11113", SINCE, "")))
    values: dict[int, int | None] = {k: (999_990 + k) % 1_000_000 for k in range(101)}
    registers(home, values | {10: None, 12: None})
    run(home, wall_ms=FIRST)
    assert told(home)["11113", 0] == (96_000, "rollover", 96, 4)


def test_a_run_above_the_cap_of_its_slots_is_a_spike_and_one_that_goes_back_has_no_value(tmp_path: Path) -> None:
    for jump, quality in ((1000, "spike"), (200, "actual"), (-5, "backward")):
        home = town(tmp_path / quality, days={0: 8}, supply=supplied((0, "11113", SINCE, "")))
        values: dict[int, int | None] = {k: 100 if k < 10 else 100 + jump for k in range(101)}
        registers(home, values | {10: None})  # 5 kW: a cap of 10 kWh a slot, 100 units of the meter
        run(home, wall_ms=FIRST)
        assert told(home)["11113", 0] == (jump * 1000 if jump > 0 else None, quality, 96, 2)


def test_a_run_over_which_the_register_may_have_turned_round_unseen_has_no_value(tmp_path: Path) -> None:
    """Of 3 digits in 0.1 kWh a turn is 100 kWh: ten slots at the cap of 10 kWh."""
    for slots, quality in ((9, "actual"), (10, "missing")):
        home = new_home(
            tmp_path / str(slots),
            points=points_of({0: 8}),
            meters=[{"point_id": point(0), "meter_id": "M0", **METER, "digits": 3}],
            supply=supplied((0, "11113", SINCE, "")),
        )
        registers(home, {20 + k: None for k in range(1, slots)})
        run(home, wall_ms=FIRST)
        assert told(home)["11113", 0] == (96_000 if slots == 9 else None, quality, 96, slots)


@pytest.mark.parametrize(("given", "month"), [(5, (95_000, "actual", 96, 3)), (None, (None, "missing", 96, 3))])
def test_a_run_over_an_exchange_is_bridged_by_the_registers_the_master_gives(
    given: int | None, month: tuple[int | None, str, int, int], tmp_path: Path
) -> None:
    """35 slots, 2 units until the removal, nothing until 19:00, 58 slots."""
    at_ms = "2026-10-06T18:10"
    old = METER | {"meter_id": "M0", "removed_at": at_ms, "install_register": None, "removal_register": 137}
    new = METER | {"meter_id": "M1", "installed_at": at_ms, "install_register": given, "removal_register": None}
    home = new_home(
        tmp_path / "home",
        points=points_of({0: 8}),
        meters=[{"point_id": point(0), **old}, {"point_id": point(0), **new}],
        supply=supplied((0, "11113", SINCE, "")),
    )
    hand_over(home, "old.arrow", [read for read in reads(0) if read.read_at_ms <= START + 35 * SLOT_MS])
    hand_over(home, "new.arrow", [replace(read, value=5 + k) for k, read in enumerate(reads(1)[38:])])
    run(home, wall_ms=FIRST)
    assert told(home)["11113", 0] == month


@pytest.mark.parametrize(
    ("points", "meter", "quality"),
    [
        ({"telemetry": 1}, {"removed_at": "2026-10-07T00:00"}, "removed"),
        ({"telemetry": 0}, {"removed_at": "2026-10-07T00:00"}, "no_telemetry"),
        ({"telemetry": 1}, {"installed_at": "2026-10-06T10:00"}, "no_meter"),
    ],
)
def test_a_month_with_slots_that_nobody_measured_says_why_it_has_no_value(
    tmp_path: Path, points: Row, meter: Row, quality: str
) -> None:
    home = new_home(
        tmp_path / "home",
        points=points_of({0: 8}, **points),
        meters=[{"point_id": point(0), "meter_id": "M0", **METER, **meter}],
        supply=supplied((0, "11113", SINCE, "")),
    )
    hand_over(home, "0.arrow", [*reads(0), Read("M9", START, START + 1, 1)])
    run(home, wall_ms=FIRST, first_slot=START // SLOT_MS)
    assert told(home)["11113", 0][:2] == (None, quality)


def test_a_revision_holds_the_months_that_changed(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home", lost=(NOON,))
    late = next(read for read in reads(1) if read.read_at_ms == NOON)
    hand_over(home, "late.arrow", [replace(late, received_ms=FIRST + 10 * MINUTE_MS)])
    before = digests(home.deliveries)
    run(home, wall_ms=FIRST + HOUR_MS, accept_clock=True)
    revised = [(f.retailer, f.revision, f.issued_at, f.rows) for f in monthly_files(home.deliveries) if f.revision]
    assert [(*facts, [row.point_id for row in rows]) for *facts, rows in revised] == [
        ("11113", 1, iso(FIRST + 30 * MINUTE_MS), [point(1)]),
        ("22223", 1, iso(FIRST + 30 * MINUTE_MS), [point(1)]),
    ]
    assert told(home)["22223", 1] == (24 * 2000, "actual", 24, 0)
    after = digests(home.deliveries)
    assert {name: digest for name, digest in after.items() if name in before and "manifest" not in name} == {
        name: digest for name, digest in before.items() if "manifest" not in name
    }


def test_the_next_revision_counts_on(tmp_path: Path) -> None:
    """Revisions are counted from the first instant on each time, whatever an earlier run wrote."""
    home = at_last(tmp_path / "home", lost=(START, NOON), first_slot=START // SLOT_MS)
    for hours, stamp in ((1, NOON), (2, START)):
        late = next(read for read in reads(0) if read.read_at_ms == stamp)
        hand_over(home, f"{hours}.arrow", [replace(late, received_ms=FIRST + hours * HOUR_MS)])
        other = next(read for read in reads(1) if read.read_at_ms == stamp)
        hand_over(home, f"{hours}-1.arrow", [replace(other, received_ms=FIRST + hours * HOUR_MS)])
        run(home, wall_ms=FIRST + hours * HOUR_MS, accept_clock=True, first_slot=START // SLOT_MS)
    revised = {(f.retailer, f.revision): (f.issued_at, len(f.rows)) for f in monthly_files(home.deliveries)}
    assert revised["22223", 1] == (iso(FIRST + HOUR_MS), 1)
    assert revised["11113", 1] == (iso(FIRST + 2 * HOUR_MS), 2)
    assert ("11113", 2) not in revised


def test_a_month_that_changes_hands_is_withdrawn(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home")
    learn(home, supply=supplied((0, "22223", SINCE, "")))
    run(home, wall_ms=FIRST + HOUR_MS)
    found = months(home)
    assert found["11113", 0] == Month(point(0), "C&0", iso(START), iso(READING), None, "withdrawn", 96, 96, "")
    assert found["22223", 0].energy_dwh == 96_000


def test_an_extra_instant_revises_the_months_that_are_out(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home", lost=(NOON,), wall_ms=FIRST + 4 * DAY_MS)
    late = next(read for read in reads(1) if read.read_at_ms == NOON)
    hand_over(home, "late.arrow", [replace(late, received_ms=FIRST + 4 * DAY_MS - MINUTE_MS)])
    run(home, accept_clock=True)
    extra = next_extra(FIRST + 4 * DAY_MS)
    assert read_state(home.path("journal")).extras == [extra]
    assert {f.issued_at for f in monthly_files(home.deliveries) if f.revision} == {iso(extra)}


def test_files_are_cut_by_points(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home", rows_per_file=2)
    splits = [
        (f.split, [row.point_id for row in f.rows]) for f in monthly_files(home.deliveries) if f.retailer == "11113"
    ]
    assert splits == [(1, [point(0), point(1)]), (2, [point(2)])]
    assert {f.path.name for f in monthly_files(home.deliveries)} == {
        "W512202026100800" + split + ".zip" for split in ("00001", "00002")
    }


def test_slots_days_and_months_agree_to_the_dwh(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home")
    sums: list[dict[tuple[str, str], int]] = [{}, {}]
    for total, cells in zip(sums, (read_tree(home.deliveries), read_days(home.deliveries)), strict=True):
        for (retailer, start, name), cell in cells.items():
            if iso(START) <= start < iso(READING) and name != point(3):
                total[retailer, name] = total.get((retailer, name), 0) + (cell.energy_dwh or 0)
    found = {(retailer, point(n)): row.energy_dwh for (retailer, n), row in months(home).items()}
    assert sums[0] == sums[1] == found


def test_a_month_is_issued_once_its_instant_is_due(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home", wall_ms=FIRST - 5 * MINUTE_MS)
    assert list(monthly_files(home.deliveries)) == []
    run(home, wall_ms=FIRST)
    assert len(list(monthly_files(home.deliveries))) == 2
    before = digests(home.deliveries)
    run(home, wall_ms=FIRST)
    assert digests(home.deliveries) == before


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, str]:
    """What a home delivers whose monthly files are issued in one go."""
    return digests(at_last(tmp_path / "whole", lost=(NOON,), wall_ms=FIRST + HOUR_MS).deliveries)


@pytest.mark.parametrize("seed", range(3))
def test_steps_may_be_given_up_and_begun_anew(
    seed: int, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between steps other instants are issued; a generator that is given up stands for a crash."""
    for module, name in ((monthly, "STEP_CELLS"), (monthly, "STEP_ROWS"), (month_cells, "CHUNK_CELLS")):
        monkeypatch.setattr(module, name, 1)
    chance = random.Random(seed)  # noqa: S311
    home = at_last(tmp_path / "cut", lost=(NOON,), wall_ms=FIRST - 5 * MINUTE_MS)
    settings = settings_of(home)
    with home.sole_writer("test"):
        journal = Journal(home.path("journal"))
        instants = [FIRST, FIRST + MINUTE_MS * 5, FIRST + HOUR_MS]
        while instants or journal.state.monthly_intent is not None:
            for number, _ in enumerate(monthly_steps(home, journal, settings)):
                if instants and chance.random() < 0.5:
                    issue(home, journal, settings, instants.pop(0), extra=False)
                if number == chance.randrange(6):
                    break
            if instants and journal.state.monthly_intent is None:
                issue(home, journal, settings, instants.pop(0), extra=False)
        issue_daily(home, journal, settings)
        issue_monthly(home, journal, settings)
        journal.close()
    assert digests(home.deliveries) == whole


def test_an_open_intent_is_finished_before_anything_is_taken_in(whole: dict[str, str], tmp_path: Path) -> None:
    home = at_last(tmp_path / "home", lost=(NOON,), wall_ms=FIRST - 5 * MINUTE_MS)
    with home.sole_writer("test"):
        journal = Journal(home.path("journal"))
        issue(home, journal, settings_of(home), FIRST + HOUR_MS, extra=False)
        next(monthly_steps(home, journal, settings_of(home)))
        journal.close()
    assert read_state(home.path("journal")).monthly_intent is not None
    late = next(read for read in reads(1) if read.read_at_ms == NOON)
    hand_over(home, "later.arrow", [replace(late, received_ms=FIRST)])
    run(home, wall_ms=FIRST + HOUR_MS)
    assert read_state(home.path("journal")).monthly_intent is None
    mine = {name: digest for name, digest in digests(home.deliveries).items() if "W51220" in name}
    assert mine == {name: digest for name, digest in whole.items() if "W51220" in name}


@pytest.mark.parametrize("day", ["2026-10-08", "2027-04-30", "2026-12-28", "2028-02-29", "2026-05-01"])
def test_instants_of_a_month_begin_on_the_fourth_business_day(day: str) -> None:
    reading = at(f"{day}T00:00") // SLOT_MS
    found = month_instants(reading, [])
    assert list(found) == reference_instants(at(f"{day}T00:00"))
    assert found[0] == first_monthly_ms(reading)
    assert month_instants(reading, [found[0] - 1, found[0] + 1])[:2] == (found[0], found[0] + 1)


def test_holidays_and_weekends_are_no_business_days() -> None:
    due = {
        "2026-10-08": "2026-10-15",
        "2026-10-02": "2026-10-08",
        "2027-04-28": "2027-05-10",
        "2200-01-01": "2200-01-08",
    }
    for day, first in due.items():
        assert iso(first_monthly_ms(at(f"{day}T00:00") // SLOT_MS)) == f"{first}T06:15:00+09:00"


def test_a_watch_issues_the_same_bytes_when_nothing_more_urgent_waits(whole: dict[str, str], tmp_path: Path) -> None:
    home = at_last(tmp_path / "home", lost=(NOON,), wall_ms=FIRST - 5 * MINUTE_MS)
    world = World(home, ManualClock(FIRST + HOUR_MS + 61_000), {"first_slot": START // SLOT_MS})
    runs = world.until_idle()
    assert digests(home.deliveries) == whole
    assert world.status()["monthly_until"] == iso(FIRST + HOUR_MS) == world.status()["issued_until"]
    assert sum(each.issued.files for each in runs[1:]) >= 2  # after the instant, not before
    assert check_home(home, deep=True) == []


def test_monthly_files_go_with_the_folder_of_their_day(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home")
    folder = home.deliveries / "11113" / "20261008"
    limit_ms = FIRST + 45 * DAY_MS
    assert folder not in forget_deliveries(home, limit_ms, 45)
    assert folder in forget_deliveries(home, limit_ms + 1000, 45)
    assert not folder.exists()


def test_a_point_that_is_learned_late_gets_its_months_as_revisions(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home")
    hand_over(home, "7.arrow", reads(7))
    run(home, wall_ms=FIRST + MINUTE_MS, accept_clock=True)  # its reads are held
    learn(
        home,
        points=points_of({7: 8}),
        meters=[{"point_id": point(7), "meter_id": "M7", **METER}],
        supply=supplied((7, "22223", "2026-10-07T00:00", "")),
    )
    run(home, wall_ms=FIRST + 31 * MINUTE_MS)
    (late,) = [f for f in monthly_files(home.deliveries) if f.revision]
    assert (late.retailer, late.issued_at) == ("22223", iso(FIRST + 30 * MINUTE_MS))
    assert [(row.point_id, row.start, row.energy_dwh, row.slots) for row in late.rows] == [
        (point(7), iso(READING - DAY_MS), 48 * 8000, 48)
    ]


def test_a_reading_day_that_is_learned_late_brings_the_months_too(tmp_path: Path) -> None:
    home = at_last(tmp_path / "home")
    learn(home, points=points_of({3: 8}))
    run(home, wall_ms=FIRST + 30 * MINUTE_MS)
    (late,) = [f for f in monthly_files(home.deliveries) if f.revision]
    assert [(row.point_id, row.energy_dwh) for row in late.rows] == [(point(3), 96 * 4000)]


def test_an_operators_register_counts_in_the_month_from_its_decision_on(tmp_path: Path) -> None:
    """0.1 kWh more at noon: the sum stays, unless noon is an end of the part."""
    home = at_last(tmp_path / "home")
    noon = next(read for read in reads(1) if read.read_at_ms == NOON)
    assert noon.value is not None
    hand_over(home, "other.arrow", [replace(noon, value=noon.value + 1, received_ms=FIRST + MINUTE_MS)])
    run(home, wall_ms=FIRST + 5 * MINUTE_MS, accept_clock=True)
    (entry,) = entries(home)
    supersede(home, entry.id, by="operator", why="read from the meter")
    run(home, wall_ms=FIRST + 30 * MINUTE_MS)
    assert {key: row.energy_dwh for key, row in months(home).items() if key[1] == 1} == {
        ("11113", 1): 72 * 2000 + 1000,
        ("22223", 1): 24 * 2000 - 1000,
    }
    assert {f.issued_at for f in monthly_files(home.deliveries) if f.revision} == {iso(FIRST + 30 * MINUTE_MS)}


def test_few_points_among_many_are_looked_up_in_compacted_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compaction orders reads by installation; what is found in them is the same."""
    found = []
    for compacted in (False, True):
        home = town(tmp_path / str(compacted))
        for number in range(4):
            hand_over(home, f"{number}.arrow", reads(number, lost=(NOON,)))
            run(home, wall_ms=START + HOUR_MS)
        if compacted:
            monkeypatch.setattr(month_registers, "FEW", 0)
            monkeypatch.setattr(compaction, "SETTLED_MS", -(1 << 60))
            journal = Journal(home.path("journal"))
            assert compaction.compact(home, journal, settings_of(home), 1 << 40).stamps > 0
            journal.close()
        run(home, wall_ms=FIRST)
        found.append({name: each for name, each in digests(home.deliveries).items() if "W51220" in name})
    assert found[0] == found[1] != {}
