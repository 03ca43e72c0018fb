# SPDX-License-Identifier: Apache-2.0
"""The meter lookup: open addressing with linear probing over one 32-byte row a meter (see `MasterView.table`).

Probing starts at even rows: two rows share a cache line, so nine of ten meters are found with one line fetched.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import inlined, kernel
from pipeline.master.view import CHAINED, NO_INSTALL

_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_SHIFT: Final = np.uint64(29)
_ONE: Final = np.uint64(1)
_NONE: Final = np.uint64(NO_INSTALL)
_CHAINED: Final = np.uint64(CHAINED)
_MIX_0: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_2: Final = np.uint64(0xBF58476D1CE4E5B9)


@inlined
def hash_key(k0: np.uint64, k1: np.uint64) -> np.uint64:
    """64 well-mixed bits of a meter id; the low bits address the table.

    Meter ids are mostly decimal numbers in a row: their differences lie in the four low bits of a few bytes, often the
    last ones, so the high half of k1 is brought down before the first product.
    """
    x = (k0 ^ (k0 >> _HALF)) * _MIX_0 + (k1 ^ (k1 >> _HALF)) * _MIX_1
    x = (x ^ (x >> _SHIFT)) * _MIX_2
    return x ^ (x >> _HALF)


@inlined
def first_row(k0: np.uint64, k1: np.uint64, last: np.uint64) -> np.uint64:
    """Row at which probing for a meter starts, always even; `last` is the number of rows less one."""
    return hash_key(k0, k1) & (last ^ _ONE)


@kernel
def find(table: NDArray[np.uint64], mask: int, k0: np.uint64, k1: np.uint64) -> int:
    """Row of the meter `(k0, k1)` in `table` (C, 4), -1 where it is not there. `mask` is C - 1."""
    last = np.uint64(mask)
    at = first_row(k0, k1, last)
    while table[at, 0] != 0:
        if table[at, 0] == k0 and table[at, 1] == k1:
            return np.int64(at)  # type: ignore[return-value]  # int() would stay unsigned and make -1 a float
        at = (at + _ONE) & last
    return -1


@kernel
def fill_table(
    table: NDArray[np.uint64],
    k0: NDArray[np.uint64],
    k1: NDArray[np.uint64],
    register: NDArray[np.uint8],
    install: NDArray[np.uint32],
    span: NDArray[np.uint64],
) -> int:
    """Enter installations into a zeroed table; `span` is `lo | hi << 32`.

    Returns the number of meters that need chain rows, marked as `CHAINED`; -1 where the table is more than half full.
    """
    last = np.uint64(len(table) - 1)
    room = len(table) // 2
    chained = 0
    for i in range(len(k0)):
        at = first_row(k0[i], k1[i], last)
        while table[at, 0] != 0 and (table[at, 0] != k0[i] or table[at, 1] != k1[i]):
            at = (at + _ONE) & last
        mine = np.uint64(install[i])
        if table[at, 0] == 0:
            room -= 1
            if room < 0:
                return -1
            table[at, 0] = k0[i]
            table[at, 1] = k1[i]
            table[at, 2] = (mine | (_NONE << _HALF)) if register[i] == 0 else (_NONE | (mine << _HALF))
            table[at, 3] = span[i]
            continue
        on_import = table[at, 2] & _LOW
        on_export = table[at, 2] >> _HALF
        if on_import == _CHAINED:
            continue
        if table[at, 3] == span[i] and register[i] == 0 and on_import == _NONE:
            table[at, 2] = mine | (on_export << _HALF)
        elif table[at, 3] == span[i] and register[i] == 1 and on_export == _NONE:
            table[at, 2] = on_import | (mine << _HALF)
        else:
            chained += 1
            table[at, 2] = _CHAINED
            table[at, 3] = 0
    return chained


@kernel
def chained_rows(
    table: NDArray[np.uint64], k0: NDArray[np.uint64], k1: NDArray[np.uint64], rows: NDArray[np.int64]
) -> int:
    """Fill `rows` with the numbers of the installations whose meter is chained; returns how many there are."""
    mask = len(table) - 1
    count = 0
    for i in range(len(k0)):
        if table[find(table, mask, k0[i], k1[i]), 2] & _LOW == _CHAINED:
            rows[count] = i
            count += 1
    return count


@kernel
def link_chains(table: NDArray[np.uint64], k0: NDArray[np.uint64], k1: NDArray[np.uint64]) -> None:
    """Write first row and number of rows of each chain into the table; `k0`, `k1` are the chain rows' meters."""
    mask = len(table) - 1
    for i in range(len(k0)):
        at = find(table, mask, k0[i], k1[i])
        if table[at, 3] == 0:
            table[at, 2] = _CHAINED | (np.uint64(i) << _HALF)
        table[at, 3] += _ONE
