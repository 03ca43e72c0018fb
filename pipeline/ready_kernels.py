# SPDX-License-Identifier: Apache-2.0
"""Kernels for cells with a plain story: one retailer, nothing known at first, then one value for good.

The row of such a cell goes out at the instant from which its value is known, if that is one of revision 00. A slot
never closes for a retailer before: the cell was unissued until then. So nothing but the cell itself decides.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import SPIKE, Timeline
from pipeline.issuance_kernels import CLOSING, NOBODY
from pipeline.jit import kernel

NO_REFERENCE = 0xFFFFFFFF
LOOK_UP = 0xFFFFFFFE
"""In place of a supply row: to be found by retailer, slot and instant."""
BEFORE = -2
LEFT = -1


@kernel
def mark_ready(
    events: Timeline, supply_of: NDArray[np.int64], mark: NDArray[np.int8], counts: NDArray[np.int64]
) -> int:
    """Say of each event what becomes of it; count ready rows into `counts[retailer, instant]`.

    `mark` becomes the instant at which the event's row goes out, `BEFORE` for events of the same cell before it, and
    `LEFT` for those of cells whose story is not plain, or whose retailer had more than one supply row. Returns how many
    are left.
    """
    position, step, owner, quality, _ = events
    left, i, n = 0, 0, len(position)
    while i < n:
        j = i + 1
        while j < n and position[j] == position[i]:
            j += 1
        last = j - 1
        p = np.int64(position[i])
        ready = step[i] == 0 and step[last] <= CLOSING and quality[last] <= SPIKE and 0 < owner[i] < NOBODY
        ready = ready and supply_of[p + 1] - supply_of[p] == 1
        for k in range(i, last):
            ready = ready and owner[k] == owner[last] and quality[k] > SPIKE
        if ready:
            counts[owner[last], step[last]] += 1
        else:
            left += j - i
        for k in range(i, last):
            mark[k] = BEFORE if ready else LEFT
        mark[last] = step[last] if ready else LEFT
        i = j
    return left


@kernel
def take_ready(
    events: Timeline,
    mark: NDArray[np.int8],
    supply_of: NDArray[np.int64],
    ref_off: NDArray[np.int64],
    place: NDArray[np.int64],
    out_position: NDArray[np.uint32],
    out_quality: NDArray[np.uint8],
    out_energy: NDArray[np.int64],
    out_reference: NDArray[np.uint32],
    rest: Timeline,
) -> None:
    """Store ready rows at their group's next place, with the supply row of their customer_ref; keep events left."""
    position, step, owner, quality, energy = events
    rest_position, rest_step, rest_owner, rest_quality, rest_energy = rest
    left = 0
    for i in range(len(position)):
        if mark[i] >= 0:
            to = place[owner[i], mark[i]]
            place[owner[i], mark[i]] = to + 1
            supply = supply_of[position[i]]
            out_position[to] = position[i]
            out_quality[to] = quality[i]
            out_energy[to] = energy[i]
            out_reference[to] = supply if ref_off[supply + 1] > ref_off[supply] else NO_REFERENCE
        elif mark[i] == LEFT:
            rest_position[left], rest_step[left], rest_owner[left] = position[i], step[i], owner[i]
            rest_quality[left], rest_energy[left] = quality[i], energy[i]
            left += 1


@kernel
def all_ascend(rank: NDArray[np.uint32]) -> bool:
    """Say whether points stand in the order of their ids."""
    for p in range(1, len(rank)):
        if rank[p] <= rank[p - 1]:
            return False
    return True
