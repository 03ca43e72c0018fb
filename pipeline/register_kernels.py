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
def sort_by_stamp(
    stamp: NDArray[np.int32], first_stamp: int, place: NDArray[np.int64], order: NDArray[np.uint32]
) -> None:
    """Fill `order` with row numbers by stamp; `place[s - first_stamp]` holds the stamp's first position."""
    for i in range(len(stamp)):
        to = place[stamp[i] - first_stamp]
        place[stamp[i] - first_stamp] = to + 1
        order[to] = i


@kernel
def count_stamps(stamp: NDArray[np.int32], first_stamp: int, counts: NDArray[np.int64]) -> None:
    """Count rows by stamp."""
    for i in range(len(stamp)):
        counts[stamp[i] - first_stamp] += 1


@kernel
def elect(
    rows: NDArray[np.uint32],
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    arrival: NDArray[np.int64],
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
) -> None:
    """Let the earliest arrival win in each column cell; at equal times the smaller value. Order-free."""
    for j in range(len(rows)):
        i = rows[j]
        k = local[i]
        if arrival[i] < best_arrival[k] or (arrival[i] == best_arrival[k] and value[i] < best_value[k]):
            best_arrival[k] = arrival[i]
            best_value[k] = value[i]


@kernel
def classify(
    rows: NDArray[np.uint32],
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
    for j in range(len(rows)):
        i = rows[j]
        k = local[i]
        if value[i] != best_value[k]:
            verdict[i] = CONFLICT
        elif seen[k] == 1 or (base_arrival[k] != ABSENT_MS and base_value[k] == value[i]):
            verdict[i] = DUPLICATE
        else:
            verdict[i] = ACCEPTED
            seen[k] = 1


@kernel
def count_changes(
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
    base_value: NDArray[np.uint32],
    base_arrival: NDArray[np.int64],
) -> int:
    """Count the column cells that the election changed."""
    count = 0
    for k in range(len(best_value)):
        if best_arrival[k] != base_arrival[k] or best_value[k] != base_value[k]:
            count += 1
    return count


@kernel
def take_changes(
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
    base_value: NDArray[np.uint32],
    base_arrival: NDArray[np.int64],
    out_local: NDArray[np.uint32],
    out_value: NDArray[np.uint32],
    out_arrival: NDArray[np.int64],
    displaced: NDArray[np.uint8],
) -> int:
    """Copy the changed column cells out, ascending; `displaced` is 1 where another value stood before.

    Returns the latest arrival.
    """
    to = 0
    latest = -ABSENT_MS
    for k in range(len(best_value)):
        if best_arrival[k] != base_arrival[k] or best_value[k] != base_value[k]:
            out_local[to] = k
            out_value[to] = best_value[k]
            out_arrival[to] = best_arrival[k]
            displaced[to] = base_arrival[k] != ABSENT_MS and best_value[k] != base_value[k]
            latest = max(latest, best_arrival[k])
            to += 1
    return latest


@kernel
def spread(
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    arrival: NDArray[np.int64],
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
) -> None:
    """Lay a segment's reads over a dense column by the same election."""
    for i in range(len(local)):
        k = local[i]
        if arrival[i] < best_arrival[k] or (arrival[i] == best_arrival[k] and value[i] < best_value[k]):
            best_arrival[k] = arrival[i]
            best_value[k] = value[i]
