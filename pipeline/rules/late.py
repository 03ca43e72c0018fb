# SPDX-License-Identifier: Apache-2.0
"""A read that comes after the slot it ends has closed: the cell went out as missing, a revision brings the value."""

import numpy as np
from numpy.typing import NDArray

from pipeline.handover.batch import ReadBatch
from pipeline.rules.row_kernels import MS_PER_SLOT, count_late
from pipeline.rules.rows import Bounds, Reach, RowRule
from pipeline.rules.rule import METER, RowExample

CLOSING_MS = 2_700_000
"""The closing instant of a slot, after its end."""


def _apply(
    batch: ReadBatch, reach: Reach, bounds: Bounds, verdict: NDArray[np.uint8], stamp: NDArray[np.int32], code: int
) -> int:
    del bounds, code
    if reach.last_received <= reach.first_read - MS_PER_SLOT // 2 + CLOSING_MS:
        return 0
    registers = (batch.import_register, batch.export_register)
    return sum(count_late(stamp, batch.received_ms, CLOSING_MS, each, verdict) for each in registers)


RULE = RowRule(
    code="late",
    stage="row",
    severity="info",
    says="the read came after its slot was closed: a revision brings what it changes",
    routes="taken; revision",
    fixed=f"{CLOSING_MS // 60_000} min",
    examples=(
        RowExample(
            "17:00:00, received 17:45:01", ((METER, "17:00:00", "17:45:01", 1, None),), {"accepted": 1, "late": 1}
        ),
        RowExample("17:00:00, received 17:45:00", ((METER, "17:00:00", "17:45:00", 1, None),), {"accepted": 1}),
        RowExample("17:15:00, received 18:30:00", ((METER, "17:15:00", "18:30:00", 1, None),), {"off_grid": 1}),
    ),
    apply=_apply,
    flags="late",
)
