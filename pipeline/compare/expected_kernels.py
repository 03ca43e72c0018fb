# SPDX-License-Identifier: Apache-2.0
"""Kernel that says why a master does not expect cells."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel

UNKNOWN_POINT, VOLTAGE, NOT_SUPPLIED, RETAILER, EXPECTED = range(5)
_OPEN_MS: Final = 2**62


@kernel
def reasons(
    positions: NDArray[np.int64],
    retailer: int,
    slot: int,
    attr: tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]],
    supply: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16], NDArray[np.int64]],
    out: NDArray[np.uint8],
) -> None:
    """Write a reason for each point, by what is known now.

    Args:
        positions: of the points in the master, -1 for unknown ones.
        retailer: index of the retailer that got the cells, -1 for one the master does not know.
        slot: of the cells.
        attr: rows of a point, voltage (0 = low), end of being known.
        supply: rows of a point, first slot, end, retailer, end of being known.
        out: one reason each.

    """
    attr_of, voltage, attr_known = attr
    supply_of, first, end, owner, supply_known = supply
    for i in range(len(positions)):
        p = positions[i]
        if p < 0:
            out[i] = UNKNOWN_POINT
            continue
        high, supplied, his = False, False, False
        for row in range(attr_of[p], attr_of[p + 1]):
            if attr_known[row] == _OPEN_MS and voltage[row] != 0:
                high = True
        for row in range(supply_of[p], supply_of[p + 1]):
            if supply_known[row] == _OPEN_MS and first[row] <= slot < end[row]:
                supplied = True
                his = his or np.int64(owner[row]) == retailer
        if high:
            out[i] = VOLTAGE
        elif not supplied:
            out[i] = NOT_SUPPLIED
        else:
            out[i] = EXPECTED if his else RETAILER
