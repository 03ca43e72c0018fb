# SPDX-License-Identifier: Apache-2.0
"""Slots, stamps, time codes and JST.

A slot is the half-open `[start, start + 30 min)`; `slot_id` counts slots since 1970-01-01T00:00Z. A stamp is a boundary
between two slots: stamp k stands at the start of slot k. The meter's stamp names the *end* of a slot, 時刻コード (time
code, 01..48) names the *start*, and the stamp 00:00 closes yesterday's code 48. JST is UTC+9 without daylight saving:
a day has 48 slots, always. Times are whole milliseconds since the epoch, UTC (`_ms`).

Other interval lengths (1, 5, 15 minutes) count the same way: pass `minutes`.
"""

from datetime import UTC, date, datetime, timedelta, timezone

from koma.errors import InstantError
from koma.limits import INTERVAL_MINUTES_ALLOWED, SLOT_MINUTES

JST = timezone(timedelta(hours=9), "JST")
"""Japan Standard Time."""

MS_PER_MINUTE = 60_000
MS_PER_SLOT = SLOT_MINUTES * MS_PER_MINUTE
MS_PER_DAY = 24 * 60 * MS_PER_MINUTE
SLOTS_PER_DAY = 24 * 60 // SLOT_MINUTES
JST_OFFSET_MINUTES = 9 * 60

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MINUTES_PER_DAY = 24 * 60
_MILLISECOND = timedelta(milliseconds=1)


def _checked(minutes: int) -> int:
    if minutes not in INTERVAL_MINUTES_ALLOWED:
        allowed = ", ".join(str(each) for each in INTERVAL_MINUTES_ALLOWED)
        message = f"interval length of {minutes} minutes"
        raise InstantError(message, hint=f"Use one of {allowed}")
    return minutes


def slot_start_ms(slot: int, minutes: int = SLOT_MINUTES) -> int:
    """First millisecond of a slot; also the time of the stamp with the same number.

    >>> slot_start_ms(1)
    1800000
    """
    return slot * _checked(minutes) * MS_PER_MINUTE


def slot_at_ms(ms: int, minutes: int = SLOT_MINUTES) -> int:
    """Slot that contains an instant; an instant on a boundary belongs to the slot that starts there.

    >>> slot_at_ms(1_799_999), slot_at_ms(1_800_000)
    (0, 1)
    """
    return ms // (_checked(minutes) * MS_PER_MINUTE)


def slot_ended_by(stamp: int) -> int:
    """Slot whose end the stamp is: the one before it."""
    return stamp - 1


def slot_code(slot: int, minutes: int = SLOT_MINUTES) -> int:
    """時刻コード of a slot, named by its start in JST: 1..48, for another length 1..(1440 / minutes).

    >>> slot_code(slot_at_ms(parse_jst("2026-08-22T16:30")))
    34
    """
    return (slot * _checked(minutes) + JST_OFFSET_MINUTES) % _MINUTES_PER_DAY // minutes + 1


def slot_date(slot: int, minutes: int = SLOT_MINUTES) -> date:
    """JST date of a slot's start.

    Raises:
        InstantError: outside the years 1..9999.

    """
    days = (slot * _checked(minutes) + JST_OFFSET_MINUTES) // _MINUTES_PER_DAY
    try:
        return date.fromordinal(_EPOCH_ORDINAL + days)
    except (ValueError, OverflowError):
        message = f"slot {slot} lies outside the calendar"
        raise InstantError(message, hint="Years 1 to 9999 can be named") from None


def first_slot_of_day(day: date, minutes: int = SLOT_MINUTES) -> int:
    """Slot that starts at 00:00 JST of a day: the one with time code 01."""
    return ((day.toordinal() - _EPOCH_ORDINAL) * _MINUTES_PER_DAY - JST_OFFSET_MINUTES) // _checked(minutes)


def slot_of(day: date, code: int, minutes: int = SLOT_MINUTES) -> int:
    """Slot of a JST date and a time code.

    Raises:
        InstantError: the code is not in 1..48 (or 1..(1440 / minutes)).

    >>> slot_code(slot_of(date(2024, 2, 29), 48))
    48
    """
    last = _MINUTES_PER_DAY // _checked(minutes)
    if not 1 <= code <= last:
        message = f"time code {code} on {day.isoformat()}"
        raise InstantError(message, hint=f"Codes run from 1 to {last}")
    return first_slot_of_day(day, minutes) + code - 1


def format_jst(ms: int) -> str:
    """ISO 8601 text in JST; milliseconds only where they are not zero.

    Raises:
        InstantError: outside the years 1..9999.

    >>> format_jst(1_787_383_800_000)
    '2026-08-22T16:30:00+09:00'
    """
    return _moment(ms).astimezone(JST).isoformat(timespec="milliseconds" if ms % 1000 else "seconds")


def format_utc(ms: int) -> str:
    """ISO 8601 text in UTC with `Z`; milliseconds only where they are not zero.

    Raises:
        InstantError: outside the years 1..9999.

    >>> format_utc(1_787_383_800_000)
    '2026-08-22T07:30:00Z'
    """
    text = _moment(ms).isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


def parse_jst(text: str) -> int:
    """Milliseconds of an ISO 8601 text; without a zone it is JST. Parts of a millisecond are cut off.

    Raises:
        InstantError: not a date or time of ISO 8601.

    >>> parse_jst("2026-08-22T16:30:00") == parse_jst("2026-08-22T07:30:00Z")
    True
    """
    return _parse(text, JST)


def parse_utc(text: str) -> int:
    """Milliseconds of an ISO 8601 text; without a zone it is UTC. Parts of a millisecond are cut off.

    Raises:
        InstantError: not a date or time of ISO 8601.

    """
    return _parse(text, UTC)


def _moment(ms: int) -> datetime:
    try:
        moment = _EPOCH + ms * _MILLISECOND
        moment.astimezone(JST)
    except OverflowError:
        message = f"{ms} ms since 1970 lies outside the calendar"
        raise InstantError(message, hint="Years 1 to 9999 can be named") from None
    return moment


def _parse(text: str, zone: timezone) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        message = f"{text!r} is not a time"
        raise InstantError(message, hint="Write it like 2026-08-22T16:30:00+09:00") from None
