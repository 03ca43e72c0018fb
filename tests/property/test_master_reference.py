# SPDX-License-Identifier: Apache-2.0
"""Random imports against a small reference in plain Python: what was known when, indexes, lookup, changes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from koma.ids import meter_key
from koma.slots import MS_PER_SLOT, format_jst
from pipeline.master import ImportReport, MasterView, import_master, judge, open_master
from pipeline.master.lookup import find
from pipeline.master.store import ARRAYS
from pipeline.master.view import ALWAYS_MS, CHAINED, FIRST_SLOT, NO_INSTALL, OPEN_MS, OPEN_SLOT
from tests.unit.pipeline.master.desk import point, write_folder

START_MS = 1_790_000_000_000 // MS_PER_SLOT * MS_PER_SLOT
DAY_MS = 86_400_000
RETAILERS = ("11113", "22223")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  homes by the thousand: spare the disk
fewer = settings(max_examples=max(20, settings().max_examples // 3))


@dataclass(frozen=True)
class Fact:
    """One row: its key, what it says, when it holds, when it was recorded (None: not stated)."""

    table: str
    point: int
    key: tuple[Any, ...]
    says: tuple[Any, ...]
    start: int = ALWAYS_MS
    end: int = OPEN_MS
    recorded: int | None = None

    @property
    def whole_key(self) -> tuple[Any, ...]:
        return (self.table, self.point, *self.key)

    @property
    def content(self) -> tuple[Any, ...]:
        return (self.says, self.end)

    @property
    def cancels(self) -> bool:
        return self.start == self.end and self.table != "points"


@dataclass(frozen=True)
class Known:
    """A fact in the reference's log: recorded time as used for ordering, and from when it counts."""

    fact: Fact
    order: int
    since: int


@dataclass
class Reference:
    """The bitemporal log as lists: the rules of the master, one after the other."""

    log: dict[tuple[Any, ...], list[Known]] = field(default_factory=dict)
    versions: int = 0

    def learn(self, facts: list[Fact], now: int) -> dict[str, int]:
        """Take an import in; returns how many rows became what."""
        first = self.versions == 0
        bad: set[int] = set()
        while True:
            good = [fact for fact in facts if fact.point not in bad]
            log, counts, clashing = self._applied(good, now, first=first)
            found = clashing | self._supply_overlaps(log, good)
            if not found:
                found = self._meter_overlaps(log, good)
            if not found:
                break
            bad |= found
        counts["quarantined"] = len(facts) - len(good)
        if any(counts[name] for name in ("new", "superseding", "cancelled", "older")):
            self.log, self.versions = log, self.versions + 1
        return counts

    def _applied(
        self, facts: list[Fact], now: int, *, first: bool
    ) -> tuple[dict[tuple[Any, ...], list[Known]], dict[str, int], set[int]]:
        log = {key: list(known) for key, known in self.log.items()}
        counts = dict.fromkeys(("new", "superseding", "unchanged", "older", "cancelled"), 0)
        clashing = set()
        last_stated = OPEN_MS
        stated = [(ALWAYS_MS if first and fact.recorded is None else fact.recorded, fact) for fact in facts]
        seen: dict[tuple[Any, ...], Fact] = {}
        for when, fact in sorted(stated, key=lambda each: last_stated if each[0] is None else each[0]):
            versions = log.setdefault(fact.whole_key, [])
            before = self.log.get(fact.whole_key, [])
            twin = seen.setdefault((fact.whole_key, when), fact)
            if twin.content != fact.content:
                clashing.add(fact.point)
            elif twin is not fact:
                counts["unchanged"] += 1
            elif when is not None and before and when <= before[-1].order:
                repeated = any(each.order == when and each.fact.content == fact.content for each in before)
                counts["unchanged" if repeated else "older"] += 1
            elif when is None and versions and versions[-1].fact.content == fact.content:
                counts["unchanged"] += 1
            else:
                kind = "cancelled" if fact.cancels else "superseding" if versions else "new"
                counts[kind] += 1
                order = when if when is not None else max(now, versions[-1].order + 1 if versions else now)
                since = ALWAYS_MS if first else min(now if when is None else when, now)
                versions.append(Known(fact, order, since))
        return {key: versions for key, versions in log.items() if versions}, counts, clashing

    def _supply_overlaps(self, log: dict[tuple[Any, ...], list[Known]], facts: list[Fact]) -> set[int]:
        found = set()
        current = [versions[-1].fact for key, versions in log.items() if key[0] == "supply"]
        for one in current:
            for other in current:
                if one is not other and one.point == other.point and _overlap(one, other):
                    found.add(one.point)
        return found & {fact.point for fact in facts}

    def _meter_overlaps(self, log: dict[tuple[Any, ...], list[Known]], facts: list[Fact]) -> set[int]:
        found: set[int] = set()
        current = [versions[-1].fact for key, versions in log.items() if key[0] == "meters"]
        for one in current:
            for other in current:
                if one is not other and one.key[:2] == other.key[:2] and _overlap(one, other):
                    found |= {fact.point for fact in (one, other) if any(fact is each for each in facts)}
        return found

    def known(self, table: str, at: int) -> Iterator[Fact]:
        """Facts of a table that count at an instant."""
        for key, versions in self.log.items():
            counting = [each for each in versions if each.since <= at]
            if key[0] == table and counting and not counting[-1].fact.cancels:
                yield counting[-1].fact

    def current(self, table: str) -> Iterator[Fact]:
        """Facts of a table as known by the last import."""
        return self.known(table, OPEN_MS)


