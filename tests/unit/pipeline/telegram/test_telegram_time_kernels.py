# SPDX-License-Identifier: Apache-2.0
"""Calendar arithmetic of the kernels against Python's."""

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.telegram.time_kernels import FIRST_MS, LAST_MS, NO_TIME, civil_date, civil_ms

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes())
@example(datetime(1, 1, 1))  # noqa: DTZ001  no zone: only the calendar counts
@example(datetime(9999, 12, 31, 23, 59, 59))  # noqa: DTZ001
@example(datetime(2000, 2, 29))  # noqa: DTZ001
def test_milliseconds_and_dates_agree_with_python(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    ms = civil_ms(whole.year, whole.month, whole.day, whole.hour, whole.minute, whole.second)
    assert ms == (whole - EPOCH) // timedelta(milliseconds=1)
    assert civil_date(ms // 86_400_000) == (whole.year, whole.month, whole.day)


@given(
    st.integers(-1, 10_001),
    st.integers(-1, 14),
    st.integers(-1, 33),
    st.integers(-1, 25),
    st.integers(-1, 61),
    st.integers(-1, 61),
)
@example(1900, 2, 29, 0, 0, 0)
@example(2000, 2, 29, 0, 0, 0)
@example(2026, 2, 29, 0, 0, 0)
@example(2026, 6, 31, 0, 0, 0)
def test_what_is_no_date_and_time_for_python_is_none_here(
    year: int, month: int, day: int, hour: int, minute: int, second: int
) -> None:
    try:
        datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        exists = True
    except ValueError:
        exists = False
    assert (civil_ms(year, month, day, hour, minute, second) != NO_TIME) == exists


def test_the_bounds_are_those_of_the_calendar() -> None:
    assert civil_ms(1, 1, 1, 0, 0, 0) == FIRST_MS
    assert civil_ms(9999, 12, 31, 23, 59, 59) + 999 == LAST_MS
