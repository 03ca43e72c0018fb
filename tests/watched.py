# SPDX-License-Identifier: Apache-2.0
"""The life of a home that is watched: `--watch` by the manual clock, daily files, compaction, checkpoints, retention.

Whoever moves the clock stands outside: at each time of a step the next hand-over files get their names, the clock is
set, and the watch is waited for. The hand-over files of a step lie in landing from its beginning, under dotted names,
so that a fault of the watch's disk can take none of them from the head-end.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from koma.slots import parse_jst
from pipeline.home import Home
from pipeline.manual import manual_clock
from tests.faults import Command, Life, Step
from tests.filelayer import Fault
from tests.homes import hand_over
from tests.real_homes import part_of
from tests.towns import FAULTS, FORMATS

MANUAL = "KOMA_CLOCK=manual"
OFTEN = "CHECKPOINT_BYTES=2500"
"""Checkpoints after every dozen records."""
BRIEFLY = "KOMA_DELIVERIES_DAYS=1"
WATCH = ("pipeline", "run", "--watch")
NIGHT = tuple(parse_jst(each) for each in ("2026-10-06T22:35", "2026-10-06T23:20", "2026-10-07T00:20"))
MORNING = tuple(parse_jst(each) for each in ("2026-10-07T05:00", "2026-10-07T06:45"))
LATER = (parse_jst("2026-10-08T10:05"),)
"""Late enough for the first day to go when it was issued a day ago."""
LATE_HOURS = 5
FILES_A_TIME = 2
REST_S = 0.3
AGAIN = "it is tried again in"


@dataclass(slots=True)
class Watched(Command):
    """One `koma pipeline run --watch`, driven by the clock through the times of its step, then asked to end."""

    times: tuple[int, ...] = ()
    _rested: tuple[int, float] = (-1, 0.0)
    _asked: bool = False
    _left: list[int] = field(default_factory=list)

    def start(self) -> "Watched":
        """Set the first time before it begins: a watch waits for a clock that was never set."""
        self._left = list(self.times)
        if self.times:
            self._set(self.times[0])
        Command.start(self)
        return self

    def advance(self) -> None:
        """Do the next thing the world does, if it is time for it."""
        self.process.join(0.01)
        home = Home(self.root)
        if not self.times or self._asked or self.process.exitcode is not None or not self._began(home):
            return
        if self.fault.what in ("full", "readonly") and AGAIN in self.said:
            self._end()  # that disk stays as it is: somebody mends it, and starts anew
        elif self._left and _reached(home) >= self._left[0]:
            self._left.pop(0)
            if self._left:
                self._set(self._left[0])
        elif not self._left and self._is_still(home):
            self._end()

    def _set(self, now_ms: int) -> None:
        home = Home(self.root)
        for path in sorted(home.landing.glob(f".{self.times.index(now_ms)}-*")):
            path.rename(path.with_name(path.name[1:]))
        if (manual_clock(home).stands_at() or 0) < now_ms:
            manual_clock(home).set(now_ms)

    def _began(self, home: Home) -> bool:
        """Say whether it holds the home's lock: it ends in order from then on."""
        lock = home.path("run") / "writer.lock"
        return lock.exists() and f"(process {self.process.pid})" in lock.read_text()

    def _is_still(self, home: Home) -> bool:
        """Say whether nothing has been compacted for a while."""
        count = len(list(home.path("registers").iterdir()))
        if count != self._rested[0]:
            self._rested = count, time.monotonic()
        return time.monotonic() - self._rested[1] > REST_S

    def _end(self) -> None:
        self._asked = True
        os.kill(self.process.pid, signal.SIGTERM)

    def troubled(self) -> bool:
        """Say whether it met a fault and said so."""
        return AGAIN in self.said


def _reached(home: Home) -> int:
    mark = home.path("run") / "clock.reached.json"
    return int(json.loads(mark.read_text())["now_ms"]) if mark.exists() else 0


@dataclass(frozen=True, slots=True)
class WatchedStep(Step):
    """A watch, and the times through which the clock is moved."""

    times: tuple[int, ...] = ()

    def command(self, root: Path, fault: Fault, name: str = "said") -> Command:
        """Make the command; a second instance is not driven."""
        return Watched(root, self.arguments, fault, name, times=self.times if name == "said" else ())


@dataclass(frozen=True, slots=True)
class WatchedLife(Life):
    """What happens to a home that is watched."""

    STRIKES = (1, 1, 3, 3, 3, 4, 5, 5, 6, 6, 7, 7)
    HALTS = (1, 3, 5, 6, 7)
    FAULTS = replace(FAULTS, late_hours=LATE_HOURS)

    def steps(self, home: Home, begun: int = -1) -> Iterator[Step]:
        """Yield the commands in order; before a watch its hand-over files are laid down, unless it has `begun`."""
        yield Step((MANUAL, "master", "import", str(self.town.master)))
        if begun < 1:
            self._lay_down(home, NIGHT, 0)
        yield WatchedStep((MANUAL, OFTEN, *WATCH), times=NIGHT)
        yield Step((MANUAL, "master", "import", str(self.folder / "learned")))
        if begun < 3:
            self._lay_down(home, MORNING, NIGHT[-1])
        yield WatchedStep((MANUAL, OFTEN, *WATCH), times=MORNING)
        yield Step((MANUAL, "clock", "set", "2026-10-07T09:30"))
        yield Step(("pipeline", "compact"))
        yield WatchedStep((MANUAL, OFTEN, BRIEFLY, *WATCH), forgets=True, times=LATER)
        yield Step((BRIEFLY, "pipeline", "compact", "--forget"))

    def _lay_down(self, home: Home, times: tuple[int, ...], after_ms: int) -> None:
        """Write hand-over files of what arrives until each of some times, under dotted names."""
        reads = self.town.reads
        for index, until_ms in enumerate(times):
            mine = np.flatnonzero((reads.received_ms > after_ms) & (reads.received_ms <= until_ms))
            after_ms = until_ms
            mixed = np.random.default_rng(index).permutation(mine)
            for number, some in enumerate(np.array_split(mixed, FILES_A_TIME)):
                if len(some):
                    name = f"{index}-{until_ms}-{number}{FORMATS[(2 * index + number) % len(FORMATS)]}"
                    hand_over(home, name, part_of(reads, some)).rename(home.landing / f".{name}")
