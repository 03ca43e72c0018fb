# SPDX-License-Identifier: Apache-2.0
"""Gaps: the cells without a value, and the pieces of them whose energy the registers at both ends still tell.

A run of missing cells is cut wherever a register is known. A piece between two known registers has an exact sum; what
does not lie between two known registers has none.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import BACKWARD, MISSING, MS_PER_SLOT, NOBODY, Dated, Ends, cell_at, has_value
from pipeline.jit import kernel
from pipeline.month_kernels import Gathered, span_value
from pipeline.month_kernels import register_of as gathered_register
from pipeline.register_kernels import ABSENT, arrival_of, register_of

UNKNOWN: Final = -1
"""The sum of a piece that no two registers tell."""


@kernel
def lost_points(
    dated: Dated, first: int, last: int, slot: int, ends: Ends, instant_ms: int, lost: NDArray[np.bool_]
) -> int:
    """Mark the points [first, last) that a retailer is responsible for and whose meter should have told more.

    Returns how many cells of the slot are so. Nearly every point has one installation with a register at either end:
    it is passed over without looking further.
    """
    attr_of, cap_dwh = dated.attr_of, dated.attr_cap_dwh
    install_of, local_of = dated.install_of, dated.install_local
    from_ms, to_ms = dated.install_from_ms, dated.install_to_ms
    rec_from, rec_to = dated.install_rec_from, dated.install_rec_to
    factor = dated.install_factor
    starts, start_base_ms, stops, stop_base_ms = ends.start, ends.start_base_ms, ends.end, ends.end_base_ms
    settled = len(ends.other_local) == 0
    start_ms = slot * MS_PER_SLOT
    count = 0
    for p in range(first, last):
        row = install_of[p]
        if settled and install_of[p + 1] == row + 1 and attr_of[p + 1] == attr_of[p] + 1:
            start, stop = starts[local_of[row]], stops[local_of[row]]
            held = from_ms[row] < start_ms and to_ms[row] > start_ms + MS_PER_SLOT
            known = rec_from[row] <= instant_ms < rec_to[row]
            if held and known and max(start, stop) < ABSENT:
                arrived = max(arrival_of(start, start_base_ms), arrival_of(stop, stop_base_ms)) <= instant_ms
                step = register_of(stop) - register_of(start)
                if arrived and 0 <= step * factor[row] <= cap_dwh[attr_of[p]]:
                    continue
        owner, quality, _, _ = cell_at(dated, p, slot, ends, instant_ms)
        if owner not in (0, NOBODY) and quality in (MISSING, BACKWARD):
            lost[p - first] = True
            count += 1
    return count


@kernel
def edge_known(dated: Dated, regs: Gathered, p: int, slot: int, at_end: bool, instant_ms: int) -> bool:
    """Say whether a register of the point is known at the start of a slot, or at its end."""
    begin_ms, end_ms = slot * MS_PER_SLOT, (slot + 1) * MS_PER_SLOT
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        if not dated.install_rec_from[row] <= instant_ms < dated.install_rec_to[row]:
            continue
        from_ms, to_ms = dated.install_from_ms[row], dated.install_to_ms[row]
        since_ms, until_ms = max(begin_ms, from_ms), min(end_ms, to_ms)
        if since_ms >= until_ms:
            continue
        at_ms = until_ms if at_end else since_ms
        given = (at_ms == from_ms and dated.install_first[row] >= 0) or (
            at_ms == to_ms and dated.install_last[row] >= 0
        )
        if given or gathered_register(regs, dated.install_local[row], at_ms, instant_ms)[0]:
            return True
    return False


@kernel
def piece_at(
    dated: Dated, regs: Gathered, p: int, first: int, end: int, cap_dwh: int, instant_ms: int
) -> tuple[int, int]:
    """Return (end, sum) of the piece that starts at `first`, in a run of missing cells that ends at `end`."""
    if edge_known(dated, regs, p, first, False, instant_ms):
        for until in range(first + 2, end + 1):  # one slot alone would have a value
            if edge_known(dated, regs, p, until - 1, True, instant_ms):
                quality, energy = span_value(dated, regs, p, first, until, cap_dwh, instant_ms)
                if has_value(quality):
                    return until, energy
                if quality != MISSING:
                    return until, np.int64(UNKNOWN)
    return first + 1, np.int64(UNKNOWN)


@kernel
def mark_pieces(
    dated: Dated,
    regs: Gathered,
    p: int,
    begin: int,
    day: int,
    day_end: int,
    reach: int,
    quality: NDArray[np.uint8],
    cap_dwh: int,
    instant_ms: int,
    pieces: NDArray[np.int64],
) -> None:
    """Find the pieces of all gaps that touch the slots [day, day_end).

    Args:
        dated: the master.
        regs: registers of the point's installations.
        p: position of the point.
        begin: slot of the first of `quality`.
        day: first slot.
        day_end: end of the slots.
        reach: slots of the longest piece whose sum is asked for; the pieces of neighbouring days agree by it.
        quality: of the point's cells, slot after slot.
        cap_dwh: the plausible most of one slot.
        instant_ms: as known then.
        pieces: (slots, 3) room for first slot, end and sum of the piece of each missing cell, by slot after `begin`.

    """
    slot = day
    while slot < day_end:
        if quality[slot - begin] != MISSING:
            pieces[slot - begin, 0], pieces[slot - begin, 1], pieces[slot - begin, 2] = slot, slot + 1, UNKNOWN
            slot += 1
            continue
        first, end = slot, slot + 1
        while first > max(begin, day - reach) and quality[first - 1 - begin] == MISSING:
            first -= 1
        while end < begin + len(quality) and quality[end - begin] == MISSING:
            end += 1
        while first < day_end and first < end:
            until, total = piece_at(dated, regs, p, first, min(end, first + reach), cap_dwh, instant_ms)
            for k in range(first, until):
                pieces[k - begin, 0], pieces[k - begin, 1], pieces[k - begin, 2] = first, until, total
            first = until
        slot = max(slot + 1, first)
