# SPDX-License-Identifier: Apache-2.0
"""The read model of a home: surveys what is due, then puts together what screens, metrics and reports show."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from koma.clock import WallClock
from koma.settings import Settings
from koma.slots import MS_PER_SLOT, SLOTS_PER_DAY, parse_jst, slot_at_ms, slot_start_ms
from pipeline.alarms import latest_alarms
from pipeline.home import Home
from pipeline.instants import FIRST_ISSUES, MINUTE_MS, SPLITS_MIN, regular_instants
from pipeline.journal import read_state
from pipeline.ledger.alarms import alarms_of
from pipeline.ledger.book import KEPT_SLOTS, Record, RetailerLine, read_record, survey_due
from pipeline.ledger.causes import APART, AVAILABLE, CAUSES, NOT_FETCHED, NOT_PUBLISHED, REFUSED, STATES, UNASSIGNED
from pipeline.ledger.fetched import Fetched, fetched_of, fetches, has_gateway
from pipeline.ledger.groups import groups_of
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.model import STAGES, Alarm, Counts, SlaModel, SlotLine, StagnatedPoint, Stagnation
from pipeline.ledger.promise import LADDER, MISSED, OBJECTIVES, PAGE, WINDOWS, Burn, Deadline, Events, burn_rates
from pipeline.ledger.promise import deadlines as deadlines_of
from pipeline.ledger.published import published_of
from pipeline.ledger.stagnated import points, stagnated, stagnation, waiting_points
from pipeline.ledger.stamps import Stamps, read_stamps
from pipeline.manual import manual_clock
from pipeline.master import open_master
from pipeline.state import NEVER, State
from pipeline.status_file import read_status

SLOTS_SHOWN: Final = 8
DUTY_MIN: Final = LADDER[-1].minutes
_MEASURED, _DECODED, _COMPUTED, _PUBLISHED, _FETCHED, _WHOLE = STAGES


def business_now(home: Home, settings: Settings) -> tuple[str, int]:
    """Return which clock a home goes by, and what it reads: the running watch's, else that of the settings.

    A home that runs by the time of its data stands where its data does.
    """
    status = read_status(home)
    name = settings.clock
    if not name and status is not None and status["running"]:
        name = "manual" if status["clock"] == "manual" else "wall"
    if name == "manual" and manual_clock(home).stands_at() is not None:
        return name, manual_clock(home).now_ms()
    if name == "wall":
        return name, WallClock().now_ms()
    state = read_state(home.path("journal"))
    return "received", state.now_ms if state.now_ms != NEVER else WallClock().now_ms()


def read_model(home: Home, now_ms: int, *, clock: str = "wall", slots: int = SLOTS_SHOWN, groups: str = "") -> SlaModel:
    """Return how the promise stands at a time.

    Args:
        home: read, and surveyed where a survey is due; what a watch has surveyed is not surveyed again.
        now_ms: the time it is, by the home's clock.
        clock: which one that is.
        slots: how many slots are shown, the newest that has ended last.
        groups: file of the points that share concentrators; empty where there is none.

    Raises:
        TelemetryError: the groups cannot be read.

    """
    state = read_state(home.path("journal"))
    for _ in survey_due(home, state):
        pass
    last = slot_at_ms(now_ms) - 1
    first = state.first_slot_kept
    shown = range(max(last - slots + 1, first), last + 1) if first is not None else range(0)
    read = _Read(
        home, state, now_ms, clock, gateway=has_gateway(home), stamps=read_stamps(home, _back(now_ms, slots), now_ms)
    )
    fetched = _fetched(read, shown) if read.gateway else {}
    lines = tuple(_line(read, slot, fetched.get(slot)) for slot in shown)
    found = stagnation(home, stagnated(home, last), now_ms)
    found = _with_waiting(found, fetched.values(), now_ms)
    burns = tuple(_burns(read, last))
    newest = next((record for slot in reversed(shown) if (record := read_record(home, slot)) is not None), None)
    alarms = alarms_of(lines, found, burns, newest.unknown_meters if newest is not None else 0)
    return SlaModel(
        at_ms=now_ms,
        clock=clock,
        issued_ms=None if state.issued_ms == NEVER else state.issued_ms,
        gateway=read.gateway,
        slots=lines,
        stagnation=found,
        burns=burns,
        alarms=(*_conservation(home, shown), *alarms),
        groups=groups_of(home, Path(groups), last) if groups else (),
    )


@dataclass(frozen=True, slots=True)
class KeptSlot:
    """A slot as it is kept, for reports: without what a gateway knows."""

    line: SlotLine
    promised: tuple[int, int] | None
    """Cells due and published when it was closed; None where it was not surveyed after that."""
    retailers: Mapping[str, RetailerLine]
    in_time: Mapping[str, bool]
    """By retailer: closed and out by the duty's minute."""


