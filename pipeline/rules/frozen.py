# SPDX-License-Identifier: Apache-2.0
"""The same energy, not 0, in every slot: a meter that repeats itself, or an appliance that never changes."""

from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    found = facts.gathered
    return facts.where(found.longest >= least, None, found.longest)


RULE = DayRule(
    code="frozen",
    stage="day",
    severity="info",
    says="every slot has the same energy: does the meter repeat itself?",
    routes="flag",
    threshold="frozen_slots",
    examples=(
        DayExample("3 units in each of 48 slots", (Hung(tuple(range(0, 147, 3))),), ((-1, 48),)),
        DayExample("3 units in 47 slots, then 4", (Hung((*range(0, 144, 3), 145)),), ()),
        DayExample("nothing in 48 slots", (Hung((9,) * 49),), ()),
        DayExample("one register lost", (Hung((*range(0, 72, 3), None, *range(75, 147, 3))),), ()),
    ),
    judge=_judge,
    amount="slots in a row",
)
