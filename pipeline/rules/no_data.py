# SPDX-License-Identifier: Apache-2.0
"""The meter's no-data value, FFFFFFFE, and a null: no read. Zero is one."""

from pipeline.rules.rule import METER, RowExample, Rule

NO_DATA = 0xFFFFFFFE

RULE = Rule(
    code="no_data",
    stage="row",
    severity="info",
    says="the meter had no register to send: the slots at this stamp are missing until a read comes",
    routes="no read",
    examples=(
        RowExample("FFFFFFFE", ((METER, "17:00:00", "17:05:00", NO_DATA, None),), {"no_data": 1}),
        RowExample("null", ((METER, "17:00:00", "17:05:00", None, None),), {}),
        RowExample("0", ((METER, "17:00:00", "17:05:00", 0, None),), {"accepted": 1}),
        RowExample(
            "7 at 17:00, FFFFFFFE at 17:30",
            ((METER, "17:00:00", "17:05:00", 7, None), (METER, "17:30:00", "17:35:00", NO_DATA, None)),
            {"accepted": 1, "no_data": 1},
        ),
        RowExample("7 and FFFFFFFE", ((METER, "17:00:00", "17:05:00", 7, NO_DATA),), {"accepted": 1, "no_data": 1}),
    ),
)
