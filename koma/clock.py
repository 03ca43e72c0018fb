# SPDX-License-Identifier: Apache-2.0
"""The clock as a parameter: whoever needs to know the time is given one of these.

Business time may be manual or that of the data replayed; tokens, proofs and certificates always live on wall time.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from threading import Lock
from typing import Protocol

from koma.errors import HomeError, InstantError
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


class KeptClock:
    """A clock that an operator moves, forward only, for every process of a home: its time lies in a file."""

    __slots__ = ("_file",)

    def __init__(self, folder: Path) -> None:
        """Use `clock.json` in a folder that all these processes share."""
        self._file = folder / "clock.json"

    def stands_at(self) -> int | None:
        """Milliseconds since the epoch, UTC; None if it was never set.

        Raises:
            HomeError: the file cannot be read.

        """
        try:
            return int(json.loads(self._file.read_text(encoding="utf-8"))["now_ms"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{self._file} cannot be read: {error}"
            raise HomeError(message, hint="Remove it and set the clock anew") from error

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC.

        Raises:
            InstantError: the clock was never set.

        """
        now_ms = self.stands_at()
        if now_ms is None:
            message = "the manual clock of this home was never set"
            raise InstantError(message, hint="Set it: koma clock set 2026-10-07T00:00:00+09:00")
        return now_ms

    def set(self, now_ms: int) -> None:
        """Move to an instant, durable on return.

        Raises:
            InstantError: the instant lies before the present one.

        """
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before_ms = self.stands_at()
            if before_ms is not None:
                ManualClock(before_ms).set(now_ms)
            text = json.dumps({"now": format_jst(now_ms), "now_ms": now_ms}) + "\n"
            fresh = self._file.with_name(f".{self._file.name}.new")
            with fresh.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
            folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)  # else a power cut may bring the old name's content back
            finally:
                os.close(folder)
