# SPDX-License-Identifier: Apache-2.0
"""Record batches of the plainest kind, read column by column straight from the file.

Plain is: uncompressed, ids as text or bytes, times in ms, registers as u32, and nothing null but a register that was
not read at all. Only the bytes that are needed are read, into memory that is at hand; mapping a file costs more than
reading it, a page at a time. Where a batch is not plain, or one of its values is not, the caller decodes it the long
way, which says what is wrong with which row.
"""

import os
import threading
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from koma.limits import METER_ID_BYTES
from pipeline.handover.batch import Chunk, Decoded, ReadBatch
from pipeline.handover.column_kernels import count_registers, extent
from pipeline.handover.columns import (
    EXPORT,
    IMPORT,
    METER_ID,
    READ_AT,
    RECEIVED_AT,
    UNREADABLE,
    time_bounds,
)
from pipeline.handover.plain import frozen, no_reads, pack_plain, places

_NOT_READ: Final = -1
_NARROW_IDS: Final = (pa.string(), pa.binary())
_WIDE_IDS: Final = (pa.large_string(), pa.large_binary())


def lay_out(batch: pa.RecordBatch, start: int, size: int) -> tuple[int, ...]:
    """Say where the columns of a record batch stand in its file, which is mapped at `start`; nothing if not plain.

    Width of the offsets of ids, offsets, data and its length, read_at, received_at, import and export register. Where
    a register is said to be null throughout, it is the place of its validity bits, below `_NOT_READ`: `_bits_at`.
    """
    columns = {name: batch.column(name) for name in batch.schema.names if name in _NEEDED}
    plain = all(name in columns and columns[name].null_count == 0 for name in (METER_ID, READ_AT, RECEIVED_AT))
    if batch.num_rows == 0 or not plain or any(column.offset for column in columns.values()):
        return ()
    try:
        batch.validate()
    except UNREADABLE:
        return ()
    ids, read_at, received = (columns[name] for name in (METER_ID, READ_AT, RECEIVED_AT))
    times = read_at.type, received.type
    if any(not pa.types.is_timestamp(each) or each.unit != "ms" for each in times) or times[0].tz is None:
        return ()
    if ids.type not in (*_NARROW_IDS, *_WIDE_IDS):
        return ()
    found = [ids.buffers()[1], ids.buffers()[2], read_at.buffers()[1], received.buffers()[1]]
    absent = [name for name in (IMPORT, EXPORT) if name not in columns or pa.types.is_null(columns[name].type)]
    unread = [name for name, column in columns.items() if column.null_count == batch.num_rows and name not in absent]
    for name in (IMPORT, EXPORT):
        if name in unread:
            found.append(columns[name].buffers()[0])
        elif name not in absent:
            sound = columns[name].type == pa.uint32() and columns[name].null_count == 0
            found.append(columns[name].buffers()[1] if sound else None)
    if any(each is None or not 0 <= each.address - start <= size for each in found):
        return ()
    ids_at, data_at, read_at_at, received_at, *rest = (each.address - start for each in found)
    places_left = iter(rest)
    registers = [
        _NOT_READ if name in absent else _bits_at(next(places_left)) if name in unread else next(places_left)
        for name in (IMPORT, EXPORT)
    ]
    return (4 if ids.type in _NARROW_IDS else 8, ids_at, data_at, found[1].size, read_at_at, received_at, *registers)


def _bits_at(place: int) -> int:
    """Return the place of validity bits as a place of values that are not read, and the other way round."""
    return _NOT_READ - 1 - place


def _none_valid(descriptor: int, place: int, rows: int) -> bool:
    """Say whether the validity bits of some rows are all zero."""
    bits = os.pread(descriptor, -(-rows // 8), place)
    last = (1 << (rows % 8 or 8)) - 1
    return len(bits) == -(-rows // 8) and not bits[-1] & last and bits.count(0) >= len(bits) - bool(bits[-1])


def decode_straight(chunk: Chunk, stamp: tuple[int, int], layout: tuple[int, ...]) -> Decoded | None:
    """Decode a record batch by its `lay_out`; None where it has to be decoded the long way.

    Args:
        chunk: all rows of one record batch.
        stamp: size and time (ns) of the file as it was when it was laid out.
        layout: of `lay_out`.
    """
    try:
        descriptor = os.open(chunk.path, os.O_RDONLY)
    except OSError:
        return None
    try:
        stat = os.fstat(descriptor)
        return _decode(descriptor, chunk, layout) if (stat.st_size, stat.st_mtime_ns) == stamp else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _decode(descriptor: int, chunk: Chunk, layout: tuple[int, ...]) -> Decoded | None:
    rows, first_row = chunk.length, chunk.start
    width, offsets_at, data_at, data_size, read_at_at, received_at, *registers_at = layout
    keys = np.empty((rows, 2), np.uint64)
    read_at, received = np.empty(rows, np.int64), np.empty(rows, np.int64)
    if any(at < _NOT_READ and not _none_valid(descriptor, _bits_at(at), rows) for at in registers_at):
        return None
    imports, exports = (no_reads(rows) if at <= _NOT_READ else np.empty(rows, np.uint32) for at in registers_at)
    registers = list(zip((imports, exports), registers_at, strict=True))
    offset_bytes = width * (rows + 1)
    room = _room(-(-offset_bytes // 8) * 8 + data_size + METER_ID_BYTES)
    data = room[-(data_size + METER_ID_BYTES) :]
    wanted: list[tuple[NDArray[Any], int]] = [
        (room[:offset_bytes], offsets_at),
        (data[:data_size], data_at),
        (read_at, read_at_at),
        (received, received_at),
        *(each for each in registers if each[1] > _NOT_READ),
    ]
    if any(os.preadv(descriptor, [into.data], at) != into.nbytes for into, at in wanted):
        return None
    offsets = frozen(room[:offset_bytes].view(np.int32 if width == 4 else np.int64))
    if pack_plain(offsets, frozen(data), keys, METER_ID_BYTES) != rows:
        return None
    first_ms, last_ms = time_bounds(1000)
    for times in (read_at, received):
        least, greatest = extent(frozen(times))
        if least < first_ms or greatest > last_ms:
            return None
    no_data = 0
    for register, at in registers:
        if at > _NOT_READ:
            without, odd = count_registers(frozen(register))
            if odd:
                return None
            no_data += without
    batch = ReadBatch(chunk.source, keys, read_at, received, imports, exports, places(first_row, rows))
    return Decoded(batch, (), {}, no_data, chunk.ignored)


class _Rooms(threading.local):
    """Each thread's memory for the ids of a batch until they are packed."""

    def __init__(self) -> None:
        self.room = np.empty(0, np.uint8)


_rooms = _Rooms()
_NEEDED: Final = (METER_ID, READ_AT, RECEIVED_AT, IMPORT, EXPORT)


def _room(size: int) -> NDArray[np.uint8]:
    if len(_rooms.room) < size:
        _rooms.room = np.empty(size, np.uint8)
    return _rooms.room[:size]
