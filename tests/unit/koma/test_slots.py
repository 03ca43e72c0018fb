# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma import slots
from koma.errors import InstantError
from koma.limits import INTERVAL_MINUTES_ALLOWED

FIRST = slots.first_slot_of_day(date(1, 1, 2))
LAST = slots.first_slot_of_day(date(9999, 12, 31))
any_slot = st.integers(FIRST, LAST)
any_minutes = st.sampled_from(INTERVAL_MINUTES_ALLOWED)
any_date = st.dates(date(1, 1, 2), date(9999, 12, 30))
any_ms = st.integers(slots.slot_start_ms(FIRST), slots.slot_start_ms(LAST))


def test_the_epoch_starts_slot_zero_which_is_code_19_in_japan() -> None:
    assert slots.slot_at_ms(0) == 0
    assert slots.slot_code(0) == 19
    assert slots.slot_date(0) == date(1970, 1, 1)


def test_a_slot_is_half_open() -> None:
    start = slots.slot_start_ms(100)
    assert slots.slot_at_ms(start) == 100
    assert slots.slot_at_ms(start + slots.MS_PER_SLOT - 1) == 100
    assert slots.slot_at_ms(start + slots.MS_PER_SLOT) == 101
    assert slots.slot_at_ms(start - 1) == 99


def test_code_34_starts_at_half_past_four_in_the_afternoon() -> None:
    slot = slots.slot_at_ms(slots.parse_jst("2026-08-22T16:30"))
    assert (slots.slot_date(slot), slots.slot_code(slot)) == (date(2026, 8, 22), 34)


def test_the_stamp_of_midnight_closes_code_48_of_yesterday_and_opens_code_01_of_today() -> None:
    midnight = slots.parse_jst("2026-10-07T00:00:00")
    stamp = slots.slot_at_ms(midnight)
    closed = slots.slot_ended_by(stamp)
    assert (slots.slot_date(closed), slots.slot_code(closed)) == (date(2026, 10, 6), 48)
    assert (slots.slot_date(stamp), slots.slot_code(stamp)) == (date(2026, 10, 7), 1)


def test_a_leap_day_has_48_slots_of_its_own() -> None:
    leap = date(2024, 2, 29)
    first = slots.first_slot_of_day(leap)
    assert {slots.slot_date(first + index) for index in range(48)} == {leap}
    assert slots.slot_date(first - 1) == date(2024, 2, 28)
    assert slots.slot_date(first + 48) == date(2024, 3, 1)


@given(any_slot)
def test_date_and_code_name_a_slot_and_nothing_else(slot: int) -> None:
    assert 1 <= slots.slot_code(slot) <= 48
    assert slots.slot_of(slots.slot_date(slot), slots.slot_code(slot)) == slot


@given(st.integers(-1_000_000, 1_000_000), any_minutes)
def test_date_and_code_name_an_interval_of_any_length(index: int, minutes: int) -> None:
    code = slots.slot_code(index, minutes)
    assert 1 <= code <= 1440 // minutes
    assert slots.slot_of(slots.slot_date(index, minutes), code, minutes) == index
    assert slots.slot_at_ms(slots.slot_start_ms(index, minutes), minutes) == index


@given(any_date, any_minutes)
def test_a_day_is_whole_slots_and_days_join(day: date, minutes: int) -> None:
    first = slots.first_slot_of_day(day, minutes)
    assert slots.slot_code(first, minutes) == 1
    assert slots.first_slot_of_day(day + timedelta(days=1), minutes) == first + 1440 // minutes


@given(any_ms)
def test_an_instant_lies_in_its_slot(ms: int) -> None:
    slot = slots.slot_at_ms(ms)
    assert slots.slot_start_ms(slot) <= ms < slots.slot_start_ms(slot + 1)


@given(any_ms)
def test_printed_times_are_read_back_to_the_millisecond(ms: int) -> None:
    assert slots.parse_jst(slots.format_jst(ms)) == ms
    assert slots.parse_utc(slots.format_utc(ms)) == ms
    assert slots.parse_jst(slots.format_utc(ms)) == ms


@given(any_ms)
def test_a_time_without_zone_is_of_the_zone_asked_for(ms: int) -> None:
    naive = slots.format_jst(ms).removesuffix("+09:00")
    assert slots.parse_jst(naive) == ms
    assert slots.parse_utc(naive) == ms + 9 * 3_600_000


def test_a_day_alone_is_its_midnight() -> None:
    assert slots.parse_jst("2026-10-07") == slots.slot_start_ms(slots.first_slot_of_day(date(2026, 10, 7)))


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001  the zone is added below
def test_parts_of_a_millisecond_are_cut_off(moment: datetime) -> None:
    text = moment.replace(tzinfo=UTC).isoformat()
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    assert slots.format_utc(slots.parse_utc(text)) == slots.format_utc(slots.parse_utc(whole.isoformat()))
    assert slots.parse_utc(text) <= slots.parse_utc(whole.isoformat())


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-29", "2026-08-22T25:00", "2026-08-22T16:30+99:00"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InstantError, match="Write it like"):
        slots.parse_jst(text)


@pytest.mark.parametrize("code", [0, 49, -1])
def test_a_code_outside_the_day_is_refused(code: int) -> None:
    with pytest.raises(InstantError, match="1 to 48"):
        slots.slot_of(date(2026, 1, 1), code)


@pytest.mark.parametrize("minutes", [0, -30, 7, 20, 60])
def test_an_interval_length_that_no_channel_has_is_refused(minutes: int) -> None:
    with pytest.raises(InstantError, match="1, 5, 15, 30"):
        slots.slot_code(0, minutes)


@pytest.mark.parametrize("ms", [2**62, -(2**62)])
def test_an_instant_outside_the_calendar_is_refused(ms: int) -> None:
    for attempt in (slots.format_jst, slots.format_utc, lambda each: slots.slot_date(slots.slot_at_ms(each))):
        with pytest.raises(InstantError, match="outside the calendar"):
            attempt(ms)
