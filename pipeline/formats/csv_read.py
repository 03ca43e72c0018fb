# SPDX-License-Identifier: Apache-2.0
"""CSV in: one row an interval (long), or one row a day with a column an interval (wide)."""

import io
import re
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
from numpy.typing import NDArray

from koma.errors import FormatError
from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE
from pipeline.formats import decimals, times
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import MINUTES, assemble, empty, settle

_UNITS: Final = {"energy_kwh": decimals.KWH, "energy_wh": 1, "energy_dwh": 0}
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_TEXTS: Final = ("channel", "method", "reason", "reason_text")


def read(data: bytes, file: str, refusals: Refusals) -> Any:
    """Read one file; the header says whether it is long or wide.

    Raises:
        FormatError: the header lacks what is needed, or the file is no CSV.

    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    head = data.split(b"\n", 1)[0].rstrip(b"\r")
    try:
        data.decode("utf-8")
        names = [each.strip().strip('"') for each in head.decode("utf-8").split(",")]
    except UnicodeDecodeError as error:
        raise FormatError(f"{file} is not UTF-8 at byte {error.start}", hint="Save it as UTF-8") from None
    if b"\0" in data:
        raise FormatError(
            f"{file} holds a NUL at byte {data.index(0)}", hint="This is no text; see where it comes from"
        )
    if len(set(names)) != len(names) or "point_id" not in names:
        raise FormatError(
            f"{file} line 1: no header with point_id, or a column twice", hint="See docs/resources/formats.md"
        )
    table, lines = _rows(data, names, file, refusals)
    if "date" in names:
        return _wide(table, lines, names, file, refusals)
    return _long(table, lines, names, file, refusals)


def _rows(data: bytes, names: list[str], file: str, refusals: Refusals) -> tuple[Any, NDArray[np.int64]]:
    """Read every column as text, with the line of each row."""
    skipped: list[int] = []

    def skip(row: Any) -> str:
        skipped.append(row.number)
        reason = f"the row has {row.actual_columns} fields, not {row.expected_columns}"
        refusals.add(file, row.number, "fields", reason, "Give as many fields as the header names")
        return "skip"

    try:
        table = pc_csv.read_csv(
            io.BytesIO(data),
            read_options=pc_csv.ReadOptions(
                use_threads=False, block_size=max(1 << 20, len(data) + 1), column_names=names, skip_rows=1
            ),
            parse_options=pc_csv.ParseOptions(invalid_row_handler=skip, ignore_empty_lines=False),
            convert_options=pc_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        ).combine_chunks()
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.table({name: pa.array([], pa.string()) for name in names}), np.zeros(0, np.int64)
        raise FormatError(f"{file} cannot be read as CSV: {str(error)[:200]}", hint="See the line it names") from None
    numbers = np.arange(2, 2 + table.num_rows + len(skipped))
    return table, np.setdiff1d(numbers, skipped)[: table.num_rows]


def _long(table: Any, lines: NDArray[np.int64], names: list[str], file: str, refusals: Refusals) -> Any:
    units = [each for each in _UNITS if each in names]
    if "slot_start" not in names or len(units) != 1:
        raise FormatError(
            f"{file} line 1: the header lacks slot_start, or one of {', '.join(_UNITS)}",
            hint="See docs/resources/formats.md for long and wide CSV",
        )
    table, lines = _keep(table, lines, pc.is_valid(table["point_id"]), ("point", "point_id is empty", _GIVE), file,
                         refusals)  # fmt: skip
    start_ms, good = times.to_ms(_text(table, "slot_start", ""))
    told_ms, told = times.to_ms(_text(table, "recorded_at", "1970-01-01T00:00Z"))
    minutes, whole = _minutes(table)
    energy, fault = decimals.to_dwh(_text(table, units[0], "0"), _UNITS[units[0]])
    has = np.array(pc.is_valid(table[units[0]]), bool)
    default = pc.if_else(pa.array(has), "actual", "missing")
    available = pc.utf8_lower(pc.coalesce(_column(table, "available"), pc.if_else(pa.array(has), "true", "false")))
    made = assemble(
        {
            "point_id": table["point_id"],
            "register": _text(table, "register", "import"),
            "slot_start": pa.array(start_ms),
            "interval_minutes": pa.array(minutes),
            "energy_dwh": pa.array(energy, mask=~has),
            "available": pc.equal(available, "true"),
            "quality": pc.coalesce(_column(table, "quality"), default),
            "recorded_at": pa.array(told_ms, mask=np.array(pc.is_null(_column(table, "recorded_at")), bool)),
            **{name: _column(table, name) for name in _TEXTS},
        }
    )
    for holds, why in (
        (good, ("time", "slot_start is no time", "Write 2026-10-07T00:00:00+09:00")),
        (told, ("time", "recorded_at is no time", "Write 2026-10-07T00:45:00Z, or leave it empty")),
        (whole, ("interval", "interval_minutes is not one of the lengths", "Write 1, 5, 10, 15, 30 or 60")),
        (pc.is_in(available, value_set=pa.array(["true", "false"])),
         ("available", "available is neither true nor false", "Write true or false")),
        *((fault != index, ("energy", f"energy {reason}", fix))
          for index, (reason, fix) in enumerate(decimals.FAULTS) if index),
    ):  # fmt: skip
        good_rows = np.array(holds, bool)
        refusals.rows(file, lines[~good_rows & (lines > 0)], *why)
        lines = np.where(good_rows, lines, 0)
    return settle(made.filter(pa.array(lines > 0)), lines[lines > 0], file, refusals)


_GIVE: Final = "Give the point's id"


def _wide(table: Any, lines: NDArray[np.int64], names: list[str], file: str, refusals: Refusals) -> Any:
    """Turn each column of a wide file into rows: numpy repeats keys, Arrow joins the columns."""
    clocks = [name for name in names if _CLOCK.fullmatch(name)]
    minutes = 24 * 60 // len(clocks) if clocks else 0
    wanted = [f"{at // 60:02d}:{at % 60:02d}" for at in range(0, 24 * 60, minutes)] if minutes in MINUTES else []
    if not clocks or clocks != wanted:
        raise FormatError(
            f"{file} line 1: the columns from 00:00 on are not one an interval of the day",
            hint="Name them 00:00, 00:30 and so on, all of one length",
        )
    day_ms, good = times.to_ms(_text(table, "date", ""))
    good &= (day_ms + JST_OFFSET_MINUTES * MS_PER_MINUTE) % MS_PER_DAY == 0
    keep = good & np.array(pc.is_valid(table["point_id"]), bool)
    table, kept = _keep(table, lines, keep, ("date", "point_id is empty or date is no date", "Write 2026-10-07"), file,
                        refusals)  # fmt: skip
    if not table.num_rows:
        return empty()
    day_ms, days = day_ms[keep], len(kept)
    texts = pa.concat_arrays([table[name].combine_chunks() for name in clocks])
    has = np.array(pc.is_valid(texts), bool)
    energy, fault = decimals.to_dwh(pc.fill_null(texts, "0"), decimals.KWH)
    row = np.tile(np.arange(days), len(clocks))
    start_ms = np.repeat(np.arange(len(clocks)) * minutes * MS_PER_MINUTE, days) + day_ms[row]
    made = assemble(
        {
            "point_id": table["point_id"].take(row),
            "register": _text(table, "register", "import").take(pa.array(row)),
            "channel": _column(table, "channel").take(pa.array(row)),
            "slot_start": pa.array(start_ms),
            "interval_minutes": pa.array(np.full(len(row), minutes)),
            "energy_dwh": pa.array(energy, mask=~has),
            "available": pa.array(has),
            "quality": pc.if_else(pa.array(has), "actual", "missing"),
        }
    )
    for index, (reason, fix) in enumerate(decimals.FAULTS):
        if index:
            bad = np.flatnonzero(fault == index)
            refusals.rows(file, kept[row[bad]], "energy", f"energy {reason}", fix)
    return settle(made.filter(pa.array(fault == 0)), kept[row][fault == 0], file, refusals)


def _keep(
    table: Any, lines: NDArray[np.int64], holds: Any, why: tuple[str, str, str], file: str, refusals: Refusals
) -> tuple[Any, NDArray[np.int64]]:
    mask = np.array(holds, bool)
    refusals.rows(file, lines[~mask], *why)
    return table.filter(pa.array(mask)), lines[mask]


def _minutes(table: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    texts = _text(table, "interval_minutes", "30")
    good = np.array(pc.is_in(texts, value_set=pa.array([str(each) for each in MINUTES])), bool)
    return np.array(pc.cast(pc.if_else(pa.array(good), texts, "30"), pa.int64()), np.int64), good


def _column(table: Any, name: str) -> Any:
    """Return a column as one array; nulls where the file has none."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    column = table[name]
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _text(table: Any, name: str, default: str) -> Any:
    return pc.fill_null(_column(table, name), default)
