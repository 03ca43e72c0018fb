# SPDX-License-Identifier: Apache-2.0
"""Taking in: what lies in landing becomes registers, held reads and quarantine rows, durable before a file is moved."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from koma.clock import WallClock
from koma.errors import HandoverError
from koma.limits import BATCH_READS_MAX
from koma.settings import Settings
from koma.slots import JST, format_jst
from pipeline import quarantine
from pipeline.columns import sync_directory
from pipeline.exchange import read_reports
from pipeline.handover import Chunk, Rejected, plan_chunks
from pipeline.held import held_chunk
from pipeline.home import Home, publish, sync_filesystem
from pipeline.intake_graph import Counts, Group, Intake, Report, build_intake
from pipeline.journal import NEVER, Journal, Segment, State
from pipeline.landing import entries
from pipeline.master import open_master
from pipeline.prefilter import Bounds
from pipeline.prefilter.arrivals import DAY_MS, Arrivals
from pipeline.runner import new_pipeline

CHUNKS_PER_GROUP = 16
PACKED = (".gz", ".zst")
_BROUGHT = ("registers", "minutes", "held", "quarantine")
ABSURD_DAYS = 3653
"""No home begins this far ahead of the machine's clock."""
SAYABLE_MS_MAX = 253_402_214_400_000
"""The start of 9999-12-31: later times cannot be written in JST, and a file is not worth a run."""


@dataclass(slots=True)
class TakenIn:
    """What one intake came to."""

    counts: Counts = field(default_factory=Counts)
    files: int = 0
    waiting: list[dict[str, object]] = field(default_factory=list)  # files that stay in landing, and why
    ignored_columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)  # reads in quarantine by the reason's code

    def by_rule(self) -> dict[str, int]:
        """Return what each rule on rows found, by its code; rules that found nothing are left out."""
        counts = self.counts
        found = {"no_data": counts.no_data, "moved": counts.moved, "late": counts.late}
        found |= {"unknown_meter": counts.held, "duplicate": counts.duplicate}
        return {code: number for code, number in sorted((found | self.refused).items()) if number}

    def add(self, reports: Iterable[Report]) -> None:
        """Add up what the elements report; no read may go astray."""
        for report in reports:
            self.counts.add(report.counts)
            self.ignored_columns |= report.ignored_columns
            if report.quarantined is not None:
                self.refused += quarantine.by_code(report.quarantined)
        counts = self.counts
        assert counts.received == (
            counts.accepted + counts.duplicate + counts.filtered + counts.quarantined + counts.held
        ), f"reads went astray: {counts}"


def finish_moves(home: Home, journal: Journal) -> None:
    """Move the files of the last intake to taken, as far as a crash left them in landing."""
    moved: set[Path] = set()
    for record in journal.state.unmoved:
        source = home.landing / record["name"]
        try:
            stat = source.stat()
        except FileNotFoundError:
            continue
        if (stat.st_ino, stat.st_size) != (record["inode"], record["size"]):
            continue  # another file of the same name has landed since
        folder = home.path("taken") / record["day"]
        if not folder.exists():
            folder.mkdir(parents=True)
            sync_directory(folder.parent)  # before a file is found nowhere else
        target, number = folder / source.name, 1
        while target.exists():
            target, number = folder / f"{source.name}.{number}", number + 1
        source.rename(target)
        moved.add(folder)
    if moved:
        for folder in (*moved, home.landing):
            sync_directory(folder)
    journal.state.unmoved = []


def may_rejudge(home: Home, state: State) -> bool:
    """Say whether held reads wait to be judged: the master has changed since they were."""
    return bool(state.held) and state.held_judged != open_master(home.root, None).version


