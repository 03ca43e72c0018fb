# SPDX-License-Identifier: Apache-2.0
"""An exchange to a meter with other digits, unit or coefficient: a register of one is not a register of the other."""

from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.exchanges import exchanges, flagged
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    del least
    found, view = exchanges(facts), facts.view
    factor, modulus = view.install_factor, view.install_modulus
    other = (factor[found.old] != factor[found.new]) | (modulus[found.old] != modulus[found.new])
    return flagged(facts, found, other, factor[found.new])


RULE = DayRule(
    code="unit_change",
    stage="day",
    severity="warning",
    says="digits, unit or coefficient changed with the meter: compare them with the meter's plate",
    routes="flag; each meter counts by its own",
    examples=(
        DayExample(
            "0.1 to 0.01 kWh",
            (Hung((0,) * 49, until="12:00"), Hung((0,) * 49, since="12:00", unit_exponent=-2)),
            ((23, 100),),
        ),
        DayExample(
            "6 to 8 digits", (Hung((0,) * 49, until="12:00"), Hung((0,) * 49, since="12:00", digits=8)), ((23, 1_000),)
        ),
        DayExample(
            "coefficient 1 to 10",
            (Hung((0,) * 49, until="12:00"), Hung((0,) * 49, since="12:00", coefficient=10)),
            ((23, 10_000),),
        ),
        DayExample("the same", (Hung((0,) * 49, until="12:00"), Hung((0,) * 49, since="12:00")), ()),
    ),
    judge=_judge,
    amount="0.1 Wh a unit of the new meter's register",
)
