# SPDX-License-Identifier: Apache-2.0
"""Acceptance scenarios at any size: what is given, what happens, what must hold, each as a line of a table.

The head-end is simulated with its truth beside it; hand-over files land when their last read arrives, and the pipeline
runs by business time, turn by turn. What must hold is counted from files alone, a slot at a time, by columns: a check
costs as much memory as one slot.
"""

import csv
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.limits import NO_DATA
from koma.slots import parse_jst
from pipeline.handover import ReadBatch, decode_chunks
from pipeline.home import Home, open_home
from pipeline.master import import_master
from pipeline.simulate import Options, simulate
from pipeline.simulate.options import PLAIN
from tests.crashes import kill_until_done, landing_and_taken, run_through
from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, digests, hand_over, iso, run
from tests.independent_reader import closings, read_manifest
from tests.towns import FORMATS, differing

START_MS = parse_jst("2026-10-06T08:00")
CLOSING_MS = 45 * MINUTE_MS
PROMISE_MS = 50 * MINUTE_MS
_READS_A_FILE = 1_000_000

Check = Callable[["World"], str]
"""Says what is wrong, or nothing."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: an area as `given`, what happens `when`, and then a table of what must hold."""

    name: str
    given: Options
    when: Callable[["World"], None]
    then: tuple[tuple[str, Check], ...]

    def at(self, points: int) -> "Scenario":
        """Return the same with another number of points."""
        return replace(self, given=replace(self.given, points=points, retailers=min(530, 5 + points // 20_000)))

    def play(self, folder: Path, turn_minutes: int = 30) -> "World":
        """Let it happen; the checks are the caller's."""
        simulate(self.given, folder / "area")
        world = World(folder, self.given, turn_minutes)
        self.when(world)
        return world


@dataclass(slots=True)
class World:
    """An area, its homes, and how long the pipeline took."""

    folder: Path
    options: Options
    turn_minutes: int
    homes: dict[str, Home] = field(default_factory=dict)
    turns: list[tuple[int, float]] = field(default_factory=list)  # instant in ms, seconds of work
    facts: dict[str, Any] = field(default_factory=dict)

    def home(self, name: str) -> Home:
        """Make a home that has the area's master."""
        home = self.homes[name] = open_home(self.folder / name)
        import_master(home.root, self.folder / "area" / "master", now_ms=None, first=True, strict=True)
        return home

    def hand_overs(self) -> dict[Path, ReadBatch]:
        """Give the hand-over files and their reads."""
        found = {}
        for path in sorted((self.folder / "area" / "landing").iterdir()):
            found[path] = _joined([each.batch for each in decode_chunks(path, 1 << 20)])
        return found

    def slots(self) -> Iterator[int]:
        """Give the starts of the slots, in ms."""
        yield from (self.options.stamp_ms(k) for k in range(self.options.slots))

    def truth(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Expected, available and energy by retailer and slot start, when everything has arrived."""
        with (self.folder / "area" / "truth_totals.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["slot_start"]]
        names = ("expected", "available", "energy_dwh")
        return {
            (row["retailer_code"], row["slot_start"]): (int(row[names[0]]), int(row[names[1]]), int(row[names[2]]))
            for row in rows
            if int(row["expected"]) and row["retailer_code"] != "00000"
        }


def _joined(parts: list[ReadBatch]) -> ReadBatch:
    names = ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place")
    return ReadBatch("area", *(np.concatenate([getattr(each, name) for each in parts]) for name in names))


# --- when


def as_it_comes(world: World) -> None:
    """Hand over as reads arrive, and let the pipeline run at the turns of the clock until the last revision is out."""
    home = world.home("home")
    due = sorted((int(reads.received_ms.max()), path) for path, reads in world.hand_overs().items())
    step = world.turn_minutes * MINUTE_MS
    now_ms = world.options.stamp_ms(0) + CLOSING_MS
    last_ms = max(due[-1][0], world.options.stamp_ms(world.options.slots)) + 2 * HOUR_MS
    while now_ms <= last_ms:
        while due and due[0][0] <= now_ms:
            path = due.pop(0)[1]
            os.link(path, home.landing / path.name)
        _turn(world, home, now_ms)
        now_ms += step
    _turn(world, home, last_ms + 49 * HOUR_MS)


def _turn(world: World, home: Home, now_ms: int) -> None:
    started = time.perf_counter()
    run(home, wall_ms=now_ms)
    world.turns.append((now_ms, time.perf_counter() - started))


def once_and_doubled(world: World) -> None:
    """Hand over once; and, to another home, every read twice, in random order, in other files and formats."""
    once, doubled = world.home("once"), world.home("doubled")
    hand_overs = world.hand_overs()
    for path in hand_overs:
        os.link(path, once.landing / path.name)
    reads = _joined(list(hand_overs.values()))
    chance = np.random.default_rng(2)
    order = chance.permutation(np.repeat(np.arange(len(reads)), 2))
    for number, rows in enumerate(np.array_split(order, max(7, -(-len(order) // _READS_A_FILE)))):
        hand_over(doubled, f"{number:04d}{FORMATS[number % len(FORMATS)]}", _rows(reads, rows))
    for home in (once, doubled):
        world.facts[home.root.name] = run(home).summary()


def _rows(reads: ReadBatch, rows: NDArray[np.int64]) -> ReadBatch:
    names = ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place")
    return ReadBatch(reads.source, *(getattr(reads, name)[rows] for name in names))


def killed_and_restarted(world: World) -> None:
    """Hand the same over to two homes; in one, kill the command at random moments and start it again."""
    whole, killed = world.home("whole"), world.home("killed")
    for home in (whole, killed):
        for path in (world.folder / "area" / "landing").iterdir():
            os.link(path, home.landing / path.name)
    run_through(world.home("warm"))  # the first may have kernels to compile
    seconds = run_through(whole)
    chance = random.Random(8)  # noqa: S311
    started = time.perf_counter()
    world.facts["kills"] = kill_until_done(killed, chance, seconds, 3)
    world.facts["seconds_undisturbed"] = round(seconds, 1)
    world.facts["seconds_with_kills"] = round(time.perf_counter() - started, 1)


# --- then


def _delivered(home: Home, slot_ms: int) -> dict[str, list[tuple[int, int, Any]]]:
    """Give by retailer the files of a slot: instant of issue, revision, rows."""
    found: dict[str, list[tuple[int, int, Any]]] = defaultdict(list)
    day, stamp = iso(slot_ms)[:10].replace("-", ""), iso(slot_ms)[:16].translate({ord(c): None for c in "-T:"})
    for path in sorted(home.deliveries.glob(f"*/{day}/W41110{stamp}*.parquet")):
        rows = pq.read_table(path, columns=["point_id", "energy_dwh", "available", "recorded_at"])
        issued_ms = int(rows["recorded_at"][0].as_py().timestamp()) * 1000
        found[path.parent.parent.name].append((issued_ms, int(path.stem[-6:-4]), rows))
    return found


def _points(rows: Any) -> NDArray[np.bytes_]:
    return np.array(rows["point_id"].to_numpy(zero_copy_only=False), "S22")


def closes_in_time(home: str = "home") -> Check:
    """Hold every closed line against T+45; earlier where nothing is missing."""

    def check(world: World) -> str:
        wanted, found = set(world.truth()), closings(world.homes[home].deliveries)
        wrong = [f"{len(wanted - found.keys())} never closed"] if wanted - found.keys() else []
        for code, start in sorted(wanted & found.keys()):  # the clock goes on, and closes slots behind the window
            each = found[code, start]
            last_ms, issued_ms = parse_jst(start) + SLOT_MS + CLOSING_MS, parse_jst(each.issued_at)
            if issued_ms > last_ms or (each.missing and issued_ms < last_ms):
                wrong.append(f"{code} {start}: closed {each.issued_at} with {each.missing} missing")
        return "; ".join(wrong[:3])

    return check


def first_issue_is_what_arrived(world: World) -> str:
    """Hold revision 00 against the reads: each point once, available where both stamps had been handed over by T+45.

    A file is handed over when the last of its reads has arrived, so that counts for all of them.
    """
    batches = list(world.hand_overs().values())
    reads = _joined(batches)
    handed_over_ms = np.concatenate([np.full(len(each), each.received_ms.max()) for each in batches])
    wrong = []
    for slot_ms in world.slots():
        close_ms = slot_ms + SLOT_MS + CLOSING_MS
        known = 0
        for column in (reads.import_register, reads.export_register):
            here = (column < NO_DATA) & (handed_over_ms <= close_ms)
            ends = [
                np.unique(reads.keys[here & (reads.read_at_ms == each)], axis=0)
                for each in (slot_ms, slot_ms + SLOT_MS)
            ]
            both = np.concatenate(ends)
            known += len(both) - len(np.unique(both, axis=0))
        points = available = twice = 0
        for files in _delivered(world.homes["home"], slot_ms).values():
            first = [rows for _, revision, rows in files if revision == 0]
            ids = np.concatenate([_points(rows) for rows in first])
            points += len(ids)
            twice += len(ids) - len(np.unique(ids))
            available += sum(int(rows["available"].to_numpy(zero_copy_only=False).sum()) for rows in first)
        expected = sum(each[0] for (_, start), each in world.truth().items() if start == iso(slot_ms))
        if (points, available, twice) != (expected, known, 0):
            wrong.append(f"{iso(slot_ms)}: {points}/{expected} points, {available}/{known} available, {twice} twice")
    return "; ".join(wrong[:3])


def ends_with_the_truth(home: str = "home") -> Check:
    """Hold the last issue of every point against the truth's sums, by retailer and slot."""

    def check(world: World) -> str:
        truth, wrong = world.truth(), []
        for slot_ms in world.slots():
            for code, files in _delivered(world.homes[home], slot_ms).items():
                ids = np.concatenate([_points(rows) for _, _, rows in files])
                order = np.concatenate([np.full(rows.num_rows, revision) for _, revision, rows in files])
                available = np.concatenate([rows["available"].to_numpy(zero_copy_only=False) for _, _, rows in files])
                energy = np.concatenate([rows["energy_dwh"].fill_null(0).to_numpy() for _, _, rows in files])
                by_point = np.lexsort((order, ids))
                last = by_point[np.append(ids[by_point][1:] != ids[by_point][:-1], True)]
                found = len(last), int(available[last].sum()), int(energy[last].sum())
                if truth.get((code, iso(slot_ms))) != found:
                    wrong.append(f"{code} {iso(slot_ms)}: {found}, not {truth.get((code, iso(slot_ms)))}")
        return "; ".join(wrong[:3])

    return check


def late_values_are_revisions(world: World) -> str:
    """Hold that slots of the outage were closed with gaps, and that the gaps went out as revisions."""
    first, last = world.options.outage_ms()
    closed = closings(world.homes["home"].deliveries)
    inside = [slot_ms for slot_ms in world.slots() if first <= slot_ms and slot_ms + SLOT_MS + CLOSING_MS <= last]
    gaps = sum(each.missing for (_, start), each in closed.items() if parse_jst(start) in inside)
    revised = sum(
        rows.num_rows
        for slot_ms in inside
        for files in _delivered(world.homes["home"], slot_ms).values()
        for _, revision, rows in files
        if revision
    )
    return "" if gaps > 0 and gaps == revised else f"{gaps} gaps, {revised} revised rows in {len(inside)} slots"


def same_bytes(one: str, other: str) -> Check:
    """Hold two homes against each other."""

    def check(world: World) -> str:
        trees = (digests(world.homes[one].deliveries), digests(world.homes[other].deliveries))
        names = differing(*trees)
        return f"{len(names)} of {len(trees[0])} files differ: {names[:3]}" if names or not trees[0] else ""

    return check


def every_second_read_is_a_duplicate(world: World) -> str:
    """Hold the counts of both runs against each other."""
    once, doubled = (world.facts[name] for name in ("once", "doubled"))
    wanted = {"received": 2 * once["received"], "accepted": once["accepted"], "quarantined": 0, "held": 0}
    found = {name: doubled[name] for name in wanted}
    return "" if found == wanted and once["received"] == once["accepted"] else f"{found}, not {wanted}"


def nothing_lost(world: World) -> str:
    """Hold that every hand-over file lies in taken, once."""
    names = [landing_and_taken(world.homes[name]) for name in ("whole", "killed")]
    left = list(world.homes["killed"].landing.iterdir())
    return (
        "" if names[0] == names[1] and not left else f"{len(names[0])} files became {len(names[1])}, {len(left)} left"
    )


def told_once(home: str = "home") -> Check:
    """Hold that no manifest tells of a file or a closing twice."""

    def check(world: World) -> str:
        for path in sorted(world.homes[home].deliveries.glob("*/*/manifest.jsonl")):
            lines = [(each["slot_start"], each.get("file", "closed")) for each in read_manifest(path.parent)]
            if len(lines) != len(set(lines)):
                return f"{path} tells of something twice"
        return ""

    return check


def published_by(world: World) -> float:
    """Latest minutes after T by which a slot's closing was out, had each turn taken this long at its true time."""
    free_ms, worst = 0.0, 0.0
    for now_ms, seconds in world.turns[:-1]:  # the last one makes up for two days at once
        free_ms = max(free_ms, now_ms) + 1000 * seconds
        worst = max(worst, (free_ms - now_ms + CLOSING_MS) / MINUTE_MS)
    return round(worst, 2)


AREA = Options(points=300, slots=2, seed=1, start_ms=START_MS, retailers=5, truth="totals", master_format="parquet",
               names=False, high_voltage=0, faults=PLAIN)  # fmt: skip

A1 = Scenario(
    "A1 98 % of the reads are in by T+30",
    given=replace(AREA, slots=3).with_faults(late=0.02),
    when=as_it_comes,
    then=(
        ("every slot closes by T+45", closes_in_time()),
        ("the first issue holds each point once, and flags what had not arrived", first_issue_is_what_arrived),
        ("in the end every retailer has the true sums", ends_with_the_truth()),
        ("no manifest tells of anything twice", told_once()),
    ),
)
A2 = Scenario(
    "A2 every read comes twice, in any order",
    given=replace(AREA, slots=3).with_faults(late=0.02, rollovers=0.1, skew=0.02),
    when=once_and_doubled,
    then=(
        ("files are identical byte for byte", same_bytes("once", "doubled")),
        ("every second read is counted as duplicate", every_second_read_is_a_duplicate),
        ("every retailer has the true sums", ends_with_the_truth("doubled")),
    ),
)
A4 = Scenario(
    "A4 a carrier is out for six hours, then comes the flood",
    given=replace(AREA, slots=18).with_faults(outage_minutes=360, outage_share=0.5),
    when=as_it_comes,
    then=(
        ("every slot closes by T+45, those of the flood too", closes_in_time()),
        ("the first issue holds each point once, and flags what had not arrived", first_issue_is_what_arrived),
        ("late values go out as revisions", late_values_are_revisions),
        ("in the end every retailer has the true sums", ends_with_the_truth()),
        ("no manifest tells of anything twice", told_once()),
    ),
)
A8 = Scenario(
    "A8 the worker is killed in the middle",
    given=replace(AREA, slots=3).with_faults(late=0.02, duplicates=0.05),
    when=killed_and_restarted,
    then=(
        ("files are identical byte for byte with those of an undisturbed run", same_bytes("whole", "killed")),
        ("no hand-over file is lost or doubled", nothing_lost),
        ("every retailer has the true sums", ends_with_the_truth("killed")),
        ("no manifest tells of anything twice", told_once("killed")),
    ),
)
SCENARIOS = {"A1": A1, "A2": A2, "A4": A4, "A8": A8}
