# SPDX-License-Identifier: Apache-2.0
"""The intake half of the graph: decode → pre-filter → register book.

Elements are groups of chunks, then the reads of one shard. Everything a stage needs comes with its element, with the
description it was built from, or from files of the home; so stages run in any process that sees the home.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from koma.errors import HandoverError
from koma.limits import SHARD_LOCAL_BITS
from koma.slots import MS_PER_SLOT
from pipeline import quarantine
from pipeline.handover import decode_chunk
from pipeline.handover.batch import Chunk, Decoded, ReadBatch, Rejected
from pipeline.held import is_held, read_held, write_held
from pipeline.journal import NEVER, Segment, read_state
from pipeline.master import MasterView, open_master
from pipeline.master.view import OPEN_MS
from pipeline.packed import Packed, spilled
from pipeline.prefilter import Bounds, Routed, judge, route
from pipeline.prefilter.arrivals import Arrivals, arrivals_of
from pipeline.prefilter.kernels import name_meters
from pipeline.prefilter.route import cut
from pipeline.register_kernels import ACCEPTED, CONFLICT, DUPLICATE
from pipeline.registers import Boundaries, Reads, RegisterBook, Scattered, scatter
from pipeline.runner import ONE_KEY, CollectReports, Elements

Group = tuple[Chunk, ...]
_NO_DATA = 0xFFFFFFFE


@dataclass(frozen=True, slots=True)
class Intake:
    """One intake, described: what the stages need to know besides their elements."""

    home: Path
    work: Path  # the run's folder under tmp
    batch: int
    master: int
    bounds: Bounds
    floor_ms: int  # arrivals of what is taken in now are not before this

    @property
    def spill(self) -> Path:
        """Where large columns stand between two stages."""
        return self.work / "spill"


@dataclass(slots=True)
class Counts:
    """How many reads went which way. `received` is the sum of the five others, at every stage."""

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0
    held: int = 0
    no_data: int = 0
    moved: int = 0

    def add(self, other: "Counts") -> None:
        """Add another count to this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Report:
    """What one element of an intake came to."""

    counts: Counts = field(default_factory=Counts)
    arrivals: list[Arrivals] = field(default_factory=list)
    segment: Segment | None = None
    first_stamp: int | None = None
    latest_ms: int | None = None
    held_file: str | None = None
    ignored_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    quarantined: pa.Table | None = None


