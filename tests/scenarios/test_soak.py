# SPDX-License-Identifier: Apache-2.0
"""Two days of a watched home at suite size; `./dev bench soak` lets it live a week with a hundred thousand points."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.soak import Plan, soak
from tests.soaked import looked_at


def test_every_cell_of_two_days_is_accounted_for_and_a_wrong_one_is_seen(tmp_path: Path) -> None:
    seen = soak(Plan(days=2, points=200, turn_minutes=360), tmp_path)

    assert seen.wrong == []
    assert seen.counts["expected"] == seen.counts["true_expected"] == seen.counts["daily_cells"]
    assert seen.counts["expected"] == seen.counts["available"] + seen.counts["missing"]
    assert seen.counts["energy_dwh"] == seen.counts["true_energy_dwh"] > 0
    assert min(seen.counts[name] for name in ("late", "lost", "repeated", "revised_cells")) > 0
    assert looked_at(seen.home, seen.area, 1).wrong == []
    daily = next(seen.home.deliveries.glob("*/20261020/W41120*.parquet"))
    rows = pq.read_table(daily)
    more = pa.compute.add(rows["energy_dwh"], pa.array([1] + [0] * (len(rows) - 1)))
    pq.write_table(rows.set_column(rows.schema.get_field_index("energy_dwh"), "energy_dwh", more), daily)
    assert [each.partition(" differ in 1 cells")[0] for each in looked_at(seen.home, seen.area, 1).wrong] == [
        "20261020: the daily files and those of the slots"
    ]
