# SPDX-License-Identifier: Apache-2.0
"""A read that no installation takes: an unknown meter, one that was not hung then, a register that feeds no point."""

from pipeline.rules.rule import METER, RowExample, Rule

RULE = Rule(
    code="unknown_meter",
    stage="row",
    severity="warning",
    says="no installation of the master takes the read: is an exchange not registered?",
    routes="held until the master tells of the meter",
    examples=(
        RowExample("a meter nobody knows", (("B", "17:00:00", "17:05:00", 1, None),), {"unknown_meter": 1}),
        RowExample(
            "a register that feeds no point",
            ((METER, "17:00:00", "17:05:00", 1, 2),),
            {"accepted": 1, "unknown_meter": 1},
        ),
    ),
)
