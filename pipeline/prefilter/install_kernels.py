# SPDX-License-Identifier: Apache-2.0
"""Kernels that look meters up, and that take what they find as it is where nothing about it is particular."""

import numpy as np
from numpy.typing import NDArray

from pipeline.delivery.memory_kernels import prefetch
from pipeline.jit import kernel
from pipeline.master.lookup import first_row
from pipeline.prefilter.kernels import CHAINED, NO_DATA, NONE

_AHEAD = 64
_NONE, _CHAINED, _NO_DATA = np.uint32(NONE), np.uint32(CHAINED), np.uint32(NO_DATA)
_ROW_WORDS = np.uint64(4)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_ZERO = np.uint64(0)
_NOWHERE = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel
def find_installs(
    table: NDArray[np.uint64], keys: NDArray[np.uint64], found: NDArray[np.uint64], open_rows: NDArray[np.uint32]
) -> None:
    """Fill `found` (n, 2) with the two last words of each key's table row; all ones and zero where there is none.

    The table is far larger than any cache, so each line is asked for some keys ahead, and nothing depends on a guess:
    both rows of the line are compared, and keys that it does not decide are set aside in `open_rows` (n,) while their
    next line is on its way. Until its turn comes, `found` holds where a key's probing starts.
    """
    last, rows = np.uint64(table.shape[0] - 1), keys.shape[0]
    for i in range(rows):
        found[i, 0] = first_row(keys[i, 0], keys[i, 1], last)
    for i in range(min(_AHEAD, rows)):
        prefetch(table, found[i, 0] * _ROW_WORDS)
    undecided = 0
    for i in range(rows):
        prefetch(table, found[min(i + _AHEAD, rows - 1), 0] * _ROW_WORDS)
        even = found[i, 0]
        odd = even | _ONE
        in_even = (table[even, 0] == keys[i, 0]) & (table[even, 1] == keys[i, 1])
        in_odd = (table[odd, 0] == keys[i, 0]) & (table[odd, 1] == keys[i, 1])
        at = odd if in_odd else even
        known = in_even | in_odd
        if not (known | (table[even, 0] == 0) | (table[odd, 0] == 0)):
            open_rows[undecided] = i
            undecided += 1
            prefetch(table, ((even + _TWO) & last) * _ROW_WORDS)
            continue
        found[i, 0] = table[at, 2] if known else _NOWHERE
        found[i, 1] = table[at, 3] if known else _ZERO  # a plain 0 would make both floats
    for j in range(undecided):
        i = open_rows[j]
        at = (found[i, 0] + _TWO) & last
        while table[at, 0] != 0 and (table[at, 0] != keys[i, 0] or table[at, 1] != keys[i, 1]):
            at = (at + _ONE) & last
        known = table[at, 0] != 0
        found[i, 0] = table[at, 2] if known else _NOWHERE
        found[i, 1] = table[at, 3] if known else _ZERO


@kernel
def install_plain(
    found: NDArray[np.uint32],
    verdict: NDArray[np.uint8],
    stamp: NDArray[np.int32],
    value: NDArray[np.uint32],
    register: int,
    out_install: NDArray[np.uint32],
) -> bool:
    """Name the installation of each row, if every row has a read, and one meter on this register that takes it.

    `found` is that of `find_installs` seen as (n, 4): import, export, lo, hi. Returns False where a row is otherwise;
    then `out_install` says nothing.
    """
    otherwise = np.uint32(0)
    for i in range(len(value)):
        install = found[i, register]
        out_install[i] = install
        otherwise |= (
            np.uint32(verdict[i])
            | np.uint32(value[i] >= _NO_DATA)
            | np.uint32(found[i, 0] == _CHAINED)
            | np.uint32(install == _NONE)
            | np.uint32(stamp[i] < np.int32(found[i, 2]))
            | np.uint32(stamp[i] > np.int32(found[i, 3]))
        )
    return bool(otherwise == 0)
