# SPDX-License-Identifier: Apache-2.0
"""Kernels that gather what day rules ask of a point: its day slot by slot, from the cells that the day's files have."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import ACTUAL, BACKWARD, DIGITS, NOBODY, SPIKE, Dated, Timeline, has_value
from pipeline.jit import kernel
from pipeline.register_kernels import arrival_of, register_of

NEVER: Final = 0xFF
"""In place of a slot's number in the day."""


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


@kernel
def note_cells(
    position: NDArray[np.uint32],
    quality: NDArray[np.uint8],
    energy: NDArray[np.int64],
    first_position: int,
    number: int,
    gathered: Gathered,
) -> None:
    """Note cells of a slot that comes after all noted before; each cell once.

    Columns leave their tuple first, and nothing is called with them: in the loop each would count references.
    """
    cells, first, last_dwh, run, longest, after, _, _ = gathered
    for i in range(len(position)):
        k, word, dwh = np.int64(position[i]) - first_position, np.int64(quality[i]), energy[i]
        cells[k, word] += 1
        if word != ACTUAL and first[k, word] == NEVER:
            first[k, word] = number
        if word <= SPIKE or word == DIGITS:
            length = 0
            if dwh > 0:
                length = run[k] + 1 if dwh == last_dwh[k] else 1
            run[k] = length
            longest[k] = max(np.int64(longest[k]), np.int64(length))
            last_dwh[k] = dwh
            after[k] += 1
        else:
            run[k] = 0
            last_dwh[k] = -1
            if word == BACKWARD:
                after[k] = 0


@kernel
def last_cells(events: Timeline, steps: int, out: Timeline) -> int:
    """Put each cell with events, as it is at the last of the first `steps` instants, into `out`; returns how many."""
    position, event_step, owner, quality, energy = events
    out_position, out_step, out_owner, out_quality, out_energy = out
    count, i, n = 0, 0, len(position)
    while i < n:
        last, j = -1, i
        while j < n and position[j] == position[i]:
            last = j if event_step[j] < steps else last
            j += 1
        i = j
        if last >= 0 and owner[last] != NOBODY:
            out_position[count], out_step[count], out_owner[count] = position[last], event_step[last], owner[last]
            out_quality[count], out_energy[count] = quality[last], energy[last]
            count += 1
    return count


@kernel
def note_unowned(found: Timeline, first_position: int, number: int, gathered: Gathered) -> None:
    """Note the energy of those of the cells that no supply row covers."""
    position, _, owner, quality, energy = found
    _, _, _, _, _, _, unowned_dwh, unowned_first = gathered
    for i in range(len(position)):
        if owner[i] == 0 and has_value(quality[i]) and energy[i] > 0:
            k = np.int64(position[i]) - first_position
            unowned_dwh[k] += energy[i]
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
