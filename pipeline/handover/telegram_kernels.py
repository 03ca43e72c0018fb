# SPDX-License-Identifier: Apache-2.0
"""Kernels of `.echonet` containers: records counted in one pass and decoded in another.

A record is `u16 BE length of the rest · 16 bytes meter id · i64 BE received_at in ms · one frame`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import NO_DATA, NO_READ
from pipeline.handover.column_kernels import id_reason
from pipeline.handover.reasons import NO_REASON
from pipeline.jit import kernel
from pipeline.telegram.kernels import (
    BAD_DATE,
    HEADER_BYTES,
    HISTORY_REGISTERS,
    OK,
    OTHER_CLASS,
    OTHER_SERVICE,
    REGISTER,
    count_reads,
    history_beyond,
    out_of_range,
    scan_frame,
    series_at,
)
from pipeline.telegram.memory_kernels import (
    be16,
    be32,
    be64,
    byte_at,
    le64,
    put_word32,
    put_word64,
    word32_at,
    word64_at,
)
from pipeline.telegram.time_kernels import FIRST_MS, LAST_MS

LENGTH_BYTES: Final = 2
HEAD_BYTES: Final = 24
"""Meter id and received_at."""
ID_AT: Final = LENGTH_BYTES
RECEIVED_AT_AT: Final = ID_AT + 16
FRAME_AT: Final = LENGTH_BYTES + HEAD_BYTES

RECORD: Final = 0
SHORT_RECORD: Final = 30
ZEROS: Final = 31
TAIL: Final = 32
METER_ID: Final = 33
RECEIVED_AT: Final = 34

PROPERTY_FILTERED: Final = 0
NOT_SET_FILTERED: Final = 1
SERVICE_FILTERED: Final = 2
CLASS_FILTERED: Final = 3
NO_DATA_COUNTED: Final = 4
COUNTERS: Final = 5

REFUSED_PLACE: Final = 0
REFUSED_END: Final = 1
REFUSED_WHERE: Final = 2
REFUSED_STATUS: Final = 3
REFUSED_READS: Final = 4
REFUSED_COLUMNS: Final = 5

ABSENT: Final = -1
"""Register of the other direction than a property's own; `NO_READ` once cut to 32 bits."""
OVERFLOW: Final = -1
"""Returned in place of the rows: the file holds more than was counted."""


@kernel
def next_record(at: int, end: int) -> tuple[int, int]:
    """Kind of what starts at an address, and where it ends. A run of zero lengths is one thing: padding."""
    if at + LENGTH_BYTES > end:
        return TAIL, end
    length = be16(at)
    if length == 0:
        while at + LENGTH_BYTES <= end and be16(at) == 0:
            at += LENGTH_BYTES
        return ZEROS, at
    if at + LENGTH_BYTES + length > end:
        return TAIL, end
    return SHORT_RECORD if length < HEAD_BYTES else RECORD, at + LENGTH_BYTES + length


@kernel
def meter_id_ok(at: int) -> bool:
    """Tell whether 16 bytes are a meter id: printable ASCII, blanks inside only, then NULs only."""
    low, high = le64(at), le64(at + 8)
    length = word_length(low) if high == np.uint64(0) else 8 + word_length(high)
    return length > 0 and id_reason(low, high, length) == NO_REASON


@kernel
def word_length(word: np.uint64) -> int:
    """Bytes of a little-endian word up to the last that is not NUL."""
    length = 0
    while word != np.uint64(0):
        word >>= np.uint64(8)
        length += 1
    return length


@kernel
def judge_record(at: int, end: int) -> tuple[int, int, int, int]:
    """Judge a record as `scan_frame` its frame, which comes first; then its meter id, received_at and histories."""
    status, where, rows, bad = scan_frame(at + FRAME_AT, end)
    if status == OK and not meter_id_ok(at + ID_AT):
        return METER_ID, at + ID_AT, 0, 0
    if status == OK and (be64(at + RECEIVED_AT_AT) < FIRST_MS or be64(at + RECEIVED_AT_AT) > LAST_MS):
        return RECEIVED_AT, at + RECEIVED_AT_AT, 0, 0
    if status == OK and rows >= HISTORY_REGISTERS:
        beyond = history_beyond(at + FRAME_AT, be64(at + RECEIVED_AT_AT))
        if beyond != 0:
            return BAD_DATE, beyond, 0, 0
    return status, where, rows, bad


@kernel
def count_records(data: NDArray[np.uint8], first: int, rows_max: int) -> tuple[int, int, int]:
    """Walk records from a byte offset until the next would make more than `rows_max` rows and refusals.

    Returns where they end, and how many rows and refusals they make at most; at least one record is taken.
    """
    origin = data.ctypes.data
    at, size, rows, refused = origin + first, origin + data.size, 0, 0
    while at < size:
        kind, end = next_record(at, size)
        more, more_refused = 0, 1
        if kind == RECORD:
            status, _, more, bad = judge_record(at, end)
            if status in (OK, OTHER_CLASS, OTHER_SERVICE):
                more_refused = bad
        if at > origin + first and rows + refused + more + more_refused > rows_max:
            break
        rows += more
        refused += more_refused
        at = end
    return at - origin, rows, refused


