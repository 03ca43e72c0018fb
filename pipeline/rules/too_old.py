# SPDX-License-Identifier: Apache-2.0
"""A stamp far before its arrival: what it would change is long settled."""

import numpy as np
from numpy.typing import NDArray

from pipeline.handover.batch import ReadBatch
from pipeline.rules.row_kernels import mark_older
from pipeline.rules.rows import Bounds, Reach, RowRule
from pipeline.rules.rule import METER, RowExample


def _apply(
    batch: ReadBatch, reach: Reach, bounds: Bounds, verdict: NDArray[np.uint8], stamp: NDArray[np.int32], code: int
) -> int:
    del stamp
    if reach.first_read < reach.last_received - bounds.too_old_ms:
        mark_older(batch.read_at_ms, batch.received_ms, bounds.too_old_ms, verdict, code)
    return 0


RULE = RowRule(
    code="too_old",
    stage="row",
    severity="error",
    says="the stamp is older than reads are taken: hand it over by an agreed correction",
    routes="quarantine",
    threshold="KOMA_TOO_OLD_DAYS",
    examples=(
        RowExample(
            "17:00:00, received 45 days and 1 s later", ((METER, "17:00:00", "17:00:01+45", 1, None),), {"too_old": 1}
        ),
        RowExample(
            "17:00:00, received 45 days later",
            ((METER, "17:00:00", "17:00:00+45", 1, None),),
            {"accepted": 1, "late": 1},
        ),
        RowExample(
            "one received 45 days after its stamp, one 1 s later",
            ((METER, "17:00:00", "17:00:00+45", 2, None), (METER, "16:30:00", "16:30:01+45", 1, None)),
            {"accepted": 1, "late": 1, "too_old": 1},
        ),
    ),
    apply=_apply,
)
