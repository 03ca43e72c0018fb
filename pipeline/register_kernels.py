# SPDX-License-Identifier: Apache-2.0
"""Kernels of the register book: which read of an installation and stamp counts, and what becomes of the others.

A cell of a column is one word: the arrival, in ms after the column's base, above the register. So the read that counts,
the earliest and at equal times the smaller, is the smallest word, and a cell is one line of memory.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import ARRIVAL_BITS, REGISTER_BITS
from pipeline.jit import inlined, kernel

ABSENT_MS = 1 << 62
ABSENT: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
"""The word of a cell without a read."""
LATEST_MS: Final = (1 << ARRIVAL_BITS) - 2
"""The latest arrival that a word holds, ms after the base: four years. What comes later yet counts from then."""
_REGISTER_BITS: Final = np.uint64(REGISTER_BITS)
_REGISTER: Final = np.uint64((1 << REGISTER_BITS) - 1)

ACCEPTED = 0
DUPLICATE = 1
CONFLICT = 2


@inlined
def register_of(word: np.uint64) -> int:
    """Return the register of a cell that has one."""
    return np.int64(word & _REGISTER)


@inlined
def arrival_of(word: np.uint64, base_ms: int) -> int:
    """Return when the register of a cell arrived, `ABSENT_MS` where there is none."""
    return np.int64(ABSENT_MS) if word == ABSENT else base_ms + np.int64(word >> _REGISTER_BITS)


@kernel
def elect(
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    later_ms: NDArray[np.uint32],
    since_base_ms: int,
    words: NDArray[np.uint64],
) -> tuple[int, int]:
    """Let the smallest word win in each column cell. Order-free.

    Arrivals are `later_ms` + `since_base_ms` after the column's base. Returns how many reads found their cell empty,
    and the greatest of `later_ms`.
    """
    fresh, latest = 0, np.int64(0)
    for i in range(len(local)):
        k = local[i]
        later = np.int64(later_ms[i])
        word = np.uint64(later + since_base_ms) << _REGISTER_BITS | np.uint64(value[i])
        held = words[k]
        fresh += held == ABSENT
        words[k] = min(held, word)
        latest = max(latest, later)
    return fresh, latest


@kernel
def classify(
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    best: NDArray[np.uint64],
    base: NDArray[np.uint64],
    seen: NDArray[np.uint8],
    verdict: NDArray[np.uint8],
) -> None:
    """Say of each read whether it is accepted, a duplicate of the elected value or in conflict with it.

    `best` and `base` are words of the column after the reads and before; `seen` (zeros, one a column cell) is used to
    accept one read a cell only.
    """
    for i in range(len(local)):
        k = local[i]
        if value[i] != register_of(best[k]):
            verdict[i] = CONFLICT
        elif seen[k] == 1 or (base[k] != ABSENT and register_of(base[k]) == value[i]):
            verdict[i] = DUPLICATE
        else:
            verdict[i] = ACCEPTED
            seen[k] = 1


@kernel
def latest_change(best: NDArray[np.uint64], base: NDArray[np.uint64]) -> int:
    """Return the latest arrival in the cells that the election changed, ms after the base; -1 where it changed none."""
    last = np.int64(-1)
    for k in range(len(best)):
        if best[k] != base[k]:
            last = max(last, np.int64(best[k] >> _REGISTER_BITS))
    return int(last)


@kernel
def mark_displaced(best: NDArray[np.uint64], base: NDArray[np.uint64], displaced: NDArray[np.uint8]) -> int:
    """Mark the column cells in which another value stood before; count them."""
    count = 0
    for k in range(len(best)):
        lost = base[k] != ABSENT and register_of(best[k]) != register_of(base[k])
        displaced[k] = lost
        count += lost
    return count
