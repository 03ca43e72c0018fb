# SPDX-License-Identifier: Apache-2.0
"""Kernels of CSV: lines counted in one pass, and split, judged and converted in another, straight from the bytes.

A row is a line: a field may be quoted, but does not go on in the next line, so that one stray quote costs one row.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import METER_ID_BYTES, NO_DATA, NO_READ, REGISTER_MAX
from pipeline.handover.column_kernels import id_reason
from pipeline.handover.reasons import (
    EXPORT_RANGE,
    EXPORT_TEXT,
    FIELD_COUNT,
    ID_LONG,
    ID_NULL,
    IMPORT_RANGE,
    IMPORT_TEXT,
    NO_REASON,
    QUOTES,
    READ_AT_INVALID,
    READ_AT_NULL,
    RECEIVED_AT_INVALID,
    RECEIVED_AT_NULL,
)
from pipeline.jit import kernel
from pipeline.telegram.memory_kernels import byte_at
from pipeline.telegram.time_kernels import FIRST_MS, JST_MS, LAST_MS, MS_PER_MINUTE, NO_TIME, civil_ms

LINE_FEED: Final = 0x0A
RETURN: Final = 0x0D
COMMA: Final = 0x2C
QUOTE: Final = 0x22
BLANK: Final = 0x20
ZERO: Final = 0x30
NINE: Final = 0x39
COLON: Final = 0x3A
MINUS: Final = 0x2D
PLUS: Final = 0x2B
POINT: Final = 0x2E
LETTER_T: Final = 0x54
LETTER_Z: Final = 0x5A
CAPITAL: Final = 0xDF
"""Mask that makes a letter a capital."""

FIELDS: Final = 5
"""Ours, in the order of `layout`: meter_id, read_at, import_register, export_register, received_at."""

NOT_A_NUMBER: Final = -2
_BEYOND: Final = 2**40
"""Stands for every number above all registers."""


@kernel
def count_lines(data: NDArray[np.uint8], at: int, lines_max: int) -> tuple[int, int]:
    """Count line ends from a byte offset, `lines_max` at most: offset behind the last of them, and how many."""
    lines, behind = 0, at
    for index in range(at, data.size):
        if data[index] == LINE_FEED:
            lines += 1
            behind = index + 1
            if lines == lines_max:
                break
    return behind, lines


@kernel
def digits(at: int, end: int, count: int) -> int:
    """Read a number of exactly `count` digits; -1 where there are not so many."""
    if at + count > end:
        return -1
    number = 0
    for index in range(at, at + count):
        if byte_at(index) < ZERO or byte_at(index) > NINE:
            return -1
        number = number * 10 + (byte_at(index) - ZERO)
    return number


@kernel
def offset_minutes(at: int, end: int, naive: int) -> int:
    """Minutes that a zone (nothing, Z, +09, +0900, +09:00) is ahead of UTC; -1441 where it is none."""
    if at == end:
        return naive
    if at + 1 == end and byte_at(at) & CAPITAL == LETTER_Z:
        return 0
    sign = 1 if byte_at(at) == PLUS else -1
    hours = digits(at + 1, end, 2)
    minutes_at = at + 4 if at + 3 < end and byte_at(at + 3) == COLON else at + 3
    minutes = 0 if at + 3 == end else digits(minutes_at, end, 2)
    whole = at + 3 == end or minutes_at + 2 == end
    if (
        (byte_at(at) != PLUS and byte_at(at) != MINUS)
        or not whole
        or hours < 0
        or hours > 23
        or minutes < 0
        or minutes > 59
    ):
        return -1441
    return sign * (hours * 60 + minutes)


@kernel
def parse_time(at: int, end: int, naive: int) -> int:
    """UTC ms of an ISO 8601 text, parts of a millisecond cut off; `NO_TIME` where it is none of the years 1 to 9999.

    A date, or a date and a time with T or a blank between, to the minute, second or any part of it; without zone it is
    `naive` minutes ahead of UTC.
    """
    year, month, day = digits(at, end, 4), digits(at + 5, end, 2), digits(at + 8, end, 2)
    if year < 0 or month < 0 or day < 0 or byte_at(at + 4) != MINUS or byte_at(at + 7) != MINUS:
        return NO_TIME
    hour, minute, second, ms = 0, 0, 0, 0
    at += 10
    if at < end:
        if byte_at(at) & CAPITAL != LETTER_T and byte_at(at) != BLANK:
            return NO_TIME
        hour, minute = digits(at + 1, end, 2), digits(at + 4, end, 2)
        if hour < 0 or minute < 0 or byte_at(at + 3) != COLON:
            return NO_TIME
        at += 6
        if at < end and byte_at(at) == COLON:
            second = digits(at + 1, end, 2)
            at += 3
            if second >= 0 and at < end and byte_at(at) == POINT:
                at += 1
                weight, first = 100, at
                while at < end and ZERO <= byte_at(at) <= NINE:
                    ms += weight * (byte_at(at) - ZERO)
                    weight //= 10
                    at += 1
                if at == first:
                    return NO_TIME
        if at + 1 < end and byte_at(at) == BLANK:
            at += 1
    zone = offset_minutes(at, end, naive) if second >= 0 else -1441
    local = civil_ms(year, month, day, hour, minute, second)
    if zone == -1441 or local == NO_TIME:
        return NO_TIME
    utc = local + ms - zone * MS_PER_MINUTE
    return utc if FIRST_MS <= utc <= LAST_MS else NO_TIME


@kernel
def is_null_word(at: int) -> bool:
    """Tell whether four letters are `null`, in small letters or capitals."""
    first = byte_at(at) & CAPITAL == 0x4E and byte_at(at + 1) & CAPITAL == 0x55
    return bool(first and byte_at(at + 2) & CAPITAL == 0x4C and byte_at(at + 3) & CAPITAL == 0x4C)


@kernel
def parse_register(at: int, end: int) -> int:
    """Register of a text: nothing or `null` is `NO_READ`; `NOT_A_NUMBER`, or another number out of range."""
    length = end - at
    if length == 0:
        return NO_READ
    if length == 4 and is_null_word(at):
        return NO_READ
    negative = byte_at(at) == MINUS
    if negative:
        at += 1
        if at == end:
            return NOT_A_NUMBER
    number = 0
    for index in range(at, end):
        if byte_at(index) < ZERO or byte_at(index) > NINE:
            return NOT_A_NUMBER
        number = number * 10 + (byte_at(index) - ZERO)
        number = min(number, _BEYOND)
    if number == NO_READ or (negative and number > 0):
        return _BEYOND
    return number


@kernel
def split_line(start: int, end: int, fields: int, layout: NDArray[np.int64], spans: NDArray[np.int64]) -> int:
    """Find our fields in a line: `spans` (5, 3) gets start, end and whether quotes are doubled inside; a reason.

    Blanks at both ends are no part of times and numbers.
    """
    at, field = start, 0
    while True:
        quoted = at < end and byte_at(at) == QUOTE
        first, last, doubled = at, at, 0
        if quoted:
            first = last = at + 1
            while True:
                if last >= end:
                    return QUOTES
                if byte_at(last) == QUOTE:
                    if last + 1 < end and byte_at(last + 1) == QUOTE:
                        doubled = 1
                        last += 1
                    else:
                        break
                last += 1
            at = last + 1
            if at < end and byte_at(at) != COMMA:
                return QUOTES
        else:
            while at < end and byte_at(at) != COMMA:
                if byte_at(at) == QUOTE:
                    return QUOTES
                at += 1
            last = at
        for ours in range(FIELDS):
            if layout[ours] == field:
                if ours > 0:
                    first = trim_start(first, last)
                    last = trim_end(first, last)
                spans[ours, 0], spans[ours, 1], spans[ours, 2] = first, last, doubled
        field += 1
        if at >= end:
            break
        at += 1
    return NO_REASON if field == fields else FIELD_COUNT


@kernel
def parse_id(at: int, end: int, doubled: int) -> tuple[np.uint64, np.uint64, int]:
    """Pack a meter id into two words and judge it."""
    low, high, length = np.uint64(0), np.uint64(0), 0
    while at < end and length <= METER_ID_BYTES:
        letter = np.uint64(byte_at(at)) << np.uint64(8 * (length & 7))
        if length < 8:
            low |= letter
        elif length < METER_ID_BYTES:
            high |= letter
        length += 1
        at += 2 if doubled == 1 and byte_at(at) == QUOTE else 1
    if length == 0:
        return low, high, ID_NULL
    return low, high, ID_LONG if length > METER_ID_BYTES else id_reason(low, high, length)


@kernel
def trim_start(at: int, end: int) -> int:
    """Address of the first byte that is no blank."""
    while at < end and byte_at(at) == BLANK:
        at += 1
    return at


@kernel
def trim_end(at: int, end: int) -> int:
    """Address behind the last byte that is no blank."""
    while at < end and byte_at(end - 1) == BLANK:
        end -= 1
    return end


@kernel
def register_reason(value: int, text: int, beyond: int) -> int:
    """Judge what `parse_register` read."""
    if value == NOT_A_NUMBER:
        return text
    return NO_REASON if value <= REGISTER_MAX or value in (NO_READ, NO_DATA) else beyond


@kernel
def parse_lines(
    data: NDArray[np.uint8],
    fields: int,
    layout: NDArray[np.int64],
    first_line: int,
    keys: NDArray[np.uint64],
    read_at_ms: NDArray[np.int64],
    received_ms: NDArray[np.int64],
    imports: NDArray[np.uint32],
    exports: NDArray[np.uint32],
    place: NDArray[np.int64],
    refused: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode whole lines; blank ones are no rows. Outputs have a place for each line.

    `refused` (n, 5) gets start, end, line, reason and reads of each row that is none. Returns rows and refusals.
    """
    spans = np.zeros((FIELDS, 3), np.int64)
    row, bad, line = 0, 0, first_line
    origin = data.ctypes.data
    at, last = origin, origin + data.size
    while at < last:
        end = at
        while end < last and byte_at(end) != LINE_FEED:
            end += 1
        next_at = end + 1
        if end > at and byte_at(end - 1) == RETURN:
            end -= 1
        if end > at:
            reason, reads = split_line(at, end, fields, layout, spans), 1
            if reason == NO_REASON:
                keys[row, 0], keys[row, 1], reason = parse_id(spans[0, 0], spans[0, 1], spans[0, 2])
                read_at_ms[row] = parse_time(spans[1, 0], spans[1, 1], JST_MS // MS_PER_MINUTE)
                received_ms[row] = parse_time(spans[4, 0], spans[4, 1], 0)
                if reason == NO_REASON and read_at_ms[row] == NO_TIME:
                    reason = READ_AT_NULL if spans[1, 0] == spans[1, 1] else READ_AT_INVALID
                if reason == NO_REASON and received_ms[row] == NO_TIME:
                    reason = RECEIVED_AT_NULL if spans[4, 0] == spans[4, 1] else RECEIVED_AT_INVALID
                forward = parse_register(spans[2, 0], spans[2, 1])
                reverse = parse_register(spans[3, 0], spans[3, 1])
                if reason == NO_REASON:
                    reason = register_reason(forward, IMPORT_TEXT, IMPORT_RANGE)
                if reason == NO_REASON:
                    reason = register_reason(reverse, EXPORT_TEXT, EXPORT_RANGE)
                reads = max(1, (1 if forward != NO_READ else 0) + (1 if reverse != NO_READ else 0))
                imports[row], exports[row], place[row] = forward, reverse, line
            if reason == NO_REASON:
                row += 1
            else:
                refused[bad, 0], refused[bad, 1], refused[bad, 2] = at - origin, end - origin, line
                refused[bad, 3], refused[bad, 4] = reason, reads
                bad += 1
        line += 1
        at = next_at
    return row, bad
