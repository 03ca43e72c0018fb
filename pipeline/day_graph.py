# SPDX-License-Identifier: Apache-2.0
"""Daily files as two small graphs: shards of a day → rows by retailer and revision; points of a retailer → files.

A day's cell follows from the same timelines as a slot's, at the day's instants. Revision 00 has one instant, so a
shard decides all of its rows alone; between the shards only the points of each file are settled. Rows stand in files
of the run's folder from the first graph to the second, 13 bytes each, and are mapped where a delivery file needs them.
"""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

from pipeline.books import open_book
from pipeline.cell_kernels import Timeline
from pipeline.columns import Columns
from pipeline.day_kernels import GROUP_AT, day_rows, lower_bound, note_points
from pipeline.day_plan import SLOTS_PER_DAY, DayPlan
from pipeline.delivery import DailyFile, DailySlot, ManifestEntry, write_daily
from pipeline.delivery.file import plain
from pipeline.exchange import Elements, Reporting, read_element
from pipeline.issuance_kernels import CLOSING, LOOK_UP, Rows, ascends, issue_rows
from pipeline.issue_graph import Issue, find_references
from pipeline.master import MasterView, open_master
from pipeline.packed import Packed, spilled
from pipeline.rules.day import Found
from pipeline.rules.gathering import NOTHING, Gathering
from pipeline.shard_cells import dated, shard_cells, slot_ends

FILES_PER_ELEMENT: Final = 64


@dataclass(frozen=True, slots=True)
class DayIssue(Issue):
    """An issue of daily files, described as one of slots is.

    Attributes:
        thresholds: of rules, by the first slot of each day that is issued first.
        exports: see `pipeline.rules.exports`, of each of those days.
    """

    thresholds: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    exports: Mapping[int, Found] = field(default_factory=dict)

    def from_step(self, plan: DayPlan) -> int:
        """Return the number of a day's first instant that is not out."""
        return sum(instant <= self.from_ms for instant in plan.instants)


@dataclass(frozen=True, slots=True)
class ShardDay:
    """What a shard brings to a day.

    Attributes:
        plan: the day.
        shard: number.
        slots: for each slot of the plan its rows by group (see `day_rows`).
        points: `points`, (group, rank) of each point that stands in a group, ascending.
        content: flat pairs (retailer, step) of the instants after the first that have content, those that are out too.
        flags: what rules found, where the day is issued first (see `Gathering.flags`).
    """

    plan: DayPlan
    shard: int
    slots: tuple[Packed, ...]
    points: Packed
    content: Packed
    flags: Packed | None = None


@dataclass(frozen=True, slots=True)
class FilePlan:
    """A file: the points of a group whose ranks are in [low, high), with where they stand."""

    day: int
    retailer: int
    revision: int
    split: int
    issued_ms: int
    group: int
    low: int
    high: int
    points: int
    shards: tuple[int, ...]


Days = dict[int, list[ShardDay]]
"""What the shards bring, by the first slot of the day."""


class ComputeDay(Reporting):
    """Compute the rows of one shard's day, slot by slot."""

    def __init__(self, issue: DayIssue, work: Path) -> None:
        """Keep the description, and the folder of this stage."""
        super().__init__(work)
        self._issue = issue

    def process(self, element: tuple[int, Any]) -> list[None]:
        """Compute, and leave a `ShardDay`."""
        shard, plan = read_element(self._work, element[0])
        self.report(f"{plan.day:08d}-{shard:05d}", shard_day(self._issue, shard, plan, self._work))
        return []


