# SPDX-License-Identifier: Apache-2.0
"""The clock as a parameter: whoever needs to know the time is given one of these.

Business time may be manual or that of the data replayed; tokens, proofs and certificates always live on wall time.
"""

import time
from threading import Lock
from typing import Protocol

from koma.errors import InstantError
from koma.slots import format_jst


class Clock(Protocol):
    """Anything that tells the time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class WallClock:
    """The machine's clock."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC; may step back when the machine's clock is set."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is told to move, and moves forward only. Safe between threads.

    >>> clock = ManualClock(0)
    >>> clock.advance(1_800_000)
    >>> clock.now_ms()
    1800000
    """

    __slots__ = ("_lock", "_now_ms")

    def __init__(self, now_ms: int) -> None:
        """Start at an instant, in ms since the epoch."""
        self._now_ms = now_ms
        self._lock = Lock()

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move to an instant.

        Raises:
            InstantError: the instant lies before the present one.

        """
        with self._lock:
            if now_ms < self._now_ms:
                message = f"the clock stands at {format_jst(self._now_ms)} and cannot go back to {format_jst(now_ms)}"
                raise InstantError(message, hint="Business time moves forward only")
            self._now_ms = now_ms

    def advance(self, ms: int) -> None:
        """Move forward by a number of milliseconds.

        Raises:
            InstantError: the number is negative.

        """
        if ms < 0:
            message = f"the clock cannot be advanced by {ms} ms"
            raise InstantError(message, hint="Business time moves forward only")
        with self._lock:
            self._now_ms += ms
