# SPDX-License-Identifier: Apache-2.0
"""The truth of a simulation against plain Python, for any seed and any mixture of faults."""

import csv
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from koma.slots import parse_jst
from pipeline.simulate import Faults, Options, describe, simulate
from pipeline.simulate.options import FORMATS
from tests.unit.pipeline.simulate.reference import Reference, when

EXAMPLES = settings(max_examples=settings().max_examples // 3)  # each writes and reads some fifty files


def share(most: float) -> st.SearchStrategy[float]:
    return st.sampled_from([0.0, most / 4, most])


@st.composite
def option_sets(draw: st.DrawFn) -> Options:
    faults = Faults(
        losses=draw(share(0.2)),
        late=draw(share(0.3)),
        late_hours=draw(st.integers(1, 5)),
        duplicates=draw(share(0.3)),
        conflicts=draw(share(0.2)),
        disorder=draw(share(0.3)),
        skew=draw(share(0.2)),
        off_grid=draw(share(0.1)),
        spikes=draw(share(0.05)),
        backward=draw(share(0.05)),
        rollovers=draw(share(0.5)),
        exchanges=draw(share(0.4)),
        removed=draw(share(0.2)),
        no_meter=draw(share(0.1)),
        no_telemetry=draw(share(0.1)),
        switches=draw(share(0.5)),
        unassigned=draw(share(0.1)),
        unknown=draw(share(0.1)),
        outage_share=draw(share(0.5)),
        outage_minutes=draw(st.sampled_from([0, 45])),
    )
    hour = draw(st.sampled_from(["2026-10-06T22:30", "2026-10-06T12:00", "2026-12-31T23:30"]))
    return Options(
        points=draw(st.integers(1, 150)),
        slots=draw(st.integers(1, 6)),
        seed=draw(st.integers(0, 2**63)),
        start_ms=parse_jst(hour),
        retailers=draw(st.sampled_from([1, 2, 12])),
        areas=draw(st.sampled_from([("03",), ("01", "06", "10")])),
        formats=tuple(draw(st.lists(st.sampled_from(FORMATS), min_size=1, max_size=3, unique=True))),
        cut_minutes=draw(st.sampled_from([7, 30, 60])),
        shuffle=draw(st.booleans()),
        master_format=draw(st.sampled_from(["csv", "parquet"])),
        solar=draw(st.sampled_from([0.0, 0.3, 1.0])),
        high_voltage=draw(share(0.1)),
        faults=faults,
        block_points=draw(st.sampled_from([2, 64, 65_536])),
    )


@given(option_sets())
@EXAMPLES
def test_every_cell_of_the_truth_is_what_plain_python_makes_of_the_files(options: Options) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        summary = simulate(options, out)
        record = {"options": describe(options), "summary": asdict(summary)}
        (out / "simulation.json").write_text(json.dumps(record))
        reference = Reference(out)
        cells = pq.read_table(out / "truth.parquet").to_pylist()
        totals = list(csv.DictReader((out / "truth_totals.csv").read_text().splitlines()))

    assert len(cells) == options.points * options.slots == sum(summary.cells.values())
    assert {(cell["point_id"], cell["slot_start"]) for cell in cells} == {
        (point, slot) for point in reference.points for slot in reference.slots
    }
    sums: dict[tuple[str, object], list[int]] = {}
    for cell in cells:
        point_id, slot = cell["point_id"], cell["slot_start"]
        energy, quality = reference.cell(point_id, slot)
        assert cell["energy_dwh"] == energy, (point_id, slot)
        assert cell["quality"] == quality, (point_id, slot)
        assert cell["retailer_code"] == reference.retailer(point_id, slot)
        low = reference.points[point_id].row["voltage"] == "LV"
        assert cell["expected"] == (low and cell["retailer_code"] != "00000")
        for key in ((cell["retailer_code"], slot), (cell["retailer_code"], None)):
            total = sums.setdefault(key, [0, 0, 0])
            total[0] += low
            total[1] += low and energy is not None
            total[2] += (energy or 0) if low else 0
    for row in totals:
        key = (row["retailer_code"], when(row["slot_start"]) if row["slot_start"] else None)
        assert [int(row[name]) for name in ("expected", "available", "energy_dwh")] == sums.pop(key, [0, 0, 0])
    assert not sums
    assert summary.reads == len(reference.reads)
