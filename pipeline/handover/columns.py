# SPDX-License-Identifier: Apache-2.0
"""Arrow columns of any string, integer and timestamp type to the columns of a `ReadBatch`.

Columns that already have the type of the batch are taken where they lie; the others cost one conversion of the column.
"""

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from koma.errors import HandoverError
from pipeline.handover import reasons
from pipeline.handover.batch import Decoded, ReadBatch, Rejected, empty_batch
from pipeline.handover.column_kernels import (
    SOUND,
    count_no_data,
    extent,
    fill_registers,
    judge_registers,
    judge_times,
    pack_ids,
    take_ids,
)
from pipeline.handover.plain import frozen, no_reads, pack_plain, places
from pipeline.telegram.time_kernels import FIRST_MS, JST_MS, LAST_MS

METER_ID: Final = "meter_id"
READ_AT: Final = "read_at"
RECEIVED_AT: Final = "received_at"
IMPORT: Final = "import_register"
EXPORT: Final = "export_register"
COLUMNS: Final = (METER_ID, READ_AT, IMPORT, EXPORT, RECEIVED_AT)

UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, IndexError, KeyError)
"""What Arrow raises at files that are no longer what they were; ValueError of names that are no UTF-8, too."""

_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_NO_BITS: Final = np.empty(0, np.uint8)
_NO_BITS.flags.writeable = False


def check_names(names: list[str], source: str) -> tuple[str, ...]:
    """Names of the columns that are not ours.

    One of the two registers may be missing: then all of its values are null.

    Raises:
        HandoverError: a required column is missing or stands twice.
    """
    needed = [name for name in (METER_ID, READ_AT, RECEIVED_AT) if name not in names]
    if IMPORT not in names and EXPORT not in names:
        needed.append(f"{IMPORT} (or {EXPORT})")
    if needed:
        hint = f"A hand-over file has the columns {', '.join(COLUMNS)}; this one has {', '.join(names) or 'none'}"
        raise HandoverError(f"{source}: no column {', '.join(needed)}", hint=hint)
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise HandoverError(f"{source}: column {', '.join(twice)} stands twice", hint="Keep one of each")
    return tuple(name for name in names if name not in COLUMNS)


def check_types(schema: pa.Schema, source: str) -> None:
    """Check that each of our columns has a type that serves.

    Raises:
        HandoverError: one has not.
    """
    wanted = {METER_ID: "a string", READ_AT: "a timestamp", RECEIVED_AT: "a timestamp"}
    for name in COLUMNS:
        if name not in schema.names:
            continue
        kind = _plain(schema.field(name).type)
        serves = pa.types.is_null(kind) or {
            METER_ID: _is_text,
            READ_AT: pa.types.is_timestamp,
            RECEIVED_AT: pa.types.is_timestamp,
        }.get(name, pa.types.is_integer)(kind)
        if pa.types.is_timestamp(kind):
            _ = kind.tz  # a name that is no text raises here, before a row does
        if not serves:
            hint = f"{name} has to be {wanted.get(name, 'an integer')} type of Arrow; cast it before writing"
            raise HandoverError(f"{source}: column {name} is {schema.field(name).type}", hint=hint)


def check_nulls(batch: pa.RecordBatch) -> None:
    """Check that as many values of our columns are null as the batch says: one of the two is damaged otherwise.

    Raises:
        pa.ArrowInvalid: a buffer is too short.
        ValueError: the bits say otherwise.
    """
    batch.validate()
    for name in COLUMNS:
        column = batch.column(name) if name in batch.schema.names else None
        if column is None or not column.null_count or pa.types.is_null(column.type):
            continue
        if pa.types.is_run_end_encoded(column.type):
            continue
        bits = column.buffers()[0]
        valid = pa.Array.from_buffers(pa.bool_(), len(column), [None, bits], 0, column.offset) if bits else None
        if valid is None or len(column) - valid.true_count != column.null_count:
            raise ValueError(f"{name} has not the {column.null_count} nulls that are announced")


