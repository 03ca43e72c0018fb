# SPDX-License-Identifier: Apache-2.0
"""A slow reference of monthly files in plain Python, beside that of the slots and days.

It shares nothing with the pipeline but the words. Months are taken at their definition: a period is a set of slots, a
run is a list of missing ones, and what a retailer knows is remembered.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

from tests.reference_model import RANKS, Handed, MeterRow, PointRow, Reference
from tests.reference_times import DAY, HOUR, SLOT, at_0615, fourth_business_day, jst_day, month_instants

REASONS = ("missing", "backward", "no_meter", "removed")
"""Of several reasons for which a month has no value the last one is told."""


class MonthRow(NamedTuple):
    point: str
    ref: str
    start_ms: int
    end_ms: int
    energy: int | None
    quality: str
    slots: int
    missing: int
    next_reading: str


@dataclass(frozen=True, slots=True)
class IssuedMonths:
    retailer: str
    reading_ms: int
    revision: int
    split: int
    issued_ms: int
    rows: tuple[MonthRow, ...]


@dataclass(slots=True)
class Told:
    """What one retailer was told of the months that end on one day."""

    rows: dict[str, MonthRow] = field(default_factory=dict)
    revision: int = 0


@dataclass(slots=True)
class MonthReference(Reference):
    """A home that issues nothing but monthly files."""

    months: list[IssuedMonths] = field(default_factory=list)
    told: dict[tuple[int, str], Told] = field(default_factory=lambda: defaultdict(Told))

    def _issue(self) -> None:
        return

    def take(self, handed: Sequence[Handed]) -> None:
        self.run(handed)

    def issue_until(self, to_ms: int) -> None:
        """Issue all monthly instants after the last one issued, up to `to_ms`."""
        if self.first_slot_ms is None or to_ms <= self.issued_ms:
            return
        due = []
        reading = midnight(self.first_slot_ms) + DAY
        while (regular := month_instants(reading))[0] <= to_ms:
            every = sorted({*regular, *(extra for extra in self.extras if extra > regular[0])})
            due += [(instant, reading) for instant in every if self.issued_ms < instant <= to_ms]
            reading += DAY
        for instant, each in sorted(due):
            self._tell(each, instant)
        self.issued_ms = to_ms

    # ---- periods

    def day_known(self, point: str, at_ms: int) -> int:
        rows = [row for row in self.known(at_ms) if isinstance(row, PointRow) and row.point == point]
        return rows[0].read_day if rows else 0

    def deciding_day(self, point: str, reading: date, instant_ms: int) -> int:
        """Reading day that says whether a date is one: the one known when its file was due, else the first learned."""
        decided_ms = at_0615(fourth_business_day(reading))
        times = sorted({since for since, row in self.facts if isinstance(row, PointRow) and row.point == point})
        if any(self.day_known(point, each) for each in times if each <= decided_ms):
            return self.day_known(point, decided_ms)
        later = [self.day_known(point, each) for each in times if decided_ms < each <= instant_ms]
        return next((day for day in later if day), 0)

    def is_read(self, point: str, reading_ms: int, instant_ms: int) -> bool:
        reading = jst_day(reading_ms)
        wanted = self.deciding_day(point, reading, instant_ms)
        return wanted == reading.day or (wanted > reading.day and (reading + timedelta(days=1)).day == 1)

    def period_start(self, point: str, reading_ms: int, instant_ms: int) -> int:
        """Start of the period that ends at a reading: where the one before ended, else the home's first slot."""
        assert self.first_slot_ms is not None
        before = reading_ms - DAY
        while before > self.first_slot_ms:
            if self.is_read(point, before, instant_ms):
                return before
            before -= DAY
        return self.first_slot_ms

    # ---- values

    def span(
        self, installs: Sequence[MeterRow], begin_ms: int, end_ms: int, cap_dwh: int, instant_ms: int
    ) -> tuple[int | None, str]:
        """Energy of some slots in a row from the registers at their ends alone."""
        slots = (end_ms - begin_ms) // SLOT
        if slots == 1:
            return self.energy(installs, begin_ms, cap_dwh, instant_ms)
        total, words = 0, []
        for row in installs:
            begin, end = max(begin_ms, row.installed_ms), min(end_ms, row.removed_ms)
            if begin >= end:
                continue
            given = row.first if begin == row.installed_ms else None, row.last if end == row.removed_ms else None
            found = [
                known if known is not None else self.register(row.meter, row.register, at, instant_ms)
                for known, at in zip(given, (begin, end), strict=True)
            ]
            scale = row.coefficient * 10 ** (row.unit_exponent + 4)
            if found[0] is None or found[1] is None or cap_dwh * slots >= 10**row.digits * scale:
                return None, "missing"
            part = (found[1] - found[0]) % 10**row.digits * scale
            if found[1] < found[0] and part > cap_dwh * slots:
                return None, "backward"
            beyond = max(found[0], found[1]) >= 10**row.digits
            plain = "digits" if beyond else "rollover" if found[1] < found[0] else "actual"
            words.append("spike" if part > cap_dwh * slots else plain)
            total += part
        return total, max(words, key=RANKS.index)

    def part(
        self, row: PointRow, installs: Sequence[MeterRow], slots: Sequence[int], instant_ms: int
    ) -> tuple[int | None, str, int]:
        """Energy, quality and missing slots of a retailer's slots of a month."""
        total, words, reasons, missing = 0, ["actual"], set(), 0
        run: list[int] = []

        def bridged(*, final: bool) -> None:
            nonlocal total
            if not run:
                return
            energy, word = self.span(installs, run[0], run[-1] + SLOT, row.cap_dwh, instant_ms)
            if energy is not None:
                total += energy
                words.append(word)
            elif word != "missing" or final:
                reasons.add(word)
            else:
                return
            run.clear()

        for slot in slots:
            if run and slot != run[-1] + SLOT:
                bridged(final=True)
            energy, word = self.energy(installs, slot, row.cap_dwh, instant_ms)
            bridged(final=word != "missing")
            if energy is not None:
                total += energy
                words.append(word)
                continue
            missing += 1
            if word == "missing":
                run.append(slot)
            else:
                reasons.add(word)
        bridged(final=True)
        if not reasons:
            return total, max(words, key=RANKS.index), missing
        reason = max(reasons, key=REASONS.index)
        return None, "no_telemetry" if not row.telemetry and reason != "backward" else reason, missing

    def _months(self, reading_ms: int, instant_ms: int) -> dict[tuple[str, str], MonthRow]:
        """All parts of months that end on a day, by retailer and point."""
        known = self.known(instant_ms)
        found = {}
        for row in known:
            if not isinstance(row, PointRow) or row.voltage != "LV":
                continue
            if not self.is_read(row.point, reading_ms, instant_ms):
                continue
            installs = [each for each in known if isinstance(each, MeterRow) and each.point == row.point]
            installs.sort(key=lambda each: each.installed_ms)
            owned: dict[str, list[int]] = defaultdict(list)
            for slot in range(self.period_start(row.point, reading_ms, instant_ms), reading_ms, SLOT):
                if owner := self.owner(known, row.point, slot):
                    owned[owner].append(slot)
            for retailer, slots in owned.items():
                energy, quality, missing = self.part(row, installs, slots, instant_ms)
                ref = self._reference(retailer, row.point, slots[-1], instant_ms)
                ahead = next_reading(jst_day(reading_ms), row.read_day)
                facts = (slots[0], slots[-1] + SLOT, energy, quality, len(slots), missing, ahead)
                found[retailer, row.point] = MonthRow(row.point, ref, *facts)
        return found

    # ---- issuing

    def _tell(self, reading_ms: int, instant_ms: int) -> None:
        found = self._months(reading_ms, instant_ms)
        retailers = {retailer for retailer, _ in found} | {r for each, r in self.told if each == reading_ms}
        for retailer in sorted(retailers):
            told = self.told[reading_ms, retailer]
            mine = {point: row for (owner, point), row in found.items() if owner == retailer}
            out = [row for point, row in mine.items() if point not in told.rows or differs(row, told.rows[point])]
            for point, row in told.rows.items():
                if point not in mine and row.quality != "withdrawn":
                    ref = self._reference(retailer, point, row.end_ms - SLOT, instant_ms)
                    gone = MonthRow(point, ref, row.start_ms, row.end_ms, None, "withdrawn", row.slots, row.slots, "")
                    out.append(gone)
            if not out:
                continue
            told.rows |= {row.point: row for row in out}
            told.revision += instant_ms > month_instants(reading_ms)[0]
            out.sort()
            for split, first in enumerate(range(0, len(out), self.rows_per_file), 1):
                rows = tuple(out[first : first + self.rows_per_file])
                self.months.append(IssuedMonths(retailer, reading_ms, told.revision, split, instant_ms, rows))


def differs(row: MonthRow, before: MonthRow) -> bool:
    """Say whether a retailer has to be told: its slots, availability or energy are others."""

    def facts(each: MonthRow) -> tuple[object, ...]:
        return each.start_ms, each.end_ms, each.slots, each.energy, each.quality == "withdrawn"

    return facts(row) != facts(before)


def midnight(ms: int) -> int:
    return ms - (ms + 9 * HOUR) % DAY


def next_reading(reading: date, read_day: int) -> str:
    """Date after `reading` on which the meter is to be read next."""
    if not read_day:
        return ""
    day = reading + timedelta(days=1)
    while not (day.day == read_day or (day.day < read_day and (day + timedelta(days=1)).day == 1)):
        day += timedelta(days=1)
    return f"{day:%Y%m%d}"
