# SPDX-License-Identifier: Apache-2.0
"""A month against the promise, as numbers: kept or not, by day, area and retailer, and each time it was not."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from koma.errors import TelemetryError
from koma.slots import first_slot_of_day, slot_at_ms, slot_date
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.ledger.book import survey_due
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.model import STAGES, SlotLine
from pipeline.ledger.promise import MISSED, OBJECTIVES
from pipeline.ledger.reading import KeptSlot, kept_slots
from pipeline.telemetry.findings import is_incomplete

WHOLE_WAY: Final = STAGES[-1]
_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(slots=True)
class Tally:
    """Cells of many slots: what was due, what is published by now, what is missing by cause."""

    due: int = 0
    published: int = 0
    missing: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RetailerTally:
    """A retailer's month: slots that expected something, those closed in time, cells expected and with a value."""

    slots: int = 0
    in_time: int = 0
    expected: int = 0
    available: int = 0


@dataclass(slots=True)
class Day:
    """A day: (retailer, slot) promised and kept, cells due and published at the closing."""

    day: date
    promised: int = 0
    kept: int = 0
    due: int = 0
    published: int = 0
    known: int = 0
    """Slots that the ledger has."""


@dataclass(slots=True)
class Episode:
    """Slots in a row in which a promise was not kept; `area` is empty where a deadline was missed."""

    area: str
    first: SlotLine
    last: SlotLine
    slots: int
    worst: float
    """Lowest completeness, or the latest minute by which a slot was out; infinite where it never was."""


@dataclass(slots=True)
class Month:
    """A month, up to the last of its slots whose duty is over."""

    name: str
    slots: list[KeptSlot]
    days: list[Day]
    areas: dict[str, Tally]
    retailers: dict[str, RetailerTally]
    episodes: list[Episode]
    whole_way: Histogram
    """From measured to published; empty where no watch noted it."""

    @property
    def on_time(self) -> float | None:
        """Part of (retailer, slot) closed in time; None where nothing is known."""
        promised = sum(each.promised for each in self.days)
        return sum(each.kept for each in self.days) / promised if promised else None

    @property
    def complete(self) -> float | None:
        """Part of the cells due that were published at the closing."""
        due = sum(each.due for each in self.days)
        return sum(each.published for each in self.days) / due if due else None

    @property
    def unknown(self) -> int:
        """Slots of which the ledger has nothing: kept no longer, or never surveyed."""
        return sum(each.line.surveyed_ms is None for each in self.slots)


def month_of(home: Home, name: str, now_ms: int, *, clock: str) -> Month:
    """Return a month (YYYY-MM) as the ledger has it; surveys what is due first.

    Raises:
        TelemetryError: no such month, or it has not begun.

    """
    slots = _slots(name, now_ms)
    for _ in survey_due(home, read_state(home.path("journal"))):
        pass
    kept = list(kept_slots(home, slots, now_ms, clock=clock))
    month = Month(name, kept, list(_days(kept)), {}, {}, list(_episodes(kept)), Histogram.empty())
    for each in kept:
        _take(month, each)
    month.areas = dict(sorted(month.areas.items()))
    month.retailers = dict(sorted(month.retailers.items()))
    return month


def _slots(name: str, now_ms: int) -> range:
    found = _MONTH.fullmatch(name)
    if found is None:
        raise TelemetryError(f"{name} is no month", hint="YYYY-MM, such as 2026-10")
    year, number = int(found[1]), int(found[2])
    first = first_slot_of_day(date(year, number, 1))
    last = first_slot_of_day(date(year + number // 12, number % 12 + 1, 1))
    over = slot_at_ms(now_ms) - 2  # its sixty minutes are over
    if over <= first:
        raise TelemetryError(f"no slot of {name} is over", hint="ask again when one is")
    return range(first, min(last, over))


def _days(kept: Iterable[KeptSlot]) -> Iterator[Day]:
    """Yield the days; a slot that nobody surveyed, after one that somebody did, was promised and not kept."""
    day: Day | None = None
    retailers = 0
    for each in kept:
        on = slot_date(each.line.slot)
        if day is None or day.day != on:
            if day is not None:
                yield day
            day = Day(on)
        day.known += each.line.surveyed_ms is not None
        retailers = len(each.in_time) or retailers
        day.promised += retailers
        day.kept += sum(each.in_time.values())
        if each.promised is not None:
            day.due += each.promised[0]
            day.published += each.promised[1]
    if day is not None:
        yield day


def _take(month: Month, each: KeptSlot) -> None:
    for area, counts in each.line.areas.items():
        tally = month.areas.setdefault(area, Tally())
        tally.due += counts.due
        tally.published += counts.published
        for cause, count in counts.missing.items():
            tally.missing[cause] = tally.missing.get(cause, 0) + count
    for code, line in each.retailers.items():
        mine = month.retailers.setdefault(code, RetailerTally())
        mine.slots += 1
        mine.in_time += each.in_time[code]
        mine.expected += line.expected
        mine.available += line.available
    if WHOLE_WAY in each.line.latencies:
        month.whole_way += each.line.latencies[WHOLE_WAY]


def _episodes(kept: list[KeptSlot]) -> Iterator[Episode]:
    """Yield what went wrong, the earliest first: deadlines, then areas."""
    areas = sorted({area for each in kept for area in each.line.areas})
    found = [episode for area in ("", *areas) for episode in _runs([each.line for each in kept], area)]
    yield from sorted(found, key=lambda each: (each.first.slot, each.area))


def _runs(lines: list[SlotLine], area: str) -> Iterator[Episode]:
    run: Episode | None = None
    for line in lines:
        if not _is_bad(line, area):
            if run is not None:
                yield run
            run = None
            continue
        badness = _badness(line, area)
        if run is None:
            run = Episode(area, line, line, 0, badness)
        run.last, run.slots = line, run.slots + 1
        run.worst = min(run.worst, badness) if area else max(run.worst, badness)
    if run is not None:
        yield run


def _is_bad(line: SlotLine, area: str) -> bool:
    if area:
        return is_incomplete(line, area)
    return line.surveyed_ms is not None and any(each.state == MISSED for each in line.deadlines)


def _badness(line: SlotLine, area: str) -> float:
    if area:
        return line.areas[area].completeness or 0.0
    return float("inf") if line.out_ms is None else (line.out_ms - line.end_ms) / 60_000


def goals(month: Month) -> list[tuple[str, float, float | None]]:
    """Return each objective: its name, what it asks for, what was reached."""
    reached = {"on_time": month.on_time, "complete": month.complete}
    return [(name, goal, reached[name]) for name, goal in OBJECTIVES.items()]
