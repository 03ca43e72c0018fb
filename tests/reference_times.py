# SPDX-License-Identifier: Apache-2.0
"""The contract's instants in plain Python, for the reference."""

from datetime import date, datetime, timedelta, timezone

JST = timezone(timedelta(hours=9))
MINUTE = 60_000
SLOT = 30 * MINUTE
HOUR = 60 * MINUTE
DAY = 24 * HOUR
SPLITS_AND_CLOSING = (10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 45 * MINUTE)
CLOSING = 3
REVISIONS = (HOUR // 2, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 24 * HOUR, 48 * HOUR)

HOLIDAYS = {  # around the dates of the tests, by hand
    *(date(2026, 4, 29), date(2026, 5, 3), date(2026, 5, 4), date(2026, 5, 5), date(2026, 5, 6)),
    *(date(2026, 10, 12), date(2026, 11, 3), date(2026, 11, 23), date(2027, 1, 1), date(2027, 1, 11)),
    *(date(2027, 4, 29), date(2027, 5, 3), date(2027, 5, 4), date(2027, 5, 5)),
    *(date(2028, 1, 1), date(2028, 1, 10), date(2028, 2, 11), date(2028, 2, 23), date(2028, 3, 20)),
}


def jst_day(ms: int) -> date:
    return datetime.fromtimestamp(ms / 1000, JST).date()


def at_0615(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 6, 15, tzinfo=JST).timestamp()) * 1000


def instants(slot_ms: int) -> list[int]:
    """Give the regular instants of a slot: three splits, the closing, the revisions."""
    end = slot_ms + SLOT
    first = [end + offset for offset in SPLITS_AND_CLOSING]
    return first + revisions(end, first[-1])


def day_instants(day_ms: int) -> list[int]:
    """Give the regular instants of a day: the next morning, the revisions."""
    first = at_0615(jst_day(day_ms + DAY))
    return [first, *revisions(day_ms + DAY, first)]


def revisions(end: int, first: int) -> list[int]:
    """Give the regular instants after `first` of what ended at `end`."""
    later = {first + offset for offset in REVISIONS}
    last_day = jst_day(end) + timedelta(days=45)
    daily = [at_0615(last_day - timedelta(days=back)) for back in range(46)]
    later |= {each for each in daily if each > max(later)}
    year, month = last_day.year, last_day.month
    for _ in range(13):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        later.add(at_0615(date(year, month, 1)))
    return sorted(later)


def fourth_business_day(day: date) -> date:
    """Give the fourth day after `day` that is no weekend and none of the holidays of these tests' years."""
    count = 0
    while count < 4:
        day += timedelta(days=1)
        count += day.weekday() < 5 and day not in HOLIDAYS
    return day


def month_instants(reading_ms: int) -> list[int]:
    """Give the regular instants of the month that ends when a meter is read at `reading_ms`, the revisions."""
    first = at_0615(fourth_business_day(jst_day(reading_ms)))
    return [first, *revisions(reading_ms, first)]
