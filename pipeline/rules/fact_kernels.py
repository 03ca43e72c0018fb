# SPDX-License-Identifier: Apache-2.0
"""Kernels that gather what day rules ask of a point: its day slot by slot, from the cells that the day's files have."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import ACTUAL, BACKWARD, NOBODY, Dated, Timeline, has_value
from pipeline.jit import inlined, kernel
from pipeline.plain_kernels import QUALITY_AT, READY_ENERGY
from pipeline.ready_kernels import POSITION_AT
from pipeline.register_kernels import arrival_of, register_of

NEVER: Final = 0xFF
"""In place of a slot's number in the day."""
_QUALITY: Final = np.uint64(0xF)
_ENERGY: Final = np.uint64(READY_ENERGY - 1)


class Gathered(NamedTuple):
    """Of each point of a shard, the slots noted so far; slots go by their number in the day."""

    cells: NDArray[np.uint8]  # (n, qualities) how many
    first: NDArray[np.uint8]  # (n, qualities) the first of them, `NEVER` where there is none; not kept of actual ones
    last_dwh: NDArray[np.int64]  # the last cell's energy, -1 where it has none
    run: NDArray[np.uint8]  # cells in a row, up to the last, of the same energy above 0
    longest: NDArray[np.uint8]  # the longest such run
    after: NDArray[np.uint8]  # cells with a value since the last backward one
    unowned_dwh: NDArray[np.int64]  # energy of cells that no supply row covers
    unowned_first: NDArray[np.uint8]  # the first of them


@inlined
def note_cell(
    cells: NDArray[np.uint8],
    first: NDArray[np.uint8],
    last_dwh: NDArray[np.int64],
    run: NDArray[np.uint8],
    longest: NDArray[np.uint8],
    after: NDArray[np.uint8],
    k: int,
    number: int,
    quality: int,
    energy: int,
) -> None:
    """Note one cell of point `k`; its slot comes after all noted before."""
    cells[k, quality] += 1
    if quality != ACTUAL and first[k, quality] == NEVER:
        first[k, quality] = number
    if has_value(quality):
        run[k] = 0 if energy <= 0 else (run[k] + 1 if energy == last_dwh[k] else 1)
        longest[k] = max(longest[k], run[k])
        last_dwh[k] = energy
        after[k] += 1
    else:
        run[k] = 0
        last_dwh[k] = -1
        after[k] = 0 if quality == BACKWARD else after[k]


@kernel
def note_ready(words: NDArray[np.uint64], first_position: int, number: int, gathered: Gathered) -> None:
    """Note the ready rows of a slot."""
    cells, first, last_dwh, run, longest, after, _, _ = gathered
    for i in range(len(words)):
        word = words[i]
        k = np.int64(word >> POSITION_AT) - first_position
        quality, energy = np.int64((word >> QUALITY_AT) & _QUALITY), np.int64(word & _ENERGY)
        note_cell(cells, first, last_dwh, run, longest, after, k, number, quality, energy)


@kernel
def note_events(events: Timeline, steps: int, first_position: int, number: int, gathered: Gathered) -> None:
    """Note the cells of a slot whose row is not ready, as they stand at the last of the first `steps` instants."""
    position, event_step, owner, event_quality, event_energy = events
    cells, first, last_dwh, run, longest, after, unowned_dwh, unowned_first = gathered
    i, n = 0, len(position)
    while i < n:
        last, j = -1, i
        while j < n and position[j] == position[i]:
            last = j if event_step[j] < steps else last
            j += 1
        i = j
        if last < 0 or owner[last] == NOBODY:
            continue
        k, quality, energy = np.int64(position[last]) - first_position, event_quality[last], event_energy[last]
        note_cell(cells, first, last_dwh, run, longest, after, k, number, quality, energy)
        if owner[last] == 0 and has_value(quality) and energy > 0:
            unowned_dwh[k] += energy
            if unowned_first[k] == NEVER:
                unowned_first[k] = number


@kernel
def unmoved(
    dated: Dated,
    first: int,
    words: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]],
    bases_ms: tuple[int, int, int],
    since_ms: int,
    until_ms: int,
    instant_ms: int,
    out: NDArray[np.bool_],
) -> None:
    """Say of each point whether its one meter shows the same register at the second and third of three stamps.

    A point whose register was the same at the first stamp, too, was told of before and is not told of again. The meter
    hangs from `since_ms`, the second stamp, to `until_ms`, the third, and its reads have arrived by the instant.
    """
    # fmt: off
    (_, _, _, _, _, _, _, _, _, _, _, _, _, _, install_of, install_local, install_from_ms, install_to_ms, _, _, _, _,
     install_rec_from, install_rec_to) = dated
    # fmt: on
    before, start, end = words
    before_ms, start_ms, end_ms = bases_ms
    for k in range(len(out)):
        found, rows = -1, 0
        for row in range(install_of[first + k], install_of[first + k + 1]):
            if install_rec_from[row] <= instant_ms < install_rec_to[row] and install_to_ms[row] > since_ms:
                found, rows = row, rows + 1
        out[k] = False
        if rows != 1 or install_from_ms[found] > since_ms or install_to_ms[found] < until_ms:
            continue
        local = install_local[found]
        a, b, c = before[local], start[local], end[local]
        arrived = arrival_of(b, start_ms) <= instant_ms and arrival_of(c, end_ms) <= instant_ms
        if arrived and register_of(b) == register_of(c):
            out[k] = arrival_of(a, before_ms) > instant_ms or register_of(a) != register_of(b)
