# SPDX-License-Identifier: Apache-2.0
"""Kernels of monthly rows: who is told what of a point's month at which instant.

A retailer is told what differs from what it was told last: from, to, slots, availability or energy.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import Dated, attribute_row
from pipeline.issuance_kernels import WITHDRAWN
from pipeline.jit import kernel
from pipeline.month_kernels import (
    BEST,
    END,
    ENERGY,
    FINE,
    FIRST,
    LOST,
    OWNER,
    PART_FIELDS,
    REASON,
    SLOTS,
    Gathered,
    parts_at,
)

RANK_BITS: Final = 32
"""A row's place is one word: retailer x instants + instant, then the point's rank."""
TOLD_FIELDS: Final = 6
_TOLD_ENERGY, _TOLD_STATE = 4, 5
"""After `OWNER`, `FIRST`, `END` and `SLOTS`, as in a part."""
_TOLD_MISSING, _TOLD_VALUE, _TOLD_WITHDRAWN = 0, 1, 2


class MonthRows(NamedTuple):
    """Rows to be issued: columns of equal length. `key` orders them; `day` is the reading day known at the instant."""

    key: NDArray[np.int64]
    position: NDArray[np.uint32]
    first: NDArray[np.int32]
    end: NDArray[np.int32]
    slots: NDArray[np.int32]
    missing: NDArray[np.int32]
    quality: NDArray[np.uint8]
    energy: NDArray[np.int64]
    day: NDArray[np.uint8]


@kernel
def mark_step(instants: NDArray[np.int64], at_ms: int, changed: NDArray[np.bool_]) -> None:
    """Mark the first instant not before `at_ms`, unless that is the very first or none is."""
    if instants[0] < at_ms <= instants[-1]:
        changed[np.searchsorted(instants, at_ms)] = True


@kernel
def mark_steps(
    dated: Dated, regs: Gathered, p: int, start: int, end: int, instants: NDArray[np.int64], changed: NDArray[np.bool_]
) -> None:
    """Mark the instants after the first at which what is known of a point's month may change."""
    for row in range(dated.attr_of[p], dated.attr_of[p + 1]):
        mark_step(instants, dated.attr_rec_from[row], changed)
        mark_step(instants, dated.attr_rec_to[row], changed)
    for row in range(dated.supply_of[p], dated.supply_of[p + 1]):
        mark_step(instants, dated.supply_rec_from[row], changed)
        mark_step(instants, dated.supply_rec_to[row], changed)
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        mark_step(instants, dated.install_rec_from[row], changed)
        mark_step(instants, dated.install_rec_to[row], changed)
        place = regs.place[dated.install_local[row]]
        arrival = regs.arrival[place, start - regs.first_stamp : end - regs.first_stamp + 1]
        for k in range(len(arrival)):
            if arrival[k] > instants[0]:
                mark_step(instants, arrival[k], changed)
        for k in range(regs.other_at[place], regs.other_at[place + 1]):
            mark_step(instants, regs.other_ms[k], changed)


@kernel
def put_row(
    out: MonthRows,
    count: int,
    key: int,
    p: int,
    row: NDArray[np.int64],
    quality: int,
    energy: int,
    missing: int,
    day: int,
) -> int:
    """Store a row where there is room and return the count with it; `row` has `FIRST`, `END` and `SLOTS`."""
    if count < len(out.key):
        out.key[count], out.position[count] = key, p
        out.first[count], out.end[count], out.slots[count] = row[FIRST], row[END], row[SLOTS]
        out.missing[count], out.quality[count], out.energy[count], out.day[count] = missing, quality, energy, day
    return count + 1


@kernel
def row_key(owner: int, step: int, steps: int, rank: int) -> int:
    """Return what orders the rows of a shard: by retailer, instant, point id."""
    return (owner * steps + step) << RANK_BITS | rank


