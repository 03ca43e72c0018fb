# SPDX-License-Identifier: Apache-2.0
"""What the records of a journal add up to: the state of a home.

It is bounded: per stamp the register files that hold it, as long as registers are kept, and little else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from koma.errors import HomeError

NEVER = -(1 << 62)
_FOREVER_AGO = -(1 << 31)


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
class StampIndex:
    """Which register files hold the reads of each stamp.

    Attributes:
        names: files by stamp, in the order they came.
        latest: latest arrival among the reads of each stamp, ms UTC.
        uses: how many stamps each file is there for; what is not in it is no part of the home.
        kept_from: stamps before this one are forgotten.
        compactions: how often files, of held reads too, were replaced by fewer: numbers the new ones.
    """

    names: dict[int, list[str]] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)
    kept_from: int = _FOREVER_AGO
    compactions: int = 0

    def add(self, segments: Iterable[Segment]) -> None:
        """Take further files in."""
        for segment in segments:
            for stamp, arrival in segment.stamps:
                if stamp < self.kept_from:
                    continue
                self.names.setdefault(stamp, []).append(segment.name)
                self.uses[segment.name] = self.uses.get(segment.name, 0) + 1
                if arrival > self.latest.get(stamp, NEVER):
                    self.latest[stamp] = arrival

    def apply(self, record: dict[str, Any]) -> None:
        """Take a record of the journal in, as far as it tells of register files."""
        match record["kind"]:
            case "intake":
                self.add(segments_of(record))
            case "compact":
                for stamp, gone, names in record["stamps"]:
                    self._replace(stamp, gone, names)
                self.compactions += 1
            case "held":
                self.compactions += 1
            case "forget":
                self._forget(record["before"])

    def _replace(self, stamp: int, gone: list[str], names: list[str]) -> None:
        left = [name for name in self.names[stamp] if name not in set(gone)]
        for name in names:
            self.uses[name] = self.uses.get(name, 0) + 1
        self._release(gone)
        self.names[stamp] = left + names

    def _forget(self, before: int) -> None:
        self.kept_from = max(self.kept_from, before)
        for stamp in [each for each in self.names if each < self.kept_from]:
            self._release(self.names.pop(stamp))
            del self.latest[stamp]

    def _release(self, names: Iterable[str]) -> None:
        for name in names:
            self.uses[name] -= 1
            if self.uses[name] == 0:
                del self.uses[name]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; every name stands once."""
        number = {name: k for k, name in enumerate(self.uses)}
        return {
            "files": list(number),
            "stamps": [
                [stamp, self.latest[stamp], [number[name] for name in names]] for stamp, names in self.names.items()
            ],
            "kept_from": self.kept_from,
            "compactions": self.compactions,
        }

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> "StampIndex":
        """Make it again from what `as_json` returned."""
        index = cls(kept_from=values["kept_from"], compactions=values["compactions"])
        files: list[str] = values["files"]
        for stamp, latest, numbers in values["stamps"]:
            index.latest[stamp] = latest
            index.names[stamp] = [files[number] for number in numbers]
            for number in numbers:
                index.uses[files[number]] = index.uses.get(files[number], 0) + 1
        return index


