# SPDX-License-Identifier: Apache-2.0
"""No meter hangs at the point in the slot."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="no_meter",
    stage="cell",
    severity="warning",
    says="no installation feeds the point: register the meter",
    routes="no value",
    examples=(
        CellExample("no meter", (), ("no_meter", 0)),
        CellExample("a meter from the slot's end on", (Hung(since="12:30"),), ("no_meter", 0)),
    ),
)
