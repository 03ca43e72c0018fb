# SPDX-License-Identifier: Apache-2.0
"""A stamp between two slot boundaries: no slot can be told from it."""

import numpy as np
from numpy.typing import NDArray

from pipeline.handover.batch import ReadBatch
from pipeline.rules.row_kernels import MS_PER_SLOT, snap_near, snap_to_grid
from pipeline.rules.rows import Bounds, Reach, RowRule
from pipeline.rules.rule import METER, RowExample

_NEAR_MS = 2**32 - 1 - MS_PER_SLOT
"""How far apart times may lie for `snap_near`, which counts from up to a slot before the first of them."""


def _apply(
    batch: ReadBatch, reach: Reach, bounds: Bounds, verdict: NDArray[np.uint8], stamp: NDArray[np.int32], code: int
) -> int:
    tolerance_ms = bounds.tolerance_ms
    first_slot = (reach.first_read + MS_PER_SLOT // 2) // MS_PER_SLOT
    last_slot = (reach.last_read + MS_PER_SLOT // 2) // MS_PER_SLOT
    near = reach.last_read - reach.first_read <= _NEAR_MS and -(2**31) <= first_slot <= last_slot <= 2**31 - 2
    if near and 0 <= tolerance_ms < 2**32:
        return snap_near(batch.read_at_ms, first_slot, tolerance_ms, verdict, code, stamp)
    return snap_to_grid(batch.read_at_ms, tolerance_ms, verdict, code, stamp)


RULE = RowRule(
    code="off_grid",
    stage="row",
    severity="error",
    says="the stamp lies between two slot boundaries: check the meter's clock",
    routes="quarantine",
    threshold="KOMA_STAMP_TOLERANCE_S",
    examples=(
        RowExample("17:03:01", ((METER, "17:03:01", "17:05:00", 1, None),), {"off_grid": 1}),
        RowExample("16:56:59", ((METER, "16:56:59", "17:05:00", 1, None),), {"off_grid": 1}),
        RowExample("17:15:00", ((METER, "17:15:00", "17:20:00", 1, None),), {"off_grid": 1}),
        RowExample("17:00:00", ((METER, "17:00:00", "17:05:00", 1, None),), {"accepted": 1}),
    ),
    apply=_apply,
    flags="moved",
)
