# SPDX-License-Identifier: Apache-2.0
"""NEM12 out: one 300 a day of a channel, 400s where its quality varies; times are JST wall time."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from koma.errors import FormatError
from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE
from pipeline.formats import decimals, times
from pipeline.formats.losses import Losses
from pipeline.formats.nem12_records import DEFAULT_SUFFIX, DIRECTIONS, MINUTES, nmi_serves
from pipeline.formats.series import sort, starts
from pipeline.formats.words import BY_WORD, of_nem12

_CHANNEL: Final = ("point_id", "register", "channel", "interval_minutes")
_SAID: Final = ("quality", "method", "reason", "reason_text")
_REASON_CHARS_MAX: Final = 240


def write(table: Any, file: Path, losses: Losses) -> None:
    """Write a table.

    Raises:
        FormatError: it holds what NEM12 cannot carry.

    """
    table = sort(table).combine_chunks()
    wall_ms = np.array(pc.cast(table["slot_start"], pa.int64()), np.int64) + JST_OFFSET_MINUTES * MS_PER_MINUTE
    day = wall_ms // MS_PER_DAY
    _refuse_foreign(table)
    channel_starts = starts(table, _CHANNEL)
    day_starts = channel_starts.copy()
    day_starts[1:] |= day[1:] != day[:-1]
    updated = _updated(table, day_starts, losses)
    table, stretch_starts = _said(table, day_starts, losses)
    texts = np.array(pc.fill_null(decimals.to_kwh(table["energy_dwh"]), "0"), object)
    slot = wall_ms % MS_PER_DAY // (np.array(table["interval_minutes"], np.int64) * MS_PER_MINUTE)
    lines = [f"100,NEM12,{_made(table, updated)},KOMA,"]
    days = np.flatnonzero(day_starts)
    ends = [*days[1:].tolist(), table.num_rows]
    dates = times.dates(day[days], "").to_pylist()
    for at, (first, last) in enumerate(zip(days.tolist(), ends, strict=True)):
        if channel_starts[first]:
            lines.append(_channel(table.slice(first, 1).to_pylist()[0]))
        count = 24 * 60 // table["interval_minutes"][first].as_py()
        losses.note("days that lack intervals", count - (last - first))
        values = np.full(count, "0", object)
        values[slot[first:last]] = texts[first:last]
        told = first + np.flatnonzero(stretch_starts[first:last])
        stretches = _stretches(table.take(pa.array(told)), slot[told], slot[first:last], count)
        whole = stretches[0][2] if len(stretches) == 1 else "V,,"
        lines.append(f"300,{dates[at]},{','.join(values)},{whole},{updated[at]},")
        if len(stretches) > 1:
            lines += [f"400,{start},{end},{said}" for start, end, said in stretches]
    file.write_bytes(("\r\n".join([*lines, "900"]) + "\r\n").encode("utf-8"))


def _refuse_foreign(table: Any) -> None:
    """Refuse what has no form at all."""
    for point in pc.unique(table["point_id"]).to_pylist():
        if not nmi_serves(point):
            raise FormatError(f"{point!r} cannot stand as NMI", hint="It has up to 10 letters and digits, or 22 digits")
    for minutes in pc.unique(table["interval_minutes"]).to_pylist():
        if minutes not in MINUTES:
            raise FormatError(f"NEM12 has no intervals of {minutes} minutes", hint="It has 5, 10, 15 and 30")
    if pc.any(pc.less(table["energy_dwh"], 0)).as_py():
        raise FormatError("NEM12 has no negative energy", hint="Export stands in a register of its own")


def _channel(row: dict[str, Any]) -> str:
    default = DEFAULT_SUFFIX[row["register"]]
    suffix = row["channel"] or default
    named = row["channel"] is not None
    if (
        len(suffix) != 2
        or not suffix.isalnum()
        or not suffix.isascii()
        or (DIRECTIONS.get(suffix[0]) != row["register"] or suffix != suffix.upper() or (named and suffix == default))
    ):
        raise FormatError(
            f"channel {suffix!r} of {row['point_id']} has no NMI suffix of its own",
            hint=f"Call it {default[0]}2 to {default[0]}9, or leave it empty where it is the only one",
        )
    return f"200,{row['point_id']},{suffix},,{suffix},,,kWh,{row['interval_minutes']},"


def _updated(table: Any, day_starts: NDArray[np.bool_], losses: Losses) -> list[str]:
    """Return the update time of each day: one a day, in whole seconds."""
    if not table.num_rows:
        return []
    told = np.array(pc.is_valid(table["recorded_at"]), bool)
    ms = np.where(told, np.array(pc.cast(pc.fill_null(table["recorded_at"], 0), pa.int64()), np.int64), -1)
    days = np.flatnonzero(day_starts)
    latest = np.maximum.reduceat(ms, days)
    losses.note("several recorded_at in a day", int((latest != np.minimum.reduceat(ms, days)).sum()))
    losses.note("parts of a second", int(((latest % 1000 != 0) & (latest >= 0)).sum()))
    wall = np.maximum(latest, 0) // 1000 * 1000 + JST_OFFSET_MINUTES * MS_PER_MINUTE
    texts = pc.replace_substring(
        pc.strftime(pa.array(wall).cast(pa.timestamp("ms")), "%Y%m%d%H%M%S"), ".000", ""
    ).to_pylist()
    return [text if ms >= 0 else "" for text, ms in zip(texts, latest.tolist(), strict=True)]


def _made(table: Any, updated: list[str]) -> str:
    """Return the header's time, a function of the rows: the latest update, else the last day."""
    if any(updated):
        return max(updated)[:12]
    if not table.num_rows:
        return "197001010000"
    last_ms = pc.max(pc.cast(table["slot_start"], pa.int64())).as_py() + JST_OFFSET_MINUTES * MS_PER_MINUTE
    return str(times.dates(np.array([last_ms // MS_PER_DAY]), "")[0]) + "0000"


def _said(table: Any, day_starts: NDArray[np.bool_], losses: Losses) -> tuple[Any, NDArray[np.bool_]]:
    """Put into quality what NEM12 says of a row; return the table and where this changes."""
    stretch_starts = starts(table, _SAID) | day_starts
    rows = np.flatnonzero(stretch_starts)
    sizes = np.diff([*rows.tolist(), table.num_rows])
    told: list[str] = []
    for row, size in zip(table.select(_SAID).take(pa.array(rows)).to_pylist(), sizes.tolist(), strict=True):
        told.append(_told(row, size, losses))
    column = pa.array(told, pa.string()).take(pa.array(np.repeat(np.arange(len(rows)), sizes)))
    said = table.set_column(table.schema.get_field_index("quality"), "quality", column)
    return said, starts(said, ("quality",)) | day_starts


def _told(row: dict[str, Any], size: int, losses: Losses) -> str:
    """Return flag, reason and text of a stretch as fields."""
    word = BY_WORD[row["quality"]]
    if not word.flag:
        raise FormatError(f"NEM12 has nothing for the quality {word.word}", hint="Write Parquet, CSV or Green Button")
    method = row["method"] or ""
    if not method and word.methods:
        method = word.methods[0]
        losses.note(f"quality {word.word} without a method", size)
    serves = not method or (len(method) == 2 and method.isascii() and method.isdigit() and word.flag in "EFS")
    if not serves or row["method"] == "":
        losses.note(f"method {method!r} of quality {word.word}", size)
        method = ""
    if of_nem12(word.flag, method) != word.word:
        losses.note(f"quality {word.word} with method {method!r}", size)
    reason, text = row["reason"], row["reason_text"]
    if reason is not None and not (0 < len(reason) <= 3 and reason.isascii() and reason.isdigit()):
        losses.note(f"reason {reason[:20]!r}", size)
        reason = None
    if text is not None and (
        not 0 < len(text) <= _REASON_CHARS_MAX or "," in text or not text.isprintable() or text != text.strip()
    ):
        losses.note(f"reason text {text[:20]!r}", size)
        text = None
    return f"{word.flag}{method},{reason or ''},{text or ''}"


def _stretches(
    told: Any, starts_at: NDArray[np.int64], slots: NDArray[np.int64], count: int
) -> list[tuple[int, int, str]]:
    """Return ranges that tile a day; what has no row is N."""
    words = [*told["quality"].to_pylist(), "N,,"]
    marks = np.full(count, -1)
    marks[slots] = np.searchsorted(starts_at, slots, side="right") - 1
    bounds = np.flatnonzero(np.diff(marks, prepend=-2)).tolist()
    found: list[tuple[int, int, str]] = []
    for start, end in zip(bounds, [*bounds[1:], count], strict=True):
        text = words[marks[start]]
        if found and found[-1][2] == text:
            found[-1] = (found[-1][0], end, text)
        else:
            found.append((start + 1, end, text))
    return found
