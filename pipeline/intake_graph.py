# SPDX-License-Identifier: Apache-2.0
"""The intake half of the graph: decode → pre-filter → register book.

Elements are groups of chunks, then what they brought to a few shards. Everything a stage needs comes with its element,
with the description it was built from, or from files of the home; so stages run in any process that sees the home.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
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
from pipeline.books import open_book, open_minute_book
from pipeline.columns import write_columns
from pipeline.exchange import Elements, Reporting, read_element
from pipeline.handover import decode_chunk
from pipeline.handover.batch import Chunk, Decoded, ReadBatch, Rejected
from pipeline.held import is_held, read_held, write_held
from pipeline.journal import NEVER
from pipeline.master import MasterView, open_master
from pipeline.prefilter import Bounds, Found, Routed, judge, route
from pipeline.prefilter.arrivals import Arrivals, arrivals_of
from pipeline.prefilter.cut import cut
from pipeline.prefilter.given import Contradicted, split_contradicted
from pipeline.prefilter.kernels import name_meters
from pipeline.prefilter.minutes import MinuteReads, split_minutes
from pipeline.register_files import RegisterFile
from pipeline.register_kernels import ABSENT_MS
from pipeline.registers import Lost, RegisterBook, let_in

BUCKETS = 16
"""Neighbouring shards travel together: an element costs the runner as much as a hundred thousand reads. Registers
between slot boundaries travel in as many buckets behind those of the others."""

Group = tuple[Chunk, ...]


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
    def registers(self) -> Path:
        """Where register files stand until the intake is recorded."""
        return self.work / "registers"

    @property
    def minutes(self) -> Path:
        """Where those of registers between slot boundaries do."""
        return self.work / "minutes"


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
    late: int = 0

    def add(self, other: "Counts") -> None:
        """Add another count to this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Report:
    """What one element of an intake came to."""

    counts: Counts = field(default_factory=Counts)
    arrivals: list[Arrivals] = field(default_factory=list)
    register_file: tuple[str, tuple[int, ...]] | None = None  # its name and stamps
    minute_file: tuple[str, tuple[int, ...]] | None = None
    changed: dict[int, int] = field(default_factory=dict)  # stamp to the latest arrival in the cells that changed
    changed_minutes: dict[int, int] = field(default_factory=dict)
    latest_ms: int | None = None
    held_file: str | None = None
    ignored_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    quarantined: pa.Table | None = None


