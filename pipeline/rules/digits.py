# SPDX-License-Identifier: Apache-2.0
"""A register with more digits than the meter has: the difference modulo those of the meter."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="digits",
    stage="cell",
    severity="warning",
    says="a register has more digits than the master gives the meter: correct the digits, or find the fault",
    routes="delivered",
    examples=(
        CellExample("1000000 at 6 digits", (Hung((999_999, 1_000_000)),), ("digits", 1_000)),
        CellExample("999999 at 6 digits", (Hung((999_998, 999_999)),), ("actual", 1_000)),
        CellExample("7 digits before, 6 after", (Hung((1_999_998, 3)),), ("digits", 5_000)),
        CellExample("far beyond, above the cap", (Hung((0, 1_900_000)),), ("spike", 900_000_000)),
    ),
)
