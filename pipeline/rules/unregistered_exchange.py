# SPDX-License-Identifier: Apache-2.0
"""A register that goes back once and then goes on well: another meter, of which the master does not know."""

from pipeline.quality import BACKWARD
from pipeline.rules.day import DayFacts, DayRule, Found
from pipeline.rules.fact_kernels import NEVER
from pipeline.rules.rule import DayExample, Hung


def _judge(facts: DayFacts, least: int) -> Found:
    found = facts.gathered
    back = found.first[:, BACKWARD]
    return facts.where((back != NEVER) & (found.after >= least), back, found.after)


RULE = DayRule(
    code="unregistered_exchange",
    stage="day",
    severity="error",
    says="the register went back and then went on well: register the exchange of the meter",
    routes="flag; the cell is backward",
    threshold="unregistered_exchange_slots",
    examples=(
        DayExample("from 900 to 0 in slot 4, then 44 good slots", (Hung((900,) * 4 + tuple(range(45))),), ((3, 44),)),
        DayExample("back in the last slot but four", (Hung((900,) * 44 + (0, 1, 2, 3, 4)),), ((43, 4),)),
        DayExample("back in the last slot but three", (Hung((900,) * 45 + (0, 1, 2, 3)),), ()),
        DayExample("back again, three slots ago", (Hung((900,) * 20 + (500,) * 25 + (0, 1, 2, 3)),), ()),
        DayExample("never back", (Hung(tuple(range(49))),), ()),
    ),
    judge=_judge,
    amount="good slots since",
)
