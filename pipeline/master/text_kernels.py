# SPDX-License-Identifier: Apache-2.0
"""Reading the texts of a column: one pass over its bytes, one value and one status a row.

A column is given as Arrow keeps it: `off` (n+1,) and `data`; row i is `data[off[i]:off[i + 1]]`. Blanks around a value
do not count. Status is `GOOD`, `EMPTY` (nothing was given) or `BAD`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import inlined, kernel

GOOD: Final = 0
EMPTY: Final = 1
BAD: Final = 2

Offsets = NDArray[np.int32]
Bytes = NDArray[np.uint8]

_ZERO, _NINE = ord("0"), ord("9")
_BLANK, _PLUS, _MINUS, _COMMA, _POINT, _COLON = 32, 43, 45, 44, 46, 58
_POINT_DIGITS: Final = 22
_GROUPED_CHARS: Final = 27
_HIGH_DIGITS: Final = 4
_METER_CHARS: Final = 16
_MS_PER_MINUTE: Final = 60_000
_MS_PER_DAY: Final = 86_400_000
_JST_MINUTES: Final = 540
_PRIME: Final = np.uint64(0x100000001B3)
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT: Final = np.uint64(31)


@inlined
def _start(off: Offsets, data: Bytes, i: int) -> int:
    """First byte of row i that is no blank."""
    at: int = off[i]
    while at < off[i + 1] and data[at] == _BLANK:
        at += 1
    return at


@inlined
def _end(off: Offsets, data: Bytes, i: int, start: int) -> int:
    """End of row i without the blanks behind it."""
    at: int = off[i + 1]
    while at > start and data[at - 1] == _BLANK:
        at -= 1
    return at


@inlined
def _digits(data: Bytes, start: int, count: int, end: int) -> int:
    """Value of `count` digits from `start`, -1 where they are not all there."""
    number = 0
    if start + count > end:
        return -1
    for at in range(start, start + count):
        if data[at] < _ZERO or data[at] > _NINE:
            return -1
        number = number * 10 + (data[at] - _ZERO)
    return number


@kernel
def read_points(off: Offsets, data: Bytes, high: NDArray[np.uint16], low: NDArray[np.uint64], status: Bytes) -> None:
    """Read supply point ids: 22 digits, plain or grouped by hyphens as bills print them, the first two an area.

    `high` gets the first 4 digits as a number, `low` the other 18.
    """
    for i in range(len(status)):
        start = _start(off, data, i)
        end = _end(off, data, i, start)
        status[i] = EMPTY if start == end else BAD
        grouped = end - start == _GROUPED_CHARS
        if end - start != _POINT_DIGITS and not grouped:
            continue
        first, rest, count = 0, 0, 0
        for at in range(start, end):
            if grouped and (at - start) % 5 == 2:
                if data[at] != _MINUS:
                    break
                continue
            if data[at] < _ZERO or data[at] > _NINE:
                break
            if count < _HIGH_DIGITS:
                first = first * 10 + (data[at] - _ZERO)
            else:
                rest = rest * 10 + (data[at] - _ZERO)
            count += 1
        if count == _POINT_DIGITS and 1 <= first // 100 <= 10:
            high[i] = first
            low[i] = rest
            status[i] = GOOD


@kernel
def read_meters(off: Offsets, data: Bytes, k0: NDArray[np.uint64], k1: NDArray[np.uint64], status: Bytes) -> None:
    """Read meter ids: 1 to 16 printable ASCII characters, into two little-endian words."""
    for i in range(len(status)):
        start = _start(off, data, i)
        end = _end(off, data, i, start)
        status[i] = EMPTY if start == end else BAD
        if end - start > _METER_CHARS or start == end:
            continue
        word0, word1 = np.uint64(0), np.uint64(0)
        good = True
        for at in range(start, end):
            if data[at] < _BLANK or data[at] > 126:
                good = False
            place = at - start
            if place < 8:
                word0 |= np.uint64(data[at]) << np.uint64(8 * place)
            else:
                word1 |= np.uint64(data[at]) << np.uint64(8 * (place - 8))
        if good:
            k0[i] = word0
            k1[i] = word1
            status[i] = GOOD


@kernel
def read_codes(off: Offsets, data: Bytes, count: int, value: NDArray[np.int64], status: Bytes) -> None:
    """Read texts of exactly `count` digits as numbers."""
    for i in range(len(status)):
        start = _start(off, data, i)
        end = _end(off, data, i, start)
        number = _digits(data, start, end - start, end) if end - start == count else -1
        status[i] = EMPTY if start == end else BAD
        if number >= 0:
            value[i] = number
            status[i] = GOOD


@kernel
def read_whole(off: Offsets, data: Bytes, least: int, most: int, value: NDArray[np.int64], status: Bytes) -> None:
    """Read whole numbers of `least..most`."""
    for i in range(len(status)):
        start = _start(off, data, i)
        end = _end(off, data, i, start)
        status[i] = EMPTY if start == end else BAD
        negative = end - start > 1 and data[start] == _MINUS
        if end - start > 1 and (negative or data[start] == _PLUS):
            start += 1
        if start == end or end - start > 18:
            continue
        number, good = 0, True
        for at in range(start, end):
            if data[at] < _ZERO or data[at] > _NINE:
                good = False
            number = number * 10 + (data[at] - _ZERO)
        number = -number if negative else number
        if good and least <= number <= most:
            value[i] = number
            status[i] = GOOD


@kernel
def read_decimal(off: Offsets, data: Bytes, most: int, value: NDArray[np.int64], status: Bytes) -> None:
    """Read decimal numbers of 0 to `most` / 10^4, exactly, as their 10^4-fold; more than four decimals are bad."""
    for i in range(len(status)):
        start = _start(off, data, i)
        end = _end(off, data, i, start)
        status[i] = EMPTY if start == end else BAD
        if end - start > 18:
            continue
        number, places, digits = 0, -1, 0
        good = True
        for at in range(start, end):
            if data[at] == _POINT and places < 0:
                places = 0
            elif data[at] < _ZERO or data[at] > _NINE:
                good = False
            elif places == 4:
                good = good and data[at] == _ZERO
            else:
                number = number * 10 + (data[at] - _ZERO)
                digits += 1
                places += 1 if places >= 0 else 0
        for _ in range(4 - max(places, 0)):
            if number <= most:
                number *= 10
        if good and digits > 0 and number <= most:
            value[i] = number
            status[i] = GOOD


@kernel
def read_words(off: Offsets, data: Bytes, word_off: Offsets, words: Bytes, value: Bytes, status: Bytes) -> None:
    """Read one of a few upper-case words, in any case; `value` gets the word's number."""
    for i in range(len(status)):
        start = _start(off, data, i)
        length = _end(off, data, i, start) - start
        status[i] = EMPTY if length == 0 else BAD
        for w in range(len(word_off) - 1):
            if word_off[w + 1] - word_off[w] != length or length == 0:
                continue
            same = True
            for j in range(length):
                letter = data[start + j]
                if ord("a") <= letter <= ord("z"):
                    letter -= 32
                same = same and letter == words[word_off[w] + j]
            if same:
                value[i] = w
                status[i] = GOOD