@kernel
def tell_part(part: NDArray[np.int64], told: NDArray[np.int64], known: int) -> tuple[bool, int]:
    """Remember what a retailer is told; returns whether it is news, and of how many retailers there is something."""
    has_value = part[REASON] == FINE
    energy, state = part[ENERGY] if has_value else 0, _TOLD_VALUE if has_value else _TOLD_MISSING
    t = 0
    while t < known and told[t, OWNER] != part[OWNER]:
        t += 1
    same = t < known and told[t, _TOLD_STATE] == state and told[t, _TOLD_ENERGY] == energy
    for field in (FIRST, END, SLOTS):
        same = same and told[t, field] == part[field]
    if same:
        return False, known
    told[t, :_TOLD_ENERGY] = part[:_TOLD_ENERGY]
    told[t, _TOLD_ENERGY], told[t, _TOLD_STATE] = energy, state
    return True, max(known, t + 1)


@kernel
def withdraws(told: NDArray[np.int64], parts: NDArray[np.int64], found: int) -> bool:
    """Say whether a retailer has to be told that a month is not its own any more, and remember it."""
    if told[_TOLD_STATE] == _TOLD_WITHDRAWN:
        return False
    for h in range(found):
        if parts[h, OWNER] == told[OWNER]:
            return False
    told[_TOLD_STATE] = _TOLD_WITHDRAWN
    return True


@kernel
def month_rows(
    dated: Dated,
    read_day: NDArray[np.uint8],
    rank: NDArray[np.uint32],
    regs: Gathered,
    member: NDArray[np.uint32],
    start: NDArray[np.int32],
    known_ms: NDArray[np.int64],
    end: int,
    instants: NDArray[np.int64],
    from_step: int,
    holders: int,
    content: NDArray[np.bool_],
    out: MonthRows,
) -> int:
    """Tell each retailer of the months of some points, instant by instant: what it was not told before.

    `read_day` stands by attribute row, `regs` holds all installations of the points from the first start to `end`, the
    first of the `instants` is that of revision 00, those before `from_step` are out, a point has `holders` retailers at
    most. `content` (retailers, instants) is set where there is a row, those that are out too. Returns how many rows
    there are, with or without room.
    """
    steps, count = len(instants), 0
    changed = np.empty(steps, np.bool_)
    parts, told = np.empty((holders, PART_FIELDS), np.int64), np.empty((holders, TOLD_FIELDS), np.int64)
    for i in range(len(member)):
        p, known = member[i], 0
        changed[:] = False
        mark_steps(dated, regs, p, start[i], end, instants, changed)
        since = np.searchsorted(instants, known_ms[i])
        for step in range(since, steps):
            if not (changed[step] or step == since):
                continue
            found = parts_at(dated, regs, p, start[i], end, instants[step], parts)
            attribute = attribute_row(dated, p, instants[step])
            day = np.int64(read_day[attribute]) if attribute >= 0 else 0
            for h in range(found):
                news, known = tell_part(parts[h], told, known)
                if news:
                    content[parts[h, OWNER], step] = True
                if news and step >= from_step:
                    has_value = parts[h, REASON] == FINE
                    quality, energy = (parts[h, BEST], parts[h, ENERGY]) if has_value else (parts[h, REASON], 0)
                    key = row_key(parts[h, OWNER], step, steps, np.int64(rank[p]))
                    count = put_row(out, count, key, p, parts[h], quality, energy, parts[h, LOST], day)
            for t in range(known):
                if withdraws(told[t], parts, found):
                    content[told[t, OWNER], step] = True
                    if step >= from_step:
                        key = row_key(told[t, OWNER], step, steps, np.int64(rank[p]))
                        count = put_row(out, count, key, p, told[t], WITHDRAWN, 0, told[t, SLOTS], 0)
    return count


@kernel
def month_references(
    supply_of: NDArray[np.int64],
    supply_from: NDArray[np.int32],
    supply_to: NDArray[np.int32],
    supply_retailer: NDArray[np.uint16],
    supply_rec_from: NDArray[np.int64],
    position: NDArray[np.uint32],
    slot: NDArray[np.int32],
    retailer: int,
    instant_ms: int,
    out: NDArray[np.int64],
) -> None:
    """Name the supply row whose customer_ref goes out with each month: the retailer's latest known one at `slot`."""
    for i in range(len(position)):
        out[i] = -1
        for row in range(supply_of[position[i]], supply_of[position[i] + 1]):
            if (
                supply_retailer[row] == retailer
                and supply_from[row] <= slot[i] < supply_to[row]
                and supply_rec_from[row] <= instant_ms
                and (out[i] < 0 or supply_rec_from[row] >= supply_rec_from[out[i]])
            ):
                out[i] = row
