# SPDX-License-Identifier: Apache-2.0
"""Kernels of the register book: which read of an installation and stamp counts, and what becomes of the others."""

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel

ABSENT_MS = 1 << 62

ACCEPTED = 0
DUPLICATE = 1
CONFLICT = 2


@kernel
def elect(
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    later_ms: NDArray[np.uint32],
    first_ms: int,
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
) -> tuple[int, int]:
    """Let the earliest arrival win in each column cell; at equal times the smaller value. Order-free.

    Arrivals are ms after `first_ms`. Returns how many reads found their cell empty, and the latest arrival.
    """
    fresh, latest = 0, -ABSENT_MS
    for i in range(len(local)):
        k = local[i]
        arrival = first_ms + np.int64(later_ms[i])
        held = best_arrival[k]
        if arrival <= held:
            fresh += held == ABSENT_MS
            if arrival < held or value[i] < best_value[k]:
                best_arrival[k] = arrival
                best_value[k] = value[i]
        latest = max(latest, arrival)
    return fresh, latest


@kernel
def classify(
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    best_value: NDArray[np.uint32],
    base_value: NDArray[np.uint32],
    base_arrival: NDArray[np.int64],
    seen: NDArray[np.uint8],
    verdict: NDArray[np.uint8],
) -> None:
    """Say of each read whether it is accepted, a duplicate of the elected value or in conflict with it.

    `seen` (zeros, one a column cell) is used to accept one read a cell only.
    """
    for i in range(len(local)):
        k = local[i]
        if value[i] != best_value[k]:
            verdict[i] = CONFLICT
        elif seen[k] == 1 or (base_arrival[k] != ABSENT_MS and base_value[k] == value[i]):
            verdict[i] = DUPLICATE
        else:
            verdict[i] = ACCEPTED
            seen[k] = 1


@kernel
def latest_change(
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
    base_value: NDArray[np.uint32],
    base_arrival: NDArray[np.int64],
) -> int:
    """Return the latest arrival in the column cells that the election changed; -`ABSENT_MS` where it changed none."""
    last = -ABSENT_MS
    for k in range(len(best_value)):
        if best_arrival[k] != base_arrival[k] or best_value[k] != base_value[k]:
            last = max(last, best_arrival[k])
    return last


@kernel
def mark_displaced(
    best_value: NDArray[np.uint32],
    base_value: NDArray[np.uint32],
    base_arrival: NDArray[np.int64],
    displaced: NDArray[np.uint8],
) -> int:
    """Mark the column cells in which another value stood before; count them."""
    count = 0
    for k in range(len(best_value)):
        lost = base_arrival[k] != ABSENT_MS and best_value[k] != base_value[k]
        displaced[k] = lost
        count += lost
    return count
