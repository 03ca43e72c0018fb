# SPDX-License-Identifier: Apache-2.0
"""The promise and when to call somebody: deadlines of a slot, burn rates over many; pure functions of the ledger.

Deadlines look at one slot: by 20, 35 and 50 minutes after its end the instants before have to be out, by 60 all of it.
Burn rates look at many: how many times faster than allowed the budget of misses goes, over a long window and a short
one that says whether it still does. A single missing slot moves no burn rate of a month; the deadlines see it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from koma.slots import MS_PER_MINUTE, MS_PER_SLOT, slot_start_ms

PAGE, TICKET, NOTICE = "page", "ticket", "notice"
"""Wake somebody; let somebody see to it in working hours; good to know."""


@dataclass(frozen=True, slots=True)
class Rung:
    """By `minutes` after the slot's end, the instant `instant_min` after it must be out."""

    minutes: int
    instant_min: int
    severity: str
    says: str


LADDER: Final[tuple[Rung, ...]] = (
    Rung(20, 10, TICKET, "the first split"),
    Rung(35, 30, PAGE, "all splits"),
    Rung(50, 45, PAGE, "the closing"),
    Rung(60, 45, PAGE, "everything: the duty"),
)
"""Source: the duty of 60 minutes; the rungs before it are our own."""

MET, MISSED, AHEAD = "met", "missed", "ahead"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A rung of one slot: `met`, `missed`, or `ahead` of us, since it is not yet time."""

    minutes: int
    due_ms: int
    state: str
    severity: str
    says: str


def deadlines(slot: int, out_ms: Mapping[int, int], now_ms: int) -> tuple[Deadline, ...]:
    """Return how a slot stands against each rung.

    Args:
        slot: the slot.
        out_ms: when each instant was out (ms by ms), for those that are; one that came later has all before it out.
        now_ms: the time it is.

    """
    end_ms = slot_start_ms(slot) + MS_PER_SLOT
    found = []
    for rung in LADDER:
        due_ms = end_ms + rung.minutes * MS_PER_MINUTE
        instant_ms = end_ms + rung.instant_min * MS_PER_MINUTE
        out = min((at for instant, at in out_ms.items() if instant >= instant_ms), default=None)
        state = MET if out is not None and out <= due_ms else MISSED if now_ms > due_ms else AHEAD
        found.append(Deadline(rung.minutes, due_ms, state, rung.severity, rung.says))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Window:
    """A pair of windows of slots, and how many times too fast the budget must go in both to call somebody."""

    severity: str
    factor: float
    long_slots: int
    short_slots: int


WINDOWS: Final[tuple[Window, ...]] = (
    Window(PAGE, 14.4, 2, 1),
    Window(PAGE, 6.0, 12, 1),
    Window(TICKET, 1.0, 144, 12),
)
"""An hour, six hours, three days. Source: SRE Workbook, table 5-8; its short windows of 5 and 30 minutes are a slot."""

OBJECTIVES: Final[Mapping[str, float]] = {"on_time": 0.999, "complete": 0.98}
"""`on_time`: of (retailer, slot), closed and out by 60 minutes. `complete`: of cells due, published by then."""


@dataclass(frozen=True, slots=True)
class Events:
    """What was promised of a slot, and how much of it was not kept."""

    slot: int
    total: int
    bad: int


@dataclass(frozen=True, slots=True)
class Burn:
    """How many times too fast the budget goes; `burning` where both windows are above the factor."""

    objective: str
    severity: str
    factor: float
    long_slots: int
    short_slots: int
    long_burn: float
    short_burn: float

    @property
    def burning(self) -> bool:
        """Say whether somebody has to be called."""
        return min(self.long_burn, self.short_burn) > self.factor


def burn_rates(
    objective: str, events: Iterable[Events], last_slot: int, windows: Sequence[Window] = WINDOWS
) -> tuple[Burn, ...]:
    """Return the burn rates of an objective over the windows that end with `last_slot`.

    Slots without events, before the home began or while nobody was supplied, use up no budget.
    """
    known = {each.slot: each for each in events}
    budget = 1 - OBJECTIVES[objective]

    def burn(slots: int) -> float:
        inside = [known[slot] for slot in range(last_slot - slots + 1, last_slot + 1) if slot in known]
        total = sum(each.total for each in inside)
        return round(sum(each.bad for each in inside) / total / budget, 3) if total else 0.0

    return tuple(
        Burn(
            objective, each.severity, each.factor, each.long_slots, each.short_slots,
            burn(each.long_slots), burn(each.short_slots),
        )
        for each in windows
    )  # fmt: skip
