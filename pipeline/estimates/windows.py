# SPDX-License-Identifier: Apache-2.0
"""How far around a day estimates look, and which days are of a kind."""

from datetime import date, timedelta
from typing import Final

import numpy as np

from koma.calendar import YEAR_END_DAYS, BusinessCalendar
from koma.settings import Settings
from koma.slots import SLOTS_PER_DAY, first_slot_of_day, slot_date
from pipeline.estimates.estimate_kernels import Asked

CALENDAR: Final = BusinessCalendar(year_end=YEAR_END_DAYS)
"""Days of a kind: business days, and all others. At the turn of the year a home or a shop is as on a holiday."""


def kind_of(day: date) -> int:
    """Return a number that days share that are like each other.

    Raises:
        InstantError: the year is not known.

    >>> kind_of(date(2026, 10, 9)) == kind_of(date(2026, 10, 12))
    False
    """
    return int(CALENDAR.is_business_day(day))


def asked_for(day: date, instant_ms: int, settings: Settings) -> Asked:
    """Describe the estimates of a JST day as known at an instant.

    Gaps may begin `estimate_reach_days` before the day and end as much after it; the reference days of each of their
    slots lie before.

    Raises:
        InstantError: the year is not known.

    """
    reach_days = settings.estimate_reach_days
    first = first_slot_of_day(day)
    begin = first - (reach_days + settings.estimate_lookback_days) * SLOTS_PER_DAY
    days = settings.estimate_lookback_days + 2 * reach_days + 1
    begun = slot_date(begin)
    return Asked(
        begin=begin,
        day=first,
        day_end=first + SLOTS_PER_DAY,
        instant_ms=instant_ms,
        linear=settings.estimate_linear_slots,
        reach=reach_days * SLOTS_PER_DAY,
        lookback=settings.estimate_lookback_days,
        kind=np.array([kind_of(begun + timedelta(days=number)) for number in range(days)], np.uint8),
    )
