# SPDX-License-Identifier: Apache-2.0
"""What a soak is judged by: monthly rows against the slots of their period."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.home import open_home
from pipeline.simulate import Options
from tests.homes import SLOT_MS, at, point
from tests.soaked import AVAILABLE, MISSING, MONTHS, SLOTS_A_DAY, Area, Grid, MonthlyFiles

START = at("2026-10-19T00:00")
DAY_MS = SLOTS_A_DAY * SLOT_MS


def world(root: Path, energy: tuple[int, int], *, end_ms: int = START + 2 * DAY_MS) -> MonthlyFiles:
    """Two points for two days, 3 dWh a slot; the second lacks a slot. A monthly file in two revisions."""
    home = open_home(root / "home")
    (root / "days").mkdir()
    area = Area(root, Options(points=2, slots=96, seed=1, start_ms=START), pa.array([point(0), point(1)]), ["11113"])
    for day in range(2):
        grid = Grid.empty(2)
        grid.owner[:], grid.state[:], grid.energy_dwh[:] = 0, AVAILABLE, 3
        if day == 0:
            grid.state[7, 1], grid.energy_dwh[7, 1] = MISSING, 0
        grid.save(root / "days" / f"{day:03d}.npz")
    folder = home.deliveries / "11113" / "20261021"
    folder.mkdir(parents=True)
    zone = pa.timestamp("ms", "Asia/Tokyo")
    lines = []
    for revision, some in enumerate(([(0, 1), (1, energy[1])], [(0, energy[0])])):
        rows = {
            "point_id": pa.array([point(each) for each, _ in some]),
            "period_start": pa.array([START] * len(some), pa.int64()).cast(zone),
            "period_end": pa.array([end_ms] * len(some), pa.int64()).cast(zone),
            "energy_dwh": pa.array([dwh for _, dwh in some]),
            "available": pa.array([True] * len(some)),
            "slots": pa.array([96] * len(some), pa.int32()),
            "missing_slots": pa.array([each for each, _ in some], pa.int32()),
            "revision": pa.array([revision] * len(some), pa.int16()),
        }
        pq.write_table(pa.table(rows), folder / f"W51220{revision}.parquet")
        lines.append(json.dumps({"file": f"W51220{revision}.zip", "revision": revision}))
    (folder / MONTHS).write_text("\n".join(lines))
    return MonthlyFiles(home, root / "days", area)


def test_a_month_is_the_sum_of_its_slots_and_may_know_more_where_some_are_missing(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    assert world(tmp_path, (96 * 3, 95 * 3 + 3)).wrong(counts) == []
    assert (counts["monthly_rows"], counts["monthly_rows_of_whole_periods"]) == (2, 1)


@pytest.mark.parametrize("energy", [(96 * 3 + 1, 95 * 3), (96 * 3, 95 * 3 - 1)])
def test_one_dwh_too_many_or_too_few_is_named(tmp_path: Path, energy: tuple[int, int]) -> None:
    wrong = world(tmp_path, energy).wrong(Counter())
    assert [("a month" in each, "by slots" in each) for each in wrong] == [(True, True)]


def test_a_period_outside_the_days_that_were_looked_at_is_not_judged(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    assert world(tmp_path, (1, 1), end_ms=START + 3 * DAY_MS).wrong(counts) == []
    assert counts == {}


def test_grids_differ_in_cells(tmp_path: Path) -> None:
    one, other = Grid.empty(3), Grid.empty(3)
    other.state[4, 2] = MISSING
    assert np.array_equal(one.differing(other), [[4, 2]])
