# SPDX-License-Identifier: Apache-2.0
"""I2: a reading day that moves, an exchange and a switch in between: no day of a point is in two months, or in none."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import month_plan
from pipeline.home import Home
from pipeline.month_plan import Members
from tests.homes import SLOT_MS, Row, at, hand_over, iso, learn, new_home, point, reads_of
from tests.independent_months import Month, read_months
from tests.property.worlds import months_until
from tests.unguarded import Guard, break_without, differing, hold

START, END = at("2026-10-06T00:00"), at("2026-11-19T00:00")
SLOTS = (END - START) // SLOT_MS
OLD, NEW = "11113", "22223"
EXCHANGED, SWITCHED = at("2026-10-13T10:00"), at("2026-10-14T00:00")
LAST_READINGS = {0: "2026-11-17", 1: "2026-11-17", 2: "2026-11-10"}
APART = "the periods of a point follow one another"
SUMS = "all months of a point add up to the registers at both ends"
SHARED = "the retailers of a month share it at the switch"


def attributes(number: int, read_day: int) -> Row:
    return {"point_id": point(number), "meter_read_day": read_day}


def meter(name: str, **facts: object) -> Row:
    whole = {"point_id": point(1), "meter_id": name, "installed_at": "", "removed_at": "", "digits": 6}
    return whole | {"unit_exponent": -1, "install_register": "", "removal_register": ""} | facts


def supply(number: int, code: str = OLD, valid_from: str = "2020-01-01T00:00", valid_to: str = "") -> Row:
    return {"point_id": point(number), "retailer_code": code, "valid_from": valid_from, "valid_to": valid_to}


def read_home(folder: Path) -> Home:
    """Three points, 1 unit a slot; the reading day of two moves from the 10th to the 17th after the 10th was issued."""
    place = (EXCHANGED - START) // SLOT_MS
    home = new_home(
        folder / "home",
        points=[attributes(n, 10) for n in range(3)],
        meters=[
            meter("M0", point_id=point(0)),
            meter("M1", removed_at=iso(EXCHANGED), removal_register=100 + place),
            meter("N1", installed_at=iso(EXCHANGED), install_register=0),
            meter("M2", point_id=point(2)),
        ],
        supply=[supply(0), supply(1), supply(2, valid_to=iso(SWITCHED)), supply(2, NEW, iso(SWITCHED))],
    )
    registers = range(100, 101 + SLOTS)
    hand_over(home, "0.arrow", reads_of("M0", START, registers))
    hand_over(home, "1.arrow", reads_of("M1", START, registers[: place + 1]))
    hand_over(home, "2.arrow", reads_of("N1", EXCHANGED, range(SLOTS - place + 1)))
    hand_over(home, "3.arrow", reads_of("M2", START, registers))
    months_until(home, at("2026-10-17T12:00"))
    learn(home, points=[attributes(n, 17) for n in (0, 1)])
    months_until(home, at("2026-11-26T12:00"))
    return home


def story(folder: Path) -> Mapping[str, str]:
    parts: dict[str, list[tuple[str, Month]]] = {point(n): [] for n in range(3)}
    for (code, _, name), (_, month) in read_months(read_home(folder).deliveries).items():
        if month.quality != "withdrawn":
            parts[name].append((code, month))
    apart, sums = [], []
    for n, last in LAST_READINGS.items():
        mine = [month for _, month in sorted(parts[point(n)], key=lambda each: each[1].start)]
        ends = [iso(START), *(month.end for month in mine)]
        if [month.start for month in mine] != ends[:-1] or ends[-1] != iso(at(f"{last}T00:00")):
            apart.append(f"{point(n)}: {[(month.start[:10], month.end[:10]) for month in mine]}")
        slots = (at(f"{last}T00:00") - START) // SLOT_MS
        sums.append((sum(month.energy_dwh or 0 for month in mine), 1_000 * slots))
    shared = [(code, month.start[:10], month.end[:10]) for code, month in sorted(parts[point(2)])]
    wanted = [(OLD, "2026-10-06", "2026-10-10"), (OLD, "2026-10-10", "2026-10-14"), (NEW, "2026-10-14", "2026-11-10")]
    return {
        APART: "; ".join(apart),
        SUMS: differing([found for found, _ in sums], [due for _, due in sums]),
        SHARED: differing(sorted(shared, key=lambda part: part[1]), wanted),
    }


def _by_the_calendar(*given: Any) -> Members:
    """Let each period begin a month before its reading day, whatever period went before."""
    found = _MEMBERS(*given)
    _, _, reading, first_slot, _ = given
    return replace(found, start=np.full(len(found), max(first_slot, reading - 31 * 48), np.int32))


_MEMBERS = month_plan.members
GUARDS = [
    Guard("pipeline.month_cells.members", _by_the_calendar, APART),
    Guard("pipeline.month_cells.members", _by_the_calendar, SUMS),
]


def test_no_day_is_counted_twice_or_left_out(tmp_path: Path) -> None:
    hold(story, tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
