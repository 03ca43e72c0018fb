# SPDX-License-Identifier: Apache-2.0
"""The grid of instants: when what is issued (splits, the closing issue, revisions).

A file holds what had arrived by its instant, so that its content is a function of the data and not of the moment at
which a machine got to it. All instants are UTC milliseconds and multiples of five minutes.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from koma.calendar import YEAR_FIRST, YEAR_LAST, BusinessCalendar
from koma.slots import JST, MS_PER_SLOT, first_slot_of_day, slot_date, slot_start_ms

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
GRID_MS = 5 * MINUTE_MS

SPLITS_MIN = (10, 20, 30)
CLOSING_MIN = 45
FIRST_ISSUES = len(SPLITS_MIN) + 1  # instants of revision 00: the splits and the closing
REVISIONS_MS = (HOUR_MS // 2, HOUR_MS, 2 * HOUR_MS, 4 * HOUR_MS, 8 * HOUR_MS, 24 * HOUR_MS, 48 * HOUR_MS)
DAILY_AT = timedelta(hours=6, minutes=15)  # JST
DAILY_UNTIL_DAYS = 45
MONTHLY_COUNT = 13
MONTHLY_AFTER_DAYS = 4
"""Business days from a meter-reading day to the first issue of its monthly file."""
_CALENDAR = BusinessCalendar()
_WEEK = 7


def closing_ms(slot: int) -> int:
    """Return the instant at which `slot` is closed for everyone."""
    return slot_start_ms(slot) + MS_PER_SLOT + CLOSING_MIN * MINUTE_MS


def _daily(day: date) -> int:
    return int((datetime(day.year, day.month, day.day, tzinfo=JST) + DAILY_AT).timestamp()) * 1000


@lru_cache(maxsize=4096)
def _long_tail(first_day: date, until_day: date) -> tuple[int, ...]:
    """Return the 06:15 instants after `first_day` until `until_day`, then those of thirteen firsts of a month."""
    days = (until_day - first_day).days
    tail = [_daily(first_day + timedelta(days=n)) for n in range(days + 1)]
    year, month = until_day.year, until_day.month
    for _ in range(MONTHLY_COUNT):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        tail.append(_daily(date(year, month, 1)))
    return tuple(tail)


def regular_instants(slot: int) -> list[int]:
    """Return all instants of `slot` in order: three splits, the closing, then the revisions.

    Source: the contract's instants (T+10, T+20, T+30, T+45; then 30 min to 48 h, daily to day 45, monthly for 13
    months).
    """
    end = slot_start_ms(slot) + MS_PER_SLOT
    closing = end + CLOSING_MIN * MINUTE_MS
    return [*(end + minutes * MINUTE_MS for minutes in SPLITS_MIN), closing, *_revisions(end, closing)]


def _revisions(end: int, closing: int) -> list[int]:
    """Return the regular instants after `closing` of what ended at `end`."""
    instants = [closing + offset for offset in REVISIONS_MS]
    last = instants[-1]
    first_day = datetime.fromtimestamp(last / 1000, tz=UTC).astimezone(JST).date()
    until_day = datetime.fromtimestamp(end / 1000, tz=UTC).astimezone(JST).date() + timedelta(days=DAILY_UNTIL_DAYS)
    return instants + [instant for instant in _long_tail(first_day, until_day) if instant > last]


def first_daily_ms(day: int) -> int:
    """Return the instant at which the daily file of the JST day whose first slot is `day` is first issued."""
    return _daily(slot_date(day) + timedelta(days=1))


def day_instants(day: int, extras: Iterable[int]) -> tuple[int, ...]:
    """Return all instants of the daily file of the day whose first slot is `day`.

    The `extras` (ascending) that lie after the first are among them. Source: the contract's instants (day D at D+1
    06:15, revised by the same list).
    """
    first = first_daily_ms(day)
    end = slot_start_ms(first_slot_of_day(slot_date(day) + timedelta(days=1)))
    regular = [first, *_revisions(end, first)]
    late = [extra for extra in extras if extra > first]
    return tuple(sorted({*regular, *late})) if late else tuple(regular)


@lru_cache(maxsize=4096)
def first_monthly_ms(reading: int) -> int:
    """Return when the monthly file of the meter-reading day whose first slot is `reading` is first issued.

    Source: the contract's instants (06:15 of the fourth business day after the meter-reading day). Closed are
    Saturdays, Sundays and public holidays; where these are not known, outside of `koma.calendar`'s years, a week is
    taken.
    """
    day = slot_date(reading)
    if not YEAR_FIRST <= day.year < YEAR_LAST:
        return _daily(day + timedelta(days=_WEEK))
    return _daily(_CALENDAR.add(day, MONTHLY_AFTER_DAYS))


@lru_cache(maxsize=1024)
def _regular_month(reading: int) -> tuple[int, ...]:
    first = first_monthly_ms(reading)
    return (first, *_revisions(slot_start_ms(reading), first))


def month_instants(reading: int, extras: Iterable[int]) -> tuple[int, ...]:
    """Return all instants of the monthly file of the meter-reading day whose first slot is `reading`.

    The `extras` (ascending) that lie after the first are among them. Source: the contract's instants; the list of
    revisions is that of what ends when the meter is read, at 00:00 of the day.
    """
    regular = _regular_month(reading)
    late = [extra for extra in extras if extra > regular[0]]
    return tuple(sorted({*regular, *late})) if late else regular


@dataclass(frozen=True, slots=True)
class SlotInstants:
    """The instants of one slot as far as they are known: the regular ones and the extra ones of this home."""

    slot: int
    instants: tuple[int, ...]

    def until(self, to_ms: int) -> tuple[int, ...]:
        """Return the instants not after `to_ms`."""
        return self.instants[: bisect_right(self.instants, to_ms)]

    def last_at(self, ms: int) -> tuple[int, int]:
        """Return (position, instant) of the last instant not after `ms`; (-1, very early) before the first."""
        position = bisect_right(self.instants, ms) - 1
        return position, self.instants[position] if position >= 0 else -(1 << 62)


def slot_instants(slot: int, extras: Iterable[int]) -> SlotInstants:
    """Return the instants of `slot`, with the `extras` (ascending) that lie after its closing."""
    closing = closing_ms(slot)
    late = [extra for extra in extras if extra > closing]
    regular = regular_instants(slot)
    return SlotInstants(slot, tuple(sorted({*regular, *late})) if late else tuple(regular))


def next_extra(now_ms: int) -> int:
    """Return the first :15 or :45 after `now_ms`: the one more instant of a run that would leave changes unissued."""
    half = 30 * MINUTE_MS
    return (now_ms - 15 * MINUTE_MS) // half * half + half + 15 * MINUTE_MS
