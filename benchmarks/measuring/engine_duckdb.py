# SPDX-License-Identifier: Apache-2.0
"""DuckDB doing the slot: read, join with the master, difference, one Parquet folder a retailer.

The master lies in a database file, imported before; the hand-over files are mapped and scanned in place. Grouping the
reads by meter instead of joining them, data sets instead of tables, and a mapped Arrow file for the master were tried
and take as long or longer.
"""

from typing import Any

import duckdb
import pyarrow as pa

from benchmarks.measuring.area import SLOT, SPLIT_MS
from benchmarks.measuring.task import ONE, Task
from koma.slots import format_jst, slot_start_ms

_COPY = """
COPY (
    SELECT m.retailer_code, m.point_id, TIMESTAMPTZ '{start}' AS slot_start,
           ((e.import_register::BIGINT - {first} + m.modulus) % m.modulus) * m.factor AS energy_dwh
    FROM reads e {starts} JOIN master m ON m.meter_id = e.meter_id
    WHERE e.read_at = TIMESTAMPTZ '{end}' AND e.received_at <= TIMESTAMPTZ '{instant}'
) TO '{out}' (FORMAT parquet, PARTITION_BY (retailer_code))
"""
_STARTS = "JOIN reads s ON s.meter_id = e.meter_id AND s.read_at = TIMESTAMPTZ '{start}'"
_TUNED = (
    "SET preserve_insertion_order = false",
    "SET partitioned_write_max_open_files = 1000",
    "SET TimeZone = 'Asia/Tokyo'",
)


def run(task: Task) -> dict[str, Any]:
    """Do the slot."""
    with duckdb.connect(str(task.area / "flat.duckdb"), read_only=True) as connection:
        connection.execute(f"SET threads = {task.workers}")
        for each in _TUNED:
            connection.execute(each)
        mapped = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in task.handover]
        connection.register("reads", pa.concat_tables(mapped))
        times = {
            "start": format_jst(slot_start_ms(SLOT)),
            "end": format_jst(slot_start_ms(SLOT + 1)),
            "instant": format_jst(SPLIT_MS),
        }
        alone = task.stamps == ONE
        connection.execute(
            _COPY.format(
                first="m.start_register" if alone else "s.import_register",
                starts="" if alone else _STARTS.format(**times),
                out=task.out,
                **times,
            )
        )
    return {}
