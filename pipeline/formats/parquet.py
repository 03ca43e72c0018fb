# SPDX-License-Identifier: Apache-2.0
"""Parquet in and out: the table as it is, and the delivery files of W41110, of which the last revision counts."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from koma.errors import FormatError
from koma.limits import SLOT_MINUTES
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import SCHEMA, assemble, settle, sort, starts

_DELIVERY = {"point_id", "slot_start", "energy_dwh", "available", "quality", "revision", "recorded_at"}


def read(data: bytes, file: str, refusals: Refusals) -> Any:
    """Read a table as `write` writes it, or one delivery file.

    Raises:
        FormatError: no Parquet, or columns of something else.

    """
    try:
        table = pq.read_table(io.BytesIO(data))
        table.validate(full=True)  # texts that are no UTF-8 are found here, or nowhere
        if set(table.column_names) == _DELIVERY:
            table = last_revisions([table])
        elif not {each.name for each in SCHEMA if not each.nullable} <= set(table.column_names):
            missing = sorted({each.name for each in SCHEMA if not each.nullable} - set(table.column_names))
            raise FormatError(f"{file} lacks the columns {', '.join(missing)}", hint="See docs/resources/formats.md")
        else:
            table = assemble({name: table[name] for name in table.column_names if name in SCHEMA.names})
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise FormatError(f"{file} cannot be read as Parquet: {str(error)[:200]}", hint="Write it anew") from None
    rows = np.arange(1, table.num_rows + 1)
    needed = np.ones(table.num_rows, bool)
    for each in SCHEMA:
        if not each.nullable:
            needed &= np.array(pc.is_valid(table[each.name]), bool)
    refusals.rows(file, rows[~needed], "null", "a column that every row needs is null", "Fill it")
    return settle(table.filter(pa.array(needed)), rows[needed], file, refusals)


def last_revisions(deliveries: list[Any]) -> Any:
    """Take the last revision of each cell of some delivery files; their register is import, their slot half an hour."""
    cells = pa.concat_tables(deliveries)
    order = pc.sort_indices(
        cells, sort_keys=[("point_id", "ascending"), ("slot_start", "ascending"), ("revision", "descending")]
    )
    cells = cells.take(order).combine_chunks()
    first = starts(cells, ("point_id", "slot_start"))
    cells = cells.filter(pa.array(first))
    names = _DELIVERY - {"revision"}
    return assemble(
        {
            **{name: cells[name] for name in names},
            "register": pa.repeat(pa.scalar("import"), cells.num_rows),
            "interval_minutes": pa.repeat(pa.scalar(SLOT_MINUTES), cells.num_rows),
        }
    )


def read_home_day(root: Path, retailer: str, day: str) -> Any:
    """Read what a home has delivered to a retailer for a day.

    Raises:
        FormatError: nothing was delivered.

    """
    files = sorted((root / "deliveries" / retailer / day).glob("W41110*.parquet"))
    if not files:
        raise FormatError(f"the home holds no delivery to {retailer} for {day}", hint="See koma pipeline run")
    return read_deliveries(files)


def is_delivery(file: Path) -> bool:
    """Whether a file has the columns of a delivery file."""
    try:
        return set(pq.read_schema(file).names) == _DELIVERY
    except (pa.ArrowException, OSError):
        return False


def read_deliveries(files: Sequence[Path]) -> Any:
    """Read delivery files, of each cell the last revision.

    Raises:
        FormatError: one cannot be read.

    """
    tables = []
    for each in files:
        try:
            tables.append(pq.read_table(each, partitioning=None))
        except (pa.ArrowException, OSError) as error:
            raise FormatError(f"{each} cannot be read as Parquet: {str(error)[:200]}", hint="Fetch it again") from None
    return last_revisions(tables)


def write(table: Any, file: Path) -> None:
    """Write the table, rows by key."""
    pq.write_table(sort(table), file, compression="zstd")
