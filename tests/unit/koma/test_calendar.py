# SPDX-License-Identifier: Apache-2.0
import csv
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.calendar import YEAR_END_DAYS, BusinessCalendar, holiday_name
from koma.errors import InstantError

any_day = st.dates(date(1990, 1, 1), date(2060, 12, 31))
any_count = st.integers(-60, 60)
calendars = st.sampled_from(
    [
        BusinessCalendar(),
        BusinessCalendar(year_end=YEAR_END_DAYS),
        BusinessCalendar(closed=frozenset({date(2026, 5, 7), date(2026, 5, 8)})),
    ]
)


def test_holidays_are_those_of_the_cabinet_office_list_in_every_year(real_data: Path) -> None:
    with (real_data / "jp_master" / "syukujitsu_cp932.csv").open(encoding="cp932", newline="") as file:
        rows = list(csv.reader(file))[1:]
    listed = {date(*(int(part) for part in row[0].split("/"))) for row in rows}
    years = {day.year for day in listed}
    assert years >= set(range(1955, 2028))
    ours = {
        day
        for year in years
        for day in (date(year, 1, 1) + timedelta(days=index) for index in range(366))
        if day.year == year and holiday_name(day) is not None
    }
    assert ours == listed


def test_a_substitute_and_a_day_between_two_holidays_are_closed() -> None:
    calendar = BusinessCalendar()
    assert not calendar.is_business_day(date(2026, 5, 6))
    assert not calendar.is_business_day(date(2026, 9, 22))
    assert calendar.is_business_day(date(2026, 5, 7))


def test_one_off_holidays_of_a_succession_are_closed() -> None:
    assert not any(BusinessCalendar().is_business_day(date(2019, 4, 27) + timedelta(days=index)) for index in range(10))


def test_year_end_is_open_unless_asked_for() -> None:
    assert BusinessCalendar().is_business_day(date(2026, 12, 31))
    assert not BusinessCalendar(year_end=YEAR_END_DAYS).is_business_day(date(2026, 12, 31))
    assert BusinessCalendar(year_end=YEAR_END_DAYS).add(date(2026, 12, 28), 1) == date(2027, 1, 4)


def test_a_company_day_is_closed() -> None:
    closed = date(2026, 8, 14)
    assert BusinessCalendar().is_business_day(closed)
    assert not BusinessCalendar(closed=frozenset({closed})).is_business_day(closed)


def test_the_fourth_business_day_over_golden_week() -> None:
    assert BusinessCalendar().add(date(2026, 4, 28), 4) == date(2026, 5, 8)


@given(calendars, any_day, any_count)
def test_adding_lands_on_a_business_day_with_so_many_passed(calendar: BusinessCalendar, day: date, count: int) -> None:
    there = calendar.add(day, count)
    assert calendar.is_business_day(there)
    if count > 0:
        assert calendar.count(day + timedelta(days=1), there + timedelta(days=1)) == count
    elif count < 0:
        assert calendar.count(there, day) == -count
    else:
        assert calendar.count(day, there) == 0


@given(calendars, any_day, any_count)
def test_adding_and_taking_away_cancel_on_a_business_day(calendar: BusinessCalendar, day: date, count: int) -> None:
    start = calendar.on_or_after(day)
    assert calendar.add(calendar.add(start, count), -count) == start


@given(calendars, any_day, st.integers(0, 200), st.integers(0, 200))
def test_counts_of_joined_ranges_add_up(calendar: BusinessCalendar, day: date, first: int, second: int) -> None:
    middle, end = day + timedelta(days=first), day + timedelta(days=first + second)
    assert calendar.count(day, middle) + calendar.count(middle, end) == calendar.count(day, end)


@given(calendars, any_day)
def test_an_empty_range_holds_no_business_day(calendar: BusinessCalendar, day: date) -> None:
    assert calendar.count(day, day) == 0
    assert calendar.count(day, day - timedelta(days=3)) == 0


@pytest.mark.parametrize("year", [1948, 2100])
def test_a_year_whose_holidays_nobody_knows_is_refused(year: int) -> None:
    with pytest.raises(InstantError, match="not known"):
        BusinessCalendar().is_business_day(date(year, 6, 1))
