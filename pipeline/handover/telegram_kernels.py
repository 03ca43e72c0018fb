# SPDX-License-Identifier: Apache-2.0
"""Kernels of `.echonet` containers: records counted in one pass and decoded in another.

A record is `u16 BE length of the rest · 16 bytes meter id · i64 BE received_at in ms · one frame`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel
from pipeline.telegram.kernels import (
    CLASS_FILTERED,
    OK,
    OTHER_CLASS,
    OTHER_SERVICE,
    REGISTER,
    SERVICE_FILTERED,
    be16,
    be32,
    count_reads,
    emit_frame,
    scan_frame,
)
from pipeline.telegram.time_kernels import FIRST_MS, LAST_MS

LENGTH_BYTES: Final = 2
HEAD_BYTES: Final = 24
"""Meter id and received_at."""
FRAME_AT: Final = LENGTH_BYTES + HEAD_BYTES

RECORD: Final = 0
SHORT_RECORD: Final = 30
ZEROS: Final = 31
TAIL: Final = 32
METER_ID: Final = 33
RECEIVED_AT: Final = 34

OVERFLOW: Final = -1
"""Returned in place of the rows: the file holds more than was counted."""


@kernel
def next_record(data: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """Kind of what starts at a byte offset, and where it ends. A run of zero lengths is one thing: padding."""
    size = data.size
    if at + LENGTH_BYTES > size:
        return TAIL, size
    length = be16(data, at)
    if length == 0:
        while at + LENGTH_BYTES <= size and be16(data, at) == 0:
            at += LENGTH_BYTES
        return ZEROS, at
    end = at + LENGTH_BYTES + length
    if end > size:
        return TAIL, size
    return SHORT_RECORD if length < HEAD_BYTES else RECORD, end


@kernel
def meter_id_ok(data: NDArray[np.uint8], at: int) -> bool:
    """Tell whether 16 bytes are a meter id: printable ASCII, blanks inside only, then NULs only."""
    length = 0
    while length < 16 and data[at + length] != 0:
        if data[at + length] < 0x20 or data[at + length] > 0x7E:
            return False
        length += 1
    for index in range(length, 16):
        if data[at + index] != 0:
            return False
    return length > 0 and data[at] != 0x20 and data[at + length - 1] != 0x20


@kernel
def le64(data: NDArray[np.uint8], at: int) -> np.uint64:
    """Little-endian u64 at a byte offset."""
    word = np.uint64(0)
    for index in range(8):
        word |= np.uint64(data[at + index]) << np.uint64(8 * index)
    return word


@kernel
def judge_record(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, int, int, int, int]:
    """Judge a record as `scan_frame` its frame, which comes first; then its meter id and received_at."""
    status, where, rows, bad, base = scan_frame(data, at + FRAME_AT, end)
    if status == OK:
        received = (be32(data, at + 18) << 32) | be32(data, at + 22)
        if not meter_id_ok(data, at + LENGTH_BYTES):
            status, where = METER_ID, at + LENGTH_BYTES
        elif received < FIRST_MS or received > LAST_MS:
            status, where = RECEIVED_AT, at + 18
    return status, where, rows, bad, base


@kernel
def count_records(data: NDArray[np.uint8], first: int, rows_max: int) -> tuple[int, int, int]:
    """Walk records from a byte offset until the next would make more than `rows_max` rows and refusals.

    Returns where they end, and how many rows and refusals they make at most; at least one record is taken.
    """
    at, rows, refused = first, 0, 0
    while at < data.size:
        kind, end = next_record(data, at)
        more, more_refused = 0, 1
        if kind == RECORD:
            status, _, more, bad, _ = judge_record(data, at, end)
            if status == OK:
                more_refused = bad
            else:
                more, more_refused = 0, 0 if status in (OTHER_CLASS, OTHER_SERVICE) else 1
        if at > first and rows + refused + more + more_refused > rows_max:
            break
        rows += more
        refused += more_refused
        at = end
    return at, rows, refused


@kernel
def decode_records(
    data: NDArray[np.uint8],
    first: int,
    last: int,
    keys: NDArray[np.uint64],
    stamps: NDArray[np.int64],
    received_ms: NDArray[np.int64],
    imports: NDArray[np.uint32],
    exports: NDArray[np.uint32],
    places: NDArray[np.int64],
    refused_place: NDArray[np.int64],
    refused_end: NDArray[np.int64],
    refused_status: NDArray[np.uint8],
    refused_at: NDArray[np.int64],
    refused_reads: NDArray[np.int64],
    counters: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the rows and refusals of the records in `[first, last)`, as `count_records` counted them.

    Returns how many there are; `OVERFLOW` for the rows if the bytes are not those that were counted.
    """
    at, row, refused = first, 0, 0
    while at < last:
        kind, end = next_record(data, at)
        status, where, rows, bad, base = kind, at, 0, 1, 0
        if kind == RECORD:
            status, where, rows, bad, base = judge_record(data, at, end)
        if status == OTHER_CLASS:
            counters[CLASS_FILTERED] += 1
        elif status == OTHER_SERVICE:
            counters[SERVICE_FILTERED] += 1
        elif status == OK:
            if row + rows > stamps.size or refused + bad > refused_place.size:
                return OVERFLOW, refused
            old_row, old_refused = row, refused
            row, refused = emit_frame(
                data, at + FRAME_AT, base, row, stamps, imports, exports, refused, refused_reads, refused_at, counters
            )
            for index in range(old_row, row):
                keys[index, 0] = le64(data, at + LENGTH_BYTES)
                keys[index, 1] = le64(data, at + LENGTH_BYTES + 8)
                received_ms[index] = (be32(data, at + 18) << 32) | be32(data, at + 22)
                places[index] = at
            for index in range(old_refused, refused):
                refused_place[index], refused_end[index], refused_status[index] = at, end, REGISTER
        else:
            if refused >= refused_place.size:
                return OVERFLOW, refused
            refused_place[refused], refused_end[refused], refused_status[refused] = at, end, status
            refused_at[refused] = where
            refused_reads[refused] = 1
            if status in (METER_ID, RECEIVED_AT):
                refused_reads[refused] = max(1, count_reads(data, at + FRAME_AT))
            refused += 1
        at = end
    return row, refused