def shard_day(issue: DayIssue, shard: int, plan: DayPlan, work: Path) -> ShardDay:
    """Compute the rows of a shard's day."""
    view, book = open_master(issue.home, issue.master), open_book(issue.home, issue.batches)
    installs, first = int(view.shard_installs[shard]), int(view.shard_points[shard])
    seen = np.full(int(view.shard_points[shard + 1]) - first, -1, np.int64)
    instants = np.array(plan.instants, np.int64)
    content = np.zeros((len(view.retailers), len(instants)), np.bool_)
    slots, noted = [], [np.empty(0, np.int64)]
    gathering = Gathering(view, shard, plan.day) if plan.day in issue.thresholds else None
    for slot in plan.slots:
        ends = slot_ends(book, issue.supersessions, shard, slot, installs)
        cells = shard_cells(view, shard, slot, instants, len(instants), ends)
        if gathering is not None:
            gathering.add(slot, cells)
        rows = _slot_rows(view, cells, issue.from_step(plan), content)
        points = np.empty(len(rows["position"]), np.int64)
        count = note_points(rows["position"], rows["group"], rows["at"], first, view.rank, seen, points)
        noted.append(points[:count])
        slots += spilled([Packed((), rows)], work / "spill" / f"rows-{slot}-{shard:05d}")
    points = np.unique(np.concatenate(noted))
    content[:, : CLOSING + 1] = False
    place = work / "spill" / f"points-{plan.day}-{shard:05d}"
    (found,) = spilled([Packed((), {"points": points})], place)
    told = Packed((), {"content": np.argwhere(content).ravel()})
    if gathering is None:
        return ShardDay(plan, shard, tuple(slots), found, told)
    flags = gathering.flags(
        lambda stamp: book.column(shard, stamp, installs),
        dated(view),
        issue.exports.get(plan.day, NOTHING),
        issue.thresholds[plan.day],
        plan.instants[0],
    )
    (packed,) = spilled([Packed((), flags)], work / "spill" / f"flags-{plan.day}-{shard:05d}")
    return ShardDay(plan, shard, tuple(slots), found, told, packed)


def _slot_rows(view: MasterView, cells: Columns, from_step: int, content: NDArray[np.bool_]) -> Columns:
    """Return the rows of a shard and slot by group; adds to `content`."""
    events = Timeline._make(cells[name] for name in Timeline._fields)
    steps = content.shape[1]
    close = np.full(content.shape[0], CLOSING, np.int8)
    counts = np.zeros(content.shape, np.int64)
    issue_rows(events, steps, close, False, counts, _room(0))  # noqa: FBT003  a kernel takes no keywords
    decided = _room(int(counts.sum()))
    place = (np.cumsum(counts.ravel()) - counts.ravel()).reshape(counts.shape)
    issue_rows(events, steps, close, True, place, decided)  # noqa: FBT003
    content |= counts > 0
    rows = _room(len(cells["ready"]) + len(decided.position))
    group, at = np.empty(counts.size, np.int64), np.empty(counts.size + 1, np.int64)
    groups = day_rows(cells["ready_counts"], cells["ready"], counts, decided, from_step, view.rank, rows, group, at)
    some = int(at[groups])
    return {name: column[:some] for name, column in rows._asdict().items()} | {
        "group": group[:groups].copy(),
        "at": at[: groups + 1].copy(),
    }


def _room(count: int) -> Rows:
    return Rows(np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.int64))


def plan_files(issue: DayIssue, shards: Sequence[ShardDay], rows_per_file: int) -> Iterator[FilePlan]:
    """Cut what each retailer is sent of a day into files of up to `rows_per_file` points, ascending by point id."""
    plan = shards[0].plan
    view = open_master(issue.home, issue.master)
    columns = [each.points.opened()["points"] for each in shards]
    points = np.concatenate(columns)
    points.sort()
    groups, starts = np.unique(points >> GROUP_AT, return_index=True)
    contents = {tuple(pair) for each in shards for pair in each.content.columns["content"].reshape(-1, 2).tolist()}
    bounds = [*starts.tolist(), len(points)]
    for group, (start, end) in zip(groups.tolist(), pairwise(bounds), strict=True):
        retailer, step = divmod(group, len(plan.instants))
        revision = sum((retailer, each) in contents for each in range(CLOSING + 1, step + 1))
        for split, begin in enumerate(range(start, end, rows_per_file), 1):
            last = min(begin + rows_per_file, end)
            low, high = int(points[begin]), int(points[last - 1]) + 1
            there = tuple(
                number
                for number, column in enumerate(columns)
                if np.searchsorted(column, low) < np.searchsorted(column, high)
            )
            ranks = (low - (group << GROUP_AT), high - (group << GROUP_AT))
            yield FilePlan(plan.day, retailer, revision, split, plan.instants[step], group, *ranks, last - begin, there)
    assert view.n_points < 1 << GROUP_AT