@kernel
def _day(data: Bytes, start: int, end: int) -> int:
    """Days since 1970 of `YYYY-MM-DD` or `YYYYMMDD`, -2^31 where it is no date of the years 1 to 9999."""
    dash = 1 if start + 4 < end and data[start + 4] == _MINUS else 0
    year = _digits(data, start, 4, end)
    month = _digits(data, start + 4 + dash, 2, end)
    day = _digits(data, start + 6 + 2 * dash, 2, end)
    if dash == 1 and (start + 7 >= end or data[start + 7] != _MINUS):
        return -(2**31)
    if year < 1 or month < 1 or month > 12 or day < 1:
        return -(2**31)
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    length = 31 - (month - 1) % 7 % 2
    if month == 2:
        length = 29 if leap else 28
    if day > length:
        return -(2**31)
    # Days from a year that begins in March: the leap day comes last and needs no table.
    shifted = year - 1 if month <= 2 else year
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468


@kernel
def _zone(data: Bytes, start: int, end: int) -> int:
    """Minutes east of Greenwich of `Z`, `+09`, `+0900`, `+09:00`; JST for nothing; 2^31 where it is wrong."""
    if start == end:
        return _JST_MINUTES
    if end - start == 1 and (data[start] == ord("Z") or data[start] == ord("z")):
        return 0
    if data[start] != _PLUS and data[start] != _MINUS:
        return 2**31
    hour = _digits(data, start + 1, 2, end)
    minute = 0
    if end - start == 6 and data[start + 3] == _COLON:
        minute = _digits(data, start + 4, 2, end)
    elif end - start == 5:
        minute = _digits(data, start + 3, 2, end)
    elif end - start != 3:
        return 2**31
    if hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return 2**31
    return hour * 60 + minute if data[start] == _PLUS else -(hour * 60 + minute)


