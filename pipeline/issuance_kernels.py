# SPDX-License-Identifier: Apache-2.0
"""Kernels of issuing: from the timelines of a slot's cells to the rows each retailer is sent at each instant.

Instants are numbered: 0, 1, 2 the splits and 3 the closing (revision 00), 4 and later the revisions. Events of one cell
stand together, ascending by step.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import Timeline, has_value
from pipeline.jit import kernel

CLOSING = 3
WITHDRAWN = 8
NOBODY = 0xFFFF
LOOK_UP = 0xFFFFFFFE
"""In place of a supply row: to be found by retailer, slot and instant."""
HOLDERS_MAX = 16  # retailers one cell can have been issued to

_MISSING_STATE, _VALUE_STATE, _WITHDRAWN_STATE = 0, 1, 2


class Rows(NamedTuple):
    """Issued rows, grouped by (retailer, instant): columns of equal length."""

    position: NDArray[np.uint32]
    quality: NDArray[np.uint8]
    energy: NDArray[np.int64]


@kernel
def count_expected(events: Timeline, steps: int, expected: NDArray[np.int64], unissued: NDArray[np.int64]) -> None:
    """Fill `expected[r, k]` and `unissued[r, k]` for the instants of revision 00 (k up to the closing).

    A cell is unissued for its owner at k when it has no value then and had none to give this owner before.
    """
    steps = min(steps, CLOSING + 1)
    n = len(events.position)
    i = 0
    while i < n:
        j = i + 1
        while j < n and events.position[j] == events.position[i]:
            j += 1
        at = i
        for k in range(events.step[i], steps):
            while at + 1 < j and events.step[at + 1] <= k:
                at += 1
            owner = events.owner[at]
            if owner == NOBODY:
                continue
            expected[owner, k] += 1
            had_value = False
            for before in range(i, at + 1):
                if events.owner[before] == owner and has_value(events.quality[before]):
                    had_value = True
            if not had_value:
                unissued[owner, k] += 1
        i = j


@kernel
def emit(
    rows: Rows, fill: bool, place: NDArray[np.int64], retailer: int, step: int, position: int, quality: int, energy: int
) -> None:
    """Count a row (`fill` False) or store it at its group's next place."""
    to = place[retailer, step]
    place[retailer, step] = to + 1
    if fill:
        rows.position[to] = position
        rows.quality[to] = quality
        rows.energy[to] = energy


@kernel
def issue_rows(
    events: Timeline, steps: int, close: NDArray[np.int8], fill: bool, place: NDArray[np.int64], rows: Rows
) -> None:
    """Walk through all cells; count rows into `place[r, k]` or, with `fill`, store them from there on.

    `close[r]` is the instant (0..3) at which the slot closes for retailer r. Source: the contract's revision 00 and
    later revisions.
    """
    n = len(events.position)
    i = 0
    while i < n:
        j = i + 1
        while j < n and events.position[j] == events.position[i]:
            j += 1
        owner = events.owner[i]
        if j == i + 1 and events.step[i] == 0 and has_value(events.quality[i]) and 0 < owner < NOBODY:
            emit(rows, fill, place, owner, 0, events.position[i], events.quality[i], events.energy[i])
        else:
            issue_cell(events, i, j, steps, close, fill, place, rows)
        i = j


@kernel
def issue_cell(
    events: Timeline,
    first: int,
    last: int,
    steps: int,
    close: NDArray[np.int8],
    fill: bool,
    place: NDArray[np.int64],
    rows: Rows,
) -> None:
    """Issue one cell with a history: owners, availability or energy that change from instant to instant."""
    holder = np.empty(HOLDERS_MAX, np.int64)
    state = np.empty(HOLDERS_MAX, np.int8)
    issued_energy = np.empty(HOLDERS_MAX, np.int64)
    holders = 0
    position = events.position[first]
    for i in range(first, last):
        begin = np.int64(events.step[i])
        end = np.int64(events.step[i + 1]) if i + 1 < last else steps
        owner = np.int64(events.owner[i])
        valued = has_value(events.quality[i])
        owned = 0 < owner < NOBODY
        mine = -1
        for h in range(holders):
            if holder[h] == owner:
                mine = h
        if owned and mine < 0 and holders < HOLDERS_MAX:
            at = -1
            if valued and begin <= close[owner]:
                at = begin
            elif not valued and close[owner] == CLOSING and begin <= CLOSING < end:
                at = CLOSING
            elif max(begin, CLOSING + 1) < end:
                at = max(begin, CLOSING + 1)
            if 0 <= at < end:
                emit(rows, fill, place, owner, at, position, events.quality[i], events.energy[i])
                holder[holders] = owner
                state[holders] = _VALUE_STATE if valued else _MISSING_STATE
                issued_energy[holders] = events.energy[i]
                mine = holders
                holders += 1
        revision = max(begin, CLOSING + 1)
        if revision >= end:
            continue
        for h in range(holders):
            if h == mine:
                wanted = _VALUE_STATE if valued else _MISSING_STATE
                if state[h] != wanted or (valued and issued_energy[h] != events.energy[i]):
                    emit(rows, fill, place, owner, revision, position, events.quality[i], events.energy[i])
                    state[h] = wanted
                    issued_energy[h] = events.energy[i]
            elif state[h] != _WITHDRAWN_STATE:
                emit(rows, fill, place, holder[h], revision, position, WITHDRAWN, np.int64(0))
                state[h] = _WITHDRAWN_STATE


@kernel
def ascends(rank: NDArray[np.uint32], position: NDArray[np.uint32], first: int, last: int) -> bool:
    """Say whether the rows [first, last) ascend by point id already."""
    for i in range(first + 1, last):
        if rank[position[i]] <= rank[position[i - 1]]:
            return False
    return True


@kernel
def reference_rows(
    supply_of: NDArray[np.int64],
    supply_from: NDArray[np.int32],
    supply_to: NDArray[np.int32],
    supply_retailer: NDArray[np.uint16],
    supply_rec_from: NDArray[np.int64],
    supply_ref_off: NDArray[np.int64],
    position: NDArray[np.uint32],
    slot: int,
    retailer: int,
    instant_ms: int,
    out: NDArray[np.uint32],
) -> None:
    """Name the supply row whose customer_ref goes out with each cell: the retailer's latest known one at the slot.

    Only rows of `out` that say `LOOK_UP` are filled. The only supply row of a point is not asked: without it, the
    retailer would not have been issued the cell.
    """
    for i in range(len(position)):
        if out[i] != LOOK_UP:
            continue
        p = position[i]
        first, last = supply_of[p], supply_of[p + 1]
        found = first if last == first + 1 else np.int64(-1)
        for row in range(first, last if found < 0 else first):
            if (
                supply_retailer[row] == retailer
                and supply_from[row] <= slot < supply_to[row]
                and supply_rec_from[row] <= instant_ms
                and (found < 0 or supply_rec_from[row] >= supply_rec_from[found])
            ):
                found = row
        if found >= 0 and supply_ref_off[found + 1] > supply_ref_off[found]:
            out[i] = found
        else:
            out[i] = 0xFFFFFFFF
