# SPDX-License-Identifier: Apache-2.0
"""What a rule on days is given: the points of a shard with all that is known of their day, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_SLOT
from pipeline.master import MasterView
from pipeline.rules.fact_kernels import NEVER, Gathered
from pipeline.rules.rule import Rule

SLOTS_PER_DAY = 48
NO_SLOT = -1


class Found(NamedTuple):
    """Points that a rule flags: columns of equal length."""

    position: NDArray[np.int64]
    slot: NDArray[np.int64]
    """Number of the slot in the day, `NO_SLOT` where it is the day as a whole."""
    amount: NDArray[np.int64]
    """How much: slots, dWh, register units; the rule says what."""


@dataclass(frozen=True, slots=True)
class DayFacts:
    """The day of a shard's points, as known at the instant of its first daily file.

    Attributes:
        view: the master.
        first: position of the shard's first point.
        last: position after its last one.
        day: the day's first slot.
        instant_ms: what was recorded or arrived later is not known.
        gathered: from the cells, by point.
        still: whether the register has not moved for the days of `zero_active_days`, and that is new today.
        exports: points whose meter's export register went up though it feeds no point.
    """

    view: MasterView
    first: int
    last: int
    day: int
    instant_ms: int
    gathered: Gathered
    still: NDArray[np.bool_]
    exports: Found

    @property
    def start_ms(self) -> int:
        """When the day begins."""
        return self.day * MS_PER_SLOT

    @property
    def end_ms(self) -> int:
        """When it ends."""
        return (self.day + SLOTS_PER_DAY) * MS_PER_SLOT

    def supplied(self, slot: int) -> NDArray[np.bool_]:
        """Say of each point whether a retailer is responsible for it at a slot."""
        view = self.view
        rows = slice(view.supply_of[self.first], view.supply_of[self.last])
        covers = (view.supply_from[rows] <= slot) & (slot < view.supply_to[rows]) & (view.supply_retailer[rows] > 0)
        covers &= self.known(view.supply_rec_from[rows], view.supply_rec_to[rows])
        sizes = np.diff(view.supply_of[self.first : self.last + 1])
        found = np.zeros(self.last - self.first, np.bool_)
        found[np.repeat(np.arange(len(found)), sizes)[covers]] = True
        return found

    def known(self, rec_from: NDArray[np.int64], rec_to: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which master rows were known at the instant."""
        found: NDArray[np.bool_] = (rec_from <= self.instant_ms) & (self.instant_ms < rec_to)
        return found

    def where(self, chosen: NDArray[np.bool_], slot: NDArray[np.uint8] | None, amount: NDArray[np.generic]) -> Found:
        """Flag the chosen points; slot and amount are by point."""
        at = np.flatnonzero(chosen)
        slots = np.full(len(at), NO_SLOT) if slot is None else slot[at].astype(np.int64)
        slots[slots == NEVER] = NO_SLOT
        return Found(self.first + at, slots, amount[at].astype(np.int64))


Judge = Callable[[DayFacts, int], Found]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRule(Rule):
    """A rule that judges the days of points.

    Attributes:
        judge: finds them, given the value of the rule's threshold on that day (0 where it has none).
        amount: what the amount of its flags is.
    """

    judge: Judge
    amount: str


def judged(rule: DayRule, facts: DayFacts, thresholds: Mapping[str, int]) -> Found:
    """Apply a rule."""
    return rule.judge(facts, thresholds[rule.threshold] if rule.threshold else 0)
