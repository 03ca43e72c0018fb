# SPDX-License-Identifier: Apache-2.0
"""The point has no remote reading: nothing is expected of its meter."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="no_telemetry",
    stage="cell",
    severity="info",
    says="the point is not read remotely",
    routes="no value",
    examples=(
        CellExample("no register and no telemetry", (Hung((None, None)),), ("no_telemetry", 0), telemetry=0),
        CellExample("no meter and no telemetry", (), ("no_telemetry", 0), telemetry=0),
        CellExample("registers all the same", (Hung((100, 105)),), ("actual", 5_000), telemetry=0),
    ),
)
