# SPDX-License-Identifier: Apache-2.0
"""The form in which every format meets: one row an interval of a register at a point, as an Arrow table."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from koma.slots import MS_PER_MINUTE
from pipeline.formats.refusals import Refusals
from pipeline.formats.words import WORDS

SCHEMA: Final = pa.schema(
    [
        pa.field("point_id", pa.string(), nullable=False),
        pa.field("register", pa.string(), nullable=False),
        pa.field("channel", pa.string(), nullable=True),
        pa.field("slot_start", pa.timestamp("ms", "Asia/Tokyo"), nullable=False),
        pa.field("interval_minutes", pa.int16(), nullable=False),
        pa.field("energy_dwh", pa.int64(), nullable=True),
        pa.field("available", pa.bool_(), nullable=False),
        pa.field("quality", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=True),
        pa.field("reason", pa.string(), nullable=True),
        pa.field("reason_text", pa.string(), nullable=True),
        pa.field("recorded_at", pa.timestamp("ms", "UTC"), nullable=True),
    ]
)
"""The columns of the table and of the long Parquet."""

REGISTERS: Final = ("import", "export")
MINUTES: Final = (1, 5, 10, 15, 30, 60)
"""Interval lengths that a row may have; each divides the hour."""
KEY: Final = ("point_id", "register", "channel", "interval_minutes", "slot_start")
"""What a row is a value of: a second row of the same key is refused."""
ID_CHARS_MAX: Final = 64


def empty() -> Any:
    """Return the table without rows."""
    return SCHEMA.empty_table()


def assemble(columns: Mapping[str, Any]) -> Any:
    """Make a table of columns, by name, in the order of the schema; what is not given is null."""
    rows = len(next(iter(columns.values())))
    return pa.table(
        [
            pc.cast(columns[each.name], each.type) if each.name in columns else pa.nulls(rows, each.type)
            for each in SCHEMA
        ],
        schema=SCHEMA,
    )


def sort(table: Any) -> Any:
    """Order rows by key; null channels last."""
    keys = [(name, "ascending") for name in KEY]
    return table.take(pc.sort_indices(table, sort_keys=keys))


def starts(table: Any, names: Sequence[str]) -> Any:
    """Return a mask of rows that differ from the row above in one of some columns; the first row is set."""
    mask = np.ones(table.num_rows, bool)
    mask[1:] = False
    for name in names:
        column = table[name].combine_chunks()
        null = np.array(pc.is_null(column), bool)
        differs = np.array(pc.fill_null(pc.not_equal(column[1:], column[:-1]), fill_value=False), bool)
        mask[1:] |= differs | (null[1:] != null[:-1])
    return mask


def repeated(table: Any) -> Any:
    """Return a mask of rows whose key an earlier row of the table has."""
    if not table.num_rows:
        return np.zeros(0, bool)
    numbered = pa.table([*(table[name] for name in KEY), np.arange(table.num_rows)], names=[*KEY, "row"])
    order = pc.sort_indices(numbered, sort_keys=[(name, "ascending") for name in (*KEY, "row")])
    mask = np.zeros(table.num_rows, bool)
    mask[np.array(order)] = ~starts(numbered.take(order), KEY)
    return mask


def settle(table: Any, lines: Any, file: str, refusals: Refusals) -> Any:
    """Refuse the rows that contradict themselves or an earlier row; return the others.

    Args:
        table: of the schema.
        lines: the line of each row in its file.
        file: the name that refusals say.
        refusals: where they go.

    """
    valued = pa.array([each.word for each in WORDS if each.value])
    known = pa.array([each.word for each in WORDS])
    has = pc.is_valid(table["energy_dwh"])
    start_ms = pc.cast(table["slot_start"], pa.int64())
    length_ms = np.array(table["interval_minutes"], np.int64) * MS_PER_MINUTE
    in_minutes = np.isin(length_ms, [each * MS_PER_MINUTE for each in MINUTES])
    on_grid = np.array(start_ms) % np.where(in_minutes, length_ms, 1) == 0
    id_chars = pc.utf8_length(table["point_id"])
    checks: Sequence[tuple[str, Any, str, str]] = (
        ("point", pc.and_(pc.greater(id_chars, 0), pc.less_equal(id_chars, ID_CHARS_MAX)),
         "point_id is empty or too long", f"Give 1 to {ID_CHARS_MAX} characters"),
        ("register", pc.is_in(table["register"], value_set=pa.array(REGISTERS)),
         "register is neither import nor export", "Write import or export"),
        ("interval", in_minutes, "the interval length is not one of 1, 5, 10, 15, 30, 60 minutes",
         "Give one of these lengths"),
        ("time", on_grid, "slot_start does not lie on a multiple of the interval",
         "Give the start of the interval, with its zone"),
        ("quality", pc.is_in(table["quality"], value_set=known), "quality is no word of the table",
         "See docs/resources/formats.md for the words"),
        ("available", pc.equal(has, table["available"]), "available contradicts energy",
         "A row is available if and only if energy stands in it"),
        ("quality", pc.or_(pc.invert(pc.is_in(table["quality"], value_set=known)),
                           pc.equal(pc.is_in(table["quality"], value_set=valued), has)),
         "quality contradicts energy", "missing has no energy, actual has one; see the words"),
        ("repeated", ~repeated(table), "a second value for an interval that has one",
         "Leave one; a file states each interval once"),
    )  # fmt: skip
    good = np.ones(table.num_rows, bool)
    lines = np.asarray(lines)
    for code, holds, reason, fix in checks:
        bad = ~np.array(holds, bool) & good
        refusals.rows(file, lines[bad], code, reason, fix)
        good &= ~bad
    return table.filter(pa.array(good))
