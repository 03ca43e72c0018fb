# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.home import open_home
from pipeline.quarantine import SCHEMA
from pipeline.repair import entries

NOON_MS = 1_791_255_600_000
ENDS_MS = (-62_135_596_800_000 - 32_400_000, 253_402_300_799_000)  # 0001-01-01 JST, 9999-12-31T23:59:59Z


def test_a_time_at_the_end_of_the_calendar_does_not_hide_the_quarantine(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    columns = {name: pa.nulls(3, SCHEMA.field(name).type) for name in SCHEMA.names}
    for name in ("read_at", "received_at"):
        columns[name] = pa.array([*ENDS_MS, NOON_MS], pa.int64()).cast(SCHEMA.field(name).type)
    pq.write_table(pa.table(columns, schema=SCHEMA), home.path("quarantine") / "00000001.parquet")
    rows = [entry.row for entry in entries(home)]
    assert [row["read_at"] is None for row in rows] == [True, True, False]
    assert rows[2]["received_at"].timestamp() * 1000 == NOON_MS
