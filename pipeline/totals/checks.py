# SPDX-License-Identifier: Apache-2.0
"""Checking the slots of a home: its points, what is declared, and what was imported of other sources."""

from collections.abc import Iterator
from dataclasses import replace

from koma.errors import TotalsError
from koma.slots import format_jst
from pipeline.estimates.agreed import position_of
from pipeline.instants import closing_ms
from pipeline.totals.asking import Question, sums_of
from pipeline.totals.balance import Checked, check_slot
from pipeline.totals.declared import Contribution, contributions, day_of
from pipeline.totals.rates import Rates
from pipeline.totals.sources import expected


def checked_slots(what: Question, first: int, end: int) -> Iterator[Checked]:
    """Yield the slots [first, end), balanced and checked.

    Raises:
        TotalsError: some are not closed yet, or not in the home.

    """
    if closing_ms(end - 1) > what.instant_ms:
        raise TotalsError(
            f"the last of these slots closes at {format_jst(closing_ms(end - 1))}: what has not come yet is no finding",
            hint="choose slots that are closed",
        )
    rates, view = Rates.of(what.declared), what.asked.view

    def metered(point_id: str) -> bool:
        return position_of(view, point_id) >= 0

    day, given = "", list[Contribution]()
    for sums in sums_of(what, first, end):
        if day_of(sums.slot) != day:
            day = day_of(sums.slot)
            given = contributions(what.asked.home, day, what.as_of_ms)
        mine = [each for each in given if each.slot == sums.slot]
        found = check_slot(sums, rates, expected(what.declared, sums.slot), mine, metered)
        yield replace(found, declarations=what.declared.imports, given=len(mine))
