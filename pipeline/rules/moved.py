# SPDX-License-Identifier: Apache-2.0
"""A stamp beside a slot boundary: the meter's clock is a little off, the boundary is meant.

It is found in the same pass over the stamps as `off_grid`.
"""

from pipeline.rules.rule import METER, RowExample, Rule

RULE = Rule(
    code="moved",
    stage="row",
    severity="info",
    says="the stamp lies near a slot boundary and counts as that",
    routes="taken at the boundary",
    threshold="KOMA_STAMP_TOLERANCE_S",
    examples=(
        RowExample("17:02:59", ((METER, "17:02:59", "17:05:00", 1, None),), {"accepted": 1, "moved": 1}),
        RowExample("17:03:00", ((METER, "17:03:00", "17:05:00", 1, None),), {"accepted": 1, "moved": 1}),
        RowExample("16:57:00", ((METER, "16:57:00", "17:05:00", 1, None),), {"accepted": 1, "moved": 1}),
        RowExample("17:00:00", ((METER, "17:00:00", "17:05:00", 1, None),), {"accepted": 1}),
    ),
)
