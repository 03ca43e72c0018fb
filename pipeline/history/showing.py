# SPDX-License-Identifier: Apache-2.0
"""Rows of the store as people and programs are told of them: JSON lines, CSV or Parquet."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from koma.errors import HistoryError
from pipeline.history.parts import table_of
from pipeline.history.rows import Rows
from pipeline.quality import has_value

SCHEMA: Final = pa.schema(
    [
        pa.field("point_id", pa.string(), nullable=False),
        pa.field("retailer_code", pa.string(), nullable=False),
        pa.field("slot_start", pa.timestamp("ms", "Asia/Tokyo"), nullable=False),
        pa.field("energy_dwh", pa.int64(), nullable=True),
        pa.field("available", pa.bool_(), nullable=False),
        pa.field("quality", pa.string(), nullable=False),
        pa.field("revision", pa.int16(), nullable=False),
        pa.field("recorded_at", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)
"""The columns of a delivery file, with the retailer."""
_ENDINGS: Final = (".csv", ".parquet")


def told_table(rows: Rows) -> Any:
    """Return rows as a table of `SCHEMA`, whose texts are dictionaries: each stands once."""
    stored = table_of(rows)
    columns = {
        "slot_start": stored.column("slot_start").cast(SCHEMA.field("slot_start").type),
        "available": pa.array(has_value(rows.quality)),
        "recorded_at": pa.array(rows.issued_ms()).view(SCHEMA.field("recorded_at").type),
    }
    return pa.table({name: columns[name] if name in columns else stored.column(name) for name in SCHEMA.names})


def write(blocks: Iterator[Rows], out: Path) -> int:
    """Write rows into a file, CSV or Parquet by its ending, whole or not at all; returns how many.

    Raises:
        HistoryError: another ending, or it cannot be written.

    """
    if out.suffix not in _ENDINGS:
        raise HistoryError(f"{out} ends neither in .csv nor in .parquet", hint="the ending of --out says the format")
    hidden = out.with_name(f".{out.name}")
    count = 0
    try:
        with _writer(hidden, out.suffix) as writer:
            for block in blocks:
                table = told_table(block).cast(SCHEMA)
                writer.write_table(_texts(table) if out.suffix == ".csv" else table)
                count += table.num_rows
        hidden.rename(out)
    except OSError as error:
        hidden.unlink(missing_ok=True)
        raise HistoryError(
            f"{out} cannot be written: {error.strerror}", hint="name a file in a writable folder"
        ) from None
    return count


def _writer(path: Path, ending: str) -> Any:
    if ending == ".csv":
        from pyarrow import csv  # noqa: PLC0415  few want CSV

        return csv.CSVWriter(path, _texts(SCHEMA.empty_table()).schema)
    from pyarrow import parquet  # noqa: PLC0415  loaded when something is written

    return parquet.ParquetWriter(path, SCHEMA, compression="zstd")


def _texts(table: Any) -> Any:
    """Write times as ISO 8601, in the zones of the deliveries."""
    for name, form in (("slot_start", "%Y-%m-%dT%H:%M:00+09:00"), ("recorded_at", "%Y-%m-%dT%H:%M:00Z")):
        table = table.set_column(table.column_names.index(name), name, pc.strftime(table.column(name), format=form))
    return table


def print_lines(blocks: Iterator[Rows]) -> int:
    """Write rows as JSON lines on standard output; returns how many."""
    count = 0
    for block in blocks:
        table = _texts(told_table(block).cast(SCHEMA))
        pieces: list[Any] = []
        for name in table.column_names:
            column = table.column(name).combine_chunks()
            quoted = pa.types.is_string(column.type)
            text = pc.fill_null(pc.cast(column, pa.string()), "null")
            mark = '"' if quoted else ""
            pieces += [f'{"," if pieces else "{"}"{name}":{mark}', text, mark]
        lines = pc.binary_join_element_wise(*pieces, "}\n", "")
        sys.stdout.write("".join(lines.to_pylist()))
        count += table.num_rows
    sys.stdout.flush()
    return count
