# SPDX-License-Identifier: Apache-2.0
"""Kernels for plain cells: one owner, one meter and one set of attributes hold over the slot and all its instants.

Nearly every cell is plain, and its row follows from its registers: it goes out at the instant from which its value is
known, if that is one of revision 00. A slot never closes for a retailer before: the cell was unissued until then. Such
a row is *ready* and leaves its cell as one word; only the other cells get events.

A pass over the dated columns of a master costs more than the energy of its cells. So they are measured once, block by
block: where the measures of a block say that its cells are plain, only registers, factors and owners are read.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import (
    AVAILABLE,
    ENERGY,
    EXPECTED,
    MISSING,
    MS_PER_SLOT,
    NO_TELEMETRY,
    OPEN_MS,
    Dated,
    Ends,
    Timeline,
    Totals,
    difference,
    has_value,
    put_event,
    walk_cell,
)
from pipeline.jit import inlined, kernel
from pipeline.register_kernels import arrival_of, register_of

BLOCK: Final = 256
"""Points measured together."""
MEASURES: Final = 6
KNOWN_FROM, KNOWN_TO, SUPPLY_FROM, SUPPLY_TO, INSTALL_FROM, INSTALL_TO = range(MEASURES)
"""The narrowest range of each kind that holds for all rows of a block."""

READY_STEPS: Final = 4
"""Instants of revision 00, at which a row can be ready."""
NOT_READY: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
READY_ENERGY: Final = 1 << 28
"""A ready row's energy is below, dWh; a cell of more is not plain enough."""
QUALITY_AT: Final = np.uint64(28)
GROUP_AT: Final = np.uint64(32)
"""A ready cell is one word: energy, quality, group (retailer x READY_STEPS + instant)."""

NO_ROW: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
_NONE, _MANY = -1, -2


@kernel
def highest(column: NDArray[np.int64]) -> int:
    """Return the greatest of some numbers, at least one."""
    found = column[0]
    for i in range(len(column)):
        found = max(found, column[i])
    return np.int64(found)


@kernel
def lowest(column: NDArray[np.int64]) -> int:
    """Return the least of some numbers, at least one."""
    found = column[0]
    for i in range(len(column)):
        found = min(found, column[i])
    return np.int64(found)


@kernel
def one_each(offsets: NDArray[np.int64]) -> bool:
    """Say whether every point has one row."""
    differs = np.int64(0)
    for i in range(len(offsets)):
        differs |= offsets[i] - offsets[0] - i
    return bool(differs == 0)


@kernel
def measure_blocks(dated: Dated, first: int, last: int, blocks: NDArray[np.int64]) -> None:
    """Measure the points [first, last), `BLOCK` by `BLOCK`, into the rows of `blocks`.

    A block in which a point has several rows of a kind, or none, or is not of low voltage, is known from `OPEN_MS` on:
    never.
    """
    # fmt: off
    (_, attr_of, attr_voltage, _, _, attr_rec_from, attr_rec_to, supply_of, supply_from, supply_to, _, _,
     supply_rec_from, supply_rec_to, install_of, _, install_from_ms, install_to_ms, _, _, _, _, install_rec_from,
     install_rec_to) = dated
    # fmt: on
    for block in range(len(blocks)):
        p = first + block * BLOCK
        q = min(last, p + BLOCK)
        a, b = attr_of[p], attr_of[q]
        c, d = supply_of[p], supply_of[q]
        e, f = install_of[p], install_of[q]
        alone = one_each(attr_of[p : q + 1]) and one_each(supply_of[p : q + 1]) and one_each(install_of[p : q + 1])
        if not alone or highest(attr_voltage[a:b]) > 0:
            blocks[block, KNOWN_FROM] = OPEN_MS
            continue
        blocks[block, KNOWN_FROM] = max(
            highest(attr_rec_from[a:b]), highest(supply_rec_from[c:d]), highest(install_rec_from[e:f])
        )
        blocks[block, KNOWN_TO] = min(lowest(attr_rec_to[a:b]), lowest(supply_rec_to[c:d]), lowest(install_rec_to[e:f]))
        blocks[block, SUPPLY_FROM] = highest(supply_from[c:d])
        blocks[block, SUPPLY_TO] = lowest(supply_to[c:d])
        blocks[block, INSTALL_FROM] = highest(install_from_ms[e:f])
        blocks[block, INSTALL_TO] = lowest(install_to_ms[e:f])


