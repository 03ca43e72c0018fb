# SPDX-License-Identifier: Apache-2.0
"""Issuing daily files: after the instants they belong to are out, in steps between which other work may go first.

A daily issue is an intent of its own. What it holds had arrived by its instants, and whatever is taken in later counts
as having arrived after them; so it does not matter how much is taken in and issued between its steps, or whether a
crash makes it start anew. Nothing of it is visible before all of it is.
"""

import pickle
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from koma.settings import Settings
from koma.slots import slot_date
from pipeline.carried import carry_reads
from pipeline.day_graph import (
    DayIssue,
    Days,
    FilePlan,
    build_cells,
    build_files,
    grouped,
    plan_files,
)
from pipeline.day_plan import SLOTS_PER_DAY, DayPlan, plan_days
from pipeline.delivery import ManifestEntry, manifest_line, placed, sort_key
from pipeline.exchange import read_reports
from pipeline.flags import FOLDER as FLAGS
from pipeline.flags import write_flags
from pipeline.home import Home, publish, sync_filesystem
from pipeline.issuing import Issued
from pipeline.journal import Journal, State
from pipeline.manifests import DAYS, day_name, manifest_place, write_manifests
from pipeline.master import open_master
from pipeline.plan import latest_arrivals, latest_decisions
from pipeline.rules.exports import held_exports
from pipeline.rules.thresholds import Thresholds
from pipeline.runner import new_pipeline

STEP_CELLS: Final = 64_000_000
"""Cells of one step: some ten seconds of work."""
ELEMENTS_PER_STEP: Final = 64
FOLDER: Final = "daily"


def issue_daily(home: Home, journal: Journal, settings: Settings, *, xml: bool = True) -> Issued:
    """Issue the daily files of every instant that is out, without a pause."""
    issued = Issued()
    for each in daily_steps(home, journal, settings, xml=xml):
        issued.add(each)
    return issued


def daily_steps(home: Home, journal: Journal, settings: Settings, *, xml: bool = True) -> Iterator[Issued]:
    """Issue the daily files of every instant that is out, step by step; yields after each what it made visible.

    Between two steps anything may be taken in and issued by the same process. A generator that is given up is begun
    anew by the next one.
    """
    state = journal.state
    while True:
        if state.daily_intent is None:
            master = carry_reads(home, journal)
            if not _plans(home, state, master, state.issued_ms):
                return
            journal.append({"kind": "daily_intent", "to": state.issued_ms, "master": master})
        assert state.daily_intent is not None
        to_ms, master = state.daily_intent["to"], state.daily_intent["master"]
        work = home.fresh_tmp(FOLDER)
        (work / "deliveries").mkdir()
        (work / FLAGS).mkdir()
        entries: list[ManifestEntry] = []
        plans = _plans(home, state, master, to_ms)
        what = _described(home, state, settings, master, to_ms, plans, xml=xml)
        for some in _together(plans, open_master(home.root, master).n_points):
            for found in _issue_days(what, state, settings, some):
                entries += found
                yield Issued()
        issued = _commit(home, work, entries, state.daily_ms)
        journal.append({"kind": "daily", "to": to_ms})
        shutil.rmtree(work)
        yield issued


def _described(
    home: Home, state: State, settings: Settings, master: int, to_ms: int, plans: Sequence[DayPlan], *, xml: bool
) -> DayIssue:
    fresh = [plan for plan in plans if plan.instants[0] > state.daily_ms]
    thresholds = Thresholds.of_home(home.root)
    view = open_master(home.root, master)
    held = [home.path("held") / name for name in state.held]
    return DayIssue(
        home=home.root,
        work=home.path("tmp") / FOLDER,
        batches=state.batches,
        master=master,
        from_ms=state.daily_ms,
        to_ms=to_ms,
        rows_per_file=settings.rows_per_file,
        supersessions=tuple(state.supersessions),
        xml=xml,
        thresholds={plan.day: thresholds.at(slot_date(plan.day)) for plan in fresh},
        exports={plan.day: held_exports(held, view, plan.day, plan.instants[0]) for plan in fresh},
    )


