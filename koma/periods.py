# SPDX-License-Identifier: Apache-2.0
"""Periods of use: by metering date (計量日) and by reading day (検針日), two kinds that never stand for one another.

A metering-date period of a smart meter runs from a fixed day of the month to the day before the next one, whenever
anybody looked. A reading-day period of an old meter runs from one visit to the next. Where one was taken for the other,
days were counted twice or not at all. So each kind follows and overlaps its own kind only: another one is refused by
type checker and at run time. Both are half-open, in whole slots, and begin and end at 00:00.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Self

from koma.errors import InstantError
from koma.slots import first_slot_of_day, slot_date

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Period:
    """Slots `[start, end)` of one kind of period.

    Raises:
        InstantError: it is empty.

    """

    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse a period without a slot."""
        if self.start >= self.end:
            message = f"{type(self).__name__} ends at slot {self.end} and begins at {self.start}"
            raise InstantError(message, hint="Give the earlier day first")

    @classmethod
    def between(cls, first: date, end: date) -> Self:
        """Return the period from the start of one day to the start of another.

        >>> MeteringPeriod.between(date(2028, 2, 10), date(2028, 3, 10)).slots
        1392
        """
        return cls(first_slot_of_day(first), first_slot_of_day(end))

    @property
    def slots(self) -> int:
        """How many slots it has."""
        return self.end - self.start

    @property
    def days(self) -> tuple[date, date]:
        """First day, and the day after the last."""
        return slot_date(self.start), slot_date(self.end)

    def follows(self, before: Self) -> bool:
        """Say whether this one begins where another of its kind ends.

        Raises:
            InstantError: the other is of another kind.

        """
        return self.start == self._of_my_kind(before).end

    def overlaps(self, other: Self) -> bool:
        """Say whether this one has a slot in common with another of its kind.

        Raises:
            InstantError: the other is of another kind.

        """
        return self.start < self._of_my_kind(other).end and other.start < self.end

    def _of_my_kind(self, other: Self) -> Self:
        if type(other) is not type(self):
            message = f"a {type(other).__name__} stands where a {type(self).__name__} has to"
            raise InstantError(message, hint="Compare periods by metering date and by reading day with their own kind")
        return other

    @classmethod
    def chained(cls, days: Sequence[date]) -> tuple[Self, ...]:
        """Return the periods between days in a row: none overlaps, none leaves a gap.

        Raises:
            InstantError: the days do not ascend.

        """
        return tuple(cls.between(first, end) for first, end in pairwise(days))


@dataclass(frozen=True, slots=True)
class MeteringPeriod(_Period):
    """A period by metering date (計量日): it ends on a fixed day of the month, or on its last if that is earlier."""


@dataclass(frozen=True, slots=True)
class ReadingPeriod(_Period):
    """A period by reading day (検針日): it ends on the day somebody came to read."""


def closes_on(read_day: int, day: date) -> bool:
    """Say whether metering-date periods of a day of the month end at the start of `day`.

    >>> closes_on(31, date(2026, 11, 30)), closes_on(31, date(2026, 10, 30))
    (True, False)
    """
    return read_day == day.day or (read_day > day.day and (day + _DAY).day == 1)


def hold_together(periods: Sequence[_Period]) -> None:
    """Hold the periods of one point, ascending, against each other.

    Raises:
        InstantError: two overlap, a gap lies between them, or they are of several kinds; it names both.

    """
    for before, after in pairwise(periods):
        if not after.follows(before):
            fault = "overlaps" if after.overlaps(before) else "leaves a gap after"
            spans = [f"{first} to {end}" for first, end in (after.days, before.days)]
            message = f"the period {spans[0]} {fault} that of {spans[1]}"
            raise InstantError(message, hint="Look for a reading day that was changed for a month that is out")
