# SPDX-License-Identifier: Apache-2.0
"""Readers and writers of columns run no Python a reading; NEM12 runs some a record, which is a day."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.formats.exchange import READERS, WRITERS
from pipeline.formats.losses import Losses
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import SCHEMA
from tests.format_tables import DAY_MS
from tests.integration.test_no_python_per_reading import counted

SMALL, LARGE = 48 * 200, 48 * 800
"""Rows; what a run costs whatever its size falls out of the difference."""


@pytest.mark.parametrize(
    ("kind", "bound"), [("csv-long", 0.001), ("csv-wide", 0.001), ("parquet", 0.001), ("nem12", 3.0)]
)
def test_lines_of_python_a_reading_stay_next_to_nothing(tmp_path: Path, kind: str, bound: float) -> None:
    small, large = (lines_of(kind, rows, tmp_path / "a") for rows in (SMALL, LARGE))
    assert (large - small) / (LARGE - SMALL) < bound


def lines_of(kind: str, rows: int, file: Path) -> int:
    """Lines that writing and reading back so many rows execute."""
    at = np.arange(rows)
    columns = {
        "point_id": pa.repeat(pa.scalar("NMI1234567"), rows),
        "register": pa.repeat(pa.scalar("import"), rows),
        "slot_start": pa.array(DAY_MS + at * 1_800_000, SCHEMA.field("slot_start").type),
        "interval_minutes": pa.array(np.full(rows, 30), pa.int16()),
        "energy_dwh": pa.array(at),
        "available": pa.array(np.ones(rows, bool)),
        "quality": pa.repeat(pa.scalar("actual"), rows),
    }
    table = pa.table([columns.get(each.name, pa.nulls(rows, each.type)) for each in SCHEMA], schema=SCHEMA)
    refusals = Refusals()
    with counted() as lines:
        WRITERS[kind](table, file, Losses())
        back = READERS[kind.partition("-")[0]](file.read_bytes(), "a", refusals)
    assert (back.num_rows, refusals.count) == (rows, 0)
    return lines.count
