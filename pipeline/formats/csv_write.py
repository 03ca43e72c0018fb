# SPDX-License-Identifier: Apache-2.0
"""CSV out: long carries the whole table, wide values alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

from koma.errors import FormatError
from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE
from pipeline.formats import decimals, times
from pipeline.formats.losses import Losses
from pipeline.formats.series import sort, starts


def write_long(table: Any, file: Path) -> None:
    """Write every column; energy as kWh.

    Raises:
        FormatError: a text that a line of CSV cannot bring back.

    """
    table = sort(table)
    for name in ("point_id", "channel", "method", "reason", "reason_text"):
        lost = pc.or_(pc.match_substring_regex(table[name], r"[\r\n\x00]"), pc.equal(table[name], ""))
        if pc.any(lost).as_py():
            raise FormatError(f"CSV cannot carry an empty text or a line break in {name}", hint="Write Parquet")
    columns = {
        **{name: table[name] for name in table.column_names},
        "slot_start": times.jst_texts(table["slot_start"]),
        "energy_dwh": decimals.to_kwh(table["energy_dwh"]),
        "recorded_at": times.utc_texts(table["recorded_at"]),
    }
    renamed = {("energy_kwh" if name == "energy_dwh" else name): column for name, column in columns.items()}
    _write(pa.table(renamed), file)


def write_wide(table: Any, file: Path, losses: Losses) -> None:
    """Write one row a day, one column an interval; empty is missing.

    Raises:
        FormatError: several interval lengths, or something a wide file has no place for.

    """
    table = sort(table)
    lengths = pc.unique(table["interval_minutes"]).to_pylist()
    if len(lengths) != 1:
        raise FormatError(
            f"a wide file holds one interval length, not {len(lengths)}", hint="Write csv-long, or one file a length"
        )
    minutes = lengths[0]
    plain = pc.if_else(pc.is_valid(table["energy_dwh"]), "actual", "missing")
    losses.note("quality words", pc.sum(pc.not_equal(table["quality"], plain)).as_py())
    losses.columns(table, ("method", "reason", "reason_text", "recorded_at"))
    wall_ms = np.array(pc.cast(table["slot_start"], pa.int64())) + JST_OFFSET_MINUTES * MS_PER_MINUTE
    day, slot = wall_ms // MS_PER_DAY, wall_ms % MS_PER_DAY // (minutes * MS_PER_MINUTE)
    first = starts(table, ("point_id", "register", "channel"))
    first[1:] |= day[1:] != day[:-1]
    row, slots = np.cumsum(first) - 1, 24 * 60 // minutes
    days = int(first.sum())
    losses.note("days that lack intervals", days * slots - table.num_rows)
    place = np.full(days * slots, -1)
    place[row * slots + slot] = np.arange(table.num_rows)
    texts = decimals.to_kwh(table["energy_dwh"]).combine_chunks().take(pa.array(place, mask=place < 0))
    columns = {name: table[name].filter(pa.array(first)) for name in ("point_id", "register", "channel")}
    columns["date"] = times.dates(day[first], "-")
    for each in range(slots):
        at = each * minutes
        columns[f"{at // 60:02d}:{at % 60:02d}"] = texts[each::slots]
    _write(pa.table(columns), file)


def _write(table: Any, file: Path) -> None:
    pc_csv.write_csv(table, file, pc_csv.WriteOptions(quoting_style="needed"))
