# SPDX-License-Identifier: Apache-2.0
"""Business days (営業日) of Japan.

Closed are Saturdays, Sundays and the holidays of the Act on National Holidays, substitutes included, as the Cabinet
Office lists them. What else an operator closes for (year-end, the company's own days) is a parameter: practice differs.
A future year's equinox days are computed; the official gazette fixes them each February for the year after.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import holidays

from koma.errors import InstantError

YEAR_FIRST, YEAR_LAST = 1949, 2099
"""Years whose holidays are known or computable."""

YEAR_END_DAYS: tuple[tuple[int, int], ...] = ((12, 29), (12, 30), (12, 31), (1, 1), (1, 2), (1, 3))
"""Month and day of the usual year-end closure (年末年始)."""

_DAY = timedelta(days=1)
_SATURDAY = 5


def holiday_name(day: date) -> str | None:
    """Japanese name of a public holiday; None on other days.

    Raises:
        InstantError: the year is not known.

    >>> holiday_name(date(2026, 9, 22))
    '国民の休日'
    """
    return _holidays_of(day.year).get(day)


@cache
def _holidays_of(year: int) -> dict[date, str]:
    if not YEAR_FIRST <= year <= YEAR_LAST:
        raise InstantError(f"the holidays of {year} are not known", hint=f"Years {YEAR_FIRST} to {YEAR_LAST} are")
    return dict(holidays.country_holidays("JP", years=year, language="ja"))


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """Which days count as business days.

    Args:
        year_end: (month, day) pairs that are closed every year, such as `YEAR_END_DAYS`.
        closed: further single closed days.

    """

    year_end: tuple[tuple[int, int], ...] = ()
    closed: frozenset[date] = frozenset()

    def is_business_day(self, day: date) -> bool:
        """Whether the day is open.

        Raises:
            InstantError: the year is not known.

        """
        return (
            holiday_name(day) is None
            and day.weekday() < _SATURDAY
            and (day.month, day.day) not in self.year_end
            and day not in self.closed
        )

    def on_or_after(self, day: date) -> date:
        """First business day that is not before `day`."""
        while not self.is_business_day(day):
            day += _DAY
        return day

    def on_or_before(self, day: date) -> date:
        """Last business day that is not after `day`."""
        while not self.is_business_day(day):
            day -= _DAY
        return day

    def add(self, day: date, count: int) -> date:
        """The count-th business day after `day` (before it for a negative count); `day` itself is not counted.

        With a count of 0 it is the first business day that is not before `day`.

        >>> BusinessCalendar().add(date(2026, 5, 1), 1)
        datetime.date(2026, 5, 7)
        """
        if count == 0:
            return self.on_or_after(day)
        step = _DAY if count > 0 else -_DAY
        for _ in range(abs(count)):
            day = self.on_or_after(day + step) if count > 0 else self.on_or_before(day + step)
        return day

    def count(self, start: date, end: date) -> int:
        """Business days in the half-open range of `start` to `end`; 0 where it is empty."""
        return sum(self.is_business_day(start + _DAY * index) for index in range((end - start).days))
