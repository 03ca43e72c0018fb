# SPDX-License-Identifier: Apache-2.0
"""Which meter-reading days a monthly issue has to look at, whose meters are read on them, and since when.

As with slots, the plan may name a day too many, never too few: what is issued follows from the months.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from koma.periods import MeteringPeriod
from koma.slots import first_slot_of_day, slot_at_ms, slot_date
from pipeline.instants import first_monthly_ms, month_instants
from pipeline.journal import NEVER
from pipeline.master import MasterView
from pipeline.master.view import ALWAYS_MS
from pipeline.plan import master_activity
from pipeline.reading_day_kernels import SLOTS_PER_DAY, Calendar, find_members, find_movers

MONTH_DAYS_MAX = 31


@dataclass(frozen=True, slots=True)
class MonthPlan:
    """A meter-reading day to look at.

    Attributes:
        reading: its first slot, the end of all its periods.
        whole: all its months are issued first; else only what may have changed since has to be looked at.
        instants: its instants so far; the first is that of revision 00.
    """

    reading: int
    whole: bool
    instants: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Members:
    """The points whose meters are read on a day; columns of equal length.

    Attributes:
        position: of the master.
        start: first slot of the period that ends there.
        known_ms: instant from which that is known.
    """

    position: NDArray[np.uint32]
    start: NDArray[np.int32]
    known_ms: NDArray[np.int64]

    def taken(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Members":
        """Return some of them."""
        return Members(self.position[rows], self.start[rows], self.known_ms[rows])

    def longest(self, reading: int) -> MeteringPeriod:
        """Return the longest of their periods, which end at slot `reading`; there must be one."""
        return MeteringPeriod(int(self.start.min()), reading)

    def __len__(self) -> int:
        """Count them."""
        return len(self.position)


@lru_cache(maxsize=8)
def calendar(begin: int, days: int) -> Calendar:
    """Return the calendar of the days from the one whose first slot is `begin` on."""
    dates = [slot_date(begin) + timedelta(days=n) for n in range(days)]
    return Calendar(
        np.array([each.day for each in dates], np.uint8),
        np.array([(each + timedelta(days=1)).day == 1 for each in dates], np.bool_),
        np.array([first_monthly_ms(begin + n * SLOTS_PER_DAY) for n in range(days)], np.int64),
    )


def members(view: MasterView, positions: NDArray[np.uint32], reading: int, first_slot: int, to_ms: int) -> Members:
    """Return those of some points whose meters are read on the day whose first slot is `reading`, as known at `to_ms`.

    Args:
        view: the master.
        positions: the points.
        reading: first slot of the day.
        first_slot: of the home: no period starts before.
        to_ms: what was learned later is not known.

    """
    begin = first_slot_of_day(slot_date(first_slot))
    number = (reading - begin) // SLOTS_PER_DAY
    room = len(positions)
    found = Members(np.empty(room, np.uint32), np.empty(room, np.int32), np.empty(room, np.int64))
    days = calendar(begin, -(-(number + 1) // 64) * 64)  # one for many days of reading
    count = find_members(
        positions, view.attr_of, view.attr_rec_from, view.attr_rec_to, view.attr_read_day, days, number, first_slot,
        begin, to_ms, found.position, found.start, found.known_ms,
    )  # fmt: skip
    return found.taken(np.arange(count))


def plan_months(
    latest: Mapping[int, int],
    decisions: Mapping[int, int],
    view: MasterView,
    extras: list[int],
    first_slot: int,
    kept_from: int,
    from_ms: int,
    to_ms: int,
) -> list[MonthPlan]:
    """Plan the monthly files of all instants in (from_ms, to_ms], in the order of the reading days.

    A month that is out is looked at again when reads, master rows, decisions or reading days changed it after the last
    instant that is out; not once registers of it are forgotten, which `kept_from` says: another sum would come out.
    """
    begin = first_slot_of_day(slot_date(first_slot))
    plans = []
    activity = np.zeros(0, np.int64)
    for reading in range(begin + SLOTS_PER_DAY, slot_at_ms(to_ms) + 1, SLOTS_PER_DAY):
        first_ms = first_monthly_ms(reading)
        if first_ms > to_ms:
            break
        instants = tuple(each for each in month_instants(reading, extras) if each <= to_ms)
        if instants[-1] <= from_ms or reading <= kept_from:
            continue
        if first_ms <= from_ms:
            if not len(activity):
                activity = _activity(latest, decisions, view, begin, slot_at_ms(to_ms) + 1)
            period = _longest(view, reading, first_slot, to_ms)
            done_ms = max(each for each in instants if each <= from_ms)
            changed = max(int(activity[period.start - begin : period.end - begin].max()), _days_learned_ms(view))
            if changed <= done_ms or first_slot < kept_from > period.start:
                continue
        plans.append(MonthPlan(reading, first_ms > from_ms, instants))
    return plans


def _activity(
    latest: Mapping[int, int], decisions: Mapping[int, int], view: MasterView, begin: int, end: int
) -> NDArray[np.int64]:
    """Return for each slot from `begin` to `end` the latest arrival or instant from which a change of it counts."""
    stamps = np.full(end - begin + 1, NEVER, np.int64)
    for known in (latest, decisions):
        for stamp, at_ms in known.items():
            if begin <= stamp <= end:
                stamps[stamp - begin] = max(int(stamps[stamp - begin]), at_ms)
    found: NDArray[np.int64] = np.maximum(stamps[:-1], stamps[1:])
    return np.maximum(found, master_activity(view, begin, end - begin))


@lru_cache(maxsize=4)
def _movers(view: MasterView) -> NDArray[np.uint32]:
    """Return the points whose reading day was ever another one: only their periods may be longer than a month."""
    several = np.flatnonzero(np.diff(view.attr_of) > 1).astype(np.uint32)
    found = np.empty(len(several), np.uint32)
    return found[: find_movers(view.attr_of, view.attr_read_day, several, found)]


@lru_cache(maxsize=4)
def _days_learned_ms(view: MasterView) -> int:
    """Return the last instant from which a reading day counts that was not known since always."""
    learned = view.attr_rec_from[np.asarray(view.attr_read_day) > 0]
    latest = int(learned.max()) if len(learned) else ALWAYS_MS
    return latest if latest > ALWAYS_MS else NEVER


def _longest(view: MasterView, reading: int, first_slot: int, to_ms: int) -> MeteringPeriod:
    """Return the longest period that ends on a reading day, or a longer one."""
    usual = MeteringPeriod(max(first_slot, reading - MONTH_DAYS_MAX * SLOTS_PER_DAY), reading)
    moved = members(view, _movers(view), reading, first_slot, to_ms)
    return max(usual, moved.longest(reading), key=lambda each: each.slots) if len(moved) else usual
