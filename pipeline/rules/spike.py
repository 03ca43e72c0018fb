# SPDX-License-Identifier: Apache-2.0
"""More energy than the contract makes plausible."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="spike",
    stage="cell",
    severity="warning",
    says="more energy than the contracted capacity makes plausible: ask whether it is true",
    routes="delivered",
    threshold="KOMA_CAP_FACTOR",
    examples=(
        CellExample("one unit above the cap", (Hung((0, 2_001)),), ("spike", 2_001_000)),
        CellExample("the cap", (Hung((0, 2_000)),), ("actual", 2_000_000)),
        CellExample("above a smaller contract's cap", (Hung((0, 61)),), ("spike", 61_000), cap_dwh=60_000),
    ),
)
