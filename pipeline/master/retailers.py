# SPDX-License-Identifier: Apache-2.0
"""The rows of retailers.csv: names of codes. A row without later facts of its code says what is known from then on."""

import numpy as np
from numpy.typing import NDArray

from pipeline.master.ledger import Columns
from pipeline.master.ledger_kernels import IDLE, NEW, SUPERSEDING, UNCHANGED
from pipeline.master.rows import Rows
from pipeline.master.rules import Fault


def judge_retailers(rows: Rows, known: Columns) -> NDArray[np.uint8]:
    """Say of each row what it does; rows of one code that contradict each other are bad.

    Args:
        rows: of retailers.csv; their fault may change.
        known: `retailer` and `content` of all rows imported so far, in order.

    """
    status = np.full(len(rows), IDLE, np.uint8)
    code, content = rows.columns["retailer"], rows.columns["content"]
    good = np.flatnonzero(rows.fault == Fault.NONE)
    codes, first, group = np.unique(code[good], return_index=True, return_inverse=True)
    contradicts = np.zeros(len(codes), bool)
    np.logical_or.at(contradicts, group, content[good] != content[good[first]][group])
    rows.fault[good[contradicts[group]]] = Fault.DUPLICATE
    status[good] = UNCHANGED
    leads = good[first[~contradicts]]
    was_known = np.zeros(100_000, bool)
    was_known[known["retailer"]] = True
    says = np.zeros(100_000, np.uint64)
    says[known["retailer"]] = known["content"]  # the last of a code stays
    news = ~was_known[code[leads]]
    status[leads[news]] = NEW
    status[leads[~news & (says[code[leads]] != content[leads])]] = SUPERSEDING
    status[rows.fault != Fault.NONE] = IDLE
    return status
