# SPDX-License-Identifier: Apache-2.0
"""Kernels that gather registers of some installations from files that hold those of all."""

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel


@kernel
def pick_reads(
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    later_ms: NDArray[np.uint32],
    first_ms: int,
    place: NDArray[np.int32],
    stamp: int,
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
) -> None:
    """Let the earliest arrival win, at equal times the smaller value, among the reads of some installations."""
    for i in range(len(local)):
        row = place[local[i]] if local[i] < len(place) else -1
        if row >= 0:
            arrival, held = first_ms + np.int64(later_ms[i]), best_arrival[row, stamp]
            if arrival < held or (arrival == held and value[i] < best_value[row, stamp]):
                best_arrival[row, stamp] = arrival
                best_value[row, stamp] = value[i]


@kernel
def find_reads(local: NDArray[np.uint32], wanted: NDArray[np.uint32], out: NDArray[np.int64]) -> int:
    """Find the reads of some installations among those that ascend by installation; returns how many there are."""
    count, first = 0, 0
    for k in range(len(wanted)):
        last = len(local)
        while first < last:
            middle = (first + last) // 2
            if local[middle] < wanted[k]:
                first = middle + 1
            else:
                last = middle
        if first < len(local) and local[first] == wanted[k]:
            out[count] = first
            count += 1
    return count


@kernel
def mark_late(
    local: NDArray[np.uint32],
    later_ms: NDArray[np.uint32],
    first_ms: int,
    after_ms: int,
    place: NDArray[np.int32],
    hit: NDArray[np.bool_],
) -> None:
    """Mark the rows of installations that have a read which arrived after `after_ms`."""
    for i in range(len(local)):
        if local[i] < len(place) and place[local[i]] >= 0 and first_ms + np.int64(later_ms[i]) > after_ms:
            hit[place[local[i]]] = True
