# SPDX-License-Identifier: Apache-2.0
"""What somebody has to see to, from what the ledger says; pure functions of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from koma.slots import MS_PER_MINUTE, MS_PER_SLOT, format_jst
from pipeline.instants import CLOSING_MIN, SPLITS_MIN
from pipeline.ledger.causes import (
    CAUSES,
    MASTER_MISMATCH,
    NOT_COLLECTED,
    NOT_FETCHED,
    NOT_PUBLISHED,
    QUARANTINED,
    REFUSED,
    STATES,
    TO_DO,
)
from pipeline.ledger.model import Alarm, SlotLine, Stagnation
from pipeline.ledger.promise import LADDER, MISSED, NOTICE, OBJECTIVES, PAGE, TICKET, Burn

ORDER: Final = (PAGE, TICKET, NOTICE)
STRUCTURAL: Final = (NOT_PUBLISHED, MASTER_MISMATCH, QUARANTINED)
"""Causes that do not go away by waiting: one point is enough."""
PAGE_SHARE: Final = 0.01
"""Of the cells due in an area; from there on a structural cause wakes somebody."""
NAMING_MIN: Final = SPLITS_MIN[-1]
_LATE: Final = "ask why the watch is behind: koma pipeline status"


def alarms_of(lines: Sequence[SlotLine], found: Stagnation, burns: Iterable[Burn], unknown_meters: int) -> list[Alarm]:
    """Return what has to be seen to, the most severe first, then the oldest."""
    alarms = [
        *_of_deadlines(lines),
        *_of_burns(lines, burns),
        *_of_stagnation(lines, found, unknown_meters),
        *_of_files(lines, found),
    ]
    return sorted(alarms, key=lambda each: (ORDER.index(each.severity), each.since_ms, each.code, each.area))


def _of_deadlines(lines: Iterable[SlotLine]) -> Iterator[Alarm]:
    """Name the last deadline that each slot missed; where all is out meanwhile, it is only good to know."""
    for line in lines:
        missed = [each for each in line.deadlines if each.state == MISSED]
        if not missed:
            continue
        last = missed[-1]
        out = line.out_ms is not None and line.retailers_closed == line.retailers
        late = "came late" if out else "is not out"
        yield Alarm(
            "deadline",
            (NOTICE if last.minutes < LADDER[-1].minutes else TICKET) if out else last.severity,
            last.due_ms,
            "",
            f"slot {_clock(line.start_ms)}: {last.says}, due +{last.minutes} min at {_clock(last.due_ms)}, {late}",
            _LATE,
        )


def _of_burns(lines: Sequence[SlotLine], burns: Iterable[Burn]) -> Iterator[Alarm]:
    told: set[str] = set()
    for each in burns:
        if not each.burning or each.objective in told:
            continue
        told.add(each.objective)
        since_ms = lines[-1].end_ms - each.long_slots * MS_PER_SLOT if lines else 0
        goal = f"{OBJECTIVES[each.objective]:.1%}"
        text = f"{each.objective}: over {each.long_slots} slots {each.long_burn:g} times what {goal} allows is missed"
        yield Alarm("burn_rate", each.severity, since_ms, "", text, "see which slots, areas and causes: koma sla")


def _of_stagnation(lines: Sequence[SlotLine], found: Stagnation, unknown_meters: int) -> Iterator[Alarm]:
    newest = next((each for each in reversed(lines) if each.is_named), None)
    for area, by_cause in found.by_area.items():
        due = newest.areas[area].due if newest is not None and area in newest.areas else 0
        for cause in (*STRUCTURAL, REFUSED):
            count = by_cause.get(STATES[cause], 0)
            if count:
                page = cause == NOT_PUBLISHED or (cause in STRUCTURAL and count > PAGE_SHARE * due)
                text = f"{count:,} points: {STATES[cause].replace('_', ' ')}"
                severity = PAGE if page else TICKET if cause in STRUCTURAL else NOTICE
                yield Alarm("stagnated", severity, _since(found, area, cause), area, text, TO_DO[cause])
    yield from _of_incomplete(newest)
    bare = found.by_cause.get(STATES[MASTER_MISMATCH], 0)
    if unknown_meters > bare:
        since_ms = newest.start_ms if newest is not None else 0
        text = f"reads of {unknown_meters:,} unknown meters wait, and {bare:,} points have no meter"
        yield Alarm("unknown_meters", TICKET, since_ms, "", text, TO_DO[MASTER_MISMATCH])


def _of_incomplete(newest: SlotLine | None) -> Iterator[Alarm]:
    """Name areas of which more is missing one slot later than may be missing at the closing."""
    for area, counts in newest.areas.items() if newest is not None else ():
        missing = sum(counts.missing.values())
        if newest is not None and missing > (1 - OBJECTIVES["complete"]) * counts.due:
            text = f"slot {_clock(newest.start_ms)}: {missing:,} of {counts.due:,} cells are missing"
            worst = max(counts.missing, key=lambda cause: counts.missing[cause])
            do = TO_DO.get(STATES.index(worst), TO_DO[NOT_COLLECTED])
            yield Alarm("incomplete", PAGE, newest.end_ms + NAMING_MIN * MS_PER_MINUTE, area, text, do)


def _of_files(lines: Sequence[SlotLine], found: Stagnation) -> Iterator[Alarm]:
    since_ms = lines[0].end_ms + CLOSING_MIN * MS_PER_MINUTE if lines else 0
    for code, count in found.waiting_files.items():
        text = f"retailer {code} has not fetched {count:,} files"
        yield Alarm("not_fetched", NOTICE, since_ms, "", text, TO_DO[NOT_FETCHED])


def _since(found: Stagnation, area: str, cause: int) -> int:
    assert cause in CAUSES
    return found.since_ms[area][STATES[cause]] + MS_PER_SLOT + NAMING_MIN * MS_PER_MINUTE


def _clock(ms: int) -> str:
    return format_jst(ms)[11:16]
