# SPDX-License-Identifier: Apache-2.0
"""A stamp later than its arrival: one of two clocks is wrong."""

import numpy as np
from numpy.typing import NDArray

from pipeline.handover.batch import ReadBatch
from pipeline.rules.row_kernels import mark_later
from pipeline.rules.rows import FUTURE_SLACK_MS, Bounds, Reach, RowRule
from pipeline.rules.rule import METER, RowExample


def _apply(
    batch: ReadBatch, reach: Reach, bounds: Bounds, verdict: NDArray[np.uint8], stamp: NDArray[np.int32], code: int
) -> int:
    del bounds, stamp
    if reach.last_read > reach.first_received + FUTURE_SLACK_MS:
        mark_later(batch.read_at_ms, batch.received_ms, FUTURE_SLACK_MS, verdict, code)
    return 0


RULE = RowRule(
    code="future",
    stage="row",
    severity="error",
    says="the stamp is later than the arrival: check the clocks of meter and head-end",
    routes="quarantine",
    fixed=f"{FUTURE_SLACK_MS // 1000} s",
    examples=(
        RowExample("17:00:00, received 16:56:59", ((METER, "17:00:00", "16:56:59", 1, None),), {"future": 1}),
        RowExample("17:00:00, received 16:57:00", ((METER, "17:00:00", "16:57:00", 1, None),), {"accepted": 1}),
        RowExample(
            "one received 180 s before its stamp, one 181 s",
            ((METER, "17:00:00", "16:57:00", 1, None), (METER, "17:30:00", "17:26:59", 2, None)),
            {"accepted": 1, "future": 1},
        ),
    ),
    apply=_apply,
)
