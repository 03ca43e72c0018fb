# SPDX-License-Identifier: Apache-2.0
"""No use at all for days, at a point that is supplied: a vacant home, or a meter that stands still."""

import numpy as np

from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    chosen = facts.still & facts.supplied(facts.day + 47)
    return facts.where(chosen, None, np.full(len(chosen), least))


RULE = DayRule(
    code="zero_active",
    stage="day",
    severity="info",
    says="the register of a supplied point has not moved for days: is the home vacant, or does the meter stand?",
    routes="flag on the day on which the days are full",
    threshold="zero_active_days",
    examples=(
        DayExample(
            "the register of a week ago, another one the day before", (Hung((7,) * 49),), ((-1, 7),), days_before=(6, 7)
        ),
        DayExample("nothing known the day before", (Hung((7,) * 49),), ((-1, 7),), days_before=(None, 7)),
        DayExample("told of the day before", (Hung((7,) * 49),), (), days_before=(7, 7)),
        DayExample("one unit in the week", (Hung((8,) * 49),), (), days_before=(6, 7)),
        DayExample("the register of a week ago is lost", (Hung((7,) * 49),), (), days_before=(6, None)),
        DayExample("today's last register is lost", (Hung((7,) * 48 + (None,)),), (), days_before=(6, 7)),
        DayExample("nobody supplies the point", (Hung((7,) * 49),), (), days_before=(6, 7), supplied=(0, 47)),
        DayExample(
            "another meter since noon",
            (Hung((7,) * 25, until="12:00"), Hung((0,) * 49, since="12:00")),
            (),
            days_before=(6, 7),
        ),
        DayExample("two meters at the point", (Hung((7,) * 49), Hung((7,) * 49)), (), days_before=(6, 7)),
    ),
    judge=_judge,
    amount="days",
)