def take_in(
    home: Home,
    journal: Journal,
    settings: Settings,
    *,
    accept_clock: bool,
    files: list[Path] | None = None,
    held: bool = True,
    known_ms: int | None = None,
) -> TakenIn:
    """Take in hand-over files, and the held reads if the master has changed since they were judged.

    Args:
        home: of which the caller is the sole writer.
        journal: its journal.
        settings: of the home.
        accept_clock: take in files whose arrivals lie far ahead, too.
        files: in landing, by name; all of landing unless given.
        held: False leaves the held reads alone.
        known_ms: time that arrivals may lie some days ahead of; the latest arrival so far unless given.

    """
    state = journal.state
    known_ms = state.clock_ms if known_ms is None else known_ms
    rejudge = held and may_rejudge(home, state)
    result = TakenIn()
    if files is None:
        there = list(entries(home.landing))
        result.waiting += sorted((each.facts for each in there if each.objection), key=str)
        files = sorted(home.landing / each.name for each in there if not each.objection)
    else:
        files = [path for path in files if path.exists()]
    if not files and not rejudge:
        return result
    while True:
        intake = _begun(home, state, settings)
        stats = {path: path.stat() for path in files}
        groups, unreadable = _groups(files, [home.path("held") / name for name in state.held] if rejudge else [])
        with new_pipeline(settings.beam_mode, settings.workers) as pipeline:
            build_intake(pipeline, groups, intake)
        collected: list[Report] = read_reports(intake.work)
        ahead = [] if accept_clock else _too_far_ahead(collected, known_ms, settings.clock_jump_days)
        if not ahead:
            break
        result.waiting += ahead
        waiting = {each["file"] for each in ahead}
        files = [path for path in files if path.name not in waiting]
        if not files and not rejudge:
            return result
    if unreadable:
        collected.append(_unreadable(unreadable))
    result.add(collected)
    quarantine.write(
        intake.work / "quarantine" / f"{intake.batch:08d}.parquet",
        [report.quarantined for report in collected if report.quarantined is not None],
    )
    _commit(home, journal, intake, collected, rejudge=rejudge, day=_day(state.now_ms), stats=stats)
    shutil.rmtree(intake.work)
    result.files = len(files)
    return result


def _begun(home: Home, state: State, settings: Settings) -> Intake:
    """Make the folders of an intake, and describe it."""
    work = home.fresh_tmp("intake")
    for folder in _BROUGHT:
        (work / folder).mkdir()
    return Intake(
        home=home.root,
        work=work,
        batch=state.batches + 1,
        master=open_master(home.root, None).version,
        bounds=Bounds.of(settings),
        floor_ms=state.issued_ms + 1,
    )


def _groups(files: Iterable[Path], held: Iterable[Path]) -> tuple[list[Group], list[Rejected]]:
    """Cut files into elements of several chunks each."""
    unreadable: list[Rejected] = []
    chunks = [held_chunk(path) for path in held]
    for path in files:
        try:
            chunks += plan_chunks(path, BATCH_READS_MAX)
        except HandoverError as error:
            unreadable.append(Rejected(path.name, 0, "file", str(error), b"", 1))
    groups: list[list[Chunk]] = []
    for chunk in chunks:
        packed = chunk.path.endswith(PACKED)  # unpacks from the start: its chunks stay together, in order
        last = groups[-1] if groups else []
        together = bool(last) and last[-1].path == chunk.path if packed else 0 < len(last) < CHUNKS_PER_GROUP
        if together and (packed or not last[-1].path.endswith(PACKED)):
            last.append(chunk)
        else:
            groups.append([chunk])
    return [tuple(group) for group in groups], unreadable


def _unreadable(rejected: list[Rejected]) -> Report:
    return Report(
        counts=Counts(received=len(rejected), quarantined=len(rejected)),
        quarantined=quarantine.of_rejected(rejected),
    )


