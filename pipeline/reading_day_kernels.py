# SPDX-License-Identifier: Apache-2.0
"""Kernels of reading days: whose meter is read on a day, since when that is known, where the period began."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel

SLOTS_PER_DAY: Final = 48


class Calendar(NamedTuple):
    """The days from that of a home's first slot on.

    Attributes:
        day: of the month.
        last: whether it is the month's last.
        decided_ms: first instant of its monthly file.
    """

    day: NDArray[np.uint8]
    last: NDArray[np.bool_]
    decided_ms: NDArray[np.int64]


@kernel
def reading_day(
    first: int,
    last: int,
    rec_from: NDArray[np.int64],
    rec_to: NDArray[np.int64],
    read_day: NDArray[np.uint8],
    decided_ms: int,
    to_ms: int,
) -> tuple[int, int]:
    """Return (reading day that decides a date, instant from which it is known) of the attribute rows [first, last).

    It is the day known at `decided_ms`, for good. Where none had been known until then, it is the first one that is
    learned, if that is not after `to_ms`: what is learned late of a point counts for all its months. 0 is none.
    """
    known, day = False, np.int64(0)
    for row in range(first, last):
        if rec_from[row] < rec_to[row] and rec_from[row] <= decided_ms:
            known = known or read_day[row] > 0
            day = np.int64(read_day[row]) if decided_ms < rec_to[row] else 0
    if known:
        return day, decided_ms
    for row in range(first, last):
        if rec_from[row] < rec_to[row] and decided_ms < rec_from[row] <= to_ms and read_day[row] > 0:
            return np.int64(read_day[row]), rec_from[row]
    return 0, decided_ms


@kernel
def find_members(
    positions: NDArray[np.uint32],
    attr_of: NDArray[np.int64],
    rec_from: NDArray[np.int64],
    rec_to: NDArray[np.int64],
    read_day: NDArray[np.uint8],
    days: Calendar,
    reading: int,
    first_slot: int,
    begin: int,
    to_ms: int,
    member: NDArray[np.uint32],
    start: NDArray[np.int32],
    known_ms: NDArray[np.int64],
) -> int:
    """Find the points whose meter is read on day number `reading`, and where their periods start.

    A period starts where the one before it ended, the first one at the home's first slot: every reading day is decided
    by itself and for good, so that periods never overlap and never leave a gap.

    Args:
        positions: points to look at.
        attr_of: attribute rows of each point, and so on.
        rec_from: of them.
        rec_to: of them.
        read_day: of them.
        days: of the calendar.
        reading: number of the day.
        first_slot: of the home.
        begin: first slot of day 0.
        to_ms: what was learned later is not known.
        member: room for the points found.
        start: room for the first slot of each period.
        known_ms: room for the instant from which it is known.

    Returns:
        How many points were found.

    """
    day, last, decided_ms = days
    count = 0
    for p in positions:
        a, b = attr_of[p], attr_of[p + 1]
        wanted, since_ms = reading_day(a, b, rec_from, rec_to, read_day, decided_ms[reading], to_ms)
        if wanted != day[reading] and not (wanted > day[reading] and last[reading]):
            continue
        member[count], start[count], known_ms[count] = p, first_slot, since_ms
        for before in range(reading - 1, 0, -1):
            wanted, _ = reading_day(a, b, rec_from, rec_to, read_day, decided_ms[before], to_ms)
            if wanted == day[before] or (wanted > day[before] and last[before]):
                start[count] = max(first_slot, begin + before * SLOTS_PER_DAY)
                break
        count += 1
    return count


@kernel
def find_movers(
    attr_of: NDArray[np.int64], read_day: NDArray[np.uint8], positions: NDArray[np.uint32], out: NDArray[np.uint32]
) -> int:
    """Find the points whose attribute rows name more than one reading day."""
    count = 0
    for p in positions:
        for row in range(attr_of[p] + 1, attr_of[p + 1]):
            if read_day[row] != read_day[row - 1]:
                out[count] = p
                count += 1
                break
    return count
