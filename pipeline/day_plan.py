# SPDX-License-Identifier: Apache-2.0
"""Which days a daily issue has to look at, and which of their slots.

As with slots, the plan may name too many, never too few: what is issued follows from the cells.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from koma.slots import first_slot_of_day, slot_at_ms, slot_date
from pipeline.instants import FIRST_ISSUES, day_instants, first_daily_ms
from pipeline.journal import NEVER
from pipeline.master import MasterView
from pipeline.plan import master_activity

SLOTS_PER_DAY = 48


@dataclass(frozen=True, slots=True)
class DayPlan:
    """A day to look at.

    Attributes:
        day: its first slot.
        slots: those that were issued first, or have changed since.
        instants: the day's instants so far. The first stands `FIRST_ISSUES` times, so that its numbers are those of a
            slot's instants: 0 to 3 are revision 00.
    """

    day: int
    slots: tuple[int, ...]
    instants: tuple[int, ...]


def plan_days(
    latest: Mapping[int, int],
    decisions: Mapping[int, int],
    view: MasterView,
    extras: list[int],
    first_slot: int,
    from_ms: int,
    to_ms: int,
) -> list[DayPlan]:
    """Plan the daily files of all instants in (from_ms, to_ms], in the order of the days.

    A slot before the home's first one is in no file, per slot or daily. A day that is out is looked at again when
    reads, master rows or decisions changed a slot after the last instant that is out; then all slots that changed since
    the first, because the numbers of revisions count all that had content.
    """
    begin, end = first_slot_of_day(slot_date(first_slot)), slot_at_ms(to_ms)
    master = master_activity(view, begin, max(0, end - begin) + SLOTS_PER_DAY)
    plans = []
    for day in range(begin, end, SLOTS_PER_DAY):
        first_ms = first_daily_ms(day)
        if first_ms > to_ms:
            break
        instants = tuple(each for each in day_instants(day, extras) if each <= to_ms)
        if instants[-1] <= from_ms:
            continue
        slots = range(max(day, first_slot), day + SLOTS_PER_DAY)
        if first_ms <= from_ms:
            done_ms = max(each for each in instants if each <= from_ms)
            changed = {
                slot: max(
                    int(master[slot - begin]),
                    *(known.get(stamp, NEVER) for known in (latest, decisions) for stamp in (slot, slot + 1)),
                )
                for slot in slots
            }
            if max(changed.values()) <= done_ms:
                continue
            chosen = tuple(slot for slot in slots if changed[slot] > first_ms)
        else:
            chosen = tuple(slots)
        plans.append(DayPlan(day, chosen, (instants[0],) * (FIRST_ISSUES - 1) + instants))
    return plans