@dataclass(slots=True)
class State:
    """What the journal adds up to."""

    batches: int = 0
    index: StampIndex = field(default_factory=StampIndex)
    minutes: StampIndex = field(default_factory=StampIndex)  # of files below minutes/; stamps count minutes
    held: list[str] = field(default_factory=list)  # files below held/
    held_judged: int = -1  # master version under which the held reads were judged last
    clock_ms: int = NEVER  # latest received_at of an accepted or duplicate read
    issued_ms: int = NEVER  # H: the last instant issued
    extras: list[int] = field(default_factory=list)  # instants beyond the regular grid
    first_slot: int | None = None
    supersessions: list[Supersession] = field(default_factory=list)
    intent: dict[str, Any] | None = None
    daily_ms: int = NEVER  # the daily files of all instants up to this one are out
    daily_intent: dict[str, Any] | None = None
    monthly_ms: int = NEVER  # the monthly files of all instants up to this one are out
    monthly_intent: dict[str, Any] | None = None
    carried: int = 0  # master version up to which reads were carried to the installations it makes of theirs
    unmoved: list[dict[str, Any]] = field(default_factory=list)  # files of the last intake, perhaps still in landing

    @property
    def now_ms(self) -> int:
        """The clock of received reads, never behind what was issued."""
        return max(self.clock_ms, self.issued_ms)

    @property
    def announced_ms(self) -> int:
        """The last instant issued, or announced by an intent that a crash left open: facts of today count after it."""
        return self.issued_ms if self.intent is None else int(self.intent["to"])

    @property
    def next_fact_ms(self) -> int | None:
        """The latest time from which a fact learned now counts; None where no read was accepted: there is no clock."""
        return None if self.now_ms == NEVER else max(self.now_ms, self.announced_ms + 1)

    @property
    def first_slot_kept(self) -> int | None:
        """The first slot that can be looked at: the home's first, but none that is forgotten."""
        return None if self.first_slot is None else max(self.first_slot, self.index.kept_from)

    @property
    def announced(self) -> bool:
        """Say whether an issue is under way, of days and months too: it may go by the number of intakes it knows."""
        return any(each is not None for each in (self.intent, self.daily_intent, self.monthly_intent))

    def apply(self, record: dict[str, Any]) -> None:
        """Take one journal record into the state.

        Raises:
            HomeError: a later version wrote it.

        """
        self.index.apply(record)
        self.minutes.apply(of_minutes(record))
        match record["kind"]:
            case "intake":
                self._take_in(record)
            case "start":
                self.first_slot = record["first_slot"]
            case "supersede":
                self._decide([record, *record.get("also", ())])  # those to which its reads were carried, too
            case "intent":
                self.intent = record
            case "issued":
                self.issued_ms = record["to"]
                if record["extra"]:
                    self.extras.append(record["to"])
                self.intent = None
            case "daily_intent":
                self.daily_intent = record
            case "daily":
                self.daily_ms = record["to"]
                self.daily_intent = None
            case "monthly_intent":
                self.monthly_intent = record
            case "monthly":
                self.monthly_ms = record["to"]
                self.monthly_intent = None
            case "held":
                self.held = [*record["names"], *(name for name in self.held if name not in set(record["gone"]))]
            case "forget":
                self.supersessions = [each for each in self.supersessions if each.stamp >= record["before"]]
                self.extras = [each for each in self.extras if each >= record["extras_from"]]
            case "compact" | "forget_minutes" | "part":
                pass
            case kind:
                raise HomeError(
                    f"the journal holds a record of unknown kind {kind!r}", hint="use the Koma that wrote it"
                )

    def _take_in(self, record: dict[str, Any]) -> None:
        self.batches = record["batch"]
        if record["held"] is not None:  # all of them; else only those that are new
            self.held = record["held"]
        self.held += record.get("held_new", ())
        self.held_judged = record["master"]
        self.clock_ms = max(self.clock_ms, record["clock_ms"])
        if self.first_slot is None:
            self.first_slot = record["first_slot"]
        self.unmoved = record["files"]
        self.carried = record.get("carried", self.carried)
        self._decide(record.get("supersessions", ()))

    def _decide(self, records: Iterable[dict[str, Any]]) -> None:
        self.supersessions += [Supersession(*(each[name] for name in Supersession.__slots__)) for each in records]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        each = [[getattr(one, name) for name in Supersession.__slots__] for one in self.supersessions]
        return values | {"index": self.index.as_json(), "minutes": self.minutes.as_json(), "supersessions": each}

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> "State":
        """Make it again from what `as_json` returned."""
        state = cls(**values)
        state.index = StampIndex.of_json(values["index"])
        if "minutes" in values:  # not in checkpoints of layout 4
            state.minutes = StampIndex.of_json(values["minutes"])
        state.supersessions = [Supersession(*each) for each in values["supersessions"]]
        return state


def segments_of(intake: dict[str, Any]) -> list[Segment]:
    """Return the segments of an `intake` record."""
    return [Segment(each["name"], tuple((stamp, ms) for stamp, ms in each["stamps"])) for each in intake["segments"]]


def of_minutes(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says of the files below minutes/, as a record that says it of register files."""
    match record["kind"]:
        case "intake":
            return {"kind": "intake", "segments": record.get("minutes", [])}
        case "forget_minutes":
            return {"kind": "forget", "before": record["before"]}
        case _:
            return {"kind": "part"}