def kept_slots(home: Home, slots: range, now_ms: int, *, clock: str) -> Iterator[KeptSlot]:
    """Yield slots of any time as the ledger keeps them; surveys nothing. Stamps are read a day at a time."""
    state = read_state(home.path("journal"))
    for first in range(slots.start, slots.stop, SLOTS_PER_DAY):
        day = range(first, min(first + SLOTS_PER_DAY, slots.stop))
        until_ms = slot_start_ms(day.stop) + 2 * DUTY_MIN * MINUTE_MS
        read = _Read(
            home, state, now_ms, clock, gateway=False, stamps=read_stamps(home, slot_start_ms(first), until_ms)
        )
        for slot in day:
            record = read_record(home, slot)
            retailers = {} if record is None else record.retailers
            due_ms = slot_start_ms(slot) + MS_PER_SLOT + DUTY_MIN * MINUTE_MS
            yield KeptSlot(
                line=_line(read, slot, None),
                promised=None if record is None else record.promised,
                retailers=retailers,
                in_time={code: _in_time(read, each.closed_ms, due_ms) for code, each in retailers.items()},
            )


def named_points(
    home: Home,
    now_ms: int,
    *,
    clock: str = "wall",
    cause: str = "",
    area: str = "",
    slots: int = KEPT_SLOTS,
    limit: int,
) -> list[StagnatedPoint]:
    """Return stagnated points by name, the longest missing first, at most `limit`; surveys what is due.

    Points of files that wait at the gateway come last, of the slots shown in the read model; where a cause is asked
    for, only those of it.
    """
    state = read_state(home.path("journal"))
    for _ in survey_due(home, state):
        pass
    last = slot_at_ms(now_ms) - 1
    waits = STATES[NOT_FETCHED]
    found: list[StagnatedPoint] = []
    if cause != waits:
        some = stagnated(home, last, slots)
        some = some.of_cause(cause) if cause else some
        some = some.of_area(int(area)) if area else some
        found = list(points(home, some.take(np.arange(min(limit, len(some)))), now_ms))
    if cause in {"", waits} and has_gateway(home) and state.first_slot_kept is not None:
        shown = range(max(last - SLOTS_SHOWN + 1, state.first_slot_kept), last + 1)
        read = _Read(home, state, now_ms, clock, gateway=True, stamps=Stamps())
        waiting = [file for each in _fetched(read, shown).values() for file in each.waiting]
        for file in waiting:
            if now_ms - file.since_ms > MS_PER_SLOT:
                found += waiting_points(home, file, now_ms, area=area, limit=limit - len(found))
    return found


@dataclass(frozen=True, slots=True)
class _Read:
    """What is read once for all slots."""

    home: Home
    state: State
    now_ms: int
    clock: str
    gateway: bool
    stamps: Stamps

    def out_ms(self, instant_ms: int) -> int | None:
        """Return when an instant was out: by the watch that issued it, else at its own time; None while it is not."""
        if instant_ms > self.state.issued_ms:
            return None
        out = self.stamps.out_of(instant_ms)
        return instant_ms if out is None else out.out_ms


def _back(now_ms: int, slots: int) -> int:
    """Return from when on stamps count: the longest window of a burn rate, and all slots that are shown."""
    return now_ms - (max(slots, *(each.long_slots for each in WINDOWS)) + 4) * MS_PER_SLOT