def _too_far_ahead(reports: list[Report], clock_ms: int, days: int) -> list[dict[str, object]]:
    """Name the files whose reads arrived more than `days` after all that arrived before: a clock that ran away."""
    by_day: dict[int, list[Arrivals]] = {}
    for report in reports:
        for each in report.arrivals:
            by_day.setdefault(each.day, []).append(each)
    last_ms = clock_ms
    for day in sorted(by_day):
        first_ms = min(each.first_ms for each in by_day[day])
        # Nothing stands before a home's first arrival; but a clock once set years ahead never comes back.
        absurd = last_ms == NEVER and first_ms - WallClock().now_ms() > ABSURD_DAYS * DAY_MS
        if absurd or (last_ms != NEVER and first_ms - last_ms > days * DAY_MS):
            before = "today" if absurd else f"{format_jst(last_ms)}, the latest before it"
            first: dict[str, Arrivals] = {}
            for later in sorted(each_day for each_day in by_day if each_day >= day):
                for each in by_day[later]:
                    first.setdefault(each.source, each)
            return [
                {
                    "file": each.source,
                    "row": each.place,
                    "received_at": format_jst(min(each.first_ms, SAYABLE_MS_MAX)),
                    "code": "clock_jump",
                    "detail": f"arrived more than {ABSURD_DAYS if absurd else days} days after {before}; "
                    "if that is true, run again with --accept-clock, else correct the file",
                }
                for each in first.values()
            ]
        last_ms = max(last_ms, *(each.last_ms for each in by_day[day]))
    return []


def _day(now_ms: int) -> str:
    moment = datetime.now(UTC) if now_ms == NEVER else datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    return moment.astimezone(JST).strftime("%Y%m%d")


def _commit(
    home: Home,
    journal: Journal,
    intake: Intake,
    reports: list[Report],
    *,
    rejudge: bool,
    day: str,
    stats: dict[Path, os.stat_result],
) -> None:
    """Make the intake durable, then write its record, then move its files."""
    state = journal.state
    segments = _segments(intake.registers, [(report.register_file, report.changed) for report in reports])
    minutes = _segments(intake.minutes, [(report.minute_file, report.changed_minutes) for report in reports])
    for folder in _BROUGHT:
        if any((intake.work / folder).iterdir()):
            sync_filesystem(intake.work)
            break
    for folder in _BROUGHT:
        publish(intake.work / folder, home.path(folder))
    clocks = [
        report.latest_ms for report in reports if report.latest_ms is not None and report.latest_ms > intake.floor_ms
    ]
    held = sorted(report.held_file for report in reports if report.held_file is not None)
    record: dict[str, Any] = {
        "kind": "intake",
        "batch": intake.batch,
        "master": intake.master if rejudge or not state.held else state.held_judged,
        "files": [
            {"name": path.name, "inode": stat.st_ino, "size": stat.st_size, "day": day} for path, stat in stats.items()
        ],
        "segments": [{"name": each.name, "stamps": list(each.stamps)} for each in segments],
        "minutes": [{"name": each.name, "stamps": list(each.stamps)} for each in minutes],
        "held": held if rejudge else None,
        "held_new": [] if rejudge else held,
        "carried": state.carried if state.index.names else intake.master,  # nothing to carry before the first read
        "clock_ms": max(clocks, default=NEVER),
        "first_slot": min((stamp for each in segments for stamp, _ in each.stamps), default=None),
    }
    gone = state.held if rejudge else []
    journal.append(record)
    finish_moves(home, journal)
    for name in gone:
        (home.path("held") / name).unlink(missing_ok=True)


def _segments(folder: Path, reports: list[tuple[tuple[str, tuple[int, ...]] | None, dict[int, int]]]) -> list[Segment]:
    """Return the register files that change anything, each with the stamps it may have changed; drop the others."""
    changed: dict[int, int] = {}
    for _, mine in reports:
        for stamp, arrival in mine.items():
            changed[stamp] = max(arrival, changed.get(stamp, NEVER))
    segments = []
    for name, stamps in sorted(file for file, _ in reports if file is not None):
        kept = tuple((stamp, changed[stamp]) for stamp in stamps if stamp in changed)
        if kept:
            segments.append(Segment(name, kept))
        else:
            (folder / name).unlink()
    return segments
