# SPDX-License-Identifier: Apache-2.0
"""Issuing: all instants up to a time; announced first, visible last, repeated after a crash with the same bytes."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter

from koma.settings import Settings
from koma.slots import format_jst, slot_start_ms
from pipeline.alarms import alarms_name, conservation_line
from pipeline.carried import carry_reads
from pipeline.delivery import ManifestEntry, closed_line, closed_sort_key, manifest_line, placed, sort_key
from pipeline.exchange import read_reports
from pipeline.home import Home, publish, sync_filesystem
from pipeline.instants import FIRST_ISSUES
from pipeline.issue_graph import Closed, Issue, SlotReport, build_issue, slot_elements
from pipeline.journal import Journal, State
from pipeline.manifests import SLOTS, day_name, kept, manifest_place, write_manifests
from pipeline.master import open_master
from pipeline.plan import SlotPlan, latest_arrivals, latest_decisions, plan_slots
from pipeline.runner import new_pipeline


@dataclass(slots=True)
class Issued:
    """What an issue came to."""

    files: int = 0
    rows: int = 0
    slots: set[int] = field(default_factory=set)
    closed: int = 0
    pending: bool = False
    publishing_s: float = 0.0
    """From the last cell computed to all files visible."""

    def add(self, other: "Issued") -> None:
        """Add another issue to this one; what is pending is what the later one says."""
        self.files += other.files
        self.rows += other.rows
        self.slots |= other.slots
        self.closed += other.closed
        self.pending = other.pending
        self.publishing_s += other.publishing_s


def issue(home: Home, journal: Journal, settings: Settings, to_ms: int, *, extra: bool, xml: bool = True) -> Issued:
    """Issue every instant after the last one issued up to `to_ms`.

    The intent is durable before anything is visible. `extra` marks `to_ms` as an instant beyond the regular grid.
    """
    state = journal.state
    if state.intent is None:
        master = carry_reads(home, journal)
        journal.append({"kind": "intent", "to": to_ms, "batches": state.batches, "master": master, "extra": extra})
    return finish_intent(home, journal, settings, xml=xml)


def finish_intent(home: Home, journal: Journal, settings: Settings, *, xml: bool = True) -> Issued:
    """Carry out the announced issue, from the start or again after a crash."""
    state = journal.state
    intent = state.intent
    assert intent is not None
    to_ms: int = intent["to"]
    extras = [*state.extras, to_ms] if intent["extra"] else state.extras
    what = _described(home, state, settings, intent["master"], to_ms, xml=xml)
    result = Issued()
    collected = _computed(what, settings, _plans(what, state, extras))
    if collected:
        computed = perf_counter()
        result = _commit(home, what, collected)
        result.publishing_s = perf_counter() - computed
    journal.append({"kind": "issued", "to": to_ms, "extra": intent["extra"]})
    shutil.rmtree(what.work)
    return result


def has_pending(home: Home, journal: Journal, settings: Settings) -> bool:
    """Say whether closed slots have changes that no instant so far has issued."""
    master = carry_reads(home, journal)
    state = journal.state
    what = _described(home, state, settings, master, state.issued_ms, xml=False)
    plans = [plan for plan in _plans(what, state, state.extras) if plan.real >= FIRST_ISSUES]
    collected = _computed(what, settings, plans)
    shutil.rmtree(what.work)
    return any(isinstance(each, SlotReport) and each.pending for each in collected)


def _described(home: Home, state: State, settings: Settings, master: int, to_ms: int, *, xml: bool) -> Issue:
    work = home.fresh_tmp("issue")
    (work / "deliveries").mkdir()
    return Issue(
        home=home.root,
        work=work,
        batches=state.batches if state.intent is None else state.intent["batches"],
        master=master,
        from_ms=state.issued_ms,
        to_ms=to_ms,
        rows_per_file=settings.rows_per_file,
        supersessions=tuple(state.supersessions),
        xml=xml,
    )


def _plans(what: Issue, state: State, extras: list[int]) -> list[SlotPlan]:
    first_slot = state.first_slot_kept
    if first_slot is None:
        return []
    view = open_master(what.home, what.master)
    if view.n_shards == 0:
        return []
    reads, decisions = latest_arrivals(state), latest_decisions(state)
    return plan_slots(reads, decisions, view, extras, first_slot, what.from_ms, what.to_ms)


def _computed(what: Issue, settings: Settings, plans: list[SlotPlan]) -> list[ManifestEntry | SlotReport]:
    if not plans:
        return []
    shards = open_master(what.home, what.master).n_shards
    with new_pipeline(settings.beam_mode, settings.workers) as pipeline:
        build_issue(pipeline, slot_elements(plans, shards), what)
    shutil.rmtree(what.spill, ignore_errors=True)  # before anything is synced: none of it has to reach the disk
    return [each for report in read_reports(what.work) for each in report]


def _commit(home: Home, what: Issue, collected: Iterable[ManifestEntry | SlotReport]) -> Issued:
    """Make the files durable, rename them into place, then let the manifests tell of them."""
    result = Issued()
    lines: dict[tuple[str, str], list[tuple[object, bytes]]] = defaultdict(list)
    slots: list[SlotReport] = []
    files: dict[int, int] = defaultdict(int)
    for each in collected:
        if isinstance(each, ManifestEntry):
            result.files += 1
            result.rows += each.rows
            files[each.slot_id] += 1
            lines[each.retailer_code, day_name(each.slot_id)].append((sort_key(each), manifest_line(each)))
        else:
            slots.append(each)
    for report in slots:
        if files[report.slot] or report.closed:
            result.slots.add(report.slot)
        result.pending |= report.pending
        result.closed += len(report.closed)
        for closed in report.closed:
            lines[closed.retailer_code, day_name(closed.slot)].append(_closed_line(closed))
    write_manifests(home, what.work / "manifests", lines, SLOTS, what.from_ms)
    _write_ledger(home, what, slots, files)
    sync_filesystem(what.work)
    publish(what.work / "deliveries", home.deliveries, placed)
    publish(what.work / "manifests", home.deliveries, manifest_place)
    publish(what.work / "ledger", home.path("ledger"))
    return result


def _closed_line(closed: Closed) -> tuple[object, bytes]:
    key = closed_sort_key(closed.slot, closed.issued_ms)
    line = closed_line(closed.slot, closed.expected, closed.available, closed.missing, closed.issued_ms)
    return key, line


def _write_ledger(home: Home, what: Issue, slots: list[SlotReport], files: dict[int, int]) -> None:
    """Write what is known of each slot that was looked at, a file a JST day, the newest line of a slot last."""
    by_day: dict[str, list[SlotReport]] = defaultdict(list)
    for report in sorted(slots, key=lambda each: each.slot):
        by_day[day_name(report.slot)].append(report)
    for day, reports in by_day.items():
        name = f"slots-{day}.jsonl"
        target = what.work / "ledger" / name
        target.parent.mkdir(exist_ok=True)
        old = kept(home.path("ledger") / name, what.from_ms)
        target.write_bytes(old + b"".join(_ledger_line(report, what.to_ms, files[report.slot]) for report in reports))
        alarms = [conservation_line(each.slot, what.to_ms, each.unbalanced) for each in reports if each.unbalanced]
        if alarms:
            old = kept(home.path("ledger") / alarms_name(day), what.from_ms)
            (target.parent / alarms_name(day)).write_bytes(old + b"".join(alarms))
    (what.work / "ledger").mkdir(exist_ok=True)


def _ledger_line(report: SlotReport, to_ms: int, files: int) -> bytes:
    record = {
        "slot_start": format_jst(slot_start_ms(report.slot)),
        "issued_at": format_jst(to_ms),
        "expected": report.expected,
        "received": report.received,
        "available": report.available,
        "missing": report.expected - report.available,
        "energy_dwh": report.energy_dwh,
        "conserved": not report.unbalanced,
        "files": files,
        "retailers": report.retailers,
        "balancing_groups": report.groups,
        "areas": report.areas,
        "directions": report.directions,
    }
    return json.dumps(record, separators=(",", ":"), sort_keys=False).encode() + b"\n"
