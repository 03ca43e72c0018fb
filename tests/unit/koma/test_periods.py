# SPDX-License-Identifier: Apache-2.0
"""Periods by metering date and by reading day: their ends, their order, and that nobody takes one for the other."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.errors import InstantError
from koma.periods import MeteringPeriod, ReadingPeriod, closes_on, hold_together

FIRST, NEXT, LAST = date(2026, 9, 10), date(2026, 10, 10), date(2026, 11, 17)


def test_a_period_is_half_open_in_whole_days() -> None:
    period = MeteringPeriod.between(FIRST, NEXT)

    assert period.slots == 30 * 48
    assert period.days == (FIRST, NEXT)
    assert MeteringPeriod.between(NEXT, LAST).follows(period)
    assert not MeteringPeriod.between(NEXT, LAST).overlaps(period)
    assert MeteringPeriod.between(NEXT - timedelta(days=1), LAST).overlaps(period)


@pytest.mark.parametrize("end", [FIRST, FIRST - timedelta(days=1)])
def test_a_period_without_a_day_is_refused(end: date) -> None:
    with pytest.raises(InstantError):
        ReadingPeriod.between(FIRST, end)


def test_the_kinds_are_never_taken_for_one_another() -> None:
    """The type checker refuses them too: it complains of a comment below that suppresses nothing."""
    metering, reading = MeteringPeriod.between(FIRST, NEXT), ReadingPeriod.between(NEXT, LAST)

    with pytest.raises(InstantError, match="ReadingPeriod stands where a MeteringPeriod"):
        metering.overlaps(reading)  # type: ignore[arg-type]
    with pytest.raises(InstantError, match="MeteringPeriod stands where a ReadingPeriod"):
        reading.follows(metering)  # type: ignore[arg-type]
    with pytest.raises(InstantError):
        hold_together([metering, reading])
    alike: tuple[object, object] = metering, ReadingPeriod.between(FIRST, NEXT)
    assert alike[0] != alike[1]


@pytest.mark.parametrize("begin", [NEXT - timedelta(days=4), NEXT + timedelta(days=1)])
def test_an_overlap_and_a_gap_are_named(begin: date) -> None:
    word = "overlaps" if begin < NEXT else "gap"
    with pytest.raises(InstantError, match=word):
        hold_together([MeteringPeriod.between(FIRST, NEXT), MeteringPeriod.between(begin, LAST)])


@given(st.lists(st.dates(date(2020, 1, 1), date(2030, 1, 1)), min_size=2, max_size=9, unique=True).map(sorted))
def test_periods_between_days_in_a_row_hold_together(days: list[date]) -> None:
    periods = ReadingPeriod.chained(days)

    hold_together(periods)
    assert sum(each.slots for each in periods) == ReadingPeriod.between(days[0], days[-1]).slots


@given(st.integers(1, 31), st.integers(2020, 2032), st.integers(1, 12))
def test_a_metering_date_closes_one_day_of_every_month(read_day: int, year: int, month: int) -> None:
    first = date(year, month, 1)
    days = [day for day in (first + timedelta(days=n) for n in range(31)) if day.month == month]

    assert [day.day for day in days if closes_on(read_day, day)] == [min(read_day, len(days))]
