# SPDX-License-Identifier: Apache-2.0
"""The point's meter was taken away before the slot."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="removed",
    stage="cell",
    severity="info",
    says="the meter was removed before the slot: the point leaves by the end of its supply",
    routes="no value",
    examples=(
        CellExample("removed at the slot's start", (Hung(until="12:00"),), ("removed", 0)),
        CellExample("removed at the slot's end", (Hung((100, None), until="12:30", last=103),), ("actual", 3_000)),
    ),
)
