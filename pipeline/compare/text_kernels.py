# SPDX-License-Identifier: Apache-2.0
"""Kernel that takes the points out of the text of a delivery file, whoever wrote it: byte by byte, in one pass.

It knows tags and text and nothing else of XML: white space, prefixes, attributes and elements it was not asked for do
not matter. What could hide a point (comments, CDATA, document types) is refused by the caller before.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel

LESS: Final = 0x3C
GREATER: Final = 0x3E
SLASH: Final = 0x2F
COLON: Final = 0x3A
BLANK: Final = 0x20
MINUS: Final = 0x2D
POINT: Final = 0x2E
ZERO: Final = 0x30
NINE: Final = 0x39

ROW, POINT_ID, AVAILABILITY, ENERGY = 0, 1, 2, 3
TAG_CHARS_MAX: Final = 32
ID_CHARS: Final = 22
HALF_CHARS: Final = 11
_DECIMALS: Final = 4
_DIGITS_MAX: Final = 18

FINE: Final = 0
BAD_TAG: Final = 1
"""A tag does not end."""
BAD_ID: Final = 2
"""A row without exactly one point id of 22 digits."""
BAD_AVAILABILITY: Final = 3
"""A row without exactly one availability, 0 or 1."""
BAD_ENERGY: Final = 4
"""An energy that is no decimal of at most four places, given twice, or none where there should be one."""
BAD_NESTING: Final = 5
"""A row inside a row, or an end without its beginning."""


class Points(NamedTuple):
    """Room for rows: the two halves of the point id as numbers, energy in dWh, whether there is one."""

    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    energy: NDArray[np.int64]
    available: NDArray[np.uint8]


@kernel
def tag_at(text: NDArray[np.uint8], begin: int, end: int, tags: NDArray[np.uint8], lengths: NDArray[np.int64]) -> int:
    """Return which of the tags the name in `text[begin:end]` is, its prefix left out; -1 for another."""
    for i in range(begin, end):
        if text[i] == COLON:
            begin = i + 1
    for tag in range(len(lengths)):
        if lengths[tag] == end - begin:
            same = True
            for i in range(end - begin):
                if text[begin + i] != tags[tag * TAG_CHARS_MAX + i]:
                    same = False
                    break
            if same:
                return tag
    return -1


@kernel
def number_of(text: NDArray[np.uint8], begin: int, end: int) -> int:
    """Return the number that digits write, -1 where there is another character."""
    value: Any = 0
    for i in range(begin, end):
        if text[i] < ZERO or text[i] > NINE:
            return -1
        value = value * 10 + (np.int64(text[i]) - ZERO)
    return int(value)


@kernel
def energy_of(text: NDArray[np.uint8], begin: int, end: int) -> tuple[bool, int]:
    """Return (understood, dWh) of a decimal in kWh."""
    negative = begin < end and text[begin] == MINUS
    if negative:
        begin += 1
    value: Any = 0
    digits, places = 0, -1
    for i in range(begin, end):
        if text[i] == POINT and places < 0 and digits > 0:
            places = 0
        elif ZERO <= text[i] <= NINE and digits < _DIGITS_MAX:
            value = value * 10 + (np.int64(text[i]) - ZERO)
            digits += 1
            if places >= 0:
                places += 1
        else:
            return False, 0
    if digits == 0 or places == 0 or places > _DECIMALS:
        return False, 0
    for _ in range(_DECIMALS - max(places, 0)):
        if value > np.iinfo(np.int64).max // 10:
            return False, 0
        value *= 10
    return True, -value if negative else value


@kernel
def count_rows(text: NDArray[np.uint8], tags: NDArray[np.uint8], lengths: NDArray[np.int64]) -> int:
    """Return an upper bound of the rows: how often the tag of a row begins."""
    count, first, length = 0, tags[ROW * TAG_CHARS_MAX], lengths[ROW]
    for i in range(1, len(text) - length):
        if text[i] == first and text[i - 1] != SLASH:
            same = True
            for k in range(1, length):
                if text[i + k] != tags[ROW * TAG_CHARS_MAX + k]:
                    same = False
                    break
            if same:
                count += 1
    return count


@kernel
def next_tag(text: NDArray[np.uint8], at: int) -> tuple[int, int, int, int]:
    """Find the next tag: offsets of its `<`, of the end of its name, behind its `>`, and of its name.

    The first is the length of the text where there is none; the third 0 where the tag does not end.
    """
    while at < len(text) and text[at] != LESS:
        at += 1
    if at == len(text):
        return at, at, at, at
    begin = at + 2 if at + 1 < len(text) and text[at + 1] == SLASH else at + 1
    end = begin
    while end < len(text) and text[end] > BLANK and text[end] != GREATER and text[end] != SLASH:
        end += 1
    behind = end
    while behind < len(text) and text[behind] != GREATER:
        behind += 1
    return at, end, 0 if behind == len(text) else behind + 1, begin


@kernel
def take_field(
    text: NDArray[np.uint8], span: tuple[int, int], field: int, row: int, counts: NDArray[np.int64], out: Points
) -> int:
    """Take the text of an element into its row, count it, and say whether it is fine."""
    left, right = span
    while left < right and text[left] <= BLANK:
        left += 1
    while left < right and text[right - 1] <= BLANK:
        right -= 1
    if field == POINT_ID:
        middle = min(left + HALF_CHARS, right)
        upper, lower = number_of(text, left, middle), number_of(text, middle, right)
        if right - left != ID_CHARS or upper < 0 or lower < 0:
            return BAD_ID
        out.high[row], out.low[row] = upper, lower
    elif field == AVAILABILITY:
        if right - left != 1 or (text[left] != ZERO and text[left] != ZERO + 1):
            return BAD_AVAILABILITY
        out.available[row] = 1 - (text[left] - ZERO)
    elif right > left:
        understood, value = energy_of(text, left, right)
        if not understood:
            return BAD_ENERGY
        out.energy[row] = value
    else:
        return FINE
    counts[field] += 1
    return FINE


@kernel
def fault_of(counts: NDArray[np.int64], available: int) -> int:
    """Say what is wrong with a row that has so many of each element."""
    if counts[POINT_ID] != 1:
        return BAD_ID
    if counts[AVAILABILITY] != 1:
        return BAD_AVAILABILITY
    return BAD_ENERGY if counts[ENERGY] > 1 or counts[ENERGY] < available else FINE


@kernel
def read_points(
    text: NDArray[np.uint8], tags: NDArray[np.uint8], lengths: NDArray[np.int64], out: Points
) -> tuple[int, int, int]:
    """Read all rows.

    Args:
        text: of the file.
        tags: `TAG_CHARS_MAX` bytes each: row, point id, availability, energy.
        lengths: of the tags.
        out: room for as many rows as `count_rows` says.

    Returns:
        (rows, FINE, 0), or (rows before it, what is wrong, byte offset).

    """
    row, inside, field, start, behind = 0, False, -1, 0, 0
    counts = np.zeros(len(lengths), np.int64)
    while True:
        opened, end, after, begin = next_tag(text, behind)
        if opened == len(text):
            return row, BAD_NESTING if inside else FINE, opened if inside else 0
        if after == 0:
            return row, BAD_TAG, opened
        closing, empty, wrong = begin == opened + 2, text[after - 2] == SLASH, FINE
        tag = tag_at(text, begin, end, tags, lengths)
        if tag == ROW:
            if closing != inside or (empty and not closing) or (not closing and row == len(out.high)):
                wrong = BAD_NESTING
            elif closing:
                wrong = fault_of(counts, int(out.available[row]))
                row += 1 if wrong == FINE else 0
            else:
                counts[:] = 0
                out.energy[row] = 0
            inside, field = not closing, -1
        elif closing:
            if inside and tag >= 0 and tag == field:
                wrong = take_field(text, (start, opened), field, row, counts, out)
            field = -1
        elif inside and not empty:
            field, start = tag, after
        if wrong != FINE:
            return row, wrong, opened
        behind = after


@kernel
def read_ids(text: NDArray[np.uint8], high: NDArray[np.uint64], low: NDArray[np.uint64]) -> int:
    """Read ids of 22 digits that stand one behind the other; return the first that is none, -1 for fine."""
    for row in range(len(high)):
        begin = row * ID_CHARS
        upper = number_of(text, begin, begin + HALF_CHARS)
        lower = number_of(text, begin + HALF_CHARS, begin + ID_CHARS)
        if upper < 0 or lower < 0:
            return row
        high[row], low[row] = upper, lower
    return -1


@kernel
def match_points(
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    other_high: NDArray[np.uint64],
    other_low: NDArray[np.uint64],
    out: NDArray[np.int64],
) -> None:
    """Give for each row the row of the other side with the same point, -1 for none; both ascend by point."""
    k = 0
    for i in range(len(high)):
        while k < len(other_high) and (other_high[k] < high[i] or (other_high[k] == high[i] and other_low[k] < low[i])):
            k += 1
        found = k < len(other_high) and other_high[k] == high[i] and other_low[k] == low[i]
        out[i] = k if found else -1
