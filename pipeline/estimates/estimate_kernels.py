# SPDX-License-Identifier: Apache-2.0
"""The estimates of points over a day: agreed values first, then what the registers still tell, then reference days.

A point is looked at over more than the day: gaps that reach beyond it are shared out whole, so that the files of
neighbouring days add up to the registers.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import (
    BACKWARD,
    MISSING,
    NO_METER,
    NO_TELEMETRY,
    REMOVED,
    ROLLOVER,
    Dated,
    attribute_row,
    supply_row,
)
from pipeline.estimates.cells_kernels import cells_of
from pipeline.estimates.gap_kernels import UNKNOWN, mark_pieces
from pipeline.estimates.like_day_kernels import SLOTS_PER_DAY, like_days, like_mean, mark_exact
from pipeline.estimates.share_kernels import on_line, share, slope
from pipeline.jit import kernel
from pipeline.month_kernels import Gathered

SPLIT, LINEAR, LIKE_DAY, AGREED, LEFT = 2, 3, 4, 5, 6
"""Indexes of `statuses.STATUSES`; `LEFT` is `missing`: nothing to estimate from."""
NONE: Final = -1


class Asked(NamedTuple):
    """What is asked for: the slots [day, day_end), what is looked at for them, and by which rules.

    Attributes:
        begin: first slot looked at; a day begins there.
        day: first slot.
        day_end: end of the slots.
        instant_ms: as known then.
        linear: slots of the longest gap that is filled along a line.
        reach: slots of the longest gap whose sum is looked for.
        lookback: days before a day among which its reference days are.
        kind: of each day looked at: days of one kind are like each other.
    """

    begin: int
    day: int
    day_end: int
    instant_ms: int
    linear: int
    reach: int
    lookback: int
    kind: NDArray[np.uint8]


class Agreed(NamedTuple):
    """Agreed values in force, by point: those of the i-th one are [of[i], of[i + 1]), ascending by slot."""

    of: NDArray[np.int64]
    slot: NDArray[np.int32]
    energy: NDArray[np.int64]
    number: NDArray[np.int64]


class Estimates(NamedTuple):
    """Room for estimates, one row a cell; `NONE` is none.

    Attributes:
        position: the point.
        slot: of the cell.
        owner: index of its retailer.
        energy: dWh; 0 where `status` is `LEFT`.
        status: index of `STATUSES`.
        quality: what the cell is without an estimate.
        first: first slot of the gap whose sum is known.
        end: end of that gap.
        total: that sum, dWh.
        before: energy of the cell before the gap, where a line begins there.
        after: energy of the cell after the gap, where a line ends there.
        agreement: number of the agreed value.
        contradicts: whether agreed values and the sum of a gap cannot both be true.
        days: (rows, n) first slots of the reference days.
    """

    position: NDArray[np.uint32]
    slot: NDArray[np.int32]
    owner: NDArray[np.uint16]
    energy: NDArray[np.int64]
    status: NDArray[np.uint8]
    quality: NDArray[np.uint8]
    first: NDArray[np.int32]
    end: NDArray[np.int32]
    total: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    agreement: NDArray[np.int64]
    contradicts: NDArray[np.bool_]
    days: NDArray[np.int32]


class Around(NamedTuple):
    """What is known of one point over the slots looked at.

    Attributes:
        quality: of each cell.
        energy: of each cell, dWh.
        pieces: (slots, 3) first, end and sum of the piece of each missing cell.
        agreed: place of the agreed value of each slot in `Agreed`.
        since: day, from `begin` on, since which the supply row of each day's last slot covers whole days.
        count: how many reference days each day has, `NONE` before they were looked for.
        chosen: (days, n) those days.
        exact: whether each day may serve as one.
    """

    quality: NDArray[np.uint8]
    energy: NDArray[np.int64]
    pieces: NDArray[np.int64]
    agreed: NDArray[np.int64]
    since: NDArray[np.int64]
    count: NDArray[np.int64]
    chosen: NDArray[np.int32]
    exact: NDArray[np.bool_]


@kernel
def look_around(
    dated: Dated, regs: Gathered, p: int, asked: Asked, agreed: Agreed, i: int, cap_dwh: int, around: Around
) -> None:
    """Fill in what is known of the point `p`, the i-th."""
    quality, agreement = around.quality, around.agreed
    begin, instant_ms = asked.begin, asked.instant_ms
    cells_of(dated, regs, p, begin, cap_dwh, instant_ms, quality, around.energy)
    agreement[:] = NONE
    for k in range(agreed.of[i], agreed.of[i + 1]):
        if 0 <= agreed.slot[k] - begin < len(agreement):
            agreement[agreed.slot[k] - begin] = k
    around.count[:] = NONE
    mark_exact(quality, around.exact)
    mark_pieces(
        dated, regs, p, begin, asked.day, asked.day_end, asked.reach, quality, cap_dwh, instant_ms, around.pieces
    )


@kernel
def reference(dated: Dated, p: int, slot: int, asked: Asked, around: Around) -> int:
    """Return the mean of the reference days of a slot, after choosing those of its day; `NO_MEAN` for none."""
    day, code = (slot - asked.begin) // SLOTS_PER_DAY, (slot - asked.begin) % SLOTS_PER_DAY
    row = supply_row(dated, p, slot, asked.instant_ms)
    if row < 0:
        around.count[day] = 0
        return NONE
    since = -((asked.begin - dated.supply_from[row]) // SLOTS_PER_DAY) if dated.supply_from[row] > asked.begin else 0
    if around.count[day] == NONE or around.since[day] != since:
        around.since[day] = since
        around.count[day] = like_days(around.exact, asked.kind, day, asked.lookback, since, around.chosen[day])
    return like_mean(around.energy, around.chosen[day], around.count[day], code)


@kernel
def neighbour(slot: int, asked: Asked, around: Around) -> int:
    """Return the energy of a cell that a line may begin or end at, `NONE` where it is not exact."""
    k = slot - asked.begin
    if not 0 <= k < len(around.quality) or around.quality[k] > ROLLOVER:
        return NONE
    energy: int = around.energy[k]
    return energy


@kernel
def shape_gap(
    dated: Dated, p: int, first: int, end: int, asked: Asked, around: Around
) -> tuple[int, NDArray[np.int64]]:
    """Return (status, weights) by which the known sum of a gap is shared out to its slots.

    Reference days give the shape of a long gap if each of its slots has some and they are not all 0; else a line does.
    """
    weights = np.empty(end - first, np.int64)
    if end - first > asked.linear:
        whole = np.int64(0)
        for k in range(end - first):
            weights[k] = reference(dated, p, first + k, asked, around)
            if weights[k] < 0:
                whole = np.int64(0)
                break
            whole |= weights[k]
        if whole > 0:
            return LIKE_DAY, weights
    slope(neighbour(first - 1, asked, around), neighbour(end, asked, around), weights)
    return (SPLIT if end - first == 2 else LINEAR), weights


@kernel
def share_gap(
    dated: Dated, p: int, first: int, end: int, total: int, asked: Asked, agreed: Agreed, around: Around
) -> tuple[int, bool, NDArray[np.int64]]:
    """Return (status, contradiction, energies) of a gap whose sum is known: agreed values stand, the rest is shared.

    Agreed values above the sum, or all of a gap and not the sum, contradict it; nothing is left then.
    """
    status, weights = shape_gap(dated, p, first, end, asked, around)
    energies = np.zeros(end - first, np.int64)
    rest, free = total, 0
    for k in range(end - first):
        place = around.agreed[first + k - asked.begin]
        if place == NONE:
            weights[free] = weights[k]
            free += 1
        else:
            rest -= agreed.energy[place]
    contradicts = rest < 0 or (free == 0 and rest != 0)
    if free > 0 and rest > 0:
        parts = np.empty(free, np.int64)
        share(rest, weights[:free], parts)
        free = 0
        for k in range(end - first):
            if around.agreed[first + k - asked.begin] == NONE:
                energies[k] = parts[free]
                free += 1
    return status, contradicts, energies


@kernel
def note_days(out: Estimates, row: int, slot: int, asked: Asked, around: Around) -> None:
    """Tell which reference days a row came from."""
    day = (slot - asked.begin) // SLOTS_PER_DAY
    for k in range(around.count[day]):
        out.days[row, k] = asked.begin + around.chosen[day, k] * SLOTS_PER_DAY


@kernel
def note_line(out: Estimates, row: int, first: int, end: int, asked: Asked, around: Around) -> None:
    """Tell between which energies the line of a row runs."""
    out.before[row] = neighbour(first - 1, asked, around)
    out.after[row] = neighbour(end, asked, around)


@kernel
def fill_unknown(
    dated: Dated, p: int, slot: int, first: int, end: int, asked: Asked, around: Around, out: Estimates, row: int
) -> None:
    """Estimate a cell of a gap whose sum is not known: between exact neighbours if it is short, else by days."""
    before, after = neighbour(first - 1, asked, around), neighbour(end, asked, around)
    if end - first <= asked.linear and before >= 0 and after >= 0:
        out.status[row], out.energy[row] = LINEAR, on_line(before, after, slot - first, end - first)
        note_line(out, row, first, end, asked, around)
        return
    dwh = reference(dated, p, slot, asked, around)
    if dwh >= 0:
        out.status[row], out.energy[row] = LIKE_DAY, dwh
        note_days(out, row, slot, asked, around)


@kernel
def blank_row(out: Estimates, row: int, p: int, slot: int, owner: int, quality: int) -> None:
    """Begin a row of a cell that nothing stands for yet."""
    out.position[row], out.slot[row], out.owner[row], out.quality[row] = p, slot, owner, quality
    out.energy[row], out.status[row], out.contradicts[row] = 0, LEFT, False
    out.first[row], out.end[row], out.total[row] = NONE, NONE, NONE
    out.before[row], out.after[row], out.agreement[row] = NONE, NONE, NONE
    out.days[row, :] = NONE


@kernel
def estimate_point(
    dated: Dated,
    p: int,
    asked: Asked,
    agreed: Agreed,
    around: Around,
    first_slot: int,
    telemetry: bool,
    out: Estimates,
    count: int,
) -> int:
    """Add the rows of a point that was looked at; returns the count with them."""
    shared, status, contradicts = NONE, LEFT, False
    energies = np.empty(0, np.int64)
    for slot in range(max(asked.day, first_slot), asked.day_end):
        k = slot - asked.begin
        quality, place = np.int64(around.quality[k]), around.agreed[k]
        lost = telemetry and quality in (MISSING, BACKWARD)
        if not (lost or place >= 0):
            continue
        supply = supply_row(dated, p, slot, asked.instant_ms)
        if supply < 0 or dated.supply_retailer[supply] == 0:
            continue
        if not telemetry and quality in (MISSING, NO_METER, REMOVED):
            quality = NO_TELEMETRY
        blank_row(out, count, p, slot, dated.supply_retailer[supply], quality)
        first, end, total = around.pieces[k, 0], around.pieces[k, 1], around.pieces[k, 2]
        if total != UNKNOWN:
            if shared != first:
                shared = first
                status, contradicts, energies = share_gap(dated, p, first, end, total, asked, agreed, around)
            out.first[count], out.end[count], out.total[count] = first, end, total
            out.status[count], out.energy[count], out.contradicts[count] = status, energies[slot - first], contradicts
            if place == NONE and status == LIKE_DAY:
                reference(dated, p, slot, asked, around)  # of this slot's supply row
                note_days(out, count, slot, asked, around)
            elif place == NONE:
                note_line(out, count, first, end, asked, around)
        elif place == NONE:
            fill_unknown(dated, p, slot, first, end, asked, around, out, count)
        if place >= 0:
            out.status[count], out.energy[count] = AGREED, agreed.energy[place]
            out.agreement[count] = agreed.number[place]
        count += 1
    return count


@kernel
def estimate_points(
    dated: Dated,
    regs: Gathered,
    position: NDArray[np.uint32],
    asked: Asked,
    agreed: Agreed,
    first_slot: int,
    out: Estimates,
) -> int:
    """Fill in the estimates of some points, ascending by slot for each; returns how many there are.

    Args:
        dated: the master.
        regs: registers of the points' installations over the slots looked at.
        position: the points.
        asked: what is asked for.
        agreed: agreed values of the points.
        first_slot: of the home; nothing is told of slots before.
        out: room for a row of every slot of every point.

    """
    days = len(asked.kind)
    slots, wanted = days * SLOTS_PER_DAY, out.days.shape[1]
    around = Around(
        np.empty(slots, np.uint8),
        np.empty(slots, np.int64),
        np.empty((slots, 3), np.int64),
        np.empty(slots, np.int64),
        np.zeros(days, np.int64),
        np.empty(days, np.int64),
        np.empty((days, wanted), np.int32),
        np.empty(days, np.bool_),
    )
    count = 0
    for i in range(len(position)):
        p = position[i]
        attribute = attribute_row(dated, p, asked.instant_ms)
        if attribute < 0 or dated.attr_voltage[attribute] != 0:
            continue
        around.pieces[:, 2] = UNKNOWN
        look_around(dated, regs, p, asked, agreed, i, dated.attr_cap_dwh[attribute], around)
        telemetry = dated.attr_telemetry[attribute] != 0
        count = estimate_point(dated, p, asked, agreed, around, first_slot, telemetry, out, count)
    return count
