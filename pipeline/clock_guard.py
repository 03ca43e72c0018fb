# SPDX-License-Identifier: Apache-2.0
"""Whether the wall clock is to be trusted with issuing: an instant issued too early cannot be taken back.

- The clock stepped back, or reads a time long past: nothing falls due until it is beyond what was issued, so nothing is
  issued twice.
- It runs days ahead of everything known (latest arrival, last instant issued): nothing is issued until reads arrive
  that agree, the clock is put right, or the watch is started with `--accept-clock`.
- It stepped ahead by minutes against the steady clock of the machine: nothing is issued until a read arrives that
  agrees, the clock is put right, or ten minutes have passed: after that an ordinary correction is what it was.

Reads are taken in all the while.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from koma.slots import MS_PER_DAY, format_jst, parse_jst
from pipeline.instants import GRID_MS, MINUTE_MS
from pipeline.journal import NEVER, State

STEP_MS: Final = 2 * MINUTE_MS
"""What lies below is drift and its correction."""
DOUBT_MS: Final = 10 * MINUTE_MS
AGREES_MS: Final = 6 * MINUTE_MS
"""A read that arrived this shortly before the clock's time says that the head-end's clock agrees."""
MADE_MS: Final = parse_jst("2026-01-01T00:00")
"""No clock that is right reads less: machines without a battery begin in 1970."""


def steady_ms() -> int:
    """Milliseconds that passed since the machine started, sleep included; nobody sets this clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1_000_000


@dataclass(slots=True)
class ClockGuard:
    """Looks at the clock before anything is issued by it.

    Attributes:
        steady: a clock that nobody sets; None where business time is moved on purpose.
        jump_days: how far the clock may run ahead of all that is known.
        accept: take the clock as it is.
    """

    steady: Callable[[], int] | None
    jump_days: int
    accept: bool = False
    _offset_ms: int | None = None
    _doubt_from: int | None = None
    _stepped_ms: int = 0

    def objection(self, now_ms: int, state: State) -> str:
        """Return why nothing is to be issued by this clock now; empty where all is well."""
        if self.steady is None or self.accept:
            return ""
        if now_ms < MADE_MS:
            return f"the clock reads {format_jst(now_ms)}, which is long past; put it right"
        far = self._far_ahead(now_ms, state)
        stepped = self._stepped(now_ms, self.steady(), state)
        if far or stepped:
            return far or stepped
        if state.issued_ms != NEVER and now_ms < state.issued_ms - GRID_MS:
            return (
                f"the clock reads {format_jst(now_ms)} and all is issued until {format_jst(state.issued_ms)}; "
                "issuing goes on when the clock gets there"
            )
        return ""

    def _far_ahead(self, now_ms: int, state: State) -> str:
        known_ms = state.now_ms
        if known_ms == NEVER or now_ms - known_ms <= self.jump_days * MS_PER_DAY:
            return ""
        return (
            f"the clock reads {format_jst(now_ms)}, more than {self.jump_days} days after {format_jst(known_ms)}, the "
            "latest that is known; put the clock right, or start again with --accept-clock if it is; "
            "issuing also goes on once reads arrive that agree with it"
        )

    def _stepped(self, now_ms: int, steady_now: int, state: State) -> str:
        offset_ms = now_ms - steady_now
        before_ms, self._offset_ms = self._offset_ms, offset_ms
        if before_ms is not None and offset_ms - before_ms > STEP_MS:
            self._stepped_ms += offset_ms - before_ms
            self._doubt_from = steady_now if self._doubt_from is None else self._doubt_from
        elif before_ms is not None and before_ms - offset_ms > STEP_MS:
            self._stepped_ms = max(0, self._stepped_ms - (before_ms - offset_ms))  # taken back, or a step of its own
        if self._doubt_from is None:
            return ""
        agrees = state.clock_ms > now_ms - AGREES_MS
        if agrees or self._stepped_ms <= STEP_MS or steady_now - self._doubt_from >= DOUBT_MS:
            self._doubt_from, self._stepped_ms = None, 0
            return ""
        return (
            f"the clock stepped ahead by {self._stepped_ms // 1000} s, to {format_jst(now_ms)}; issuing goes on when a "
            "read arrives that agrees, or in ten minutes; put the clock right before if it is wrong"
        )
