# SPDX-License-Identifier: Apache-2.0
"""I4: what the half-hourly files tell is in the daily ones, and what these tell is in the monthly ones, also after late
reads and a switch that was learned late."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.journal import NEVER
from tests.homes import HOUR_MS, SLOT_MS, Read, Row, at, hand_over, iso, learn, new_home, point, reads_of, run
from tests.independent_months import read_months
from tests.independent_reader import read_days, read_tree
from tests.unguarded import Guard, break_without, differing, hold

START = at("2026-10-06T22:00")
READING = at("2026-10-07T00:00")
MORNING, MONTHLY = at("2026-10-07T07:00"), at("2026-10-14T07:00")
OLD, NEW = "11113", "22223"
POINTS = 3
LOST_A_DAY, LOST_A_WEEK = (1, 2), (2, 4)
"""Point and stamp of a read that comes hours, or a week, after it was due; without the second, a month has no end."""
DAYS_HOLD = "the daily files hold every cell of the half-hourly ones"
MONTHS_HOLD = "the monthly files hold the sum of their days"
EVERYBODY = "every point of the half-hourly files is in the daily and the monthly ones"


def supply(number: int, code: str, **facts: object) -> Row:
    whole = {"point_id": point(number), "retailer_code": code, "valid_from": "2020-01-01T00:00", "valid_to": ""}
    return whole | facts


def late(number: int, stamp: int, received_ms: int) -> Read:
    return Read(f"M{number}", START + stamp * SLOT_MS, received_ms, 100 + 3 * stamp)


def story(folder: Path) -> Mapping[str, str]:
    home = new_home(
        folder / "home",
        points=[{"point_id": point(n), "meter_read_day": 7} for n in range(POINTS)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(POINTS)],
        supply=[supply(n, OLD) for n in range(POINTS)],
    )
    lost = {LOST_A_DAY, LOST_A_WEEK}
    for n in range(POINTS):
        registers = [None if (n, k) in lost else 100 + 3 * k for k in range(7)]
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, registers))
    run(home, wall_ms=MORNING)
    hand_over(home, "late.csv", [late(*LOST_A_DAY, MORNING + HOUR_MS)])
    when = iso(START + 2 * SLOT_MS)
    learn(home, supply=[supply(0, OLD, valid_to=when), supply(0, NEW, valid_from=when)])
    run(home, wall_ms=MORNING + 24 * HOUR_MS)
    run(home, wall_ms=MONTHLY)
    hand_over(home, "later.csv", [late(*LOST_A_WEEK, MONTHLY + HOUR_MS)])
    run(home, wall_ms=MONTHLY + 24 * HOUR_MS, accept_clock=True)

    inside = {iso(START + k * SLOT_MS) for k in range(4)}
    slots, days = (
        {key: (cell.energy_dwh, cell.available) for key, cell in cells.items() if cell.quality != "withdrawn"}
        for cells in (read_tree(home.deliveries), read_days(home.deliveries))
    )
    told, listed = ({key: cells[key] for key in cells if key[1] in inside} for cells in (slots, days))
    months = {
        (code, name): (month.energy_dwh, month.slots, month.missing)
        for (code, _, name), (_, month) in read_months(home.deliveries).items()
        if month.quality != "withdrawn"
    }
    sums: dict[tuple[str, str], tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for (code, _, name), (energy, available) in told.items():
        total, count, gaps = sums[code, name]
        sums[code, name] = (total + (energy or 0), count + 1, gaps + (not available))
    assert iso(READING) not in inside
    whole = {(code, name) for code, _, name in told}
    return {
        DAYS_HOLD: f"{sorted(told.items() ^ listed.items(), key=str)[:2]}" if told != listed else "",
        MONTHS_HOLD: differing(months, dict(sums)),
        EVERYBODY: differing((len(whole), {(code, name) for code, _, name in listed}, set(months)), (4, whole, whole)),
    }


def _idle(view: object, first: int, count: int) -> object:
    del view, first
    return np.full(count, NEVER, np.int64)


GUARDS = [
    Guard("pipeline.daily.latest_arrivals", lambda _: {}, DAYS_HOLD),
    Guard("pipeline.day_plan.master_activity", _idle, DAYS_HOLD),
    Guard("pipeline.monthly.latest_arrivals", lambda _: {}, MONTHS_HOLD),
]


def test_half_hourly_daily_and_monthly_files_agree(tmp_path: Path) -> None:
    hold(story, tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
