# SPDX-License-Identifier: Apache-2.0
"""No register of a point for the whole day."""

from pipeline.quality import MISSING
from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    missing = facts.gathered.cells[:, MISSING]
    return facts.where(missing >= least, None, missing)


RULE = DayRule(
    code="silent",
    stage="day",
    severity="error",
    says="no register came for the whole day: is the meter reachable, was it exchanged?",
    routes="flag; the cells are missing",
    threshold="silent_slots",
    examples=(
        DayExample("no register", (Hung((None,) * 49),), ((-1, 48),)),
        DayExample("the first register alone", (Hung((1,) + (None,) * 48),), ((-1, 48),)),
        DayExample("the last two registers", (Hung((None,) * 47 + (1, 2)),), ()),
        DayExample("no meter", (), ()),
    ),
    judge=_judge,
    amount="missing slots",
)