class WriteDays(Reporting):
    """Write the files of an element below the run's folder."""

    def __init__(self, issue: DayIssue, sources: Path, work: Path) -> None:
        """Keep the description, the file that tells what the shards brought, and the folder of this stage."""
        super().__init__(work)
        self._issue, self._sources = issue, sources
        self._opened: dict[tuple[int, int, int], Columns] = {}

    def process(self, element: tuple[int, Any]) -> list[None]:
        """Write, and leave the manifest entries."""
        days = _days(self._sources)
        files: Sequence[FilePlan] = read_element(self._work, element[0])
        self.report(f"{element[0]:08d}", [self._write(file, days[file.day]) for file in files])
        return []

    def finish_bundle(self) -> None:
        """Let go of the files of rows, and leave the reports."""
        self._opened.clear()
        super().finish_bundle()

    def _write(self, file: FilePlan, shards: Sequence[ShardDay]) -> ManifestEntry:
        issue = self._issue
        view = open_master(issue.home, issue.master)
        facts = DailyFile(
            view.retailers[file.retailer],
            file.day,
            file.revision,
            file.split,
            file.issued_ms,
            view.point_id,
            view.supply_ref_off,
            view.supply_ref_bytes,
        )
        return write_daily(facts, self._slots(view, file, shards), issue.work / "deliveries", xml=issue.xml)

    def _slots(self, view: MasterView, file: FilePlan, shards: Sequence[ShardDay]) -> Iterator[DailySlot]:
        for number, slot in enumerate(shards[0].plan.slots):
            parts = [part for k in file.shards if (part := self._part(view, file, k, shards[k], number)) is not None]
            if not parts:
                continue
            rows = Rows._make(np.concatenate([part[k] for part in parts]) for k in range(len(Rows._fields)))
            if len(parts) > 1 and not ascends(view.rank, rows.position, 0, len(rows.position)):
                order = np.argsort(view.rank[rows.position], kind="stable")
                rows = Rows._make(column[order] for column in rows)
            reference = np.full(len(rows.position), LOOK_UP, np.uint32)
            if self._issue.xml:
                find_references(view, rows.position, slot, file.retailer, file.issued_ms, reference)
            yield DailySlot(slot, rows.position, reference, rows.energy, rows.quality)

    def _part(self, view: MasterView, file: FilePlan, k: int, shard: ShardDay, number: int) -> Rows | None:
        """Return the rows of a file in a slot that one shard brings."""
        key = (file.day, k, number)
        columns = self._opened.get(key)
        if columns is None:
            columns = self._opened[key] = shard.slots[number].opened()
        group, at = columns["group"], columns["at"]
        found = int(np.searchsorted(group, file.group))
        if found == len(group) or group[found] != file.group:
            return None
        position, first, last = plain(columns["position"], np.uint32), int(at[found]), int(at[found + 1])
        start = lower_bound(view.rank, position, first, last, file.low)
        end = lower_bound(view.rank, position, start, last, file.high)
        return Rows._make(columns[name][start:end] for name in Rows._fields) if start < end else None


@lru_cache(maxsize=1)
def _read(path: Path, inode: int, written_ns: int) -> Days:
    del inode, written_ns  # a later run's file of the same name is another
    found: Days = pickle.loads(path.read_bytes())  # noqa: S301  written by the driver of this run
    return found


def _days(path: Path) -> Days:
    found = path.stat()
    return _read(path, found.st_ino, found.st_mtime_ns)


def grouped(files: Iterable[FilePlan], rows_max: int) -> Iterator[list[FilePlan]]:
    """Put small files together to elements of about `rows_max` rows at most, if each point has one in all slots."""
    group: list[FilePlan] = []
    rows = 0
    for file in files:
        group.append(file)
        rows += file.points * SLOTS_PER_DAY
        if rows >= rows_max or len(group) >= FILES_PER_ELEMENT:
            yield group
            group, rows = [], 0
    if group:
        yield group


def build_cells(pipeline: Any, elements: Sequence[tuple[int, DayPlan]], issue: DayIssue, work: Path) -> None:
    """Add the graph of cells to a Beam pipeline; it leaves a `ShardDay` for each element."""
    _ = pipeline | "Shards" >> Elements(work, elements) | "Days" >> beam.ParDo(ComputeDay(issue, work))


def build_files(
    pipeline: Any, elements: Sequence[Sequence[FilePlan]], sources: Path, issue: DayIssue, work: Path
) -> None:
    """Add the graph of files to a Beam pipeline; it leaves manifest entries. `sources` holds the days."""
    _ = pipeline | "Points" >> Elements(work, elements) | "Daily" >> beam.ParDo(WriteDays(issue, sources, work))
