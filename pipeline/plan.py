# SPDX-License-Identifier: Apache-2.0
"""Which slots an issue has to look at: those with an instant due, and those that a late fact may have changed.

The plan may name a slot too many, never one too few: what is issued follows from the cells, not from the plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from koma.slots import MS_PER_SLOT, slot_at_ms
from pipeline.instants import FIRST_ISSUES, MINUTE_MS, SPLITS_MIN, closing_ms, slot_instants
from pipeline.journal import NEVER, State
from pipeline.master import MasterView


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """A slot to look at: its instants so far, and one ahead for a closed slot (see `real`)."""

    slot: int
    instants: tuple[int, ...]
    real: int  # how many of the instants are due; one more stands for "everything known now"


def latest_arrivals(state: State) -> Mapping[int, int]:
    """Return for each stamp the latest arrival among its reads."""
    return state.index.latest


def latest_decisions(state: State) -> dict[int, int]:
    """Return for each stamp the latest instant from which an operator's decision counts."""
    latest: dict[int, int] = {}
    for each in state.supersessions:
        latest[each.stamp] = max(each.from_ms, latest.get(each.stamp, NEVER))
    return latest


def master_activity(view: MasterView, first: int, count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return for each of `count` slots from `first` the latest instant from which a master change counts."""
    activity = np.full(count, NEVER, np.int64)
    if len(view.changed_rec_ms) == 0 or count == 0:
        return activity
    begin = np.clip(view.changed_from_slot.astype(np.int64) - first, 0, count)
    end = np.clip(view.changed_to_slot.astype(np.int64) - first, 0, count)
    triples = np.unique(np.stack([begin, end, view.changed_rec_ms], axis=1), axis=0)
    for start, stop, recorded in triples.tolist():
        np.maximum(activity[start:stop], recorded, out=activity[start:stop])
    return activity


def plan_slots(
    latest: Mapping[int, int],
    decisions: Mapping[int, int],
    view: MasterView,
    extras: list[int],
    first_slot: int,
    from_ms: int,
    to_ms: int,
) -> list[SlotPlan]:
    """Plan the issue of all instants in (from_ms, to_ms]: the slots from `first_slot` on that have to be looked at.

    Reads only make cells known that were not; master rows and decisions may change one that is out since the first
    split, while its slot is still open.
    """
    last_slot = slot_at_ms(to_ms - SPLITS_MIN[0] * MINUTE_MS) - 1  # the newest slot whose first split is due
    count = max(0, last_slot - first_slot + 1)
    master = master_activity(view, first_slot, count)
    plans = []
    for slot in range(first_slot, last_slot + 1):
        reads = max(latest.get(slot, NEVER), latest.get(slot + 1, NEVER))
        rows = max(int(master[slot - first_slot]), decisions.get(slot, NEVER), decisions.get(slot + 1, NEVER))
        closing = closing_ms(slot)
        first_split = (slot + 1) * MS_PER_SLOT + SPLITS_MIN[0] * MINUTE_MS
        if closing <= from_ms and reads <= closing and rows <= first_split:
            continue
        instants = slot_instants(slot, extras)
        due = instants.until(to_ms)
        done, done_ms = instants.last_at(from_ms)
        unsettled = reads > done_ms or rows > (first_split if done == FIRST_ISSUES - 1 else done_ms)
        closed = len(due) >= FIRST_ISSUES
        if done < FIRST_ISSUES - 1 or unsettled:
            ahead = (max(to_ms, reads, rows) + 1,) if closed else ()
            plans.append(SlotPlan(slot, (*due, *ahead), len(due)))
    return plans
