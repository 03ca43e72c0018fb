# SPDX-License-Identifier: Apache-2.0
"""Reads against the registers that the master gives at installation and removal: those stand, whatever a meter says."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.master import MasterView
from pipeline.prefilter.cut_kernels import mark_contradicted, stamp_bounds
from pipeline.prefilter.route import Found, Routed


@dataclass(frozen=True, slots=True)
class Contradicted:
    """Reads that contradict the master."""

    piece: Found
    reads: NDArray[np.int64]


def split_contradicted(routed: Routed, view: MasterView) -> tuple[Routed, tuple[Contradicted, ...]]:
    """Take the reads out that differ from the register the master gives for their installation and stamp."""
    if len(view.given_stamp) == 0:
        return routed, ()
    against: list[Contradicted] = []

    def agreeing(piece: Found) -> Found:
        first, last = stamp_bounds(piece.row, piece.stamp)
        span = slice(*np.searchsorted(view.given_stamp, [first, last + 1]))
        stamp, install, value = view.given_stamp[span], view.given_install[span], view.given_value[span]
        if len(stamp) == 0:
            return piece
        order = np.lexsort((stamp, install))
        bad = np.zeros(len(piece.install), np.uint8)
        given = install[order], stamp[order], value[order]
        if mark_contradicted(piece.install, piece.row, piece.stamp, piece.value, *given, bad) == 0:
            return piece
        against.append(Contradicted(piece, np.flatnonzero(bad)))
        return piece.without(bad == 1)

    found, shared = (tuple(agreeing(each) for each in pieces) for pieces in (routed.found, routed.shared))
    return replace(routed, found=found, shared=shared), tuple(against)
