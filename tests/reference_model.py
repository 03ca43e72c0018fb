# SPDX-License-Identifier: Apache-2.0
"""A slow reference of the pipeline in plain Python: the contract's sentences, one after the other.

It shares nothing with the pipeline but the words. Where the pipeline derives what is issued from timelines, the
reference walks through business time, instant by instant, and remembers what it last told whom.

- `Reference.learn` takes master rows (a delta), `Reference.run` takes in reads and issues what is due.
- `Reference.files`, `Reference.days` and `Reference.closed` are then what has to lie in the delivery tree, in order.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.reference_times import CLOSING, DAY, HOUR, MINUTE, SLOT, SPLITS_AND_CLOSING, day_instants, instants

ALWAYS = -(10**18)
FOREVER = 10**18
RANKS = ("actual", "rollover", "spike", "digits")  # of the parts of a cell that has a value the last one names it


@dataclass(frozen=True, slots=True)
class PointRow:
    point: str
    voltage: str = "LV"
    cap_dwh: int = 4 * 100 * 10_000 // 2
    telemetry: bool = True
    recorded_ms: int | None = None
    read_day: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        return ("point", self.point)


@dataclass(frozen=True, slots=True)
class MeterRow:
    point: str
    meter: str
    register: str = "import"
    installed_ms: int = ALWAYS
    removed_ms: int = FOREVER
    digits: int = 6
    unit_exponent: int = -1
    coefficient: int = 1
    first: int | None = None
    last: int | None = None
    recorded_ms: int | None = None

    @property
    def key(self) -> tuple[object, ...]:
        return ("meter", self.point, self.meter, self.register, self.installed_ms)

    @property
    def cancels(self) -> bool:
        return self.removed_ms == self.installed_ms


@dataclass(frozen=True, slots=True)
class SupplyRow:
    point: str
    retailer: str
    from_ms: int
    to_ms: int = FOREVER
    ref: str = ""
    recorded_ms: int | None = None

    @property
    def key(self) -> tuple[object, ...]:
        return ("supply", self.point, self.from_ms)

    @property
    def cancels(self) -> bool:
        return self.to_ms == self.from_ms


MasterRow = PointRow | MeterRow | SupplyRow


class Handed(NamedTuple):
    """One read as handed over: one register of one meter at one stamp."""

    meter: str
    register: str
    read_at_ms: int
    received_ms: int
    value: int


class Cell(NamedTuple):
    """What a cell is at an instant; `retailer` "" is nobody."""

    retailer: str
    energy: int | None
    quality: str


class IssuedRow(NamedTuple):
    point: str
    energy: int | None
    quality: str
    ref: str


@dataclass(frozen=True, slots=True)
class IssuedFile:
    retailer: str
    slot_ms: int
    revision: int
    split: int
    issued_ms: int
    rows: tuple[IssuedRow, ...]


@dataclass(frozen=True, slots=True)
class DailyFile:
    """Rows by slot; the slots of a day."""

    retailer: str
    day_ms: int
    revision: int
    split: int
    issued_ms: int
    slots: tuple[tuple[int, tuple[IssuedRow, ...]], ...]


class Closed(NamedTuple):
    expected: int
    available: int
    missing: int
    issued_ms: int


@dataclass(slots=True)
class Open:
    """What one retailer knows of one slot."""

    told: dict[str, tuple[str, int | None]] = field(default_factory=dict)  # point -> value|missing|withdrawn, energy
    splits: int = 0
    revision: int = 0
    closed: bool = False
    seen: bool = False


@dataclass(slots=True)
class DayTold:
    """What one retailer was told of one day."""

    told: dict[tuple[int, str], tuple[str, int | None]] = field(default_factory=dict)  # by slot and point
    revision: int = 0


@dataclass(slots=True)
class Reference:
    """A home as the contract tells it."""

    rows_per_file: int = 100_000
    tolerance_ms: int = 180_000
    too_old_ms: int = 45 * DAY
    first_slot_ms: int | None = None
    facts: list[tuple[int, MasterRow]] = field(default_factory=list)  # counts from, row
    taken: dict[tuple[str, str, int], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    held: list[Handed] = field(default_factory=list)
    learned_since: bool = False
    clock_ms: int = ALWAYS
    issued_ms: int = ALWAYS
    extras: list[int] = field(default_factory=list)
    state: dict[tuple[int, str], Open] = field(default_factory=lambda: defaultdict(Open))
    files: list[IssuedFile] = field(default_factory=list)
    closed: dict[tuple[str, int], Closed] = field(default_factory=dict)
    days: list[DailyFile] = field(default_factory=list)
    day_state: dict[tuple[int, str], DayTold] = field(default_factory=lambda: defaultdict(DayTold))

    @property
    def now_ms(self) -> int:
        return max(self.clock_ms, self.issued_ms)

    # ---- master

    def learn(self, rows: Sequence[MasterRow]) -> None:
        """Import a delta. The first counts since always; later ones from when they were recorded, as far as that is
        neither ahead of the home's clock nor an instant that is out already."""
        first = not self.facts
        for row in rows:
            if self.now_ms == ALWAYS:  # nothing was accepted yet: no instant has passed
                counts_from = ALWAYS if first or row.recorded_ms is None else row.recorded_ms
            else:
                recorded = self.now_ms if row.recorded_ms is None else min(row.recorded_ms, self.now_ms)
                counts_from = max(recorded, self.issued_ms + 1)
            self.facts.append((counts_from, row))
        self.learned_since = True

    def known(self, instant_ms: int) -> list[MasterRow]:
        """Rows that count at an instant: of each key the one recorded last, unless it cancels."""
        latest: dict[tuple[object, ...], MasterRow] = {}
        for counts_from, row in self.facts:
            if counts_from <= instant_ms:
                latest[row.key] = row
        return [row for row in latest.values() if isinstance(row, PointRow) or not row.cancels]

    # ---- reads

    def run(self, handed: Sequence[Handed]) -> dict[str, int]:
        """Take in what landed (and what was held, if the master has changed), then issue; returns the counts."""
        counts = dict.fromkeys(("received", "accepted", "duplicate", "filtered", "quarantined", "held"), 0)
        counts["received"] = len(handed)
        again = self.held if self.learned_since else []
        if again:
            self.held = []
        self.learned_since = False
        self._take_in(handed, again, counts)
        if self.first_slot_ms is None:
            self.first_slot_ms = min((stamp for _, _, stamp in self.taken), default=None)
        if self.now_ms != ALWAYS:
            latest = max(self.now_ms, self.issued_ms + 1)  # what was recorded later counts from the next instant
            self.facts = [(min(since, latest), row) for since, row in self.facts]
        if self.now_ms != ALWAYS and self.first_slot_ms is not None:
            self._issue()
        return counts

    def _take_in(self, handed: Sequence[Handed], again: Sequence[Handed], counts: dict[str, int]) -> None:
        covering = [row for row in self.known(FOREVER) if isinstance(row, MeterRow)]
        fresh: dict[tuple[str, str, int], list[tuple[int, int]]] = defaultdict(list)
        received: dict[tuple[str, str, int], list[int]] = defaultdict(list)
        for read, is_new in [*((each, True) for each in handed), *((each, False) for each in again)]:
            stamp = (read.read_at_ms + SLOT // 2) // SLOT * SLOT
            off_grid = abs(read.read_at_ms - stamp) > self.tolerance_ms
            future = read.read_at_ms > read.received_ms + 180_000
            too_old = read.read_at_ms < read.received_ms - self.too_old_ms
            if off_grid or future or too_old:
                counts["quarantined"] += 1
            elif not any(
                (row.meter, row.register) == (read.meter, read.register) and row.installed_ms <= stamp <= row.removed_ms
                for row in covering
            ):
                self.held.append(read)
                counts["held"] += is_new
            else:
                counts["received"] += not is_new
                if self._contradicted(covering, read, stamp):
                    counts["quarantined"] += 1
                    continue
                key = (read.meter, read.register, stamp)
                fresh[key].append((max(read.received_ms, self.issued_ms + 1), read.value))
                received[key].append(read.received_ms)
        for key, reads in fresh.items():
            before = min(self.taken[key], default=None)
            arrival, value = min([*self.taken[key], *reads])
            same = sum(each == value for _, each in reads)
            accepted = 1 if same and (before is None or before[1] != value) else 0
            counts["accepted"] += accepted
            counts["duplicate"] += same - accepted
            counts["quarantined"] += len(reads) - same
            self.taken[key] = [(arrival, value)]
            for when, (_, each) in zip(received[key], reads, strict=True):
                if each == value:
                    self.clock_ms = max(self.clock_ms, when)

    @staticmethod
    def _contradicted(covering: Sequence[MeterRow], read: Handed, stamp: int) -> bool:
        """Say whether the master gives another register at the meter's installation or removal."""
        mine = [row for row in covering if (row.meter, row.register) == (read.meter, read.register)]
        given = [row.first for row in mine if row.installed_ms == stamp]
        given += [row.last for row in mine if row.removed_ms == stamp]
        return any(register not in {None, read.value} for register in given)

    def register(self, meter: str, register: str, stamp_ms: int, instant_ms: int) -> int | None:
        """Value of a read as known at the instant."""
        reads = [value for arrival, value in self.taken.get((meter, register, stamp_ms), []) if arrival <= instant_ms]
        return reads[0] if reads else None

    # ---- cells

    def energy(
        self, installs: Sequence[MeterRow], slot_ms: int, cap_dwh: int, instant_ms: int
    ) -> tuple[int | None, str]:
        """Energy of a point in a slot and its quality."""
        total, words = 0, []
        for row in installs:
            begin, end = max(slot_ms, row.installed_ms), min(slot_ms + SLOT, row.removed_ms)
            if begin >= end:
                continue
            start: int | None
            last: int | None
            if begin == row.installed_ms and row.first is not None:
                start = row.first
            else:
                start = self.register(row.meter, row.register, begin, instant_ms)
            if end == row.removed_ms and row.last is not None:
                last = row.last
            else:
                last = self.register(row.meter, row.register, end, instant_ms)
            if start is None or last is None:
                return None, "missing"
            part = (last - start) % 10**row.digits * row.coefficient * 10 ** (row.unit_exponent + 4)
            if last < start and part > cap_dwh:
                return None, "backward"
            plain = "digits" if max(start, last) >= 10**row.digits else "rollover" if last < start else "actual"
            words.append("spike" if part > cap_dwh else plain)
            total += part
        if not words:
            return None, "removed" if any(row.removed_ms <= slot_ms for row in installs) else "no_meter"
        return total, max(words, key=RANKS.index)

    def cells(self, slot_ms: int, instant_ms: int) -> dict[str, Cell]:
        """All low-voltage cells of a slot as known at an instant."""
        known = self.known(instant_ms)
        cells = {}
        for row in known:
            if not isinstance(row, PointRow) or row.voltage != "LV":
                continue
            installs = [each for each in known if isinstance(each, MeterRow) and each.point == row.point]
            installs.sort(key=lambda each: each.installed_ms)
            energy, quality = self.energy(installs, slot_ms, row.cap_dwh, instant_ms)
            if quality in {"missing", "no_meter", "removed"} and not row.telemetry:
                quality = "no_telemetry"
            cells[row.point] = Cell(self.owner(known, row.point, slot_ms), energy, quality)
        return cells

    @staticmethod
    def owner(known: Sequence[MasterRow], point: str, slot_ms: int) -> str:
        covering = [
            row
            for row in known
            if isinstance(row, SupplyRow) and row.point == point and row.from_ms <= slot_ms < row.to_ms
        ]
        return covering[-1].retailer if covering else ""

    # ---- issuing

    def _issue(self) -> None:
        due = self.now_ms // (5 * MINUTE) * (5 * MINUTE)
        self._issue_until(due)
        while self._pending():
            half = self.now_ms - self.now_ms % (30 * MINUTE)
            candidates = [half + minutes * MINUTE for minutes in (15, 45, 75)]
            extra = next(each for each in candidates if each > self.now_ms)
            self.extras.append(extra)
            self._issue_until(extra)

    def _slots(self, until_ms: int) -> Iterator[int]:
        assert self.first_slot_ms is not None
        slot = self.first_slot_ms
        while slot + SLOT + SPLITS_AND_CLOSING[0] <= until_ms:
            yield slot
            slot += SLOT

    def _issue_until(self, to_ms: int) -> None:
        if to_ms <= self.issued_ms:
            return
        due: list[tuple[int, int, int]] = []  # instant, slot, number among the slot's instants
        for slot in self._slots(to_ms):
            regular = instants(slot)
            every = sorted({*regular, *(extra for extra in self.extras if extra > regular[CLOSING])})
            due += [(each, slot, k) for k, each in enumerate(every) if self.issued_ms < each <= to_ms]
        for instant, slot, k in sorted(due):
            cells = self.cells(slot, instant)
            for retailer in sorted(
                {cell.retailer for cell in cells.values()} | {r for s, r in self.state if s == slot}
            ):
                if retailer:
                    tell = self._first_issue if k <= CLOSING else self._revise
                    tell(retailer, slot, k, instant, cells)
        self._issue_days(to_ms)
        self.issued_ms = to_ms

    def _issue_days(self, to_ms: int) -> None:
        assert self.first_slot_ms is not None
        day = self.first_slot_ms - (self.first_slot_ms + 9 * HOUR) % DAY
        while day_instants(day)[0] <= to_ms:
            regular = day_instants(day)
            for instant in sorted({*regular, *(extra for extra in self.extras if extra > regular[0])}):
                if self.issued_ms < instant <= to_ms:
                    self._tell_of_day(day, instant)
            day += DAY

    def _tell_of_day(self, day: int, instant: int) -> None:
        assert self.first_slot_ms is not None
        out: dict[str, dict[tuple[int, str], Cell]] = defaultdict(dict)
        known = [retailer for begin, retailer in self.day_state if begin == day]
        for slot in range(max(day, self.first_slot_ms), day + DAY, SLOT):
            cells = self.cells(slot, instant)
            for retailer in {cell.retailer for cell in cells.values() if cell.retailer} | set(known):
                told = self.day_state[day, retailer].told
                for point in set(cells) | {point for begin, point in told if begin == slot}:
                    before = told.get((slot, point), ("", None))
                    cell = cells.get(point, Cell("", None, ""))
                    if cell.retailer == retailer:
                        word = "missing" if cell.energy is None else "value"
                        if before != (word, cell.energy):
                            out[retailer][slot, point] = cell
                            told[slot, point] = (word, cell.energy)
                    elif before[0] not in {"", "withdrawn"}:
                        out[retailer][slot, point] = Cell("", None, "withdrawn")
                        told[slot, point] = ("withdrawn", None)
        for retailer, rows in out.items():
            state = self.day_state[day, retailer]
            state.revision += instant > day_instants(day)[0]  # 00 is what goes out at the first instant
            points = sorted({point for _, point in rows})
            for split, first in enumerate(range(0, len(points), self.rows_per_file), 1):
                mine = set(points[first : first + self.rows_per_file])
                by_slot: dict[int, list[IssuedRow]] = defaultdict(list)
                for slot, point in sorted(rows):
                    if point in mine:
                        cell = rows[slot, point]
                        ref = self._reference(retailer, point, slot, instant)
                        by_slot[slot].append(IssuedRow(point, cell.energy, cell.quality, ref))
                slots = tuple((slot, tuple(each)) for slot, each in by_slot.items())
                self.days.append(DailyFile(retailer, day, state.revision, split, instant, slots))

    def _first_issue(self, retailer: str, slot: int, k: int, instant: int, cells: Mapping[str, Cell]) -> None:
        state = self.state[slot, retailer]
        mine = {point: cell for point, cell in cells.items() if cell.retailer == retailer}
        state.seen |= bool(mine)
        if state.closed:
            return
        out = [p for p, cell in mine.items() if p not in state.told and (cell.energy is not None or k == CLOSING)]
        self._send(retailer, slot, 0, instant, {p: mine[p] for p in out})
        if (mine or (k == CLOSING and state.seen)) and all(p in state.told for p in mine):
            state.closed = True
            available = sum(state.told[p][0] == "value" for p in mine)
            self.closed[retailer, slot] = Closed(len(mine), available, len(mine) - available, instant)

    def _changes(self, retailer: str, slot: int, cells: Mapping[str, Cell]) -> dict[str, Cell]:
        """Cells that differ from what was last issued to the retailer."""
        told = self.state[slot, retailer].told if (slot, retailer) in self.state else {}
        changes = {}
        for point, cell in cells.items():
            if cell.retailer == retailer:
                now = ("missing", None) if cell.energy is None else ("value", cell.energy)
                if told.get(point) != now:
                    changes[point] = cell
        for point, (word, _) in told.items():
            mine = point in cells and cells[point].retailer == retailer
            if not mine and word != "withdrawn":
                changes[point] = Cell("", None, "withdrawn")
        return changes

    def _revise(self, retailer: str, slot: int, k: int, instant: int, cells: Mapping[str, Cell]) -> None:
        del k
        changes = self._changes(retailer, slot, cells)
        if changes:
            state = self.state[slot, retailer]
            state.revision += 1
            state.splits = 0
            self._send(retailer, slot, state.revision, instant, changes)

    def _send(self, retailer: str, slot: int, revision: int, instant: int, cells: Mapping[str, Cell]) -> None:
        state = self.state[slot, retailer]
        points = sorted(cells)
        for first in range(0, len(points), self.rows_per_file):
            state.splits += 1
            rows = tuple(
                IssuedRow(p, cells[p].energy, cells[p].quality, self._reference(retailer, p, slot, instant))
                for p in points[first : first + self.rows_per_file]
            )
            self.files.append(IssuedFile(retailer, slot, revision, state.splits, instant, rows))
        for point, cell in cells.items():
            word = "withdrawn" if cell.quality == "withdrawn" else "missing" if cell.energy is None else "value"
            state.told[point] = (word, cell.energy)

    def _reference(self, retailer: str, point: str, slot: int, instant: int) -> str:
        """customer_ref of the retailer's latest known supply of the point in the slot."""
        refs = [
            row.ref
            for counts_from, row in self.facts
            if counts_from <= instant
            and isinstance(row, SupplyRow)
            and (row.point, row.retailer) == (point, retailer)
            and row.from_ms <= slot < row.to_ms
        ]
        return refs[-1] if refs else ""

    def _pending(self) -> bool:
        """Say whether a slot past its closing has changes that no instant so far has issued."""
        for slot in self._slots(self.issued_ms):
            if slot + SLOT + SPLITS_AND_CLOSING[CLOSING] > self.issued_ms:
                continue
            cells = self.cells(slot, FOREVER)
            retailers = {cell.retailer for cell in cells.values()} | {r for s, r in self.state if s == slot}
            if any(retailer and self._changes(retailer, slot, cells) for retailer in retailers):
                return True
        return False
