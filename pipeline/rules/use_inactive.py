# SPDX-License-Identifier: Apache-2.0
"""Use at a point that nobody supplies."""

from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    found = facts.gathered
    return facts.where(found.unowned_dwh >= least, found.unowned_first, found.unowned_dwh)


RULE = DayRule(
    code="use_inactive",
    stage="day",
    severity="warning",
    says="electricity was used though no retailer supplies the point: register the supply, or cut it off",
    routes="flag; the cells are unassigned",
    threshold="use_inactive_dwh",
    examples=(
        DayExample(
            "a move-out at 12:00, used until 12:30", (Hung((0,) * 25 + (5,) * 24),), ((24, 5_000),), supplied=(0, 24)
        ),
        DayExample("a move-out at 12:30, used until 12:30", (Hung((0,) * 25 + (5,) * 24),), (), supplied=(0, 25)),
        DayExample(
            "a move-out, then 0.1 Wh in the last slot",
            (Hung((0,) * 48 + (1,), unit_exponent=-4),),
            ((47, 1),),
            supplied=(0, 24),
        ),
        DayExample("a move-out, and no use", (Hung((5,) * 49),), (), supplied=(0, 24)),
    ),
    judge=_judge,
    amount="dWh",
)
