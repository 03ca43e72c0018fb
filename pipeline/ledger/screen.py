# SPDX-License-Identifier: Apache-2.0
"""The read model as lines of text, for a terminal of eighty columns."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from koma.slots import format_jst
from pipeline.ledger.causes import CAUSES, STATES
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.model import STAGES, Alarm, Counts, SlaModel, SlotLine, StagnatedPoint
from pipeline.ledger.promise import LADDER

WIDTH: Final = 80
ALARMS_SHOWN: Final = 12
POINTS_SHOWN: Final = 5
_MARKS: Final = {"met": "ok", "missed": "MISS", "ahead": "."}
_UNKNOWN: Final = "-"
_THOUSAND: Final = 1000
_WIDE: Final = 100_000


def lines_of(model: SlaModel) -> list[str]:
    """Return the screen: alarms first, then slots, areas, latencies and stagnated points; no line is wider."""
    issued = "nothing issued" if model.issued_ms is None else f"issued until {_clock(model.issued_ms)}"
    return [
        f"{format_jst(model.at_ms)[:16].replace('T', ' ')} by the {model.clock} clock; {issued}",
        *([] if model.gateway else ["no gateway has served this home: what was fetched is not known"]),
        "",
        *_alarms(model.alarms),
        *_slots(model.slots),
        *_areas(model.slots),
        *_latencies(model.slots),
        *_stagnated(model),
    ]


def _alarms(alarms: Sequence[Alarm]) -> Iterator[str]:
    if not alarms:
        yield "all in order"
    for each in alarms[:ALARMS_SHOWN]:
        area = f" area {each.area}" if each.area else ""
        text = f"{each.severity.upper():<6} since {_moment(each.since_ms)}{area}: {each.detail}"
        yield from textwrap.wrap(text, WIDTH, subsequent_indent=" " * 7)
        yield from textwrap.wrap(f"-> {each.do}", WIDTH, initial_indent=" " * 7, subsequent_indent=" " * 10)
    if len(alarms) > ALARMS_SHOWN:
        yield f"and {len(alarms) - ALARMS_SHOWN} more: koma sla --json"
    yield ""


def _slots(slots: Sequence[SlotLine]) -> Iterator[str]:
    rungs = [f"+{each.minutes}" for each in LADDER]
    names = ["slot", "state", "due", "recv%", "publ%", "ftch%", "missing", "apart", "retailers", *rungs]
    yield from _grid(names, [_slot(each) for each in slots], left=2)


def _slot(line: SlotLine) -> list[str]:
    counts, known = line.counts, line.surveyed_ms is not None
    marks = [_MARKS[each.state] for each in line.deadlines]
    if not known:
        return [_clock(line.start_ms), line.state, *[_UNKNOWN] * 7, *marks]
    return [
        _clock(line.start_ms),
        line.state,
        short(counts.due),
        _share(counts.received, counts),
        _share(counts.published, counts),
        _UNKNOWN if counts.fetched is None else _share(counts.fetched, counts),
        short(sum(counts.missing.values())),
        short(sum(counts.apart.values())),
        f"{line.retailers_closed}/{line.retailers}",
        *marks,
    ]


def _areas(slots: Sequence[SlotLine]) -> Iterator[str]:
    """Show the newest slot that was surveyed, area by area: what is missing, by cause."""
    line = next((each for each in reversed(slots) if each.surveyed_ms is not None), None)
    if line is None:
        return
    names = ["area", "due", "publ%", "missing", "p50", "p95", "p99", "causes"]
    rows = []
    for area, counts in line.areas.items():
        late = line.area_latencies.get(area, Histogram.empty())
        causes = sorted(counts.missing, key=lambda cause: -counts.missing[cause])
        words = ", ".join(f"{cause.replace('_', ' ')} {short(counts.missing[cause])}" for cause in causes[:2])
        rows.append(
            [
                area,
                short(counts.due),
                _share(counts.published, counts),
                short(sum(counts.missing.values())),
                *(_time(late.percentile_s(percent)) for percent in (50, 95, 99)),
                words[: WIDTH - 46],
            ]
        )
    yield f"slot {_clock(line.start_ms)} by area; p50, p95, p99 from measured to handed over"
    yield from _grid(names, rows, left=1, last_left=True)


def _latencies(slots: Sequence[SlotLine]) -> Iterator[str]:
    """Show all slots together: what merges is added up."""
    rows = []
    for stage in STAGES:
        whole = sum((each.latencies[stage] for each in slots if stage in each.latencies), Histogram.empty())
        if whole.count:
            times = [_time(whole.percentile_s(percent)) for percent in (50, 95, 99, 100)]
            rows.append([stage.replace("_", " "), short(whole.count), *times])
    if rows:
        yield from _grid(["stage", "number", "p50", "p95", "p99", "max"], rows, left=1)


def _stagnated(model: SlaModel) -> Iterator[str]:
    found = model.stagnation
    if not found.points:
        yield "no point stagnates"
        return
    causes = [
        f"{found.by_cause[STATES[cause]]:,} {STATES[cause].replace('_', ' ')}"
        for cause in CAUSES
        if STATES[cause] in found.by_cause
    ]
    yield from textwrap.wrap(f"{found.points:,} points stagnate: {', '.join(causes)}", WIDTH)
    yield from points_of(found.oldest[:POINTS_SHOWN])
    if found.points > POINTS_SHOWN:
        yield "all of them: koma sla stagnated"


def points_of(points: Iterable[StagnatedPoint]) -> Iterator[str]:
    """Show stagnated points, one a line."""
    names = ["point", "retailer", "cause", "since", "cells", "slots", "days"]
    rows = [
        [
            each.point_id,
            each.retailer_code,
            (each.code or each.cause).replace("_", " ")[:16],
            _moment(each.since_ms),
            f"{each.cells}",
            f"{each.age_slots}",
            f"{each.age_business_days}",
        ]
        for each in points
    ]
    yield from _grid(names, rows, left=4)


def _grid(names: Sequence[str], rows: Sequence[Sequence[str]], *, left: int, last_left: bool = False) -> Iterator[str]:
    """Lay rows out in columns; the first `left` stand to the left, numbers behind them to the right."""
    if not rows:
        return
    table = [list(names), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [
            f"{text:<{width}}" if at < left or (last_left and at == len(row) - 1) else f"{text:>{width}}"
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield " ".join(cells).rstrip()
    yield ""


def short(number: int) -> str:
    """Return a number in at most six characters.

    >>> [short(number) for number in (7, 99_999, 123_456, 28_400_000)]
    ['7', '99999', '123k', '28.4M']
    """
    if number < _WIDE:
        return str(number)
    return f"{number // _THOUSAND}k" if number < _THOUSAND**2 else f"{number / _THOUSAND**2:.1f}M"


def _share(part: int, counts: Counts) -> str:
    """Return a part of what is due, in percent; never rounded up to all of it."""
    if not counts.due:
        return _UNKNOWN
    return "100" if part >= counts.due else f"{int(part * 1000 / counts.due) / 10:.1f}"


def _time(seconds: int | None) -> str:
    return _UNKNOWN if seconds is None else f"{seconds // 60}:{seconds % 60:02d}"


def _clock(ms: int) -> str:
    return format_jst(ms)[11:16]


def _moment(ms: int) -> str:
    return format_jst(ms)[5:16].replace("T", " ")
