# SPDX-License-Identifier: Apache-2.0
"""What waits in landing, and what of it goes first.

Each file is looked at once, cheaply (`pipeline.handover.peek`), and what was seen is kept in memory, some hundred bytes
a file; nothing of it is durable or decides what a read is. By its stamps a file is

- `CURRENT`: half of its stamps or more lie at slots that are not closed yet, or it cannot be known (damaged, empty);
- `MIXED`: some do;
- `BACKFILL`: none does.

Which slots are open moves on with the instants issued, so the same file may become backfill while it waits. Within a
kind the file with the larger share of open slots goes first. Of backfill the smaller one does, by powers of two of its
rows: the odd late read must not wait behind a flood that landed before it. Then the one that was seen first.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from koma.errors import HandoverError
from koma.limits import TURN_FILES_MAX
from koma.settings import Settings
from pipeline.handover.peek import peek
from pipeline.landing import Entry, entries

CURRENT, MIXED, BACKFILL = range(3)
LOOK_S: Final = 1.0
"""How long files are looked at in one go."""
SHUT_RETRY_S: Final = 30.0
"""How long a file that could not be opened is left alone."""


@dataclass(slots=True)
class Landed:
    """A file in landing and what is known of it.

    Attributes:
        name: its name.
        inode: tells it from another file of the same name.
        seen_ms: when it was seen first, by the watch's clock.
        size: bytes.
        rows: about how many rows, once `looked`.
        stamps: sampled times of its stamps, ascending, once `looked`.
        looked: whether it was looked at.
        shut: why it could not be opened, if so.
        retry_s: when to try again, by the steady clock.
    """

    name: str
    inode: int
    seen_ms: int
    size: int = 0
    rows: int = 0
    stamps: tuple[int, ...] = ()
    looked: bool = False
    shut: str = ""
    retry_s: float = 0.0

    def share_open(self, open_ms: int) -> float:
        """Return which part of the file's stamps lies at `open_ms` or later; 1 where nothing is known."""
        if not self.stamps:
            return 1.0
        return sum(stamp >= open_ms for stamp in self.stamps) / len(self.stamps)

    def kind(self, open_ms: int) -> int:
        """Return `CURRENT`, `MIXED` or `BACKFILL`."""
        share = self.share_open(open_ms)
        return CURRENT if share >= 0.5 else MIXED if share > 0 else BACKFILL

    def rank(self, open_ms: int) -> tuple[int, float, int, int, str]:
        """Return what the file is sorted by: those that go first have the smaller rank."""
        kind = self.kind(open_ms)
        return kind, -self.share_open(open_ms), self.rows.bit_length() * (kind == BACKFILL), self.seen_ms, self.name


@dataclass(slots=True)
class Aside:
    """A file that stays in landing: why, and what has to happen."""

    inode: int
    facts: dict[str, object]
    until_ms: int | None = None  # taken in by itself once the time that is known gets here


class Backlog:
    """The hand-over files in landing, as one watch knows them."""

    def __init__(self, landing: Path) -> None:
        """Know nothing yet."""
        self._landing = landing
        self._files: dict[str, Landed] = {}
        self.aside: dict[str, Aside] = {}
        self.strays: list[Entry] = []
        """What is no hand-over file and waits for a person."""

    def scan(self, now_ms: int) -> None:
        """See which files are there: names and inodes only, no file is touched.

        Raises:
            OSError: landing cannot be read.

        """
        found: dict[str, Landed] = {}
        strays: list[Entry] = []
        for entry in entries(self._landing):
            if entry.objection:
                strays.append(entry)
                continue
            name, inode = entry.name, entry.inode
            known = self._files.get(name)
            found[name] = Landed(name, inode, now_ms) if known is None or known.inode != inode else known
            found[name].seen_ms = min(found[name].seen_ms, now_ms)  # a clock that stepped back
        self._files, self.strays = found, sorted(strays, key=lambda each: each.name)
        self.aside = {
            name: each for name, each in self.aside.items() if name in found and found[name].inode == each.inode
        }

    def look(self, seconds: float = LOOK_S) -> None:
        """Look at files that were not looked at yet, the latest to land first, for some seconds at most.

        What has just landed is most likely current; a flood that landed before it must not hide it.
        """
        started = time.monotonic()
        ahead = [each for each in self._files.values() if not each.looked and each.retry_s <= started]
        for file in sorted(ahead, key=lambda each: (-each.seen_ms, each.name)):
            self._look_at(file)
            if time.monotonic() - started >= seconds:
                return

    def _look_at(self, file: Landed) -> None:
        path = self._landing / file.name
        try:
            file.size = path.stat().st_size
            seen = peek(path)
            file.rows, file.stamps = seen.rows, seen.stamps
        except HandoverError:
            file.rows = 0  # nothing can be known of it; taking it in tells what is wrong with it
        except FileNotFoundError:
            return  # gone; the next scan forgets it
        except OSError as error:
            file.shut, file.retry_s = error.strerror or str(error), time.monotonic() + SHUT_RETRY_S
            return
        file.looked, file.shut = True, ""

    @property
    def unknown(self) -> int:
        """How many files have not been looked at, those that are shut apart."""
        return sum(not each.looked and not each.shut for each in self._files.values())

    @property
    def files(self) -> Iterable[Landed]:
        """Every file that is there, in no order."""
        return self._files.values()

    def ready(self, open_ms: int, known_ms: int) -> list[Landed]:
        """Return the files that can be taken in, in the order in which they should be.

        Args:
            open_ms: start of the first slot that is not closed.
            known_ms: time that arrivals may lie some days ahead of; files that waited for it are let in.

        """
        free = [each for each in self._files.values() if each.looked and not self._waits(each.name, known_ms)]
        return sorted(free, key=lambda each: each.rank(open_ms))

    def _waits(self, name: str, known_ms: int) -> bool:
        aside = self.aside.get(name)
        return aside is not None and (aside.until_ms is None or known_ms < aside.until_ms)

    def set_aside(self, name: str, facts: dict[str, object], until_ms: int | None = None) -> bool:
        """Leave a file alone; says whether that is new."""
        file = self._files.get(name)
        if file is None:
            return False
        known = self.aside.get(name)
        self.aside[name] = Aside(file.inode, facts, until_ms)
        return known is None

    def paths(self, files: Iterable[Landed]) -> list[Path]:
        """Return the paths of files, by name."""
        return sorted(self._landing / each.name for each in files)


def cut_turn(files: Iterable[Landed], settings: Settings) -> list[Landed]:
    """Return as many of the first files as one turn takes in: at least one, however large.

    A file is never cut between turns: its reads are counted, and the guard of the clock judges it, as a whole. Memory
    stays bounded all the same, because a turn holds blocks of a file and not the file.
    """
    turn: list[Landed] = []
    rows = size = 0
    for each in files:
        rows, size = rows + each.rows, size + each.size
        if turn and (rows > settings.turn_rows or size > settings.turn_bytes or len(turn) >= TURN_FILES_MAX):
            break
        turn.append(each)
    return turn
