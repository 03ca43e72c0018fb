# SPDX-License-Identifier: Apache-2.0
"""The quarantine: every read, row, frame or file that could not be taken, with its reason, until it is repaired."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.handover.batch import ReadBatch, Rejected
from pipeline.prefilter.rules import RULES

SCHEMA = pa.schema(
    [
        ("source", pa.string()),  # hand-over file
        ("place", pa.int64()),  # row, line or byte offset in it
        ("code", pa.string()),
        ("detail", pa.string()),
        ("meter_id", pa.string()),
        ("point_id", pa.string()),
        ("read_at", pa.timestamp("ms", "Asia/Tokyo")),
        ("received_at", pa.timestamp("ms", "UTC")),
        ("import_register", pa.uint32()),
        ("export_register", pa.uint32()),
        ("raw", pa.binary()),
        ("reads", pa.int64()),
        ("shard", pa.int32()),  # of a conflict: the installation it is about
        ("local", pa.uint32()),
    ]
)

_NO_DATA = 0xFFFFFFFE


def _table(count: int, **columns: object) -> pa.Table:
    arrays = []
    for field in SCHEMA:
        column = columns.get(field.name)
        if column is None:
            arrays.append(pa.nulls(count, field.type))
        elif isinstance(column, pa.Array | pa.ChunkedArray):
            arrays.append(column.cast(field.type))
        else:
            arrays.append(pa.array(column, field.type))
    return pa.table(arrays, schema=SCHEMA)


def of_rejected(rejected: Sequence[Rejected]) -> pa.Table:
    """Return the rows of what a decoder refused."""
    return _table(
        len(rejected),
        source=[each.source for each in rejected],
        place=[each.place for each in rejected],
        code=[each.code for each in rejected],
        detail=[each.detail for each in rejected],
        raw=[each.raw for each in rejected],
        reads=[each.reads for each in rejected],
    )


def of_verdicts(batch: ReadBatch, verdict: NDArray[np.uint8]) -> pa.Table:
    """Return the rows that a rule refused (verdict > 0) and that carried a read."""
    reads = (batch.import_register < _NO_DATA).astype(np.int64) + (batch.export_register < _NO_DATA)
    where = np.flatnonzero((verdict > 0) & (reads > 0))
    codes = verdict[where].astype(np.int64) - 1
    return _table(
        len(where),
        source=pa.array([batch.source]).take(pa.array(np.zeros(len(where), np.int64))),
        place=batch.place[where],
        code=pa.array([rule.code for rule in RULES]).take(pa.array(codes)),
        detail=pa.array([rule.says for rule in RULES]).take(pa.array(codes)),
        meter_id=meter_texts(batch.keys[where]),
        read_at=pa.array(batch.read_at_ms[where], pa.timestamp("ms", "Asia/Tokyo")),
        received_at=pa.array(batch.received_ms[where], pa.timestamp("ms", "UTC")),
        import_register=_registers(batch.import_register[where]),
        export_register=_registers(batch.export_register[where]),
        reads=reads[where],
    )


def of_conflicts(
    shard: int,
    local: NDArray[np.uint32],
    meter_ids: pa.Array,
    point_ids: pa.Array,
    registers: pa.Array,
    stamp_ms: NDArray[np.int64],
    received_ms: NDArray[np.int64],
    value: NDArray[np.uint32],
    counting: NDArray[np.int64],
    *,
    source: str = "",
    place: NDArray[np.int64] | None = None,
) -> pa.Table:
    """Return reads that lost against another value. `registers`: import or export, as text."""
    exports = np.asarray(registers.to_pylist(), dtype=object) == "export"
    return _table(
        len(value),
        source=pa.array([source]).take(pa.array(np.zeros(len(value), np.int64))),
        place=np.full(len(value), -1, np.int64) if place is None else place,
        code=pa.array(["conflict"]).take(pa.array(np.zeros(len(value), np.int64))),
        detail=pa.array(
            ["another register is known for this stamp; decide which is true, then supersede or correct the master"]
        ).take(pa.array(np.zeros(len(value), np.int64))),
        meter_id=meter_ids,
        point_id=point_ids,
        shard=np.full(len(value), shard, np.int32),
        local=local,
        read_at=pa.array(stamp_ms, pa.timestamp("ms", "Asia/Tokyo")),
        received_at=pa.array(received_ms, pa.timestamp("ms", "UTC")),
        import_register=pa.array(value, mask=exports),
        export_register=pa.array(value, mask=~exports),
        reads=counting,
    )


def by_code(rows: pa.Table) -> Counter[str]:
    """Return how many reads rows count for, by their code."""
    sums = rows.select(["code", "reads"]).group_by("code").aggregate([("reads", "sum")])
    return Counter(dict(zip(sums["code"].to_pylist(), sums["reads_sum"].to_pylist(), strict=True)))


def meter_texts(keys: NDArray[np.uint64]) -> pa.Array:
    """Return meter ids as text."""
    fixed = np.ascontiguousarray(keys).view("S16").ravel()
    return pa.array([each.decode("ascii", "replace") for each in fixed.tolist()], pa.string())


def _registers(column: NDArray[np.uint32]) -> pa.Array:
    return pa.array(column, mask=column >= _NO_DATA)


def write(target: Path, tables: Iterable[pa.Table]) -> int:
    """Write rows to `target` in an order free of how the work was cut; return the reads they count for."""
    parts = [table for table in tables if table.num_rows]
    if not parts:
        return 0
    rows = pa.concat_tables(parts).sort_by(
        [(name, "ascending") for name in SCHEMA.names if name not in ("detail", "raw", "reads")]
    )
    pq.write_table(rows, target)
    return int(pa.compute.sum(rows["reads"]).as_py())
