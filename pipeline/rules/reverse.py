# SPDX-License-Identifier: Apache-2.0
"""The export register of a meter goes up though no generation point is on it."""

from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    chosen = facts.exports.amount >= least
    return Found._make(column[chosen] for column in facts.exports)


RULE = DayRule(
    code="reverse",
    stage="day",
    severity="warning",
    says="electricity flowed back though the meter has no generation point: ask for the contract",
    routes="flag; the reads are held",
    threshold="reverse_units",
    examples=(
        DayExample("one unit up in slot 1", (Hung((0,) * 49),), ((0, 1),), exports=(4, 5)),
        DayExample("five units in three slots", (Hung((0,) * 49),), ((0, 5),), exports=(4, 4, 6, 9)),
        DayExample("it stands", (Hung((0,) * 49),), (), exports=(4, 4, 4)),
        DayExample("no export register", (Hung((0,) * 49),), ()),
    ),
    judge=_judge,
    amount="register units",
)