def _overlap(one: Fact, other: Fact) -> bool:
    return not one.cancels and not other.cancels and one.start < other.end and other.start < one.end


times = st.integers(0, 4).map(lambda slots: START_MS + slots * MS_PER_SLOT)
off_grid = st.sampled_from([0, 2, 4, 6, 9]).map(lambda parts: START_MS + parts * MS_PER_SLOT // 3)
recordings = st.one_of(st.none(), st.integers(-2, 6).map(lambda days: START_MS + days * DAY_MS))


@st.composite
def point_facts(draw: st.DrawFn) -> Fact:
    number = draw(st.integers(1, 3))
    return Fact("points", number, (), (draw(st.sampled_from([1, 2])),), recorded=draw(recordings))


@st.composite
def meter_facts(draw: st.DrawFn) -> Fact:
    start = draw(st.one_of(st.just(ALWAYS_MS), off_grid))
    end = draw(st.one_of(st.just(OPEN_MS), off_grid.filter(lambda end: end >= start)))
    meter, register = draw(st.sampled_from("AB")), draw(st.sampled_from([0, 0, 1]))
    key = (meter, register, start)
    return Fact("meters", draw(st.integers(1, 3)), key, (draw(st.integers(1, 2)),), start, end, draw(recordings))


@st.composite
def supply_facts(draw: st.DrawFn) -> Fact:
    start = draw(times)
    end = draw(st.one_of(st.just(OPEN_MS), times.filter(lambda end: end >= start)))
    says = (draw(st.sampled_from(RETAILERS)), draw(st.sampled_from(["", "R1"])))
    return Fact("supply", draw(st.integers(1, 3)), (start,), says, start, end, draw(recordings))


facts = st.lists(st.one_of(point_facts(), meter_facts(), supply_facts()), min_size=1, max_size=6)
first_facts = st.permutations([Fact("points", number, (), (1,)) for number in range(1, 4)])
imports = st.tuples(first_facts, st.lists(facts, min_size=1, max_size=6), st.integers(0, 2))


def _time(ms: int) -> str:
    return "" if abs(ms) == OPEN_MS else format_jst(ms)


def _row(fact: Fact) -> dict[str, Any]:
    row: dict[str, Any] = {"point_id": point(fact.point)}
    row["recorded_at"] = "" if fact.recorded is None else format_jst(fact.recorded)
    if fact.table == "points":
        row |= {"contract_kw": fact.says[0]}
    elif fact.table == "meters":
        row |= {"meter_id": fact.key[0], "register": ("import", "export")[fact.key[1]], "digits": 6}
        row |= {"unit_exponent": -1, "coefficient": fact.says[0]}
        row |= {"installed_at": _time(fact.start), "removed_at": _time(fact.end)}
    else:
        row |= {"retailer_code": fact.says[0], "customer_ref": fact.says[1]}
        row |= {"valid_from": _time(fact.start), "valid_to": _time(fact.end)}
    return row


def learn(root: Path, number: int, batch: list[Fact], now: int) -> ImportReport:
    tables: dict[str, list[dict[str, Any]]] = {}
    (root / "home").mkdir(parents=True, exist_ok=True)
    for fact in batch:
        tables.setdefault(fact.table, []).append(_row(fact))
    folder = write_folder(root / str(number), tables)
    first = open_master(root / "home").version == 0
    usual = judge.QUIET_ROWS_MIN
    judge.QUIET_ROWS_MIN = 0 if number % 2 else usual  # every other import puts aside what says nothing new
    try:
        return import_master(root / "home", folder, now_ms=now, first=first, strict=False)
    finally:
        judge.QUIET_ROWS_MIN = usual


def rows_at(view: MasterView, table: str, at: int) -> list[tuple[int, int]]:
    """Point and row number of the rows of a table that count at an instant."""
    of = getattr(view, f"{table}_of")
    rec_from, rec_to = getattr(view, f"{table}_rec_from"), getattr(view, f"{table}_rec_to")
    numbers = [int(each) % 10**6 for each in view.point_id.view("S22").ravel().tolist()]
    return [
        (numbers[p], row)
        for p in range(view.n_points)
        for row in range(of[p], of[p + 1])
        if rec_from[row] <= at < rec_to[row]
    ]


def known_by_view(view: MasterView, at: int) -> dict[str, list[tuple[Any, ...]]]:
    off, texts = view.supply_ref_off, view.supply_ref_bytes
    supply = [
        (p, int(view.supply_from[r]), int(view.supply_to[r]), view.retailers[view.supply_retailer[r]],
         texts[off[r] : off[r + 1]].tobytes().decode())
        for p, r in rows_at(view, "supply", at)
    ]  # fmt: skip
    meters = [
        (p, int(view.install_from_ms[r]), int(view.install_to_ms[r]), int(view.install_register[r]),
         int(view.install_factor[r]) // 1000)
        for p, r in rows_at(view, "install", at)
    ]  # fmt: skip
    points = [(p, int(view.attr_cap_dwh[r])) for p, r in rows_at(view, "attr", at)]
    return {"points": sorted(points), "meters": sorted(meters), "supply": sorted(supply)}


def known_by_reference(reference: Reference, at: int) -> dict[str, list[tuple[Any, ...]]]:
    def slot(ms: int) -> int:
        return OPEN_SLOT if ms == OPEN_MS else ms // MS_PER_SLOT

    return {
        "points": sorted((fact.point, fact.says[0] * 20_000) for fact in reference.known("points", at)),
        "meters": sorted(
            (fact.point, fact.start, fact.end, fact.key[1], fact.says[0]) for fact in reference.known("meters", at)
        ),
        "supply": sorted(
            (fact.point, slot(fact.start), slot(fact.end), *fact.says) for fact in reference.known("supply", at)
        ),
    }


@given(imports)
def test_every_version_knows_what_the_reference_knows_at_every_instant(
    given_imports: tuple[list[Fact], list[list[Fact]], int],
) -> None:
    first, later, step = given_imports
    reference = Reference()
    with TemporaryDirectory(dir=MEMORY) as folder:
        for number, batch in enumerate([first, *later]):
            now = START_MS + number * step * DAY_MS
            report = learn(Path(folder), number, batch, now) if batch else None
            expected = reference.learn(batch, now)
            if report is None:
                continue
            view = open_master(Path(folder) / "home")

            found = {name: sum(getattr(each, name) for each in report.tables.values()) for name in expected}
            assert found == expected
            instants = {ALWAYS_MS, OPEN_MS - 1, *(START_MS + days * DAY_MS for days in range(-3, 9))}
            for at in sorted(instants):
                assert known_by_view(view, at) == known_by_reference(reference, at)


@fewer
@given(imports, st.randoms(use_true_random=False))
def test_the_order_of_rows_means_nothing(
    given_imports: tuple[list[Fact], list[list[Fact]], int], shuffler: random.Random
) -> None:
    first, later, step = given_imports
    with TemporaryDirectory(dir=MEMORY) as folder:
        for number, batch in enumerate([first, *later]):
            shuffled = batch.copy()
            shuffler.shuffle(shuffled)
            now = START_MS + number * step * DAY_MS
            reports = [
                learn(Path(folder) / name, number, rows, now) if rows else None
                for name, rows in (("given", batch), ("shuffled", shuffled))
            ]
            assert len({str(report and (report.tables, report.codes)) for report in reports}) == 1
        given_view, other_view = (open_master(Path(folder) / name / "home") for name in ("given", "shuffled"))
        for name in ARRAYS:
            assert np.array_equal(getattr(given_view, name), getattr(other_view, name)), name


@fewer
@given(imports)
def test_numbers_never_change_their_meaning(given_imports: tuple[list[Fact], list[list[Fact]], int]) -> None:
    first, later, step = given_imports
    meaning: dict[tuple[int, int], tuple[Any, ...]] = {}
    ids: list[str] = []
    with TemporaryDirectory(dir=MEMORY) as folder:
        for number, batch in enumerate([first[:2], first[2:], *later]):
            if not batch:
                continue
            learn(Path(folder), number, batch, START_MS + number * step * DAY_MS)
            view = open_master(Path(folder) / "home")

            now = [each.tobytes().decode() for each in view.point_id]
            assert now[: len(ids)] == ids
            ids = now
            assert [now[p] for p in view.order] == sorted(now)
            for p in range(view.n_points):
                for row in range(view.install_of[p], view.install_of[p + 1]):
                    says = (now[p], int(view.install_from_ms[row]), int(view.install_register[row]))
                    place = (int(np.searchsorted(view.shard_points, p, "right")), int(view.install_local[row]))
                    assert meaning.setdefault(place, says) == says
            assert len({place for place in meaning if place[0] == 1}) <= view.n_installs


@fewer
@given(imports)
def test_the_lookup_finds_what_a_dictionary_finds(given_imports: tuple[list[Fact], list[list[Fact]], int]) -> None:
    first, later, step = given_imports
    reference = Reference()
    with TemporaryDirectory(dir=MEMORY) as folder:
        for number, batch in enumerate([first, *later]):
            if batch:
                learn(Path(folder), number, batch, START_MS + number * step * DAY_MS)
            reference.learn(batch, START_MS + number * step * DAY_MS)
        view = open_master(Path(folder) / "home")
        points_of = {}
        for p in range(view.n_points):
            for row in range(view.install_of[p], view.install_of[p + 1]):
                points_of[int(view.install_local[row])] = int(view.point_id[p].tobytes()) % 10**6

        expected: dict[str, list[tuple[int, int, int, int]]] = {"A": [], "B": [], "C": []}
        for fact in reference.current("meters"):
            lo = FIRST_SLOT if fact.start == ALWAYS_MS else -(-fact.start // MS_PER_SLOT)
            hi = OPEN_SLOT if fact.end == OPEN_MS else fact.end // MS_PER_SLOT
            expected[fact.key[0]].append((fact.key[1], lo, hi, fact.point))
        for meter, wanted in expected.items():
            found = [(register, lo, hi, points_of[local]) for register, lo, hi, local in looked_up(view, meter)]
            assert sorted(found) == sorted(wanted)


def looked_up(view: MasterView, meter: str) -> list[tuple[int, int, int, int]]:
    """Register, first and last stamp, local index of each installation of a meter, from table and chain rows."""
    k0, k1 = meter_key(meter)
    at = find(view.table, view.mask, np.uint64(k0), np.uint64(k1))
    if at < 0:
        return []
    pair, (lo, hi) = int(view.table[at, 2]), (int(each) for each in view.table[at, 3:].view(np.int32))
    on_import, on_export = pair & 0xFFFFFFFF, pair >> 32
    if on_import == CHAINED:
        return [
            (int(view.chain_register[i]), int(view.chain_lo[i]), int(view.chain_hi[i]), int(view.chain_install[i]))
            for i in range(on_export, on_export + lo)
        ]
    return [(register, lo, hi, local) for register, local in enumerate((on_import, on_export)) if local != NO_INSTALL]


@fewer
@given(imports)
def test_changes_cover_every_slot_whose_supply_or_installation_differs(
    given_imports: tuple[list[Fact], list[list[Fact]], int],
) -> None:
    """What two versions know differently at any instant lies in the changes between them, from that instant on."""
    first, later, step = given_imports
    with TemporaryDirectory(dir=MEMORY) as folder:
        before = None
        for number, batch in enumerate([first, *later]):
            if not batch:
                continue
            learn(Path(folder), number, batch, START_MS + number * step * DAY_MS)
            after = open_master(Path(folder) / "home")
            if before is not None and before.version != after.version:
                fresh = after.changed_version == after.version
                for at in [START_MS + days * DAY_MS for days in range(-3, 9)]:
                    covered = {
                        (int(after.changed_position[row]), slot)
                        for row in np.flatnonzero(fresh & (after.changed_rec_ms <= at))
                        for slot in slots_between(int(after.changed_from_slot[row]), int(after.changed_to_slot[row]))
                    }
                    assert differing(before, after, at) <= covered
            before = after


def slots_between(first: int, end: int) -> range:
    base = START_MS // MS_PER_SLOT
    return range(max(first, base - 1), min(end, base + 10))


def facts_by_slot(view: MasterView, at: int) -> dict[tuple[int, int], list[tuple[Any, ...]]]:
    found: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
    position = {int(each) % 10**6: p for p, each in enumerate(view.point_id.view("S22").ravel().tolist())}
    for number, row in rows_at(view, "supply", at):
        for slot in slots_between(int(view.supply_from[row]), int(view.supply_to[row])):
            found.setdefault((position[number], slot), []).append(("supply", int(view.supply_retailer[row])))
    for number, row in rows_at(view, "install", at):
        start, end = int(view.install_from_ms[row]), int(view.install_to_ms[row])
        for slot in slots_between(start // MS_PER_SLOT, -(-end // MS_PER_SLOT)):
            whole = max(start, slot * MS_PER_SLOT), min(end, (slot + 1) * MS_PER_SLOT)
            says = ("install", int(view.install_local[row]), *whole, int(view.install_factor[row]))
            found.setdefault((position[number], slot), []).append(says)
    return {cell: sorted(says) for cell, says in found.items()}


def differing(before: MasterView, after: MasterView, at: int) -> set[tuple[int, int]]:
    old, new = facts_by_slot(before, at), facts_by_slot(after, at)
    return {cell for cell in old.keys() | new.keys() if old.get(cell) != new.get(cell)}


@fewer
@given(imports)
def test_importing_everything_again_changes_nothing(given_imports: tuple[list[Fact], list[list[Fact]], int]) -> None:
    first, later, _ = given_imports
    stated = [
        replace(fact, recorded=START_MS + number if fact.recorded is None else fact.recorded)
        for number, fact in enumerate([*first, *(fact for batch in later for fact in batch)])
    ]
    with TemporaryDirectory(dir=MEMORY) as folder:
        report = learn(Path(folder), 0, stated, START_MS)
        again = learn(Path(folder), 1, stated, START_MS + DAY_MS) if report.applied else None
        if again is not None:
            assert not again.applied
            kept = sum(each.rows - each.quarantined for each in report.tables.values())
            assert sum(each.unchanged for each in again.tables.values()) == kept
