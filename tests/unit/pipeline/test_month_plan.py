# SPDX-License-Identifier: Apache-2.0
"""Reading days and periods: decided once, never overlapping, without a gap; and which of them an issue looks at."""

from datetime import date, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from koma.slots import slot_date
from pipeline.instants import DAY_MS, first_monthly_ms
from pipeline.journal import NEVER
from pipeline.master import MasterView
from pipeline.master.store import empty_arrays
from pipeline.master.view import ALWAYS_MS, OPEN_MS
from pipeline.month_plan import MONTH_DAYS_MAX, MonthPlan, members, plan_months
from tests.homes import MINUTE_MS, SLOT_MS, at

BEGIN = at("2026-01-10T00:00") // SLOT_MS
FIRST = BEGIN + 7
DAYS = 400
Story = list[tuple[int, int]]
"""(instant from which it is known, reading day) of a point, ascending."""


def master(*stories: Story) -> MasterView:
    arrays = empty_arrays()
    counts = [len(story) for story in stories]
    since = [ms for story in stories for ms, _ in story]
    until = [ms for story in stories for ms in [*(ms for ms, _ in story[1:]), OPEN_MS]]
    arrays |= {
        "attr_of": np.cumsum([0, *counts]),
        "attr_rec_from": np.array(since, np.int64),
        "attr_rec_to": np.array(until, np.int64),
        "attr_read_day": np.array([day for story in stories for _, day in story], np.uint8),
        "point_id": np.zeros((len(stories), 22), np.uint8),
    }
    return MasterView(version=1, retailers=("00000",), bgs=("",), **arrays)


def periods(story: Story, to_ms: int = OPEN_MS) -> list[tuple[int, int]]:
    """(start, end) of all periods of a point, in slots."""
    view = master(story)
    found = []
    for day in range(1, DAYS):
        reading = BEGIN + day * 48
        mine = members(view, np.zeros(1, np.uint32), reading, FIRST, to_ms)
        found += [(int(start), reading) for start in mine.start]
    return found


def clipped(day: date, read_day: int) -> bool:
    return day.day == read_day or (day.day < read_day and (day + timedelta(days=1)).day == 1)


moments = st.integers(0, DAYS * 24).map(lambda hours: (BEGIN * SLOT_MS) + hours * 3_600_000)
changes = st.lists(st.tuples(moments, st.sampled_from([0, 1, 5, 10, 28, 29, 30, 31])), max_size=6).map(sorted)


@given(st.sampled_from([0, 1, 10, 31]), changes)
def test_periods_of_a_point_never_overlap_and_never_leave_a_gap(first: int, later: Story) -> None:
    story = [(ALWAYS_MS, first), *dict(later).items()]
    found = periods(story)
    assert [start for start, _ in found] == [FIRST, *(end for _, end in found)][: len(found)]
    known = [day for _, day in story if day]
    for _, end in found:
        assert any(clipped(slot_date(end), day) for day in known)


@given(st.sampled_from([0, 1, 10, 31]), changes, moments)
def test_what_is_learned_later_never_cuts_a_period_anew(first: int, later: Story, moment: int) -> None:
    """Periods that were there at some time are there ever after, and end no earlier or later."""
    story = [(ALWAYS_MS, first), *dict(later).items()]
    day = (moment // SLOT_MS - BEGIN) // 48
    then = [each for each in periods([row for row in story if row[0] <= moment], moment) if each[1] <= BEGIN + day * 48]
    out = [each for each in then if first_monthly_ms(each[1]) <= moment]
    assert [each for each in out if each not in periods(story)] == []


def test_a_reading_day_lies_in_every_month_and_in_a_shorter_one_on_its_last_day() -> None:
    ends = [slot_date(end).isoformat() for _, end in periods([(ALWAYS_MS, 31)])[:5]]
    assert ends == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]