@kernel
def put_series(
    series: tuple[int, int, int, int, int],
    epc: int,
    ea_row: int,
    row: int,
    stamps: int,
    imports: int,
    exports: int,
    refusal: int,
) -> tuple[int, int, int]:
    """Write the rows of a property from `row` on; columns are known by their addresses.

    An EB with the stamp of the EA in `ea_row` goes into its row. A register out of range makes a refusal instead of a
    row, from the address `refusal` on. Returns the rows there are now, the address behind the refusals, and how many
    no-data values the rows hold.
    """
    count, stamp, step, at, width = series
    no_data = 0
    for _ in range(count):
        forward, reverse = be32(at), ABSENT
        if width == 2:
            reverse = be32(at + 4)
        elif epc in (0xEB, 0xE4):
            forward, reverse = ABSENT, forward
        if out_of_range(forward) or out_of_range(reverse):
            put_word64(refusal + 8 * REFUSED_WHERE, at)
            put_word64(refusal + 8 * REFUSED_READS, width)
            refusal += 8 * REFUSED_COLUMNS
        else:
            no_data += (1 if forward == NO_DATA else 0) + (1 if reverse == NO_DATA else 0)
            into = ea_row if epc == 0xEB else -1
            if into >= 0 and word64_at(stamps + 8 * into) == stamp and word32_at(exports + 4 * into) == NO_READ:
                put_word32(exports + 4 * into, reverse)
            else:
                # -1, the absent register, is NO_READ in 32 bits
                put_word64(stamps + 8 * row, stamp)
                put_word32(imports + 4 * row, forward)
                put_word32(exports + 4 * row, reverse)
                row += 1
        stamp += step
        at += 4 * width
    return row, refusal, no_data


@kernel
def put_record(
    at: int, row: int, keys: int, stamps: int, received_ms: int, imports: int, exports: int, refusal: int
) -> tuple[int, int, int, int, int]:
    """Write the rows of a good record from `row` on; columns are known by their addresses.

    Returns what `put_series` returns, and how many properties are not ours and are not set.
    """
    frame, first, ea_row = at + FRAME_AT, row, -1
    low, high, received = word64_at(at + ID_AT), word64_at(at + ID_AT + 8), be64(at + RECEIVED_AT_AT)
    no_data, others, not_set = 0, 0, 0
    at = frame + HEADER_BYTES
    for _ in range(byte_at(frame + HEADER_BYTES - 1)):
        epc = byte_at(at)
        series = series_at(at, frame, received)
        before = row
        if series[0] == 0:
            others += 0 if epc in (0xE2, 0xE4, 0xEC) else 1
            not_set += 1 if epc in (0xE2, 0xE4, 0xEC) else 0
        else:
            row, refusal, more = put_series(series, epc, ea_row, row, stamps, imports, exports, refusal)
            no_data += more
        if epc == 0xEA and row > before:
            ea_row = before
        at += 2 + byte_at(at + 1)
    for index in range(first, row):
        put_word64(keys + 16 * index, low)
        put_word64(keys + 16 * index + 8, high)
        put_word64(received_ms + 8 * index, received)
    return row, refusal, no_data, others, not_set


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
    refusals: NDArray[np.int64],
    counters: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the rows and refusals of the records in `[first, last)`, as `count_records` counted them.

    `refusals` (n, 5) gets place, end, offset of what is wrong, status and reads. Returns how many there are; `OVERFLOW`
    for the rows if the bytes are not those that were counted.
    """
    origin, keys_at, stamps_at = data.ctypes.data, keys.ctypes.data, stamps.ctypes.data
    received_at, imports_at, exports_at = received_ms.ctypes.data, imports.ctypes.data, exports.ctypes.data
    refusals_at, row_bytes = refusals.ctypes.data, 8 * REFUSED_COLUMNS
    at, row, refused = origin + first, 0, 0
    while at < origin + last:
        kind, end = next_record(at, origin + data.size)
        status, where, rows, bad = kind, at, 0, 1
        if kind == RECORD:
            status, where, rows, bad = judge_record(at, end)
        old_row, old_refused = row, refused
        if status in (OTHER_CLASS, OTHER_SERVICE):
            counters[CLASS_FILTERED if status == OTHER_CLASS else SERVICE_FILTERED] += 1
        elif row + rows > stamps.size or refused + max(bad, 0 if status == OK else 1) > refusals.shape[0]:
            return OVERFLOW, refused
        elif status == OK:
            status = REGISTER
            row, refusal, no_data, others, not_set = put_record(
                at, row, keys_at, stamps_at, received_at, imports_at, exports_at, refusals_at + row_bytes * refused
            )
            refused = (refusal - refusals_at) // row_bytes
            counters[NO_DATA_COUNTED] += no_data
            counters[PROPERTY_FILTERED] += others
            counters[NOT_SET_FILTERED] += not_set
        else:
            own = status in (METER_ID, RECEIVED_AT)
            refusals[refused, REFUSED_WHERE] = where
            refusals[refused, REFUSED_READS] = max(1, count_reads(at + FRAME_AT)) if own else 1
            refused += 1
        for index in range(old_row, row):
            places[index] = at - origin
        for index in range(old_refused, refused):
            refusals[index, REFUSED_PLACE], refusals[index, REFUSED_END] = at - origin, end - origin
            refusals[index, REFUSED_WHERE] -= at
            refusals[index, REFUSED_STATUS] = status
        at = end
    return row, refused
