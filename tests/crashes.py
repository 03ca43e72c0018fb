# SPDX-License-Identifier: Apache-2.0
"""Crashes, from outside and from inside: `kill -9` of the command, and a run that ends before its n-th change."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pipeline.home import Home

PATIENCE_S = 120.0


def landing_and_taken(home: Home) -> list[str]:
    """Names of all hand-over files, those in landing and those taken, sorted; a name twice stands twice.

    A file that is still being written has the name it will have.
    """
    taken = [path.name for path in home.path("taken").rglob("*") if path.is_file()]
    return sorted([*(path.name.removeprefix(".") for path in home.landing.iterdir()), *taken])


def command(home: Home) -> list[str]:
    return [str(Path(sys.executable).with_name("koma")), "pipeline", "run", "--once", "--home", str(home.root)]


@dataclass(slots=True)
class Victim:
    """One `koma pipeline run --once`, in its own process."""

    home: Home
    started: float = 0.0
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        """Start, and wait until it holds the home's lock: what comes before changes nothing."""
        self.process = subprocess.Popen(command(self.home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + PATIENCE_S
        mine = f"(process {self.process.pid})"
        lock = self.home.path("run") / "writer.lock"
        while not (lock.exists() and mine in lock.read_text()) and self.process.poll() is None:
            assert time.monotonic() < deadline, "the command did not begin"
            self._wait(0.005)
        self.started = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        self.process.kill()
        self.process.communicate()

    def _wait(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def ended_within(self, seconds: float) -> bool:
        """Say whether it ended by itself in time; it must then have ended well."""
        if not self._wait(seconds):
            return False
        error = self.process.stderr.read().decode() if self.process.stderr else ""
        assert self.process.returncode == 0, error
        return True


def run_through(home: Home) -> float:
    """Run the command to its end; returns for how many seconds it held the home."""
    with Victim(home) as victim:
        assert victim.ended_within(PATIENCE_S), "the command did not end"
        return time.monotonic() - victim.started


def kill_until_done(home: Home, chance: random.Random, seconds: float, kills: int) -> int:
    """Kill the command up to `kills` times at random moments of the next `seconds`, then let it end.

    Holds at each kill that every hand-over file lies in landing or is taken. Returns how many kills it took.
    """
    names = landing_and_taken(home)
    for done in range(kills):
        with Victim(home) as victim:
            if victim.ended_within(chance.uniform(0, seconds)):
                return done
            victim.process.kill()
            victim.process.wait()
        assert landing_and_taken(home) == names, "a hand-over file was lost or doubled"
    run_through(home)
    return kills


class Crashed(BaseException):
    """The run ended here."""


@dataclass(slots=True)
class _Fuse:
    """Counts the changes that the driver makes below a folder and ends the run before the chosen one."""

    below: str = ""
    thread: int = 0
    at: int = -1
    count: int = 0


_FUSE = _Fuse()
_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
_INSTALLED: list[bool] = []


def _on_audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _FUSE.below or threading.get_ident() != _FUSE.thread:
        return
    writes = event == "open" and len(arguments) > 2 and isinstance(arguments[2], int)
    if event not in _CHANGES and not (writes and int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR)):
        return
    if not str(arguments[0]).startswith(_FUSE.below):
        return
    _FUSE.count += 1
    if _FUSE.count - 1 == _FUSE.at:
        _FUSE.below = ""
        raise Crashed(f"{event} {arguments[:2]}")


@contextmanager
def crash_before(change: int, below: Path) -> Iterator[_Fuse]:
    """End what runs inside before its n-th change below a folder (renames, new folders, files opened for writing).

    Changes are counted in the calling thread, from 0; with -1 they are only counted.
    """
    if not _INSTALLED:
        sys.addaudithook(_on_audit)  # cannot be taken back; does nothing while no fuse is set
        _INSTALLED.append(True)
    _FUSE.below, _FUSE.thread, _FUSE.at, _FUSE.count = str(below), threading.get_ident(), change, 0
    try:
        yield _FUSE
    finally:
        _FUSE.below = ""