class DecodeAndFilter(Reporting):
    """Decode a group of chunks, judge the rows, find their installations, cut the reads by shard."""

    def __init__(self, intake: Intake) -> None:
        """Keep the description."""
        super().__init__(intake.work)
        self._intake = intake

    def process(self, element: tuple[int, Any]) -> Iterator[tuple[int, str]]:
        """Yield (bucket of shards, name of a register file) for each bucket the group touches; leave a report."""
        number = element[0]
        group: Group = read_element(self._intake.work, number)
        view = open_master(self._intake.home, self._intake.master)
        report = Report()
        taken = _Taken()
        for chunk in group:
            for decoded in _decoded(chunk):
                rejudged = is_held(chunk)
                self._take(decoded, view, report, taken, rejudged=rejudged)
        if taken.held:
            report.held_file = f"{self._intake.batch:08d}-{number:06d}.col"
            write_held(self._intake.work / "held" / report.held_file, taken.held)
        if taken.refused:
            report.quarantined = pa.concat_tables(taken.refused)
        name = f"{self._intake.batch:08d}-{number:06d}.col"
        columns = cut(taken.found, taken.shared, view.n_shards, self._intake.floor_ms)
        if columns:
            write_columns(self._intake.registers / name, columns)
            report.register_file = name, tuple(np.unique(columns["stamp"]).tolist())
            for bucket in np.unique(columns["shard"] * BUCKETS // view.n_shards).tolist():
                yield bucket, name
        columns = cut(taken.minutes, taken.shared_minutes, view.n_shards, self._intake.floor_ms)
        if columns:
            write_columns(self._intake.minutes / name, columns)
            report.minute_file = name, tuple(np.unique(columns["stamp"]).tolist())
            for bucket in np.unique(columns["shard"] * BUCKETS // view.n_shards).tolist():
                yield BUCKETS + bucket, name
        self.report(f"group-{number:06d}", report)

    def _take(self, decoded: Decoded, view: MasterView, report: Report, taken: "_Taken", *, rejudged: bool) -> None:
        counts = report.counts
        batch, minutes = split_minutes(decoded.batch, view, self._intake.bounds)
        for each_register in minutes:
            self._take_minutes(each_register, report, taken, rejudged=rejudged)
        judged = judge(batch, self._intake.bounds)
        each = route(batch, judged, view)
        bad = 0
        if judged.verdict.any():
            quarantined = quarantine.of_verdicts(batch, judged.verdict)
            bad = int(pa.compute.sum(quarantined["reads"]).as_py() or 0)
            taken.refused.append(quarantined)
        if each.held:
            taken.held.append(_held_rows(batch, each))
        if rejudged:  # counted when they came; only what is released now counts again
            counts.received += each.reads - each.held + bad
        else:
            counts.received += each.reads + bad
            counts.held += each.held
            counts.no_data += decoded.no_data
            counts.moved += judged.flagged["moved"]
            counts.late += judged.flagged["late"]
        counts.quarantined += bad
        if decoded.rejected:
            reads = sum(rejected.reads for rejected in decoded.rejected)
            counts.received += reads
            counts.quarantined += reads
            taken.refused.append(quarantine.of_rejected(decoded.rejected))
        filtered = sum(decoded.filtered.values())
        counts.received += filtered
        counts.filtered += filtered
        if decoded.ignored_columns:
            report.ignored_columns[batch.source] = decoded.ignored_columns
        if not rejudged:
            report.arrivals += arrivals_of(batch, each)
        agreeing, contradicted = split_contradicted(each, view)
        for those in contradicted:
            counts.quarantined += len(those.reads) if those.piece.counted else 0
            taken.refused.append(_contradicted(view, batch, those))
        taken.found += agreeing.found
        taken.shared += agreeing.shared

    def _take_minutes(self, minutes: MinuteReads, report: Report, taken: "_Taken", *, rejudged: bool) -> None:
        """Take reads between slot boundaries: as the others, but none of them waits for a meter to become known."""
        counts, bad = report.counts, 0
        if minutes.judged.verdict.any():
            taken.refused.append(quarantine.of_verdicts(minutes.batch, minutes.judged.verdict))
            bad = int(np.count_nonzero(minutes.judged.verdict))
        counts.received += minutes.routed.reads + bad
        counts.quarantined += bad
        if not rejudged:
            counts.moved += minutes.judged.flagged["moved"]
            counts.late += minutes.judged.flagged["late"]
            report.arrivals += arrivals_of(minutes.batch, minutes.routed)
        taken.minutes += minutes.routed.found
        taken.shared_minutes += minutes.routed.shared


@dataclass(slots=True)
class _Taken:
    """What the chunks of one element came to."""

    found: list[Found] = field(default_factory=list)
    shared: list[Found] = field(default_factory=list)
    minutes: list[Found] = field(default_factory=list)
    shared_minutes: list[Found] = field(default_factory=list)
    held: list[ReadBatch] = field(default_factory=list)
    refused: list[pa.Table] = field(default_factory=list)


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


class ElectReads(Reporting):
    """Let all reads of a bucket of shards into the register book: which count, and what becomes of the others."""

    def __init__(self, intake: Intake) -> None:
        """Keep the description."""
        super().__init__(intake.work)
        self._intake = intake

    def process(self, element: tuple[int, Iterable[str]]) -> list[None]:
        """Elect, and leave a report."""
        names = sorted(element[1])
        between, bucket = divmod(element[0], BUCKETS)
        intake = self._intake
        view = open_master(intake.home, intake.master)
        book = (open_minute_book if between else open_book)(intake.home, intake.batch - 1)
        folder = intake.minutes if between else intake.registers
        files = [(name, RegisterFile.open(folder / name)) for name in names]
        report, refused = Report(), list[pa.Table]()
        for shard in range(-(-bucket * view.n_shards // BUCKETS), -(-(bucket + 1) * view.n_shards // BUCKETS)):
            for stamp, holding in _by_stamp(files, shard).items():
                self._elect(book, view, shard, stamp, holding, report, refused)
        if refused:
            report.quarantined = pa.concat_tables(refused)
        self.report(f"shards-{element[0]:06d}", report)
        return []

    def _elect(
        self,
        book: RegisterBook,
        view: MasterView,
        shard: int,
        stamp: int,
        holding: list[tuple[str, RegisterFile]],
        report: Report,
        refused: list[pa.Table],
    ) -> None:
        installs = int(view.shard_installs[shard])
        parts = [reads for _, file in holding for reads in file.reads(*file.sections(stamp, shard))]
        base = book.column(shard, stamp, installs).resized(installs)
        elected = let_in(base, parts)
        accepted, duplicate, conflict = elected.counts.tolist()
        report.counts.accepted += accepted
        report.counts.duplicate += duplicate
        report.counts.quarantined += conflict
        if elected.latest_ms != -ABSENT_MS:
            report.latest_ms = max(elected.latest_ms, report.latest_ms or NEVER)
        if elected.changed_ms != -ABSENT_MS:
            changed = report.changed if book.step_ms == MS_PER_SLOT else report.changed_minutes
            changed[stamp] = max(elected.changed_ms, changed.get(stamp, NEVER))
        book.remember(shard, stamp, [name for name, _ in holding], elected.column)
        refused += [_lost(view, shard, stamp * book.step_ms, each) for each in elected.lost]


def _by_stamp(files: Sequence[tuple[str, RegisterFile]], shard: int) -> dict[int, list[tuple[str, RegisterFile]]]:
    """Return which files hold reads of a shard, by stamp."""
    found: defaultdict[int, list[tuple[str, RegisterFile]]] = defaultdict(list)
    for name, file in files:
        for stamp in file.stamps(shard):
            found[stamp].append((name, file))
    return dict(sorted(found.items()))


def _contradicted(view: MasterView, batch: ReadBatch, those: Contradicted) -> pa.Table:
    """Return the quarantine rows of reads that contradict the master."""
    piece, reads = those.piece, those.reads
    install, row = piece.install[reads], piece.row[reads]
    shard = install >> np.uint32(SHARD_LOCAL_BITS)
    local = install & np.uint32((1 << SHARD_LOCAL_BITS) - 1)
    tables = []
    for each in np.unique(shard).tolist():
        mine = shard == each
        rows = row[mine]
        points, registers = _places(view, each, local[mine])
        tables.append(
            quarantine.of_conflicts(
                each,
                local[mine],
                quarantine.meter_texts(batch.keys[rows]),
                points,
                registers,
                piece.stamp[rows].astype(np.int64) * MS_PER_SLOT,
                batch.received_ms[rows],
                piece.value[rows],
                np.full(len(rows), int(piece.counted)),
                source=batch.source,
                place=batch.place[rows],
            )
        )
    return pa.concat_tables(tables)


def _lost(view: MasterView, shard: int, stamp_ms: int, lost: Lost) -> pa.Table:
    """Return the quarantine rows of reads that lost against another one."""
    points, registers = _places(view, shard, lost.local)
    return quarantine.of_conflicts(
        shard,
        lost.local,
        _meters(view, shard, lost.local),
        points,
        registers,
        np.full(len(lost.local), stamp_ms),
        lost.arrival,
        lost.value,
        lost.counted,
    )


def _places(view: MasterView, shard: int, local: NDArray[np.uint32]) -> tuple[pa.Array, pa.Array]:
    """Return point ids and registers (import or export) of installations of a shard."""
    first, last = view.install_of[view.shard_points[shard]], view.install_of[view.shard_points[shard + 1]]
    installs = view.install_local[first:last]
    by_local = np.argsort(installs, kind="stable")
    row = int(first) + by_local[np.searchsorted(installs, local, sorter=by_local)]
    position = np.searchsorted(view.install_of, row, side="right") - 1
    points = [view.point_id[p].tobytes().decode() for p in position.tolist()]
    registers = pa.array(["import", "export"]).take(pa.array(view.install_register[row].astype(np.int64)))
    return pa.array(points, pa.string()), registers


def _meters(view: MasterView, shard: int, local: NDArray[np.uint32]) -> pa.Array:
    """Return the meter ids of installations; conflicts are rare, so the look-up is searched for them."""
    install = (np.uint32(shard << SHARD_LOCAL_BITS) | local).astype(np.uint32)
    order = np.argsort(install, kind="stable")
    keys = np.zeros((len(install), 2), np.uint64)
    name_meters(view.table, view.chain_install, install[order], keys)
    named = np.empty_like(keys)
    named[order] = keys
    return quarantine.meter_texts(named)


def build_intake(pipeline: Any, groups: list[Group], intake: Intake) -> None:
    """Add the intake graph to a Beam pipeline; every element leaves a `Report`."""
    _ = (
        pipeline
        | "HandoverFiles" >> Elements(intake.work, groups)
        | "DecodeAndFilter" >> beam.ParDo(DecodeAndFilter(intake)).with_output_types(tuple[int, str])
        | "ByShards" >> beam.GroupByKey()
        | "RegisterBook" >> beam.ParDo(ElectReads(intake))
    )
