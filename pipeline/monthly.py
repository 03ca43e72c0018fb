# SPDX-License-Identifier: Apache-2.0
"""Issuing monthly files: after the instants they belong to and the daily files, in steps other work may go between.

As a daily issue, a monthly one is an intent of its own: what it holds had arrived by its instants, so it does not
matter what is taken in and issued between its steps, or whether a crash makes it start anew. Nothing of it is visible
before all of it is.
"""

import json
import pickle
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from koma.settings import Settings
from koma.slots import format_jst, slot_date
from pipeline.carried import carry_reads
from pipeline.delivery import ManifestEntry, manifest_line, placed, sort_key
from pipeline.exchange import read_reports
from pipeline.home import Home, publish, sync_filesystem
from pipeline.issuing import Issued
from pipeline.journal import Journal, State
from pipeline.manifests import MONTHS, day_name, kept, manifest_place, write_manifests
from pipeline.master import MasterView, open_master
from pipeline.month_graph import FilePlan, MonthIssue, Months, build_files, build_months, grouped, plan_files
from pipeline.month_plan import MONTH_DAYS_MAX, MonthPlan, plan_months
from pipeline.plan import latest_arrivals, latest_decisions
from pipeline.reading_day_kernels import SLOTS_PER_DAY
from pipeline.runner import new_pipeline

STEP_CELLS: Final = 48_000_000
"""Registers of one step: some ten seconds of work."""
STEP_ROWS: Final = 1_000_000
ROWS_PER_ELEMENT: Final = 50_000
FOLDER: Final = "monthly"
LEDGER: Final = "months"
_READING_DAYS: Final = 28
"""Days of a month over which the readings are spread, about."""

Written = list[tuple[ManifestEntry, int]]
"""Files as issued, with the dWh in each."""


def issue_monthly(home: Home, journal: Journal, settings: Settings, *, xml: bool = True) -> Issued:
    """Issue the monthly files of every instant that is out, without a pause."""
    issued = Issued()
    for each in monthly_steps(home, journal, settings, xml=xml):
        issued.add(each)
    return issued


def monthly_steps(home: Home, journal: Journal, settings: Settings, *, xml: bool = True) -> Iterator[Issued]:
    """Issue the monthly files of every instant that is out, step by step; yields after each what it made visible.

    Between two steps anything may be taken in and issued by the same process. A generator that is given up is begun
    anew by the next one.
    """
    state = journal.state
    while True:
        if state.monthly_intent is None:
            master = carry_reads(home, journal)
            if not _plans(home, state, master, state.issued_ms):
                return
            journal.append({"kind": "monthly_intent", "to": state.issued_ms, "master": master})
        assert state.monthly_intent is not None
        to_ms, master = state.monthly_intent["to"], state.monthly_intent["master"]
        work = home.fresh_tmp(FOLDER)
        (work / "deliveries").mkdir()
        plans = _plans(home, state, master, to_ms)
        what = _described(home, state, settings, master, to_ms, xml=xml)
        written: Written = []
        if plans:
            for found in _issue_months(what, state, settings, plans):
                written += found
                yield Issued()
        issued = _commit(home, what, plans, written)
        journal.append({"kind": "monthly", "to": to_ms})
        shutil.rmtree(work)
        yield issued


def _described(home: Home, state: State, settings: Settings, master: int, to_ms: int, *, xml: bool) -> MonthIssue:
    return MonthIssue(
        home=home.root,
        work=home.path("tmp") / FOLDER,
        batches=state.batches,
        master=master,
        from_ms=state.monthly_ms,
        to_ms=to_ms,
        rows_per_file=settings.rows_per_file,
        supersessions=tuple(state.supersessions),
        xml=xml,
        first_slot=state.first_slot or 0,
    )


def _plans(home: Home, state: State, master: int, to_ms: int) -> list[MonthPlan]:
    first_slot = state.first_slot
    view = open_master(home.root, master)
    if first_slot is None or view.n_shards == 0 or to_ms <= state.monthly_ms:
        return []
    reads, decisions, kept_from = latest_arrivals(state), latest_decisions(state), state.index.kept_from
    return plan_months(reads, decisions, view, state.extras, first_slot, kept_from, state.monthly_ms, to_ms)


