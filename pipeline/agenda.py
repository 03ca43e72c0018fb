# SPDX-License-Identifier: Apache-2.0
"""What a watch does next: take in current files, issue an instant, take in backfill, or wait.

Nothing here touches a file, so the order is a function of what lies in landing, what was issued and the clock.

1. An instant falls due (by the wall clock some seconds after it). Of what lies in landing at that moment the current
   files are taken in first, however long that takes; from then on, for `watch_backfill_s` at most, the mixed ones and
   the backfill. Then the instant is issued. What lands meanwhile does not hold it up.
2. With no instant due, current files are taken in as soon as a turn is full or the first has waited long enough to make
   a turn worth its price.
3. Else backfill is taken in, if a turn of it is likely to end before the next instant falls due.

Under a clock that is moved by hand everything in landing is taken in before an instant is issued: whoever moves it says
that what belongs before has landed, and no time passes meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from koma.settings import Settings
from koma.slots import MS_PER_SLOT, slot_at_ms, slot_start_ms
from pipeline.backlog import CURRENT, Backlog, Landed, cut_turn
from pipeline.instants import CLOSING_MIN, GRID_MS, HOUR_MS, MINUTE_MS
from pipeline.journal import NEVER, State

CATCH_UP_CELLS = 50_000_000
"""Cells (point and slot) that one issue covers at most when a home catches up: what it holds stays bounded."""
CATCH_UP_MS_MIN, CATCH_UP_MS_MAX = HOUR_MS, 31 * 24 * HOUR_MS
GATHER_TIMES = 10
"""A current file waits this many times as long for others as taking in took last: a tenth of the time is overhead."""


class Kind(Enum):
    """What a step does."""

    WAIT = "wait"
    LOOK = "look"
    CURRENT = "current"
    BACKFILL = "backfill"
    REJUDGE = "rejudge"
    ISSUE = "issue"


@dataclass(frozen=True, slots=True)
class Step:
    """What is done next: the files to take in, or the instant up to which all is issued."""

    kind: Kind
    files: tuple[Landed, ...] = ()
    to_ms: int = NEVER


@dataclass(slots=True)
class _Before:
    """What lay in landing when an instant fell due."""

    to_ms: int
    files: frozenset[tuple[str, int]]
    current_done_ms: int | None = None  # when the last current one of them was in


@dataclass(slots=True)
class Agenda:
    """The order of the work of one watch."""

    settings: Settings
    by_hand: bool
    _before: _Before | None = None
    _took_ms: dict[Kind, int] = field(default_factory=dict)

    def took(self, kind: Kind, ms: int) -> None:
        """Remember how long a step took, by the clock of the watch; one long step is not forgotten at once."""
        self._took_ms[kind] = max(ms, self._took_ms.get(kind, 0) // 2, 0)

    def due_ms(self, now_ms: int) -> int:
        """Return the last instant that has fallen due when the clock reads `now_ms`."""
        delay_ms = 0 if self.by_hand else self.settings.watch_delay_s * 1000
        return (now_ms - delay_ms) // GRID_MS * GRID_MS

    def late_since_ms(self, issued_ms: int, now_ms: int) -> int | None:
        """Return when the oldest instant fell due that is due and not issued; None where there is none."""
        due_ms = self.due_ms(now_ms)
        if due_ms <= issued_ms:
            return None
        oldest_ms = due_ms if issued_ms == NEVER else issued_ms // GRID_MS * GRID_MS + GRID_MS
        return oldest_ms + (0 if self.by_hand else self.settings.watch_delay_s * 1000)

    def known_ms(self, state: State, now_ms: int) -> int:
        """Return the time that arrivals may lie some days ahead of, no more.

        By the wall clock that is its own time: a head-end that agrees with it has not run away, however long nothing
        came from it.
        """
        return state.clock_ms if self.by_hand else max(state.now_ms, now_ms)

    def open_ms(self, state: State) -> int:
        """Return the start of the first slot that is not closed: stamps from there on are current."""
        begins_ms = NEVER if state.first_slot is None else slot_start_ms(state.first_slot)
        if state.issued_ms == NEVER:
            return begins_ms
        closed = slot_at_ms(state.issued_ms - MS_PER_SLOT - CLOSING_MIN * MINUTE_MS)
        return max(begins_ms, slot_start_ms(closed + 1))

    def next_step(
        self,
        backlog: Backlog,
        state: State,
        now_ms: int,
        *,
        points: int = 0,
        rejudge: bool = False,
        may_issue: bool = True,
    ) -> Step:
        """Return what to do when the clock reads `now_ms`.

        Args:
            backlog: scanned after the clock was read.
            state: of the journal.
            now_ms: what the clock reads.
            points: of the master.
            rejudge: whether held reads wait to be judged under another master.
            may_issue: False while the clock is not to be trusted.

        """
        due_ms = self.due_ms(now_ms)
        files = backlog.ready(self.open_ms(state), self.known_ms(state, now_ms))
        if may_issue and due_ms > state.issued_ms:
            if self._before is None or self._before.to_ms <= state.issued_ms:
                there = frozenset((each.name, each.inode) for each in backlog.files)
                self._before = _Before(self._target_ms(state, now_ms, points), there)
            return self._before_issue(self._before, backlog, state, files, now_ms, rejudge=rejudge)
        self._before = None
        current, rest = self._split(state, files)
        if current and self._gathered(current, now_ms):
            return Step(Kind.CURRENT, tuple(cut_turn(current, self.settings)))
        if backlog.unknown:
            return Step(Kind.LOOK)
        if (rest or rejudge) and self._fits(now_ms, rejudge=rejudge):
            return Step(Kind.REJUDGE) if rejudge else Step(Kind.BACKFILL, tuple(cut_turn(rest, self.settings)))
        return Step(Kind.WAIT)

    def _before_issue(
        self,
        before: _Before,
        backlog: Backlog,
        state: State,
        files: Sequence[Landed],
        now_ms: int,
        *,
        rejudge: bool,
    ) -> Step:
        ours = [each for each in files if (each.name, each.inode) in before.files]
        current, rest = self._split(state, ours)
        if current:
            return Step(Kind.CURRENT, tuple(cut_turn(current, self.settings)))
        if before.current_done_ms is None:
            before.current_done_ms = now_ms
        waited_ms = now_ms - before.current_done_ms
        if self.by_hand or 0 <= waited_ms < self.settings.watch_backfill_s * 1000:
            if any(
                not each.looked and not each.shut and (each.name, each.inode) in before.files for each in backlog.files
            ):
                return Step(Kind.LOOK)
            if rejudge:
                return Step(Kind.REJUDGE)
            if rest:
                return Step(Kind.BACKFILL, tuple(cut_turn(rest, self.settings)))
        return Step(Kind.ISSUE, to_ms=before.to_ms)

    def _target_ms(self, state: State, now_ms: int, points: int) -> int:
        """Return up to which instant the next issue goes: what is due, and no more cells than one issue may hold."""
        due_ms = self.due_ms(now_ms)
        from_ms = state.issued_ms if state.issued_ms != NEVER else self.open_ms(state)
        if self.by_hand or from_ms == NEVER:
            return due_ms
        span_ms = CATCH_UP_CELLS // max(1, points) * MS_PER_SLOT
        span_ms = min(max(span_ms, CATCH_UP_MS_MIN), CATCH_UP_MS_MAX)
        return min(due_ms, (from_ms + span_ms) // GRID_MS * GRID_MS)

    def _split(self, state: State, files: Sequence[Landed]) -> tuple[list[Landed], list[Landed]]:
        open_ms = self.open_ms(state)
        current = [each for each in files if each.kind(open_ms) == CURRENT]
        return current, list(files[len(current) :])

    def _gathered(self, current: Sequence[Landed], now_ms: int) -> bool:
        """Say whether current files have waited long enough for others, or are a full turn."""
        if self.by_hand:
            return True
        wait_ms = min(self.settings.watch_gather_s * 1000, GATHER_TIMES * self._took_ms.get(Kind.CURRENT, 0))
        waited_ms = now_ms - min(each.seen_ms for each in current)
        return waited_ms >= wait_ms or len(cut_turn(current, self.settings)) < len(current)

    def _fits(self, now_ms: int, *, rejudge: bool) -> bool:
        """Say whether a turn of backfill is likely to end before the next instant falls due.

        Turns that are longer than half of the time between two instants begin whenever there is nothing else to do:
        there is no better moment for them.
        """
        if self.by_hand:
            return True
        likely_ms = self._took_ms.get(Kind.REJUDGE if rejudge else Kind.BACKFILL, 0)
        next_ms = self.due_ms(now_ms) + GRID_MS + self.settings.watch_delay_s * 1000
        return now_ms + likely_ms <= next_ms or likely_ms > GRID_MS // 2