def _line(read: _Read, slot: int, fetched: Fetched | None) -> SlotLine:
    record = read_record(read.home, slot)
    end_ms = slot_start_ms(slot) + MS_PER_SLOT
    closed_ms, closed = _closed(record)
    out = {each: at for each in regular_instants(slot)[:FIRST_ISSUES] if (at := read.out_ms(each)) is not None}
    ladder = deadlines_of(slot, out, read.now_ms)
    retailers = len(record.retailers) if record is not None else 0
    done = record is not None and closed == retailers
    counts, areas = _counts(record, fetched)
    return SlotLine(
        slot=slot,
        start_ms=slot_start_ms(slot),
        end_ms=end_ms,
        state=_state(read.now_ms - end_ms, ladder, done=done),
        surveyed_ms=None if record is None else record.instant_ms,
        closed_ms=closed_ms if done else None,
        out_ms=read.out_ms(closed_ms) if done and closed_ms is not None else None,
        counts=counts,
        areas=areas,
        unassigned=0 if record is None else record.count(UNASSIGNED),
        retailers=retailers,
        retailers_closed=closed,
        deadlines=ladder,
        latencies=_latencies(read, record, fetched, end_ms),
        area_latencies={} if record is None else record.arrivals,
    )


def _state(age_ms: int, ladder: Iterable[Deadline], *, done: bool) -> str:
    missed = [each.minutes for each in ladder if each.state == MISSED]
    if missed:
        return "broken" if DUTY_MIN in missed else "late"
    if done:
        return "closed"
    return "open" if age_ms < SPLITS_MIN[0] * MINUTE_MS else "running"


def _closed(record: Record | None) -> tuple[int | None, int]:
    """Return the instant at which the last retailer of a slot was closed, and how many are."""
    if record is None:
        return None, 0
    closed = [each.closed_ms for each in record.retailers.values() if each.closed_ms is not None]
    return max(closed, default=None), len(closed)


def _counts(record: Record | None, fetched: Fetched | None) -> tuple[Counts, dict[str, Counts]]:
    """Return the counts of a slot, and by area."""
    if record is None:
        return Counts(), {}
    by_retailer = _fetched_cells(record, fetched)
    areas = {}
    for area, states in record.states.items():
        mine = [code for code, each in record.retailers.items() if area in each.areas]
        apart = any(len(record.retailers[code].areas) > 1 for code in mine)
        known = None if by_retailer is None or apart else sum(by_retailer[code] for code in mine)
        areas[area] = _counted(states, known)
    whole = {word: sum(states.get(word, 0) for states in record.states.values()) for word in STATES}
    return _counted(whole, None if by_retailer is None else sum(by_retailer.values())), areas


def _fetched_cells(record: Record, fetched: Fetched | None) -> dict[str, int] | None:
    """Return how many cells with a value each retailer has fetched: a revised one counts once."""
    if fetched is None:
        return None
    return {code: min(each.available, fetched.available.get(code, 0)) for code, each in record.retailers.items()}


def _counted(states: Mapping[str, int], fetched: int | None) -> Counts:
    def number(state: int) -> int:
        return states.get(STATES[state], 0)

    computed = number(AVAILABLE) + number(NOT_PUBLISHED)
    apart = {STATES[each]: count for each in APART if (count := number(each))}
    missing = {STATES[each]: count for each in CAUSES if (count := number(each))}
    return Counts(
        expected=number(AVAILABLE) + sum(apart.values()) + sum(missing.values()),
        apart=apart,
        received=computed + number(REFUSED),
        computed=computed,
        published=number(AVAILABLE),
        fetched=fetched,
        missing=missing,
    )