def decode_columns(batch: pa.RecordBatch, source: str, first_row: int, ignored: tuple[str, ...]) -> Decoded:
    """Decode rows whose columns passed `check_names` and `check_types`.

    Raises:
        HandoverError: the buffers contradict each other: the file is damaged.
    """
    rows = batch.num_rows
    if rows == 0:
        return Decoded(empty_batch(source), (), {}, 0, ignored)
    verdict = np.zeros(rows, np.uint8)
    try:
        batch.validate()
        columns = {name: _column(batch, name) for name in COLUMNS}
        keys = _ids(columns[METER_ID], verdict)
        read_at = _times(columns[READ_AT], verdict, JST_MS, reasons.READ_AT_NULL, reasons.READ_AT_INVALID)
        received = _times(columns[RECEIVED_AT], verdict, 0, reasons.RECEIVED_AT_NULL, reasons.RECEIVED_AT_INVALID)
        imports = _registers(columns[IMPORT], verdict, reasons.IMPORT_RANGE)
        exports = _registers(columns[EXPORT], verdict, reasons.EXPORT_RANGE)
    except UNREADABLE as error:
        raise damaged(source, f"rows from {first_row} on: {error}") from error
    place = places(first_row, rows)
    rejected: tuple[Rejected, ...] = ()
    if verdict.any():
        rejected = _reject(columns, verdict, source, first_row)
        good = verdict == reasons.NO_REASON
        keys, read_at, received, place = keys[good], read_at[good], received[good], place[good]
        imports, exports = imports[good], exports[good]
    read_batch = ReadBatch(source, keys, read_at, received, imports, exports, place)
    no_data = count_no_data(read_batch.import_register, read_batch.export_register)
    return Decoded(read_batch, rejected, {}, no_data, ignored)