@inlined
def is_settled(measured: NDArray[np.int64], slot: int, instants: NDArray[np.int64]) -> bool:
    """Say whether the rows of a block hold over the slot, and were known from the first instant to the last."""
    begin_ms, end_ms = instants[0], instants[len(instants) - 1]
    return bool(
        measured[KNOWN_FROM] <= begin_ms
        and measured[KNOWN_TO] > end_ms
        and measured[SUPPLY_FROM] <= slot < measured[SUPPLY_TO]
        and measured[INSTALL_FROM] < slot * MS_PER_SLOT
        and measured[INSTALL_TO] > slot * MS_PER_SLOT + MS_PER_SLOT
    )


@inlined
def first_step(instants: NDArray[np.int64], known_ms: int) -> int:
    """Return the number of the first instant not before `known_ms`; how many there are if all are before."""
    step = 0
    while step < len(instants) and instants[step] < known_ms:
        step += 1
    return step


@inlined
def add_plain(table: NDArray[np.int64], index: int, quality: int, energy: int) -> None:
    """Count one cell's final state in one table of totals."""
    table[index, EXPECTED] += 1
    if has_value(quality):
        table[index, AVAILABLE] += 1
        table[index, ENERGY] += energy


@inlined
def is_among(locals_: NDArray[np.uint32], local: int) -> bool:
    """Say whether an installation is among those for which an operator's register stands in."""
    found = False
    for k in range(len(locals_)):
        found = found or locals_[k] == local
    return found


@inlined
def only_one(found: int, row: int, rec_from: int, rec_to: int, begin_ms: int, end_ms: int) -> int:
    """Take one more row of a point into account: which of them was known all the time from `begin_ms` to `end_ms`?

    `_NONE` while none was known in that time at all, `_MANY` where what was known changes.
    """
    if rec_from > end_ms or rec_to <= begin_ms:
        return found
    return row if found == _NONE and rec_from <= begin_ms and rec_to > end_ms else _MANY


@kernel
def choose_rows(
    dated: Dated,
    first: int,
    last: int,
    slot: int,
    instants: NDArray[np.int64],
    other_local: NDArray[np.uint32],
    chosen: NDArray[np.uint64],
) -> None:
    """Put the rows that decide each cell of a block's points [first, last) into `chosen`.

    Attribute, supply and installation row; `NO_ROW` where the cell is not plain.
    """
    # fmt: off
    (_, attr_of, attr_voltage, _, _, attr_rec_from, attr_rec_to, supply_of, supply_from, supply_to, _, _,
     supply_rec_from, supply_rec_to, install_of, install_local, install_from_ms, install_to_ms, _, _, _, _,
     install_rec_from, install_rec_to) = dated
    # fmt: on
    begin_ms, end_ms = instants[0], instants[len(instants) - 1]
    start_ms = slot * MS_PER_SLOT
    stop_ms = start_ms + MS_PER_SLOT
    for p in range(first, last):
        a, s, i = _NONE, _NONE, _NONE
        for row in range(attr_of[p], attr_of[p + 1]):
            a = only_one(a, row, attr_rec_from[row], attr_rec_to[row], begin_ms, end_ms)
        for row in range(supply_of[p], supply_of[p + 1]):
            if supply_from[row] <= slot < supply_to[row]:
                s = only_one(s, row, supply_rec_from[row], supply_rec_to[row], begin_ms, end_ms)
        for row in range(install_of[p], install_of[p + 1]):
            if install_from_ms[row] < stop_ms and install_to_ms[row] > start_ms:
                i = only_one(i, row, install_rec_from[row], install_rec_to[row], begin_ms, end_ms)
        plain = a >= 0 and s >= 0 and i >= 0 and attr_voltage[a] == 0
        plain = plain and install_from_ms[i] < start_ms and install_to_ms[i] > stop_ms
        plain = plain and not is_among(other_local, install_local[i])
        chosen[0, p - first] = NO_ROW
        if plain:
            chosen[0, p - first], chosen[1, p - first], chosen[2, p - first] = a, s, i


