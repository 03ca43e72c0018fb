# SPDX-License-Identifier: Apache-2.0
"""Asking a home for totals: as known at the last instant it issued, or at one before; of slots that it has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from koma.errors import TotalsError
from koma.slots import SLOTS_PER_DAY, format_jst, slot_start_ms
from pipeline.home import Home
from pipeline.instants import closing_ms
from pipeline.journal import NEVER, read_state
from pipeline.master import open_master
from pipeline.totals.cells import Asked, SlotSums, slot_sums
from pipeline.totals.declared import Declared, declared

ATTEMPTS: Final = 3
"""A watch may replace register files by others that say the same while they are being read."""
SLOTS_MAX: Final = 400 * SLOTS_PER_DAY
"""A mistyped year would ask for decades."""


@dataclass(frozen=True, slots=True)
class Question:
    """What totals are asked for, and what is known.

    Attributes:
        asked: the home, as known at an instant.
        declared: loss rates, rounding and sources: all, or what was known at `as_of_ms`.
        as_of_ms: given by who asks; None for what is known now.
        workers: threads.
    """

    asked: Asked
    declared: Declared
    as_of_ms: int | None
    workers: int

    @property
    def instant_ms(self) -> int:
        """The instant that all cells hold at."""
        return self.asked.instant_ms


def question(home: Home, workers: int, as_of_ms: int | None = None) -> Question:
    """Ask a home as it is known at the last instant it issued, or at one before.

    Raises:
        TotalsError: it has issued nothing yet, or not as far as `as_of_ms`.

    """
    state = read_state(home.path("journal"))
    if state.issued_ms == NEVER or state.first_slot is None:
        raise TotalsError(f"{home.root} has issued nothing yet", hint="run: koma pipeline run --once")
    if as_of_ms is not None and as_of_ms > state.issued_ms:
        raise TotalsError(
            f"nothing is known as of {format_jst(as_of_ms)}: the last instant is {format_jst(state.issued_ms)}",
            hint="ask for an instant that has passed, or leave --as-of out",
        )
    instant_ms = state.issued_ms if as_of_ms is None else as_of_ms
    asked = Asked(home, state, open_master(home.root, None), instant_ms)
    return Question(asked, declared(home, as_of_ms), as_of_ms, workers)


def sums_of(what: Question, first: int, end: int) -> Iterator[SlotSums]:
    """Yield the sums of the slots [first, end), a day in memory at a time.

    Raises:
        TotalsError: some of them have no registers in the home, or had not ended at the instant.

    """
    kept = what.asked.state.first_slot_kept
    assert kept is not None
    if not 0 < end - first <= SLOTS_MAX:
        raise TotalsError(f"{end - first} slots are asked for", hint=f"--to lies 1 to {SLOTS_MAX} slots after --from")
    if first < kept or slot_start_ms(end) > what.instant_ms:
        since, until = format_jst(slot_start_ms(kept)), format_jst(what.instant_ms)
        raise TotalsError(
            f"totals can be told of slots from {since} on that had ended by {until}",
            hint="choose a slot in between; registers are kept for KOMA_KEEP_REGISTERS_DAYS days",
        )
    for begin in range(first, end, SLOTS_PER_DAY):
        yield from _day(what, range(begin, min(begin + SLOTS_PER_DAY, end)))


def _day(what: Question, slots: range) -> list[SlotSums]:
    asked = what.asked
    for attempt in range(ATTEMPTS):
        try:
            return list(slot_sums(asked, slots, what.workers))
        except FileNotFoundError as error:
            if attempt == ATTEMPTS - 1:
                raise TotalsError(f"{error.filename} is gone", hint="koma home check tells what else is") from error
            asked = replace(asked, state=read_state(asked.home.path("journal")))
    raise AssertionError


def newest_closed(what: Question) -> int:
    """Return the last slot that had closed at the instant."""
    slot = what.asked.state.first_slot_kept
    assert slot is not None
    ended = (what.instant_ms - closing_ms(slot)) // (slot_start_ms(1) - slot_start_ms(0))
    return slot + ended