def _plans(home: Home, state: State, master: int, to_ms: int) -> list[DayPlan]:
    first_slot = state.first_slot_kept
    view = open_master(home.root, master)
    if first_slot is None or view.n_shards == 0 or to_ms <= state.daily_ms:
        return []
    reads, decisions = latest_arrivals(state), latest_decisions(state)
    return plan_days(reads, decisions, view, state.extras, first_slot, state.daily_ms, to_ms)


def _together(plans: Sequence[DayPlan], points: int) -> Iterator[list[DayPlan]]:
    """Put days together whose rows may lie in temporary files at the same time: a step's cells, or one day."""
    some: list[DayPlan] = []
    for plan in plans:
        some.append(plan)
        if points * sum(len(each.slots) for each in some) >= STEP_CELLS:
            yield some
            some = []
    if some:
        yield some


def _issue_days(
    what: DayIssue, state: State, settings: Settings, plans: Sequence[DayPlan]
) -> Iterator[list[ManifestEntry]]:
    """Compute the rows of days shard by shard, then write their files; yields after each step the files it wrote."""
    view = open_master(what.home, what.master)
    stage = what.work / "days"
    elements = [(shard, plan) for plan in plans for shard in range(view.n_shards)]
    slots = max(len(plan.slots) for plan in plans)
    at_once = max(settings.workers, STEP_CELLS * view.n_shards // (max(1, view.n_points) * slots))
    days: Days = defaultdict(list)
    for number, first in enumerate(range(0, len(elements), at_once)):
        work = stage / f"cells-{number}"
        work.mkdir(parents=True)
        with new_pipeline(settings.beam_mode, settings.workers) as pipeline:
            described = replace(what, batches=state.batches)  # so that the book is never read anew
            build_cells(pipeline, elements[first : first + at_once], described, work)
        for each in read_reports(work):
            days[each.plan.day].append(each)
        yield []
    for day in days:
        flags = [each.flags.opened() for each in days[day] if each.flags is not None]
        if flags:
            write_flags(what.work / FLAGS, view, day, days[day][0].plan.instants[0], flags)
    sources = stage / "sources"
    sources.write_bytes(pickle.dumps(dict(days), protocol=5))
    files = (file for day in sorted(days) for file in plan_files(what, days[day], what.rows_per_file))
    groups = grouped(files, STEP_CELLS // ELEMENTS_PER_STEP)
    number = 0
    while some := _step(groups):
        work = stage / f"files-{number}"
        work.mkdir()
        with new_pipeline(settings.beam_mode, settings.workers) as pipeline:
            build_files(pipeline, some, sources, what, work)
        yield [entry for entries in read_reports(work) for entry in entries]
        number += 1
    shutil.rmtree(stage)


def _step(groups: Iterator[list[FilePlan]]) -> list[list[FilePlan]]:
    """Take elements for one step."""
    taken: list[list[FilePlan]] = []
    cells = 0
    while cells < STEP_CELLS and (group := next(groups, None)) is not None:
        taken.append(group)
        cells += SLOTS_PER_DAY * sum(file.points for file in group)
    return taken


def _commit(home: Home, work: Path, entries: list[ManifestEntry], from_ms: int) -> Issued:
    """Make the files durable, rename them into place, then let the manifests tell of them."""
    lines: dict[tuple[str, str], list[tuple[object, bytes]]] = defaultdict(list)
    for entry in entries:
        lines[entry.retailer_code, day_name(entry.slot_id)].append((sort_key(entry), manifest_line(entry)))
    flags = sorted((work / FLAGS).iterdir())
    if lines or flags:
        write_manifests(home, work / "manifests", lines, DAYS, from_ms)
        sync_filesystem(work)
        publish(work / "deliveries", home.deliveries, placed)
        publish(work / "manifests", home.deliveries, manifest_place)
        publish(work / FLAGS, home.path("ledger") / FLAGS)
    return Issued(files=len(entries), rows=sum(entry.rows for entry in entries))
