# SPDX-License-Identifier: Apache-2.0
"""Kernels over Arrow columns: ids packed into words, registers and times judged, straight from the Arrow buffers.

A validity bitmap of length 0 means that nothing is null; its bits count from `bit`. `verdict` holds one reason a row;
the first that is found stays.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import METER_ID_BYTES, NO_DATA, NO_READ, REGISTER_MAX
from pipeline.handover.reasons import ID_CHARACTERS, ID_LONG, ID_NULL, NO_REASON
from pipeline.jit import kernel

SOUND: Final = -1
"""Returned by `pack_ids` where all offsets lie inside the data; else the first row whose do not."""

_BLANKS: Final = np.uint64(0x2020202020202020)
_HIGH: Final = np.uint64(0x8080808080808080)
_ONES: Final = np.uint64(0x0101010101010101)
_DELETES: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_BLANK: Final = np.uint64(0x20)
_BYTE: Final = np.uint64(0xFF)
_MARKS: Final = np.uint64(0x2121212121212121)
_WORD_BITS: Final = np.uint64(64)
_WORD_BYTES: Final = np.uint64(8)
_FAR: Final = 2**62
_NO_DATA: Final = np.uint32(NO_DATA)
_REGISTER_MAX: Final = np.uint32(REGISTER_MAX)


@kernel
def wide(values: NDArray[np.generic], at: int) -> int:
    """Integer of any width as a signed one of 64 bits."""
    return np.int64(values[at])  # type: ignore[return-value]


@kernel
def is_null(valid: NDArray[np.uint8], bit: int) -> bool:
    """Tell whether a bit of the validity bitmap is 0."""
    return bool(valid.size > 0 and (valid[bit >> 3] >> np.uint8(bit & 7)) & np.uint8(1) == 0)


@kernel
def word_at(data: NDArray[np.uint8], at: int, length: int) -> np.uint64:
    """Up to eight bytes as a little-endian word, NUL-padded; the bytes behind them are read if they are there."""
    if length <= 0:
        return np.uint64(0)
    if at + 8 > data.size:
        word = np.uint64(0)
        for index in range(min(length, 8)):
            word |= np.uint64(data[at + index]) << np.uint64(8 * index)
        return word
    # eight loads that the compiler joins into one
    word = (
        np.uint64(data[at])
        | np.uint64(data[at + 1]) << np.uint64(8)
        | np.uint64(data[at + 2]) << np.uint64(16)
        | np.uint64(data[at + 3]) << np.uint64(24)
        | np.uint64(data[at + 4]) << np.uint64(32)
        | np.uint64(data[at + 5]) << np.uint64(40)
        | np.uint64(data[at + 6]) << np.uint64(48)
        | np.uint64(data[at + 7]) << np.uint64(56)
    )
    return word if length >= 8 else word & (_ALL >> np.uint64(64 - 8 * length))


@kernel
def word_printable(word: np.uint64, length: int) -> bool:
    """Tell whether the first `length` bytes of a word (or all eight) are all in 0x20..0x7E."""
    if length < 8:
        word |= _BLANKS << np.uint64(8 * max(length, 0)) if length > 0 else _BLANKS
    below = (word - _BLANKS) & ~word & _HIGH
    deletes = word ^ _DELETES
    equal = (deletes - _ONES) & ~deletes & _HIGH
    return bool(((word & _HIGH) | below | equal) == np.uint64(0))


@kernel
def id_reason(low: np.uint64, high: np.uint64, length: int) -> int:
    """Judge a meter id of 1 to 16 bytes that is packed into two words."""
    last = low >> np.uint64(8 * (length - 1)) if length <= 8 else high >> np.uint64(8 * (length - 9))
    if (low & _BYTE) == _BLANK or (last & _BYTE) == _BLANK:
        return ID_CHARACTERS
    return NO_REASON if word_printable(low, length) and word_printable(high, length - 8) else ID_CHARACTERS


@kernel
def pack_ids(
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    valid: NDArray[np.uint8],
    bit: int,
    keys: NDArray[np.uint64],
    verdict: NDArray[np.uint8],
) -> int:
    """Pack Arrow strings into `keys` (n, 2) and judge them; `offsets` has n + 1 numbers, int32 or int64."""
    for row in range(verdict.size):
        start, end = wide(offsets, row), wide(offsets, row + 1)
        if start < 0 or end < start or end > data.size:
            return row
        length = end - start
        reason = NO_REASON
        if length == 0 or is_null(valid, bit + row):
            reason = ID_NULL
        elif length > METER_ID_BYTES:
            reason = ID_LONG
        else:
            keys[row, 0] = word_at(data, start, length)
            keys[row, 1] = word_at(data, start + 8, length - 8)
            reason = id_reason(keys[row, 0], keys[row, 1], length)
        if reason != NO_REASON and verdict[row] == NO_REASON:
            verdict[row] = reason
    return SOUND


@kernel
def id_lengths(offsets: NDArray[np.int32]) -> tuple[int, int]:
    """Find the shortest and the longest of Arrow strings."""
    shortest, longest = _FAR, -_FAR
    for row in range(offsets.size - 1):
        length = wide(offsets, row + 1) - wide(offsets, row)
        shortest = min(shortest, length)
        longest = max(longest, length)
    return shortest, longest


@kernel
def pack_marks(offsets: NDArray[np.int32], words: NDArray[np.uint64], keys: NDArray[np.uint64]) -> bool:
    """Pack Arrow strings of 1 to 16 bytes into `keys`; tell whether all of them are plainly meter ids.

    Plainly: printable ASCII without any blank. `words` are the data's eight bytes from each byte on, so behind each
    start in `offsets` there have to be 16 bytes. Returns False where an id has to be looked at by itself.
    """
    odd = np.uint64(0)
    for row in range(keys.shape[0]):
        start = np.uint64(wide(offsets, row))
        bits = np.uint64(8) * (np.uint64(wide(offsets, row + 1)) - start)
        low_bits, high_bits = min(bits, _WORD_BITS), max(bits, _WORD_BITS) - _WORD_BITS
        # a shift by all 64 bits is none at all
        low_rest = _ALL << low_bits if low_bits < _WORD_BITS else np.uint64(0)
        high_rest = _ALL << high_bits if high_bits < _WORD_BITS else np.uint64(0)
        low = words[start] & ~low_rest
        high = words[start + _WORD_BYTES] & ~high_rest
        keys[row, 0] = low
        keys[row, 1] = high
        # a byte below 0x21 borrows its high bit, one above 0x7E carries into it
        low |= _MARKS & low_rest
        high |= _MARKS & high_rest
        odd |= low | (low + _ONES) | (low - _MARKS) | high | (high + _ONES) | (high - _MARKS)
    return bool(odd & _HIGH == np.uint64(0))


@kernel
def extent(values: NDArray[np.int64]) -> tuple[int, int]:
    """Find the least and the greatest of at least one value."""
    least = greatest = values[0]
    for row in range(values.size):
        least = min(least, values[row])
        greatest = max(greatest, values[row])
    return least, greatest


@kernel
def take_ids(
    index: NDArray[np.int64],
    valid: NDArray[np.uint8],
    bit: int,
    dictionary: NDArray[np.uint64],
    judged: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    verdict: NDArray[np.uint8],
) -> int:
    """Spread the packed ids of a dictionary over the rows; returns as `pack_ids`."""
    for row in range(verdict.size):
        reason = ID_NULL
        if not is_null(valid, bit + row):
            if index[row] < 0 or index[row] >= judged.size:
                return row
            keys[row, 0] = dictionary[index[row], 0]
            keys[row, 1] = dictionary[index[row], 1]
            reason = wide(judged, index[row])
        if reason != NO_REASON and verdict[row] == NO_REASON:
            verdict[row] = reason
    return SOUND


@kernel
def judge_registers(values: NDArray[np.uint32], reason: int, verdict: NDArray[np.uint8]) -> None:
    """Judge a register column without nulls where it lies; nothing is copied."""
    for row in range(values.size):
        if values[row] > REGISTER_MAX and values[row] != NO_DATA and verdict[row] == NO_REASON:
            verdict[row] = reason


@kernel
def fill_registers(
    values: NDArray[np.int64],
    valid: NDArray[np.uint8],
    bit: int,
    reason: int,
    out: NDArray[np.uint32],
    verdict: NDArray[np.uint8],
) -> None:
    """Judge a register column of any width and write it as u32, nulls as `NO_READ`."""
    for row in range(values.size):
        value = wide(values, row)
        if is_null(valid, bit + row):
            out[row] = NO_READ
        elif 0 <= value <= REGISTER_MAX or value == NO_DATA:
            out[row] = value
        else:
            out[row] = NO_DATA  # counts as one read that was there
            if verdict[row] == NO_REASON:
                verdict[row] = reason


@kernel
def judge_times(
    values: NDArray[np.int64],
    valid: NDArray[np.uint8],
    bit: int,
    first: int,
    last: int,
    null: int,
    invalid: int,
    verdict: NDArray[np.uint8],
) -> None:
    """Judge a time column in its own unit: null, or outside `[first, last]`."""
    for row in range(values.size):
        reason = NO_REASON
        if is_null(valid, bit + row):
            reason = null
        elif values[row] < first or values[row] > last:
            reason = invalid
        if reason != NO_REASON and verdict[row] == NO_REASON:
            verdict[row] = reason


@kernel
def count_registers(values: NDArray[np.uint32]) -> tuple[int, int]:
    """Count the no-data values of a register column, and what no register can show."""
    no_data, odd = np.uint32(0), np.uint32(0)
    for row in range(values.size):
        none = values[row] == _NO_DATA
        no_data += np.uint32(none)
        odd += np.uint32((values[row] > _REGISTER_MAX) & (not none))
    return np.int64(no_data), np.int64(odd)  # type: ignore[return-value]


@kernel
def count_no_data(imports: NDArray[np.uint32], exports: NDArray[np.uint32]) -> int:
    """Count the no-data values of both registers."""
    count = 0
    for row in range(imports.size):
        count += (1 if imports[row] == NO_DATA else 0) + (1 if exports[row] == NO_DATA else 0)
    return count
