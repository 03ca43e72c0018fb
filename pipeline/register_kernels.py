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
    later_ms: NDArray[np.uint32],
    first_ms: int,
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
) -> None:
    """Let the earliest arrival win in each column cell; at equal times the smaller value. Order-free.

    Arrivals are ms after `first_ms`. No `rows` at all means every read.
    """
    for j in range(len(rows) if len(rows) > 0 else len(local)):
        i = np.int64(rows[j]) if len(rows) > 0 else j
        k = local[i]
        arrival = first_ms + np.int64(later_ms[i])
        if arrival < best_arrival[k] or (arrival == best_arrival[k] and value[i] < best_value[k]):
            best_arrival[k] = arrival
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
    counts: NDArray[np.int64],
) -> None:
    """Say of each read whether it is accepted, a duplicate of the elected value or in conflict with it; count them.

    `seen` (zeros, one a column cell) is used to accept one read a cell only. No `rows` at all means every read.
    """
    for j in range(len(rows) if len(rows) > 0 else len(local)):
        i = np.int64(rows[j]) if len(rows) > 0 else j
        k = local[i]
        if value[i] != best_value[k]:
            verdict[i] = CONFLICT
        elif seen[k] == 1 or (base_arrival[k] != ABSENT_MS and base_value[k] == value[i]):
            verdict[i] = DUPLICATE
        else:
            verdict[i] = ACCEPTED
            seen[k] = 1
        counts[verdict[i]] += 1


@kernel
def measure_changes(
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
    base_value: NDArray[np.uint32],
    base_arrival: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Count the column cells that the election changed; return also their earliest and latest arrival."""
    count, first, last = 0, ABSENT_MS, -ABSENT_MS
    for k in range(len(best_value)):
        if best_arrival[k] != base_arrival[k] or best_value[k] != base_value[k]:
            count += 1
            first = min(first, best_arrival[k])
            last = max(last, best_arrival[k])
    return count, first, last


@kernel
def take_changes(
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
    base_value: NDArray[np.uint32],
    base_arrival: NDArray[np.int64],
    first_ms: int,
    out_local: NDArray[np.uint32],
    out_value: NDArray[np.uint32],
    out_later: NDArray[np.uint32],
    displaced: NDArray[np.uint8],
) -> None:
    """Copy the changed column cells out, ascending, arrivals as ms after `first_ms`.

    `displaced` is 1 where another value stood before.
    """
    to = 0
    for k in range(len(best_value)):
        if best_arrival[k] != base_arrival[k] or best_value[k] != base_value[k]:
            out_local[to] = k
            out_value[to] = best_value[k]
            out_later[to] = best_arrival[k] - first_ms
            displaced[to] = base_arrival[k] != ABSENT_MS and best_value[k] != base_value[k]
            to += 1


@kernel
def spread(
    local: NDArray[np.uint32],
    value: NDArray[np.uint32],
    later: NDArray[np.uint32],
    first_ms: int,
    best_value: NDArray[np.uint32],
    best_arrival: NDArray[np.int64],
) -> None:
    """Lay a segment's reads over a dense column by the same election; arrivals are ms after `first_ms`."""
    for i in range(len(local)):
        k = local[i]
        arrival = first_ms + np.int64(later[i])
        if arrival < best_arrival[k] or (arrival == best_arrival[k] and value[i] < best_value[k]):
            best_arrival[k] = arrival
            best_value[k] = value[i]
