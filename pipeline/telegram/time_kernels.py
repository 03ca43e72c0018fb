# SPDX-License-Identifier: Apache-2.0
"""Calendar arithmetic inside kernels: Gregorian dates of the years 1 to 9999, as ms and as days since the epoch."""

from typing import Final

import numpy as np

from pipeline.jit import kernel

MS_PER_DAY: Final = 86_400_000
MS_PER_HOUR: Final = 3_600_000
MS_PER_MINUTE: Final = 60_000
MS_PER_SECOND: Final = 1_000
JST_MS: Final = 9 * MS_PER_HOUR
FIRST_MS: Final = -62_135_596_800_000
"""0001-01-01T00:00Z."""
LAST_MS: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z."""
NO_TIME: Final = -(2**62)
"""Returned in place of a time that does not exist."""

_YEAR_MAX: Final = 9_999
_DAYS_TO_EPOCH: Final = 719_469
"""From the day before 0000-03-01 to 1970-01-01."""


@kernel
def days_of_month(year: int, month: int) -> int:
    """Count the days of a month; 0 where there is no such month."""
    if month < 1 or month > 12:
        return 0
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@kernel
def civil_ms(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Milliseconds from 1970-01-01T00:00 to a date and time of the same zone; `NO_TIME` where there is none such."""
    if year < 1 or year > _YEAR_MAX or month < 1 or month > 12 or day < 1:
        return NO_TIME
    if day > 28 and day > days_of_month(year, month):
        return NO_TIME
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return NO_TIME
    # Days counted in years that start in March, so that the leap day comes last. Unsigned and 32 bits wide: five times
    # as fast as the signed division that Python's rounding asks for.
    early = month <= 2
    march_year = np.uint32(year - 1 if early else year)
    march_month = np.uint32(month + 9 if early else month - 3)
    century = march_year // np.uint32(100)
    days = np.uint32(365) * march_year + (march_year >> np.uint32(2)) - century + (century >> np.uint32(2))
    days += (np.uint32(153) * march_month + np.uint32(2)) // np.uint32(5)
    of_day = hour * MS_PER_HOUR + minute * MS_PER_MINUTE + second * MS_PER_SECOND
    return (np.int64(days) + day - _DAYS_TO_EPOCH) * MS_PER_DAY + of_day  # type: ignore[return-value]


@kernel
def civil_date(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01."""
    shifted = days + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * march_month + 2) // 5 + 1
    month = march_month + 3 if march_month < 10 else march_month - 9
    return year_of_era + era * 400 + (1 if month <= 2 else 0), month, day