def stamps_of(batch: pa.RecordBatch, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `read_at` of some rows in UTC ms, without those that have none; the columns passed `check_types`."""
    column = _column(batch, READ_AT)
    if column is None:
        return np.empty(0, np.int64)
    verdict = np.zeros(len(rows), np.uint8)
    times = _times(column.take(pa.array(rows)), verdict, JST_MS, reasons.READ_AT_NULL, reasons.READ_AT_INVALID)
    known: NDArray[np.int64] = times[verdict == reasons.NO_REASON]
    return known


def time_bounds(per_second: int) -> tuple[int, int]:
    """First and last time that can be, in units of which `per_second` make a second."""
    int64 = np.iinfo(np.int64)
    first, last = FIRST_MS // 1000 * per_second, (LAST_MS // 1000 + 1) * per_second - 1
    return max(first, int64.min), min(last, int64.max)


def damaged(source: str, what: str) -> HandoverError:
    """Build the error of a file whose content contradicts itself."""
    return HandoverError(f"{source}: the file is damaged: {what}", hint="Hand it over again")


def _plain(kind: pa.DataType) -> pa.DataType:
    """Type of the values behind a dictionary or run-end encoding."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return kind.value_type
    return kind


def _is_text(kind: pa.DataType) -> bool:
    return any(
        judge(kind)
        for judge in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def _column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """Column with its encoding taken off, but for dictionaries of ids; None where there is no value at all."""
    index = batch.schema.get_field_index(name)
    if index < 0 or pa.types.is_null(batch.schema.field(index).type):
        return None
    column = batch.column(index)
    if pa.types.is_run_end_encoded(column.type):
        column.validate(full=True)
        column = pc.run_end_decode(column)
    if pa.types.is_dictionary(column.type) and name != METER_ID:
        column.validate(full=True)
        column = column.dictionary_decode()
    return column


def _values(column: pa.Array, buffer: int, dtype: np.dtype[Any], extra: int = 0) -> NDArray[Any]:
    """Rows of a fixed-width buffer of an Arrow array, where they lie."""
    held = column.buffers()[buffer]
    rows = len(column) + extra
    if held is None:
        return frozen(np.zeros(rows, dtype))
    return frozen(np.frombuffer(held, dtype, rows, column.offset * dtype.itemsize))


def _bits(column: pa.Array) -> tuple[NDArray[np.uint8], int]:
    """Validity bitmap and the number of its first bit; no bytes where nothing is null."""
    held = column.buffers()[0]
    if column.null_count == 0 or held is None:
        return _NO_BITS, 0
    return frozen(np.frombuffer(held, np.uint8)), column.offset


def _ids(column: pa.Array | None, verdict: NDArray[np.uint8]) -> NDArray[np.uint64]:
    keys = np.zeros((len(verdict), 2), np.uint64)
    if column is None:
        verdict[:] = reasons.ID_NULL
    elif pa.types.is_dictionary(column.type):
        indices = column.indices
        judged = np.zeros(len(column.dictionary), np.uint8)
        dictionary = _ids(column.dictionary, judged)
        index = frozen(_integers(indices).astype(np.int64))
        _sound(take_ids(index, *_bits(indices), dictionary, judged, keys, verdict))
    else:
        column = _plain_text(column)
        wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
        offsets = _values(column, 1, np.dtype(np.int64 if wide else np.int32), extra=1)
        held = column.buffers()[2]
        data = frozen(np.frombuffer(held, np.uint8) if held is not None else np.empty(0, np.uint8))
        plain = pack_plain(offsets, data, keys) if column.null_count == 0 else 0
        _sound(pack_ids(offsets[plain:], data, *_bits(column), keys[plain:], verdict[plain:]))
    return keys


def _plain_text(column: pa.Array) -> pa.Array:
    """Give views their own bytes, one behind the other."""
    if pa.types.is_string_view(column.type):
        column.validate(full=True)
        return column.cast(pa.large_string())
    if pa.types.is_binary_view(column.type):
        column.validate(full=True)
        return column.cast(pa.large_binary())
    return column


def _sound(row: int) -> None:
    if row != SOUND:
        raise IndexError(f"meter_id of row {row} of these points outside the data")


def _integers(column: pa.Array) -> NDArray[Any]:
    kind = "u" if pa.types.is_unsigned_integer(column.type) else "i"
    return _values(column, 1, np.dtype(f"{kind}{column.type.bit_width // 8}"))


def _registers(column: pa.Array | None, verdict: NDArray[np.uint8], reason: int) -> NDArray[np.uint32]:
    rows = len(verdict)
    if column is None or column.null_count == rows:
        return no_reads(rows)
    values = _integers(column)
    if values.dtype == np.uint32 and column.null_count == 0:
        judge_registers(values, reason, verdict)
        return values
    out = np.empty(rows, np.uint32)
    wide = values if values.dtype in (np.uint32, np.int64) else frozen(values.astype(np.int64))
    fill_registers(wide, *_bits(column), reason, out, verdict)
    return out


def _times(
    column: pa.Array | None, verdict: NDArray[np.uint8], naive_ahead_ms: int, null: int, invalid: int
) -> NDArray[np.int64]:
    """UTC ms, floored; a column without zone is local time that is ahead of UTC."""
    if column is None:
        verdict[verdict == reasons.NO_REASON] = null
        return np.zeros(len(verdict), np.int64)
    values = _values(column, 1, np.dtype(np.int64))
    per_second = _PER_SECOND[column.type.unit]
    bounds = time_bounds(per_second)
    if naive_ahead_ms and column.type.tz is None:
        bounds = bounds[0] + naive_ahead_ms * per_second // 1000, bounds[1]
    least, greatest = extent(values)
    if column.null_count or least < bounds[0] or greatest > bounds[1]:
        judge_times(values, *_bits(column), *bounds, null, invalid, verdict)
    if per_second < 1000:
        values = values * (1000 // per_second)
    elif per_second > 1000:
        values = values // (per_second // 1000)
    if naive_ahead_ms and column.type.tz is None:
        values = values - naive_ahead_ms
    return values


def _reject(
    columns: dict[str, pa.Array | None], verdict: NDArray[np.uint8], source: str, first_row: int
) -> tuple[Rejected, ...]:
    """Build the refused rows with their values as JSON text."""
    bad = np.flatnonzero(verdict)
    texts = {name: _texts(column, bad) for name, column in columns.items()}
    refused = []
    for index, row in enumerate(bad.tolist()):
        values = {name: texts[name][index] for name in COLUMNS}
        code, detail = reasons.ROW_REASONS[int(verdict[row])]
        raw = json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogateescape")
        reads = max(1, sum(values[name] is not None for name in (IMPORT, EXPORT)))
        refused.append(Rejected(source, first_row + row, code, detail, raw, reads))
    return tuple(refused)


def _texts(column: pa.Array | None, rows: NDArray[np.int64]) -> list[object]:
    """Values of some rows as JSON knows them: text, numbers, ISO 8601 times, None."""
    if column is None:
        return [None] * len(rows)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        column = _plain_text(column).cast(pa.large_binary())
    taken = column.take(pa.array(rows))
    if pa.types.is_timestamp(column.type):
        # numpy writes times of any year; Arrow and Python stop at theirs
        moments = _values(taken, 1, np.dtype(np.int64)).view(f"M8[{column.type.unit}]")
        zone = "" if column.type.tz is None else "Z"
        return [
            f"{moment}{zone}" if valid else None
            for moment, valid in zip(np.datetime_as_string(moments), taken.is_valid().to_pylist(), strict=True)
        ]
    if pa.types.is_integer(column.type):
        return list(taken.to_pylist())
    return [None if value is None else value.decode("utf-8", "surrogateescape") for value in taken.to_pylist()]