def test_another_reading_day_holds_from_the_first_date_that_is_not_decided() -> None:
    """The 10th of March is decided on the 16th, the 15th on the 19th."""
    cases = {
        "2026-03-16T06:15": ["2026-02-10", "2026-03-15", "2026-04-15"],
        "2026-03-16T06:20": ["2026-02-10", "2026-03-10", "2026-03-15", "2026-04-15"],
        "2026-03-19T06:20": ["2026-02-10", "2026-03-10", "2026-04-15"],
    }
    for learned, ends in cases.items():
        found = periods([(ALWAYS_MS, 10), (at(learned), 15)])
        assert [slot_date(end).isoformat() for _, end in found[: len(ends)]] == ends


def test_a_reading_day_that_is_learned_late_counts_for_all_months() -> None:
    learned = at("2026-06-20T12:00")
    story = [(ALWAYS_MS, 0), (learned, 10)]
    assert periods(story) == periods([(ALWAYS_MS, 10)])
    assert [each for each in periods(story, learned - 1) if first_monthly_ms(each[1]) < learned] == []
    view = master(story)
    found = members(view, np.zeros(1, np.uint32), at("2026-03-10T00:00") // SLOT_MS, FIRST, learned)
    assert found.known_ms.tolist() == [learned]


READING = at("2026-03-10T00:00") // SLOT_MS
DUE = first_monthly_ms(READING)
HALF = 30 * MINUTE_MS
VIEW = master([(ALWAYS_MS, 10)])


def planned(
    from_ms: int, to_ms: int, *, read_at: int | None = None, arrival: int = 0, kept: int = -1, view: MasterView = VIEW
) -> list[MonthPlan]:
    latest = {} if read_at is None else {read_at: arrival}
    plans = plan_months(latest, {}, view, [], FIRST, kept, from_ms, to_ms)
    return [each for each in plans if each.reading == READING]


def test_a_day_is_planned_whole_once_it_is_due() -> None:
    assert planned(NEVER, DUE - 1) == []
    assert planned(DUE - 1, DUE) == [MonthPlan(READING, whole=True, instants=(DUE,))]
    assert planned(DUE, DUE + DAY_MS) == []


def test_a_late_read_makes_a_day_be_looked_at_at_its_next_instant() -> None:
    begin = READING - MONTH_DAYS_MAX * 48
    late = DUE + 5 * MINUTE_MS
    for stamp, there in ((begin, True), (READING, True), (READING + 1, False), (begin - 1, False)):
        assert bool(planned(DUE, DUE + 30 * MINUTE_MS, read_at=stamp, arrival=late)) == there
    assert planned(DUE, DUE + 25 * MINUTE_MS, read_at=READING, arrival=late) == []
    (plan,) = planned(DUE, DUE + 30 * MINUTE_MS, read_at=READING, arrival=late)
    assert plan == MonthPlan(READING, whole=False, instants=(DUE, DUE + 30 * MINUTE_MS))


def test_a_longer_period_is_looked_at_as_a_whole() -> None:
    """Read on the 1st until January, on the 10th from a time on at which the 1st of March was not decided."""
    moved = master([(ALWAYS_MS, 1), (at("2026-02-20T00:00"), 10)])
    stamp = at("2026-02-02T00:00") // SLOT_MS
    late = DUE + MINUTE_MS
    assert planned(DUE, DUE + 30 * MINUTE_MS, read_at=stamp, arrival=late, view=moved) != []
    assert planned(DUE, DUE + 30 * MINUTE_MS, read_at=stamp, arrival=late) == []


def test_a_month_of_which_registers_are_forgotten_is_final() -> None:
    late = DUE + MINUTE_MS
    begin = READING - MONTH_DAYS_MAX * 48
    for kept, there in ((begin, True), (begin + 1, False)):
        assert bool(planned(DUE, DUE + 30 * MINUTE_MS, read_at=READING, arrival=late, kept=kept)) == there
    assert planned(DUE - 1, DUE, kept=begin + 1) != []
    assert planned(DUE - 1, DUE, kept=READING) == []


def test_a_reading_day_learned_later_makes_earlier_days_be_looked_at() -> None:
    later = master([(ALWAYS_MS, 10)], [(DUE + MINUTE_MS, 10)])
    assert planned(DUE, DUE + 30 * MINUTE_MS, view=later) != []
    assert planned(DUE + HALF, DUE + 2 * HALF, view=later) == []