def _issue_months(what: MonthIssue, state: State, settings: Settings, plans: Sequence[MonthPlan]) -> Iterator[Written]:
    """Compute the rows of reading days shard by shard, then write their files; yields after each step what it wrote."""
    view = open_master(what.home, what.master)
    stage = what.work / "months"
    elements = [(shard, plan) for plan in plans for shard in range(view.n_shards)]
    cells = view.n_points * MONTH_DAYS_MAX * SLOTS_PER_DAY // (_READING_DAYS * view.n_shards)
    at_once = max(settings.workers, STEP_CELLS // max(1, cells))
    months: Months = defaultdict(list)
    for number, first in enumerate(range(0, len(elements), at_once)):
        work = stage / f"months-{number}"
        work.mkdir(parents=True)
        with new_pipeline(settings.beam_mode, settings.workers) as pipeline:
            described = replace(what, batches=state.batches)  # so that the book is never read anew
            build_months(pipeline, elements[first : first + at_once], described, work)
        for each in read_reports(work):
            months[each.plan.reading].append(each)
        yield []
    sources = stage / "sources"
    sources.write_bytes(pickle.dumps(dict(months), protocol=5))
    files = (file for reading in sorted(months) for file in plan_files(months[reading], what.rows_per_file))
    groups = grouped(files, ROWS_PER_ELEMENT)
    number = 0
    while some := _step(groups):
        work = stage / f"files-{number}"
        work.mkdir()
        with new_pipeline(settings.beam_mode, settings.workers) as pipeline:
            build_files(pipeline, some, sources, what, work)
        yield [each for found in read_reports(work) for each in found]
        number += 1
    shutil.rmtree(stage)


def _step(groups: Iterator[list[FilePlan]]) -> list[list[FilePlan]]:
    """Take elements for one step."""
    taken: list[list[FilePlan]] = []
    rows = 0
    while rows < STEP_ROWS and (group := next(groups, None)) is not None:
        taken.append(group)
        rows += sum(file.rows for file in group)
    return taken


def _commit(home: Home, what: MonthIssue, plans: Sequence[MonthPlan], written: Written) -> Issued:
    """Make the files durable, rename them into place, then let the manifests tell of them."""
    lines: dict[tuple[str, str], list[tuple[object, bytes]]] = defaultdict(list)
    for entry, _ in written:
        lines[entry.retailer_code, day_name(entry.slot_id)].append((sort_key(entry), manifest_line(entry)))
    if plans:
        write_manifests(home, what.work / "manifests", lines, MONTHS, what.from_ms)
        _write_ledger(home, what, plans, written)
        sync_filesystem(what.work)
        publish(what.work / "deliveries", home.deliveries, placed)
        publish(what.work / "manifests", home.deliveries, manifest_place)
        publish(what.work / "ledger", home.path("ledger"))
    return Issued(files=len(written), rows=sum(entry.rows for entry, _ in written))


def _write_ledger(home: Home, what: MonthIssue, plans: Sequence[MonthPlan], written: Written) -> None:
    """Write what went out for each reading day that was looked at, a file a year, the newest line of a day last.

    It says how many points there are that no monthly file will ever hold, because nobody said when their meter is read.
    """
    without = points_without_day(open_master(what.home, what.master), what.to_ms)
    by_year: dict[str, list[bytes]] = defaultdict(list)
    for plan in plans:
        mine = [each for each in written if each[0].slot_id == plan.reading]
        day = slot_date(plan.reading)
        record = {
            "reading_day": day.isoformat(),
            "issued_at": format_jst(what.to_ms),
            "files": len(mine),
            "rows": sum(entry.rows for entry, _ in mine),
            "available": sum(entry.available for entry, _ in mine),
            "energy_dwh": sum(energy for _, energy in mine),
            "points_without_reading_day": without,
        }
        by_year[f"{LEDGER}-{day.year}.jsonl"].append(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    folder = what.work / "ledger"
    folder.mkdir()
    for name, lines in by_year.items():
        (folder / name).write_bytes(kept(home.path("ledger") / name, what.from_ms) + b"".join(lines))


def points_without_day(view: MasterView, at_ms: int) -> int:
    """Count the low-voltage points of which no reading day is known at an instant."""
    known = (view.attr_rec_from <= at_ms) & (at_ms < view.attr_rec_to)
    return int(np.count_nonzero(known & (view.attr_voltage == 0) & (view.attr_read_day == 0)))
