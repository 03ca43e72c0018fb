# SPDX-License-Identifier: Apache-2.0
"""The register passed its highest value: the difference modulo 10 to its digits."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="rollover",
    stage="cell",
    severity="info",
    says="the register rolled over inside the slot",
    routes="delivered",
    threshold="KOMA_CAP_FACTOR",
    examples=(
        CellExample("999998 to 3 at 6 digits", (Hung((999_998, 3)),), ("rollover", 5_000)),
        CellExample(
            "the same at coefficient 10 and 0.01 kWh",
            (Hung((999_998, 3), unit_exponent=-2, coefficient=10),),
            ("rollover", 5_000),
        ),
        CellExample("up to the cap", (Hung((999_000, 1_000)),), ("rollover", 2_000_000)),
    ),
)