@inlined
def number_rows(chosen: NDArray[np.uint64], cells: int, attribute: int, supply: int, install: int) -> None:
    """Choose the rows of a block that has one of each kind for each point."""
    for n, row in enumerate((attribute, supply, install)):
        for k in range(cells):
            chosen[n, k] = row + k


@kernel
def put_story(
    out: Timeline, count: int, p: int, step: int, steps: int, owner: int, telemetry: int, quality: int, energy: int
) -> int:
    """Store the events of a plain cell where there is room and return the count with them."""
    if step > 0:
        count = put_event(out, count, p, 0, owner, MISSING if telemetry == 1 else NO_TELEMETRY, np.int64(0))
    if step < steps:
        count = put_event(out, count, p, step, owner, quality, energy)
    return count


@kernel
def timelines(
    dated: Dated,
    blocks: NDArray[np.int64],
    first: int,
    slot: int,
    ends: Ends,
    instants: NDArray[np.int64],
    real: int,
    ready: NDArray[np.uint64],
    counts: NDArray[np.int64],
    out: Timeline,
    totals: Totals,
) -> int:
    """Compute the cells from position `first` on at `slot` over the ascending instants: ready, or with events.

    Fills `ready` (a word a cell) and adds to `counts` by group and to `totals`; how many ready cells a retailer has is
    said by its groups alone. A cell with events has one at step 0. `real` instants count for the totals (the state at
    the last of them); further ones are looked ahead to. Returns how many events there are, with or without room.

    Columns leave their tuples first: in the loop each `dated.x` counts a reference, at fifteen times a cell's cost.
    """
    # fmt: off
    (area, attr_of, _, attr_telemetry, attr_cap_dwh, _, _, supply_of, _, _, supply_retailer, supply_bg, _, _,
     install_of, install_local, _, _, install_modulus, install_factor, _, _, _, _) = dated
    # fmt: on
    start_word, start_base_ms, end_word, end_base_ms, other_local, _, _, _ = ends
    by_retailer, by_group, by_area = totals
    count, chosen = 0, np.empty((3, BLOCK), np.uint64)
    for block in range(len(blocks)):
        begin = first + block * BLOCK
        cells = min(BLOCK, first + len(ready) - begin)
        if len(other_local) > 0 or not is_settled(blocks[block], slot, instants):
            choose_rows(dated, begin, begin + cells, slot, instants, other_local, chosen)
        else:
            number_rows(chosen, cells, attr_of[begin], supply_of[begin], install_of[begin])
        for k in range(cells):
            p, place = np.uint64(begin + k), np.uint64(begin + k - first)
            a, s, i = chosen[0, k], chosen[1, k], chosen[2, k]
            ready[place] = NOT_READY
            if a == NO_ROW:
                count = walk_cell(dated, begin + k, slot, ends, instants, real, out, count, totals)
                continue
            owner, start, end = np.uint64(supply_retailer[s]), start_word[install_local[i]], end_word[install_local[i]]
            step = first_step(instants, max(arrival_of(start, start_base_ms), arrival_of(end, end_base_ms)))
            quality, energy = (MISSING if attr_telemetry[a] == 1 else NO_TELEMETRY), np.int64(0)
            if step < len(instants):
                begun, ended, cap_dwh = register_of(start), register_of(end), attr_cap_dwh[a]
                quality, energy = difference(begun, ended, install_modulus[i], install_factor[i], cap_dwh)
            if step < min(real, READY_STEPS) and has_value(quality) and owner > 0 and energy < READY_ENERGY:
                group = owner * np.uint64(READY_STEPS) + np.uint64(step)
                counts[group] += 1
                ready[place] = group << GROUP_AT | np.uint64(quality) << QUALITY_AT | np.uint64(energy)
                by_retailer[owner, ENERGY] += energy
            else:
                count = put_story(out, count, begin + k, step, len(instants), owner, attr_telemetry[a], quality, energy)
                quality = quality if step < real else MISSING
                add_plain(by_retailer, owner, quality, energy)
            add_plain(by_group, supply_bg[s], quality, energy)
            add_plain(by_area, area[p], quality, energy)
    return count
