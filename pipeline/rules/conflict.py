# SPDX-License-Identifier: Apache-2.0
"""Another register of the same meter and stamp: the earliest arrival counts, at equal times the smaller register."""

from pipeline.rules.rule import METER, RowExample, Rule

RULE = Rule(
    code="conflict",
    stage="row",
    severity="error",
    says="another register is known for this stamp: decide which is true, then supersede or correct the master",
    routes="quarantine",
    examples=(
        RowExample(
            "7, then 8",
            ((METER, "17:00:00", "17:05:00", 7, None), (METER, "17:00:00", "17:06:00", 8, None)),
            {"accepted": 1, "conflict": 1},
        ),
        RowExample(
            "7 and 8 at once",
            ((METER, "17:00:00", "17:05:00", 8, None), (METER, "17:00:00", "17:05:00", 7, None)),
            {"accepted": 1, "conflict": 1},
        ),
        RowExample(
            "another register than the master gives at the meter's installation",
            (("C", "12:00:00", "12:05:00", 6, None),),
            {"conflict": 1},
        ),
        RowExample("the register that the master gives", (("C", "12:00:00", "12:05:00", 5, None),), {"accepted": 1}),
    ),
)