@kernel
def _time_of_day(data: Bytes, start: int, end: int) -> int:
    """Milliseconds of `HH`, `HH:MM`, `HH:MM:SS.fff` or the same without colons, -1 where it is wrong."""
    hour = _digits(data, start, 2, end)
    minute, second, ms = 0, 0, 0
    at = start + 2
    colon = 1 if at < end and data[at] == _COLON else 0
    if at < end:
        minute = _digits(data, at + colon, 2, end)
        at += 2 + colon
    if at < end:
        if colon == 1 and data[at] != _COLON:
            return -1
        second = _digits(data, at + colon, 2, end)
        at += 2 + colon
    if at < end:
        if (data[at] != _POINT and data[at] != _COMMA) or at + 1 == end:
            return -1
        scale = 100
        for place in range(at + 1, end):
            if data[place] < _ZERO or data[place] > _NINE:
                return -1
            ms += scale * (data[place] - _ZERO)
            scale //= 10
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return -1
    return ((hour * 60 + minute) * 60 + second) * 1000 + ms


@kernel
def read_times(off: Offsets, data: Bytes, value: NDArray[np.int64], status: Bytes) -> None:
    """Read ISO 8601 dates and times as ms since the epoch; JST where no zone is given, midnight where no time is."""
    for i in range(len(status)):
        start = _start(off, data, i)
        end = _end(off, data, i, start)
        status[i] = EMPTY if start == end else BAD
        if end - start < 8:
            continue
        day = _day(data, start, end)
        at = start + (10 if data[start + 4] == _MINUS else 8)
        if day == -(2**31):
            continue
        if at >= end:
            value[i] = day * _MS_PER_DAY - _JST_MINUTES * _MS_PER_MINUTE
            status[i] = GOOD
            continue
        if data[at] != ord("T") and data[at] != ord("t") and data[at] != _BLANK:
            continue
        zone = at + 1
        while zone < end and data[zone] != _PLUS and data[zone] != _MINUS and data[zone] < ord("A"):
            zone += 1
        time = _time_of_day(data, at + 1, zone)
        east = _zone(data, zone, end)
        if time >= 0 and east != 2**31:
            value[i] = day * _MS_PER_DAY + time - east * _MS_PER_MINUTE
            status[i] = GOOD


@kernel
def judge_texts(off: Offsets, data: Bytes, chars_max: int, status: Bytes) -> None:
    """Texts of at most `chars_max` characters of UTF-8 that XML can carry, without control characters, are good."""
    for i in range(len(status)):
        chars = 0
        good = True
        for at in range(off[i], off[i + 1]):
            if data[at] < _BLANK or data[at] == 127:
                good = False
            if data[at] == 0xEF and data[at + 1] == 0xBF and data[at + 2] >= 0xBE:
                good = False
            if data[at] & 0xC0 != 0x80:
                chars += 1
        status[i] = EMPTY if off[i] == off[i + 1] else (GOOD if good and chars <= chars_max else BAD)


@kernel
def mix_texts(off: Offsets, data: Bytes, digest: NDArray[np.uint64]) -> None:
    """Take a column of texts into each row's digest."""
    for i in range(len(digest)):
        mixed = digest[i] ^ np.uint64(off[i + 1] - off[i])
        for at in range(off[i], off[i + 1]):
            mixed = (mixed ^ np.uint64(data[at])) * _PRIME
        mixed *= _MIX
        digest[i] = mixed ^ (mixed >> _SHIFT)


@kernel
def mix_empty(digest: NDArray[np.uint64]) -> None:
    """Do what `mix_texts` does for a column of empty texts."""
    for i in range(len(digest)):
        mixed = digest[i] * _MIX
        digest[i] = mixed ^ (mixed >> _SHIFT)


@kernel
def mix_numbers(value: NDArray[np.int64], digest: NDArray[np.uint64]) -> None:
    """Take a column of numbers into each row's digest."""
    for i in range(len(digest)):
        mixed = (digest[i] ^ np.uint64(value[i])) * _MIX
        mixed = (mixed ^ (mixed >> _SHIFT)) * _PRIME
        digest[i] = mixed ^ (mixed >> _SHIFT)


@kernel
def count_newlines(off: Offsets, data: Bytes, lines: NDArray[np.int64]) -> None:
    """Add to `lines` how many line ends stand inside each text."""
    for i in range(len(lines)):
        for at in range(off[i], off[i + 1]):
            if data[at] == 10:
                lines[i] += 1
