# SPDX-License-Identifier: Apache-2.0
"""The journal: what this home has taken in and what it has issued, one JSON line each, in order.

A line is written when what it tells of is durable; a torn last line (a crash while writing) never happened. From the
lines follow the home's state: the batches of registers, the last instant issued, the clock. Nothing else decides what
comes next.

- `start`: a home that goes on by the wall clock began; its first slot.
- `intake`: a batch of hand-over files was taken in: the files, the counts, the register segments, the held reads.
- `supersede`: an operator decided a conflict: which register counts instead, from when, who, why.
- `intent`: from now until `issued` with the same `to`, nothing but this issue may happen; a crash repeats it.
- `issued`: every instant up to `to` is out.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from koma.errors import HomeError

JOURNAL = "journal.jsonl"
NEVER = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Segment:
    """One durable file of registers: reads that one intake brought, and the stamps of which they changed anything."""

    name: str  # file below registers/
    stamps: tuple[tuple[int, int], ...]  # (stamp, latest arrival in ms among its reads)


@dataclass(frozen=True, slots=True)
class Supersession:
    """An operator's decision that another register is true, in force for all instants from `from_ms` on."""

    shard: int
    local: int
    stamp: int
    value: int
    from_ms: int


@dataclass(slots=True)
class State:
    """What the journal adds up to."""

    batches: int = 0
    segments: list[Segment] = field(default_factory=list)
    held: list[str] = field(default_factory=list)  # files below held/
    held_judged: int = -1  # master version under which the held reads were judged last
    clock_ms: int = NEVER  # latest received_at of an accepted or duplicate read
    issued_ms: int = NEVER  # H: the last instant issued
    extras: list[int] = field(default_factory=list)  # instants beyond the regular grid
    first_slot: int | None = None
    supersessions: list[Supersession] = field(default_factory=list)
    intent: dict[str, Any] | None = None
    unmoved: list[dict[str, Any]] = field(default_factory=list)  # files of the last intake, perhaps still in landing

    @property
    def now_ms(self) -> int:
        """The clock of received reads, never behind what was issued."""
        return max(self.clock_ms, self.issued_ms)

    @property
    def announced_ms(self) -> int:
        """The last instant issued, or announced by an intent that a crash left open: facts of today count after it."""
        return self.issued_ms if self.intent is None else int(self.intent["to"])

    def apply(self, record: dict[str, Any]) -> None:
        """Take one journal record into the state."""
        match record["kind"]:
            case "intake":
                self.batches = record["batch"]
                self.segments += segments_of(record)
                if record["held"] is not None:
                    self.held = record["held"]
                self.held_judged = record["master"]
                self.clock_ms = max(self.clock_ms, record["clock_ms"])
                if self.first_slot is None:
                    self.first_slot = record["first_slot"]
                self.unmoved = record["files"]
            case "start":
                self.first_slot = record["first_slot"]
            case "supersede":
                names = ("shard", "local", "stamp", "value", "from_ms")
                self.supersessions.append(Supersession(*(record[name] for name in names)))
            case "intent":
                self.intent = record
            case "issued":
                self.issued_ms = record["to"]
                if record["extra"]:
                    self.extras.append(record["to"])
                self.intent = None
            case kind:
                raise HomeError(
                    f"the journal holds a record of unknown kind {kind!r}", hint="use the Koma that wrote it"
                )


def segments_of(intake: dict[str, Any]) -> list[Segment]:
    """Return the segments of an `intake` record."""
    return [Segment(each["name"], tuple((stamp, ms) for stamp, ms in each["stamps"])) for each in intake["segments"]]


class Journal:
    """The journal file of a home, opened by its sole writer."""

    def __init__(self, folder: Path) -> None:
        """Read `folder`/journal.jsonl, cutting off a torn last line."""
        self._path = folder / JOURNAL
        self.state = State()
        data = self._path.read_bytes() if self._path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise HomeError(
                    f"{self._path} line {number} is damaged: {error}", hint="restore it from a copy of the home"
                ) from error
            self.state.apply(record)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(self._file, len(whole))
        os.lseek(self._file, len(whole), os.SEEK_SET)

    def append(self, record: dict[str, Any]) -> None:
        """Write one record, durable on return, and take it into the state."""
        os.write(self._file, json.dumps(record, separators=(",", ":")).encode() + b"\n")
        os.fsync(self._file)
        self.state.apply(record)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_state(folder: Path) -> State:
    """Return the state of a home without opening its journal for writing."""
    path = folder / JOURNAL
    state = State()
    if path.exists():
        data = path.read_bytes()
        for line in data[: data.rfind(b"\n") + 1].splitlines():
            state.apply(json.loads(line))
    return state