def _latencies(read: _Read, record: Record | None, fetched: Fetched | None, end_ms: int) -> dict[str, Histogram]:
    """Return the latencies of a slot by stage; what nobody noted is left out."""
    found: dict[str, Histogram] = {}
    if record is not None:
        found[_MEASURED] = sum(record.arrivals.values(), Histogram.empty())
        rows = _rows_by_instant(record)
        outs = [(instant, out) for instant in rows if (out := read.stamps.out_of(instant)) is not None]
        weights = [rows[instant] for instant, _ in outs]
        found[_COMPUTED] = Histogram.of((out.computed_ms - instant for instant, out in outs), weights)
        found[_PUBLISHED] = Histogram.of((out.out_ms - out.computed_ms for _, out in outs), weights)
        found[_WHOLE] = Histogram.of((out.out_ms - end_ms for _, out in outs), weights)
    files = [
        (each.at_ms - seen_ms, rows)
        for each in read.stamps.intakes
        if end_ms <= each.at_ms < end_ms + MS_PER_SLOT
        for seen_ms, rows in each.files
    ]
    found[_DECODED] = Histogram.of((late for late, _ in files), (rows for _, rows in files))
    if fetched is not None and read.clock == "wall":
        found[_FETCHED] = Histogram.of((late for late, _ in fetched.latencies), (rows for _, rows in fetched.latencies))
    return {stage: found[stage] for stage in STAGES if stage in found and found[stage].count}


def _rows_by_instant(record: Record) -> dict[int, int]:
    rows: dict[int, int] = {}
    for each in record.retailers.values():
        for instant, count in each.sent:
            rows[instant] = rows.get(instant, 0) + count
    return rows


def _fetched(read: _Read, slots: range) -> dict[int, Fetched]:
    """Return what was fetched of each slot; times of the gateway are the machine's, whatever clock the home goes by."""
    if not slots:
        return {}
    found = fetches(read.home, slot_start_ms(slots[0]) if read.clock == "wall" else 0)
    view = open_master(read.home.root)
    return {slot: fetched_of(read.home, slot, published_of(read.home, view, slot), found) for slot in slots}


def _with_waiting(found: Stagnation, fetched: Iterable[Fetched], now_ms: int) -> Stagnation:
    """Add the files that wait for longer than a slot, and since when the oldest of each retailer waits."""
    waiting: dict[str, int] = {}
    since: dict[str, int] = {}
    for each in fetched:
        for file in each.waiting:
            since[file.retailer_code] = min(file.since_ms, since.get(file.retailer_code, file.since_ms))
            if now_ms - file.since_ms > MS_PER_SLOT:
                waiting[file.retailer_code] = waiting.get(file.retailer_code, 0) + 1
    return replace(found, waiting_files=dict(sorted(waiting.items())), waiting_since_ms=dict(sorted(since.items())))


def _burns(read: _Read, last: int) -> Iterable[Burn]:
    """Return the burn rates of both objectives, over the slots whose time is over."""
    first = read.state.first_slot_kept
    over = slot_at_ms(read.now_ms - DUTY_MIN * MINUTE_MS) - 1
    if first is None:
        return
    begin = max(first, last - max(each.long_slots for each in WINDOWS) + 1)
    on_time, complete, retailers = [], [], 0
    for slot in range(begin, over + 1):
        record = read_record(read.home, slot)
        retailers = len(record.retailers) if record is not None else retailers
        due_ms = slot_start_ms(slot) + MS_PER_SLOT + DUTY_MIN * MINUTE_MS
        kept = (
            0 if record is None else sum(_in_time(read, each.closed_ms, due_ms) for each in record.retailers.values())
        )
        on_time.append(Events(slot, retailers, retailers - kept))
        if record is not None and record.promised is not None:
            due, published = record.promised
            complete.append(Events(slot, due, due - published))
    for objective, events in zip(OBJECTIVES, (on_time, complete), strict=True):
        yield from burn_rates(objective, events, over)


def _in_time(read: _Read, closed_ms: int | None, due_ms: int) -> bool:
    out_ms = None if closed_ms is None else read.out_ms(closed_ms)
    return out_ms is not None and out_ms <= due_ms


def _conservation(home: Home, shown: range) -> Iterable[Alarm]:
    """Return the alarms that an issue itself raised, of the slots shown."""
    for each in latest_alarms(home):
        start_ms = parse_jst(each["slot_start"])
        if slot_at_ms(start_ms) in shown:
            yield Alarm(each["code"], PAGE, start_ms, "", each["detail"], each["do"])
