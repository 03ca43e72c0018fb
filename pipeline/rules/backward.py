# SPDX-License-Identifier: Apache-2.0
"""The register went back by more than a roll-over explains."""

from pipeline.rules.rule import CellExample, Hung, Rule

RULE = Rule(
    code="backward",
    stage="cell",
    severity="error",
    says="the register went back: look for an exchange that is not registered, or a fault of the meter",
    routes="no value",
    threshold="KOMA_CAP_FACTOR",
    examples=(
        CellExample("300 to 298", (Hung((300, 298)),), ("backward", 0)),
        CellExample("one back", (Hung((300, 299)),), ("backward", 0)),
        CellExample("half a turn back", (Hung((900_000, 400_000)),), ("backward", 0)),
        CellExample(
            "300 to 298, then exchanged inside the slot",
            (Hung((300, None), until="12:07", last=298), Hung((None, 4), since="12:07", first=0)),
            ("backward", 0),
        ),
        CellExample("a roll-over above the cap", (Hung((999_000, 1_001)),), ("backward", 0)),
    ),
)
