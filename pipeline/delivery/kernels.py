# SPDX-License-Identifier: Apache-2.0
"""Kernels of a delivery file: gathering point ids, and rendering point rows as XML text straight from columns.

A row follows a row program (see `pipeline.delivery.layout`): constant text, and fields between its pieces. Constant
text is copied in whole blocks of 64 bytes past its end, and what follows overwrites the rest, so that nothing in the
loop depends on the length of a tag. The output needs `OVERRUN` spare bytes behind the last row.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.delivery.memory_kernels import (
    move_8,
    move_16,
    move_32,
    move_64,
    not_plain,
    prefetch,
    put_word,
    read_ordered,
)
from pipeline.jit import inlined, kernel

POINT_ID_CHARS: Final = 22
BLOCK: Final = 64
OVERRUN: Final = 64
ENERGY_CHARS_MAX: Final = 20
"""Digits of 2^63 dWh and the decimal point."""
ESCAPED_CHARS_MAX: Final = 5
"""`&amp;` is the longest text of one byte."""

FIELD_END: Final = 0
FIELD_POINT: Final = 1
FIELD_REF: Final = 2
FIELD_ENERGY: Final = 3
STEP_SIZE: Final = 8
STEP_AT: Final = 24
"""A step of a row program: field + (size of the text in front of it << STEP_SIZE) + (its place << STEP_AT)."""

WITH_REF: Final = 1
WITH_ENERGY: Final = 2
VARIANTS: Final = 4
"""Row programs: each with or without customer_ref, with or without energy; the number is the sum of the two."""

BAD_REF: Final = -1
"""Returned in place of a length: a customer_ref is no UTF-8, holds what XML cannot carry, or is not in the table."""
BAD_ENERGY: Final = -2
"""Returned in place of a length: an energy is negative."""

_NO_REF: Final = 0xFFFFFFFF
_AHEAD: Final = 16
_IDS_AHEAD: Final = 64
"""Rows between asking for an id and copying it: a row takes a nanosecond or two, memory a hundred."""
_NONE: Final = np.uint64(0)
_TEN: Final = np.uint64(10)
_HUNDRED: Final = np.uint64(100)
_DWH_PER_KWH: Final = np.uint64(10_000)
_ZERO: Final = np.uint64(ord("0"))
_POINT: Final = np.uint64(ord(".") << 8)
_HIGH_AT: Final = np.uint64(16)
_LOW_AT: Final = np.uint64(32)

_PAIRS: Final = np.array([48 + n // 10 | (48 + n % 10) << 8 for n in range(100)], np.uint64)
"""Two digits as the low bytes of a word, first digit lowest."""
_LEFT: Final = np.array([0 if n == 0 else 1 if n % 10 == 0 else 2 for n in range(100)], np.int64)
"""Digits that are left of a pair when its trailing zeros go."""
_VECTOR: Final = 32
_ESCAPES: Final = np.frombuffer(b"&amp;&lt; &gt; ", np.uint8).copy()


@inlined
def _ask(point_id: NDArray[np.uint8], position: np.uint32) -> None:
    """Ask for an id's cache lines: every third id lies in two."""
    start = np.intp(position) * POINT_ID_CHARS
    prefetch(point_id, start)
    prefetch(point_id, start + POINT_ID_CHARS - 1)


@kernel
def gather_points(point_id: NDArray[np.uint8], positions: NDArray[np.uint32], out: NDArray[np.uint8]) -> int:
    """Copy the ids at `positions` of a flat table of ids into `out`, one behind the other.

    Returns the first row whose id is not above the one before it, or whose position is outside the table; else -1.
    """
    rows = positions.size
    table = point_id.size // POINT_ID_CHARS
    last_a, last_b, last_c = np.uint64(0), np.uint64(0), np.uint64(0)
    for row in range(min(rows, _IDS_AHEAD)):
        _ask(point_id, positions[row])
    for row in range(rows):
        if row + _IDS_AHEAD < rows:
            _ask(point_id, positions[row + _IDS_AHEAD])
        position = np.intp(positions[row])
        if position >= table:
            return row
        start = position * POINT_ID_CHARS
        a, b, c = read_ordered(point_id, start), read_ordered(point_id, start + 8), read_ordered(point_id, start + 14)
        if not (a > last_a or (a == last_a and (b > last_b or (b == last_b and c > last_c)))):
            return row
        last_a, last_b, last_c = a, b, c
        at = row * POINT_ID_CHARS
        move_16(out, at, point_id, start)
        move_8(out, at + 14, point_id, start + 14)
    return -1


