# SPDX-License-Identifier: Apache-2.0
"""Kernels of daily files: the rows of a shard and slot by retailer and revision, and the points that stand in a file.

A group is a retailer and an instant's number, as one number; all rows of revision 00 stand under the closing's.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.issuance_kernels import CLOSING, Rows, ascends
from pipeline.jit import kernel
from pipeline.plain_kernels import READY_STEPS
from pipeline.ready_kernels import unpack_ready

GROUP_AT: Final = 32
"""A point in a group is one word: the group, the point's rank."""


@kernel
def order_group(rank: NDArray[np.uint32], rows: Rows, start: int, middle: int, end: int) -> None:
    """Order the rows [start, end) by point id; those before `middle` mostly ascend, those from there on are few."""
    position, quality, energy = rows
    if ascends(rank, position, start, end):
        return
    if not ascends(rank, position, start, middle):
        middle = start
    order = np.argsort(rank[position[middle:end]])
    later_position, later_quality = position[middle:end][order], quality[middle:end][order]
    later_energy = energy[middle:end][order]
    i, j = middle - 1, len(order) - 1
    for k in range(end - 1, start - 1, -1):
        if j < 0:
            break
        if i >= start and rank[position[i]] > rank[later_position[j]]:
            position[k], quality[k], energy[k] = position[i], quality[i], energy[i]
            i -= 1
        else:
            position[k], quality[k], energy[k] = later_position[j], later_quality[j], later_energy[j]
            j -= 1


@kernel
def day_rows(
    ready_counts: NDArray[np.uint32],
    words: NDArray[np.uint64],
    decided_counts: NDArray[np.int64],
    decided: Rows,
    from_step: int,
    rank: NDArray[np.uint32],
    rows: Rows,
    group: NDArray[np.int64],
    at: NDArray[np.int64],
) -> int:
    """Put the rows of a shard and slot together, by retailer and revision, ascending by point id.

    Args:
        ready_counts: ready rows, flattened from (retailers, `READY_STEPS`); all are of revision 00.
        words: the ready rows.
        decided_counts: (retailers, steps) rows of the cells whose story is not plain.
        decided: those rows.
        from_step: instants before this one are out.
        rank: of each point of the master in the order of ids.
        rows: room for all.
        group: room for the groups that have rows.
        at: room for where each group starts, and one more for the end.

    Returns:
        How many groups there are.

    """
    retailers, steps = decided_counts.shape
    count, groups, word, row = 0, 0, np.int64(0), np.int64(0)
    for retailer in range(retailers):
        first_word = word
        for step in range(READY_STEPS):
            word += np.int64(ready_counts[retailer * READY_STEPS + step])
        for step in range(CLOSING, steps):
            start = count
            if step == CLOSING and step >= from_step:
                ready = words[first_word:word]
                unpack_ready(ready, rows.position[start:], rows.quality[start:], rows.energy[start:])
                count += len(ready)
            middle = count
            for one in range(0 if step == CLOSING else step, step + 1):
                for k in range(row, row + decided_counts[retailer, one]):
                    if step >= from_step:
                        rows.position[count] = decided.position[k]
                        rows.quality[count] = decided.quality[k]
                        rows.energy[count] = decided.energy[k]
                        count += 1
                row += decided_counts[retailer, one]
            if count > start:
                order_group(rank, rows, start, middle, count)
                group[groups] = retailer * steps + step
                at[groups] = start
                groups += 1
    at[groups] = count
    return groups


@kernel
def note_points(
    position: NDArray[np.uint32],
    group: NDArray[np.int64],
    at: NDArray[np.int64],
    first: int,
    rank: NDArray[np.uint32],
    seen: NDArray[np.int64],
    out: NDArray[np.int64],
) -> int:
    """Add points to those that stand in a group, slot after slot; `seen` is the group in which each stood last.

    Fills `out` with (group, rank) and returns how many. A point that changes groups to and fro is added again.
    """
    count = 0
    for g in range(len(group)):
        for i in range(at[g], at[g + 1]):
            p = position[i]
            if seen[p - first] != group[g]:
                seen[p - first] = group[g]
                out[count] = group[g] << GROUP_AT | np.int64(rank[p])
                count += 1
    return count


@kernel
def lower_bound(rank: NDArray[np.uint32], position: NDArray[np.uint32], first: int, last: int, bound: int) -> int:
    """Return the first of the rows [first, last), ascending by point id, whose rank is not below `bound`."""
    while first < last:
        middle = (first + last) // 2
        if rank[position[middle]] < bound:
            first = middle + 1
        else:
            last = middle
    return first
