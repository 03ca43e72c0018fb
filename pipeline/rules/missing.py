# SPDX-License-Identifier: Apache-2.0
"""A register at one end is not known: no value, and never 0."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="missing",
    stage="cell",
    severity="error",
    says="a register at one end of the slot is not known: find out why the meter was not read",
    routes="no value",
    examples=(
        CellExample("no read at the start", (Hung((None, 105)),), ("missing", 0)),
        CellExample("no read at the end", (Hung((100, None)),), ("missing", 0)),
        CellExample("no read at the start, removed at the end", (Hung((None, 105), until="12:30"),), ("missing", 0)),
        CellExample("no read at the end, hung at the start", (Hung((100, None), since="12:00"),), ("missing", 0)),
        CellExample("nothing used", (Hung((100, 100)),), ("actual", 0)),
    ),
)