@inlined
def _put_energy(out: NDArray[np.uint8], at: int, dwh: int) -> int:
    """Write kWh as the shortest decimal; return where the next text goes."""
    value = np.uint64(dwh)
    whole = value // _DWH_PER_KWH
    rest = value - whole * _DWH_PER_KWH
    if whole >= _TEN:
        at = _put_tens(out, at, whole // _TEN)
        whole %= _TEN
    high = rest // _HUNDRED
    low = rest - high * _HUNDRED
    put_word(out, at, (whole + _ZERO) | _POINT | _PAIRS[high] << _HIGH_AT | _PAIRS[low] << _LOW_AT)
    if low != _NONE:
        return at + 4 + int(_LEFT[low])
    if high != _NONE:
        return at + 2 + int(_LEFT[high])
    return at + 1


@kernel
def _put_tens(out: NDArray[np.uint8], at: int, number: np.uint64) -> int:
    """Write a whole number; return where the next text goes."""
    end = at + 1
    bound = np.uint64(10)
    while end - at < ENERGY_CHARS_MAX and number >= bound:
        end += 1
        bound *= _TEN
    rest = number
    for back in range(end - at):
        out[end - 1 - back] = np.uint8(rest % _TEN) + np.uint8(48)
        rest //= _TEN
    return end


@kernel
def _sequence_length(text: NDArray[np.uint8], at: int, end: int) -> int:
    """Length of the UTF-8 sequence at `at`; 0 if it is none, or a character that XML 1.0 refuses or discourages."""
    first = np.int64(text[at])
    if first < 0x80:
        return 0 if first < 0x20 or first == 0x7F else 1
    length = 2 if 0xC2 <= first <= 0xDF else 3 if 0xE0 <= first <= 0xEF else 4 if 0xF0 <= first <= 0xF4 else 0
    if length == 0 or at + length > end:
        return 0
    point = first & ((1 << (7 - length)) - 1)
    for k in range(1, length):
        follower = np.int64(text[at + k])
        if (follower & 0xC0) != 0x80:
            return 0
        point = (point << 6) | (follower & 0x3F)
    if length == 2:
        return 0 if point < 0xA0 else 2
    if length == 3:
        return 0 if point < 0x800 or 0xD800 <= point <= 0xDFFF or point >= 0xFFFE else 3
    return 4 if 0x10000 <= point <= 0x10FFFF and (point & 0xFFFE) != 0xFFFE else 0


@kernel
def _put_escaped(out: NDArray[np.uint8], at: int, text: NDArray[np.uint8], start: int, end: int) -> int:
    """Write text with `&`, `<` and `>` as entities; return where the next text goes, or BAD_REF."""
    while start < end:
        length = _sequence_length(text, start, end)
        if length == 0:
            return BAD_REF
        letter = text[start]
        entity = 0 if letter == 38 else 1 if letter == 60 else 2 if letter == 62 else -1
        if entity >= 0:
            for k in range(5):
                out[at + k] = _ESCAPES[5 * entity + k]
            at += 5 if entity == 0 else 4
        else:
            for k in range(length):
                out[at + k] = text[start + k]
            at += length
        start += length
    return at


@inlined
def _put_ref(out: NDArray[np.uint8], at: int, text: NDArray[np.uint8], start: int, end: int) -> int:
    """Write a customer_ref; return where the next text goes, or BAD_REF."""
    size = end - start
    if size > _VECTOR or start + _VECTOR > text.size or not_plain(text, start) & ((1 << size) - 1):
        return _put_escaped(out, at, text, start, end)
    move_32(out, at, text, start)
    return at + size


@kernel
def render_rows(
    out: NDArray[np.uint8],
    at: int,
    row: int,
    points: NDArray[np.uint8],
    ref_off: NDArray[np.int64],
    ref_bytes: NDArray[np.uint8],
    ref_row: NDArray[np.uint32],
    energy_dwh: NDArray[np.int64],
    available: NDArray[np.uint8],
    blocks: NDArray[np.uint8],
    steps: NDArray[np.int64],
    room: int,
) -> tuple[int, int]:
    """Write rows from `row` on to `out[at:]` until all are written or the next might not fit.

    `room` is what a row can take beside its escaped customer_ref, the overrun included. Returns the end of the text
    and the next row; or BAD_REF or BAD_ENERGY and the row that has it.
    """
    rows, limit, length = ref_row.size, out.size - room, steps.size // VARIANTS
    while row < rows:
        if row + 2 * _AHEAD < rows:
            prefetch(ref_off, ref_row[row + 2 * _AHEAD])
            if ref_row[row + _AHEAD] < ref_off.size:
                prefetch(ref_bytes, ref_off[ref_row[row + _AHEAD]])
        ref_start, ref_end = 0, 0
        if ref_row[row] != _NO_REF:
            if ref_row[row] >= ref_off.size - 1:
                return BAD_REF, row
            ref_start, ref_end = ref_off[ref_row[row]], ref_off[ref_row[row] + 1]
            if not 0 <= ref_start <= ref_end <= ref_bytes.size:
                return BAD_REF, row
        if at + (ref_end - ref_start) * ESCAPED_CHARS_MAX > limit:
            break
        step = ((WITH_REF if ref_end > ref_start else 0) + (WITH_ENERGY if available[row] else 0)) * length
        while True:
            source, size, field = steps[step] >> STEP_AT, (steps[step] >> STEP_SIZE) & 0xFFFF, steps[step] & 0xFF
            step += 1
            move_64(out, at, blocks, source)
            for block in range(BLOCK, size, BLOCK):
                move_64(out, at + block, blocks, source + block)
            at += size
            if field == FIELD_POINT:
                move_16(out, at, points, row * POINT_ID_CHARS)
                move_8(out, at + 14, points, row * POINT_ID_CHARS + 14)
                at += POINT_ID_CHARS
            elif field == FIELD_REF:
                at = _put_ref(out, at, ref_bytes, ref_start, ref_end)
                if at < 0:
                    return BAD_REF, row
            elif field == FIELD_ENERGY:
                if energy_dwh[row] < 0:
                    return BAD_ENERGY, row
                at = _put_energy(out, at, energy_dwh[row])
            else:
                break
        row += 1
    return at, row
