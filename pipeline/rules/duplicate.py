# SPDX-License-Identifier: Apache-2.0
"""The same register of the same meter and stamp again: nothing new."""

from pipeline.rules.rule import METER, RowExample, Rule

RULE = Rule(
    code="duplicate",
    stage="row",
    severity="info",
    says="the same register came for the same stamp before",
    routes="ignored",
    examples=(
        RowExample(
            "7 twice",
            ((METER, "17:00:00", "17:05:00", 7, None), (METER, "17:00:00", "17:06:00", 7, None)),
            {"accepted": 1, "duplicate": 1},
        ),
        RowExample(
            "7 at two stamps",
            ((METER, "17:00:00", "17:05:00", 7, None), (METER, "17:30:00", "17:36:00", 7, None)),
            {"accepted": 2},
        ),
    ),
)
