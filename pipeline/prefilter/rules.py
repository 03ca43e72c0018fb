# SPDX-License-Identifier: Apache-2.0
"""The rules on rows at work, in the order in which they judge.

A row keeps the first verdict it gets; a rule changes no value.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.handover.batch import ReadBatch
from pipeline.handover.column_kernels import extent
from pipeline.rules.rows import Bounds, Reach, RowRule
from pipeline.rules.table import RULES as ALL

RULES: tuple[RowRule, ...] = tuple(each for each in ALL if isinstance(each, RowRule))


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules say of a batch.

    Attributes:
        verdict: of each row the rule that refused it, k for `RULES[k - 1]`, 0 for none.
        stamp: slot boundary of each row.
        flagged: how many each counter of flags counts.
    """

    verdict: NDArray[np.uint8]
    stamp: NDArray[np.int32]
    flagged: Mapping[str, int]


def judge(batch: ReadBatch, bounds: Bounds) -> Judged:
    """Apply all rules to `batch`."""
    rows = len(batch.read_at_ms)
    verdict = np.zeros(rows, np.uint8)
    stamp = np.empty(rows, np.int32)
    if rows == 0:
        return Judged(verdict, stamp, {rule.flags or rule.code: 0 for rule in RULES})
    reach = Reach(*extent(batch.read_at_ms), *extent(batch.received_ms))
    flagged = {
        rule.flags or rule.code: rule.apply(batch, reach, bounds, verdict, stamp, code)
        for code, rule in enumerate(RULES, 1)
    }
    return Judged(verdict, stamp, flagged)
