# SPDX-License-Identifier: Apache-2.0
"""Supply point ids as pairs of numbers: the first 4 digits (`high`) and the other 18 (`low`); looking them up."""

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel


@kernel
def split_ids(
    point_id: NDArray[np.uint8], order: NDArray[np.uint32], high: NDArray[np.uint16], low: NDArray[np.uint64]
) -> None:
    """Fill `high` and `low` from the digits (P, 22), in the order given."""
    for i in range(len(order)):
        p = order[i]
        first, rest = 0, 0
        for j in range(4):
            first = first * 10 + (point_id[p, j] - 48)
        for j in range(4, 22):
            rest = rest * 10 + (point_id[p, j] - 48)
        high[i] = first
        low[i] = rest


@kernel
def join_ids(high: NDArray[np.uint16], low: NDArray[np.uint64], point_id: NDArray[np.uint8]) -> None:
    """Fill `point_id` (n, 22) with the digits."""
    for i in range(len(high)):
        rest = np.int64(high[i])
        for j in range(3, -1, -1):
            point_id[i, j] = 48 + rest % 10
            rest //= 10
        rest = np.int64(low[i])
        for j in range(21, 3, -1):
            point_id[i, j] = 48 + rest % 10
            rest //= 10


@kernel
def ascends(high: NDArray[np.uint16], low: NDArray[np.uint64]) -> bool:
    """Say whether the ids stand in ascending order; equal neighbours are allowed."""
    for i in range(1, len(high)):
        if high[i] < high[i - 1] or (high[i] == high[i - 1] and low[i] < low[i - 1]):
            return False
    return True


@kernel
def locate(
    high: NDArray[np.uint16],
    low: NDArray[np.uint64],
    known_high: NDArray[np.uint16],
    known_low: NDArray[np.uint64],
    place: NDArray[np.int64],
) -> None:
    """Fill `place` with the place of each id among the known ones, which ascend; -1 where it is not there.

    Files mostly follow the order of ids, so the place behind the last hit is tried before halving.
    """
    count = len(known_high)
    near = 0
    for i in range(len(high)):
        place[i] = -1
        at = near
        for guess in range(near, min(near + 2, count)):
            if known_high[guess] == high[i] and known_low[guess] == low[i]:
                place[i] = guess
        if place[i] < 0:
            at, end = 0, count
            while at < end:
                middle = (at + end) // 2
                if known_high[middle] < high[i] or (known_high[middle] == high[i] and known_low[middle] < low[i]):
                    at = middle + 1
                else:
                    end = middle
            if at < count and known_high[at] == high[i] and known_low[at] == low[i]:
                place[i] = at
        if place[i] >= 0:
            near = place[i]
