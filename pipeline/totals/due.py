# SPDX-License-Identifier: Apache-2.0
"""Which closed slots a watch has to balance, where sources are declared: each once, and again after each import for it.

Only the newest are looked at by itself: late reads change older balances a little, a missing source changes them at
once.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from koma.slots import SLOTS_PER_DAY, format_jst, slot_start_ms
from pipeline.home import Home
from pipeline.totals.asking import newest_closed, question
from pipeline.totals.checks import checked_slots
from pipeline.totals.declared import SOURCES, contributions, day_of, declared
from pipeline.totals.records import record, recorded

FRESH_SLOTS: Final = SLOTS_PER_DAY
"""So many of the newest closed slots."""


def balances_due(home: Home, workers: int) -> Iterator[int]:
    """Balance what is due, and yield each slot once it is recorded. Without declared sources nothing is due."""
    if not declared(home).of(SOURCES):
        return
    what = question(home, workers)
    newest, kept = newest_closed(what), what.asked.state.first_slot_kept
    assert kept is not None
    slots = range(max(kept, newest - FRESH_SLOTS + 1), newest + 1)
    days = sorted({day_of(slot) for slot in slots})
    given = Counter(each.slot for day in days for each in contributions(home, day))
    known = recorded(home, days)
    for slot in slots:
        if known.get(format_jst(slot_start_ms(slot))) != (what.declared.imports, given[slot]):
            record(home, [each.as_json() for each in checked_slots(what, slot, slot + 1)], what.instant_ms)
            yield slot
