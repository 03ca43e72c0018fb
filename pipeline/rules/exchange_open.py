# SPDX-License-Identifier: Apache-2.0
"""An exchange inside a slot without the final or the initial register: the slot has no value."""

import numpy as np

from koma.slots import MS_PER_SLOT
from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.exchanges import exchanges, flagged
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    del least
    found, view = exchanges(facts), facts.view
    final = (view.install_last[found.old] < 0) & (view.install_to_ms[found.old] % MS_PER_SLOT != 0)
    initial = (view.install_first[found.new] < 0) & (view.install_from_ms[found.new] % MS_PER_SLOT != 0)
    return flagged(facts, found, final | initial, final.astype(np.int64) + initial)


RULE = DayRule(
    code="exchange_open",
    stage="day",
    severity="error",
    says="the exchange lies inside a slot, a register at it is not known: give install_register and removal_register",
    routes="flag; the cell is missing",
    examples=(
        DayExample(
            "both registers lacking at 12:07",
            (Hung((0,) * 49, until="12:07"), Hung((0,) * 49, since="12:07")),
            ((24, 2),),
        ),
        DayExample(
            "the final one lacking",
            (Hung((0,) * 49, until="12:07"), Hung((0,) * 49, since="12:07", first=0)),
            ((24, 1),),
        ),
        DayExample(
            "the initial one lacking",
            (Hung((0,) * 49, until="12:07", last=0), Hung((0,) * 49, since="12:07")),
            ((24, 1),),
        ),
        DayExample("both given", (Hung((0,) * 49, until="12:07", last=0), Hung((0,) * 49, since="12:07", first=0)), ()),
        DayExample(
            "at 12:00, where reads tell them", (Hung((0,) * 49, until="12:00"), Hung((0,) * 49, since="12:00")), ()
        ),
    ),
    judge=_judge,
    amount="registers lacking",
)