class DecodeAndFilter(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Decode a group of chunks, judge the rows, find their installations, cut the reads by shard."""

    def __init__(self, intake: Intake) -> None:
        """Keep the description."""
        self._intake = intake

    def process(self, element: tuple[int, Iterable[Group]]) -> Iterator[Any]:
        """Yield (shard, reads) for every shard the group touches, and one report."""
        number, (group,) = element
        view = open_master(self._intake.home, self._intake.master)
        report = Report()
        routed: list[Routed] = []
        held: list[ReadBatch] = []
        refused: list[pa.Table] = []
        for chunk in group:
            for decoded in _decoded(chunk):
                rejudged = is_held(chunk)
                self._take(decoded, view, report, routed, held, refused, rejudged=rejudged)
        if held:
            report.held_file = f"{self._intake.batch:08d}-{number:06d}.col"
            write_held(self._intake.work / "held" / report.held_file, held)
        if refused:
            report.quarantined = pa.concat_tables(refused)
        parts = [
            Packed((each.shard, each.counted, number, each.first_ms, each.one_stamp), each.columns)
            for each in cut(routed, view.n_shards, self._intake.floor_ms)
        ]
        for reads in spilled(parts, self._intake.spill / f"reads-{number:06d}"):
            yield reads.meta[0], reads
        yield beam.pvalue.TaggedOutput("report", (ONE_KEY, report))

    def _take(
        self,
        decoded: Decoded,
        view: MasterView,
        report: Report,
        routed: list[Routed],
        held: list[ReadBatch],
        refused: list[pa.Table],
        *,
        rejudged: bool,
    ) -> None:
        batch, counts = decoded.batch, report.counts
        judged = judge(batch, self._intake.bounds)
        each = route(batch, judged, view)
        bad = 0
        if judged.verdict.any():
            quarantined = quarantine.of_verdicts(batch, judged.verdict)
            bad = int(pa.compute.sum(quarantined["reads"]).as_py() or 0)
            refused.append(quarantined)
        if each.held:
            held.append(_held_rows(batch, each))
        if rejudged:  # counted when they came; only what is released now counts again
            counts.received += each.reads - each.held + bad
        else:
            counts.received += each.reads + bad
            counts.held += each.held
            counts.no_data += decoded.no_data
            counts.moved += judged.moved
        counts.quarantined += bad
        if decoded.rejected:
            reads = sum(rejected.reads for rejected in decoded.rejected)
            counts.received += reads
            counts.quarantined += reads
            refused.append(quarantine.of_rejected(decoded.rejected))
        filtered = sum(decoded.filtered.values())
        counts.received += filtered
        counts.filtered += filtered
        if decoded.ignored_columns:
            report.ignored_columns[batch.source] = decoded.ignored_columns
        routed.append(each)
        if not rejudged:
            report.arrivals += arrivals_of(batch, each)


def _decoded(chunk: Chunk) -> Iterator[Decoded]:
    if is_held(chunk):
        yield from read_held(chunk)
        return
    try:
        yield decode_chunk(chunk)
    except HandoverError as error:
        empty = np.empty(0, np.int64)
        batch = ReadBatch(
            chunk.source,
            np.empty((0, 2), np.uint64),
            empty,
            empty,
            np.empty(0, np.uint32),
            np.empty(0, np.uint32),
            empty,
        )
        refused = Rejected(chunk.source, chunk.start, "file", str(error), b"", 1)
        yield Decoded(batch, (refused,), {}, 0, ())


def _held_rows(batch: ReadBatch, routed: Routed) -> ReadBatch:
    rows = np.flatnonzero((routed.held_import | routed.held_export) == 1)
    no_read = np.uint32(0xFFFFFFFF)
    return ReadBatch(
        batch.source,
        batch.keys[rows],
        batch.read_at_ms[rows],
        batch.received_ms[rows],
        np.where(routed.held_import[rows] == 1, batch.import_register[rows], no_read),
        np.where(routed.held_export[rows] == 1, batch.export_register[rows], no_read),
        batch.place[rows],
    )


class ScatterReads(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Let all reads of a shard into the register book and write the segment of what they change."""

    def __init__(self, intake: Intake) -> None:
        """Keep the description."""
        self._intake = intake

    def process(self, element: tuple[int, Any]) -> Iterator[tuple[int, Report]]:
        """Yield one report a shard, under one key."""
        shard, packed = element[0], sorted(element[1], key=lambda part: part.meta)
        intake = self._intake
        view = open_master(intake.home, intake.master)
        parts = [_reads(part) for part in packed]
        book = open_book(intake.home, intake.batch - 1)
        name = f"{intake.batch:08d}-{shard:05d}.col"
        installs = int(view.shard_installs[shard])
        boundaries = _boundaries(intake.home, intake.master, shard)
        result = scatter(book, shard, installs, parts, boundaries, intake.work / "registers" / name)
        report = Report()
        for reads, verdict, of_part in zip(parts, result.verdicts, result.counts, strict=True):
            later = reads.later_ms[verdict != CONFLICT] if of_part[CONFLICT] else reads.later_ms
            if len(later):
                report.latest_ms = max(reads.first_ms + int(later.max()), report.latest_ms or NEVER)
        counts = result.counts[[part.meta[1] for part in packed]].sum(axis=0)
        report.counts = Counts(
            accepted=int(counts[ACCEPTED]), duplicate=int(counts[DUPLICATE]), quarantined=int(counts[CONFLICT])
        )
        if result.stamps:
            report.segment = Segment(shard, name, result.stamps)
            report.first_stamp = min(stamp for stamp, _ in result.stamps)
        report.quarantined = _conflicts(view, shard, packed, parts, result)
        yield ONE_KEY, report


@lru_cache(maxsize=512)
def _boundaries(home: Path, version: int, shard: int) -> Boundaries:
    """Return the registers that the master gives on slot boundaries, as known now."""
    view = open_master(home, version)
    first, last = view.install_of[view.shard_points[shard]], view.install_of[view.shard_points[shard + 1]]
    local, known = view.install_local[first:last], view.install_rec_to[first:last] == OPEN_MS
    stamps, locals_, values = [], [], []
    for at_ms, value in (
        (view.install_from_ms[first:last], view.install_first[first:last]),
        (view.install_to_ms[first:last], view.install_last[first:last]),
    ):
        rows = np.flatnonzero(known & (value >= 0))
        rows = rows[at_ms[rows] % MS_PER_SLOT == 0]
        stamps.append(at_ms[rows] // MS_PER_SLOT)
        locals_.append(local[rows])
        values.append(value[rows])
    stamp = np.concatenate(stamps)
    order = np.argsort(stamp, kind="stable")
    return Boundaries(stamp[order], np.concatenate(locals_)[order], np.concatenate(values)[order])


def _reads(part: Packed) -> Reads:
    columns = part.opened()
    _, _, _, first_ms, one_stamp = part.meta
    stamp = columns["stamp"] if one_stamp is None else one_stamp
    return Reads(columns["local"], columns["value"], columns["later_ms"], first_ms, stamp)


def _conflicts(
    view: MasterView, shard: int, packed: list[Packed], parts: list[Reads], result: Scattered
) -> pa.Table | None:
    displaced = result.displaced
    if result.counts[:, CONFLICT].sum() + len(displaced["local"]) == 0:
        return None
    lost = [np.flatnonzero(verdict == CONFLICT) for verdict in result.verdicts]
    some = list(zip(parts, lost, strict=True))
    counted = [np.full(len(rows), part.meta[1], np.int64) for part, rows in zip(packed, lost, strict=True)]
    local = np.concatenate([*(reads.local[rows] for reads, rows in some), displaced["local"]])
    stamp = np.concatenate([*(reads.stamps(rows) for reads, rows in some), displaced["stamp"].astype(np.int64)])
    first, last = view.install_of[view.shard_points[shard]], view.install_of[view.shard_points[shard + 1]]
    installs = view.install_local[first:last]
    by_local = np.argsort(installs, kind="stable")
    row = int(first) + by_local[np.searchsorted(installs, local, sorter=by_local)]
    position = np.searchsorted(view.install_of, row, side="right") - 1
    points = [view.point_id[p].tobytes().decode() for p in position.tolist()]
    return quarantine.of_conflicts(
        shard,
        local,
        _meters(view, shard, local),
        pa.array(points, pa.string()),
        pa.array(["import", "export"]).take(pa.array(view.install_register[row].astype(np.int64))),
        stamp * MS_PER_SLOT,
        np.concatenate([*(reads.arrivals(rows) for reads, rows in some), displaced["arrival"]]),
        np.concatenate([*(reads.value[rows] for reads, rows in some), displaced["value"]]),
        np.concatenate([*counted, np.zeros(len(displaced["local"]), np.int64)]),
    )


def _meters(view: MasterView, shard: int, local: NDArray[np.uint32]) -> pa.Array:
    """Return the meter ids of installations; conflicts are rare, so the look-up is searched for them."""
    install = (np.uint32(shard << SHARD_LOCAL_BITS) | local).astype(np.uint32)
    order = np.argsort(install, kind="stable")
    keys = np.zeros((len(install), 2), np.uint64)
    name_meters(view.table, view.chain_install, install[order], keys)
    named = np.empty_like(keys)
    named[order] = keys
    return quarantine.meter_texts(named)


_BOOKS: dict[tuple[Path, int], RegisterBook] = {}


def open_book(home: Path, batches: int) -> RegisterBook:
    """Return the register book as it was after `batches` intakes, kept in this process."""
    key = (home, batches)
    book = _BOOKS.get(key)
    if book is None:
        state = read_state(home / "journal")
        segments = [each for each in state.segments if int(each.name[:8]) <= batches]
        book = RegisterBook(home / "registers", segments)
        _BOOKS.clear()
        _BOOKS[key] = book
    return book


def build_intake(pipeline: Any, groups: list[tuple[int, Group]], intake: Intake, reports: Path) -> None:
    """Add the intake graph to a Beam pipeline; what it came to is written to `reports`."""
    decoded = (
        pipeline
        | "HandoverFiles" >> Elements(groups)
        | "DecodeAndFilter"
        >> beam.ParDo(DecodeAndFilter(intake))
        .with_output_types(tuple[int, Packed])
        .with_outputs("report", main="reads")
    )
    scattered = (
        decoded.reads
        | "ByShard" >> beam.GroupByKey()
        | "RegisterBook" >> beam.ParDo(ScatterReads(intake)).with_output_types(tuple[int, Any])
    )
    (decoded.report, scattered) | "Reports" >> beam.Flatten() | CollectReports(reports, intake.spill)
