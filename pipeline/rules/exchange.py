# SPDX-License-Identifier: Apache-2.0
"""One meter after another: each counts from its first register to its last, by its own digits, unit and coefficient."""

import numpy as np

from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.exchanges import exchanges, flagged
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    del least
    found = exchanges(facts)
    every = np.ones(len(found.old), np.bool_)
    return flagged(facts, found, every, every.astype(np.int64))


RULE = DayRule(
    code="exchange",
    stage="day",
    severity="info",
    says="the meter was exchanged",
    routes="flag; the cell is the sum of both meters",
    examples=(
        DayExample(
            "at 12:07 in slot 25",
            (Hung((0,) * 49, until="12:07", last=0), Hung((0,) * 49, since="12:07", first=0)),
            ((24, 1),),
        ),
        DayExample(
            "at 12:00, the end of slot 24", (Hung((0,) * 49, until="12:00"), Hung((0,) * 49, since="12:00")), ((23, 1),)
        ),
        DayExample("at the day's first moment", (Hung((0,) * 49, until="00:00"), Hung((0,) * 49, since="00:00")), ()),
        DayExample(
            "at the day's last moment", (Hung((0,) * 49, until="00:00+1"), Hung((0,) * 49, since="00:00+1")), ((47, 1),)
        ),
        DayExample("a meter removed, none hung", (Hung((0,) * 49, until="12:00"),), ()),
        DayExample("one meter all day", (Hung((0,) * 49),), ()),
    ),
    judge=_judge,
    amount="meters that came",
)
