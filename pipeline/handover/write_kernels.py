# SPDX-License-Identifier: Apache-2.0
"""Kernels of the writers: meter ids as Arrow strings, rows as CSV text, rows as telegram records."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import METER_ID_BYTES, NO_READ
from pipeline.jit import kernel
from pipeline.telegram.time_kernels import (
    JST_MS,
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_MINUTE,
    MS_PER_SECOND,
    civil_date,
)

LINE_BYTES_MAX: Final = 2 * METER_ID_BYTES + 2 + 29 + 10 + 10 + 24 + 5
"""Quoted id, two times, two registers, four commas and the line end."""
RECORD_BYTES_MAX: Final = 64
GET_RES: Final = 0x72
INF: Final = 0x73

_COMMA: Final = 0x2C
_QUOTE: Final = 0x22
_LINE_FEED: Final = 0x0A
_SHORT_REST: Final = 24 + 25
_LONG_REST: Final = 24 + 38
_HEADER: Final = np.frombuffer(bytes.fromhex("10810001028801 05FF01"), np.uint8).copy()


@kernel
def id_lengths(keys: NDArray[np.uint64], offsets: NDArray[np.int64]) -> None:
    """Write where each meter id starts when ids stand one behind the other: n + 1 offsets."""
    offsets[0] = 0
    for row in range(keys.shape[0]):
        length = 0
        while length < METER_ID_BYTES and id_byte(keys, row, length) != 0:
            length += 1
        offsets[row + 1] = offsets[row] + length


@kernel
def id_bytes(keys: NDArray[np.uint64], offsets: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
    """Write the meter ids one behind the other."""
    for row in range(keys.shape[0]):
        for index in range(offsets[row + 1] - offsets[row]):
            out[offsets[row] + index] = id_byte(keys, row, index)


@kernel
def id_byte(keys: NDArray[np.uint64], row: int, index: int) -> int:
    """Byte of a packed meter id."""
    shifted = keys[row, index >> 3] >> np.uint64(8 * (index & 7))
    return np.int64(shifted & np.uint64(0xFF))  # type: ignore[return-value]


@kernel
def put_digits(out: NDArray[np.uint8], at: int, number: int, count: int) -> int:
    """Write a number with leading zeros; returns the offset behind it."""
    for index in range(count - 1, -1, -1):
        out[at + index] = 0x30 + number % 10
        number //= 10
    return at + count


@kernel
def put_number(out: NDArray[np.uint8], at: int, number: int) -> int:
    """Write a number without leading zeros; returns the offset behind it."""
    count, rest = 1, number // 10
    while rest > 0:
        count += 1
        rest //= 10
    return put_digits(out, at, number, count)


@kernel
def put_time(out: NDArray[np.uint8], at: int, ms: int, ahead_ms: int) -> int:
    """Write ISO 8601, milliseconds only where there are some; +09:00 if ahead of UTC, else Z."""
    local = ms + ahead_ms
    days = local // MS_PER_DAY
    year, month, day = civil_date(days)
    rest = local - days * MS_PER_DAY
    at = put_digits(out, at, year, 4)
    out[at] = 0x2D
    at = put_digits(out, at + 1, month, 2)
    out[at] = 0x2D
    at = put_digits(out, at + 1, day, 2)
    out[at] = 0x54
    at = put_digits(out, at + 1, rest // MS_PER_HOUR, 2)
    out[at] = 0x3A
    at = put_digits(out, at + 1, rest % MS_PER_HOUR // MS_PER_MINUTE, 2)
    out[at] = 0x3A
    at = put_digits(out, at + 1, rest % MS_PER_MINUTE // MS_PER_SECOND, 2)
    if rest % MS_PER_SECOND != 0:
        out[at] = 0x2E
        at = put_digits(out, at + 1, rest % MS_PER_SECOND, 3)
    if ahead_ms == 0:
        out[at] = 0x5A
        return at + 1
    out[at] = 0x2B
    at = put_digits(out, at + 1, ahead_ms // MS_PER_HOUR, 2)
    out[at] = 0x3A
    return put_digits(out, at + 1, ahead_ms % MS_PER_HOUR // MS_PER_MINUTE, 2)


@kernel
def put_id(out: NDArray[np.uint8], at: int, keys: NDArray[np.uint64], row: int) -> int:
    """Write a meter id as a CSV field, quoted where it has to be; returns the offset behind it."""
    length, special = 0, False
    while length < METER_ID_BYTES and id_byte(keys, row, length) != 0:
        special = special or id_byte(keys, row, length) in (_COMMA, _QUOTE)
        length += 1
    if special:
        out[at] = _QUOTE
        at += 1
    for index in range(length):
        byte = id_byte(keys, row, index)
        if byte == _QUOTE:
            out[at] = _QUOTE
            at += 1
        out[at] = byte
        at += 1
    if special:
        out[at] = _QUOTE
        at += 1
    return at


@kernel
def put_register(out: NDArray[np.uint8], at: int, register: int) -> int:
    """Write a register as a CSV field, nothing for null, and a comma behind it."""
    if register != NO_READ:
        at = put_number(out, at, register)
    out[at] = _COMMA
    return at + 1


@kernel
def put_lines(
    keys: NDArray[np.uint64],
    read_at_ms: NDArray[np.int64],
    received_ms: NDArray[np.int64],
    imports: NDArray[np.uint32],
    exports: NDArray[np.uint32],
    out: NDArray[np.uint8],
) -> int:
    """Write the rows as CSV lines; `out` has `LINE_BYTES_MAX` for each. Returns the bytes written."""
    at = 0
    for row in range(read_at_ms.size):
        at = put_id(out, at, keys, row)
        out[at] = _COMMA
        at = put_time(out, at + 1, read_at_ms[row], JST_MS)
        out[at] = _COMMA
        at = put_register(out, at + 1, imports[row])
        at = put_register(out, at, exports[row])
        at = put_time(out, at, received_ms[row], 0)
        out[at] = _LINE_FEED
        at += 1
    return at


@kernel
def put_be(out: NDArray[np.uint8], at: int, number: int, count: int) -> int:
    """Write a big-endian number of `count` bytes; returns the offset behind it."""
    for index in range(count - 1, -1, -1):
        out[at + index] = number & 0xFF
        number >>= 8
    return at + count


@kernel
def put_fixed_time(out: NDArray[np.uint8], at: int, epc: int, stamp: int, register: int) -> int:
    """Write an EA or EB property; parts of a second are cut off the stamp."""
    local = stamp + JST_MS
    days = local // MS_PER_DAY
    year, month, day = civil_date(days)
    rest = (local - days * MS_PER_DAY) // MS_PER_SECOND
    at = put_be(out, at, epc << 8 | 11, 2)
    at = put_be(out, at, year, 2)
    at = put_be(out, at, month, 1)
    at = put_be(out, at, day, 1)
    at = put_be(out, at, rest // 3600, 1)
    at = put_be(out, at, rest // 60 % 60, 1)
    at = put_be(out, at, rest % 60, 1)
    return put_be(out, at, register, 4)


@kernel
def put_records(
    keys: NDArray[np.uint64],
    read_at_ms: NDArray[np.int64],
    received_ms: NDArray[np.int64],
    imports: NDArray[np.uint32],
    exports: NDArray[np.uint32],
    service: int,
    out: NDArray[np.uint8],
) -> tuple[int, int]:
    """Write the rows as records; `out` has `RECORD_BYTES_MAX` for each. Returns bytes and records written."""
    at, records = 0, 0
    for row in range(read_at_ms.size):
        forward, reverse = imports[row] != NO_READ, exports[row] != NO_READ
        if not forward and not reverse:
            continue
        at = put_be(out, at, _LONG_REST if forward and reverse else _SHORT_REST, 2)
        for index in range(METER_ID_BYTES):
            out[at + index] = id_byte(keys, row, index)
        at = put_be(out, at + METER_ID_BYTES, received_ms[row], 8)
        for index in range(_HEADER.size):
            out[at + index] = _HEADER[index]
        at = put_be(out, at + _HEADER.size, service, 1)
        at = put_be(out, at, 2 if forward and reverse else 1, 1)
        if forward:
            at = put_fixed_time(out, at, 0xEA, read_at_ms[row], imports[row])
        if reverse:
            at = put_fixed_time(out, at, 0xEB, read_at_ms[row], exports[row])
        records += 1
    return at, records
