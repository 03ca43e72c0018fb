# SPDX-License-Identifier: Apache-2.0
"""Kernels for ready rows: those whose cell alone decides, ordered by retailer and instant, one word each.

A slot never closes for a retailer before such a row goes out: until then its cell was unissued.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import Timeline, has_value
from pipeline.issuance_kernels import LOOK_UP, NOBODY
from pipeline.jit import kernel
from pipeline.plain_kernels import GROUP_AT, NOT_READY, QUALITY_AT, READY_ENERGY, READY_STEPS

POSITION_AT: Final = np.uint64(32)
"""A ready row is one word: energy and quality as in a ready cell, position."""
NO_REFERENCE: Final = 0xFFFFFFFF
_LOW: Final = np.uint64(0xFFFFFFFF)
_QUALITY: Final = np.uint64(0xF)
_ENERGY: Final = np.uint64(READY_ENERGY - 1)


@kernel
def take_ready(events: Timeline, first: int, ready: NDArray[np.uint64], counts: NDArray[np.int64]) -> int:
    """Take cells with a plain story out of the events: one retailer, no value at first, then one for good.

    Their words go to `ready`, counted by group; other events move up. Returns how many are left.
    """
    position, event_step, event_owner, event_quality, event_energy = events
    left, i, n = 0, 0, len(position)
    while i < n:
        j = i + 1
        while j < n and position[j] == position[i]:
            j += 1
        last = j - 1
        step, owner, quality = np.uint64(event_step[last]), np.uint64(event_owner[last]), np.uint64(event_quality[last])
        plain = event_step[i] == 0 and step < READY_STEPS and has_value(quality) and 0 < owner < NOBODY
        plain = plain and 0 <= event_energy[last] < READY_ENERGY
        for k in range(i, last):
            plain = plain and event_owner[k] == event_owner[last] and not has_value(event_quality[k])
        if plain:
            group = owner * np.uint64(READY_STEPS) + step
            counts[group] += 1
            ready[position[i] - first] = group << GROUP_AT | quality << QUALITY_AT | np.uint64(event_energy[last])
        else:
            for k in range(i, j):
                position[left], event_step[left], event_owner[left] = position[k], event_step[k], event_owner[k]
                event_quality[left], event_energy[left] = event_quality[k], event_energy[k]
                left += 1
        i = j
    return left


@kernel
def order_ready(
    ready: NDArray[np.uint64],
    first: int,
    place: NDArray[np.int64],
    out: NDArray[np.uint64],
    supply_of: NDArray[np.int64],
    ref_off: NDArray[np.int64],
    reference: NDArray[np.uint32],
) -> None:
    """Store the rows of ready cells at their group's next place; the cells are those from position `first` on.

    `reference` becomes the supply rows of their customer_refs, unless it is empty: read here, point after point, they
    cost a fifth of what they would when a file is written.
    """
    for i in range(len(ready)):
        word = ready[i]
        if word != NOT_READY:
            group = word >> GROUP_AT
            to = place[group]
            place[group] = to + 1
            out[np.uint64(to)] = np.uint64(first + i) << POSITION_AT | (word & _LOW)
            if len(reference) > 0:
                supply = supply_of[first + i]
                if supply_of[first + i + 1] != supply + 1:
                    reference[to] = LOOK_UP
                elif ref_off[supply + 1] > ref_off[supply]:
                    reference[to] = supply
                else:
                    reference[to] = NO_REFERENCE


@kernel
def unpack_ready(
    words: NDArray[np.uint64], position: NDArray[np.uint32], quality: NDArray[np.uint8], energy: NDArray[np.int64]
) -> None:
    """Take ready rows apart into columns of their length."""
    for i in range(len(words)):
        word = words[i]
        position[i] = word >> POSITION_AT
        quality[i] = (word >> QUALITY_AT) & _QUALITY
        energy[i] = np.int64(word & _ENERGY)


@kernel
def longest_run(rank: NDArray[np.uint32]) -> tuple[int, int]:
    """Return the longest run [first, last) of points that stand in the order of their ids."""
    best_first, best_last, first = 0, 0, 0
    for p in range(1, len(rank) + 1):
        if p == len(rank) or rank[p] <= rank[p - 1]:
            if p - first > best_last - best_first:
                best_first, best_last = first, p
            first = p
    return best_first, best_last
