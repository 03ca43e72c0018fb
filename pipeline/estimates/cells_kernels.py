# SPDX-License-Identifier: Apache-2.0
"""The cells of a point, slot after slot, as known at an instant: quick where one meter counts all of them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import MISSING, MS_PER_SLOT, Dated, difference
from pipeline.jit import kernel
from pipeline.month_kernels import Gathered, span_value

NO_ROW: Final = -1


@kernel
def plain_row(dated: Dated, regs: Gathered, p: int, begin: int, end: int, instant_ms: int) -> int:
    """Return the installation row that alone counts the slots [begin, end) of a point, `NO_ROW` for none such.

    One whose registers an operator decided on is none.
    """
    begin_ms, end_ms = begin * MS_PER_SLOT, end * MS_PER_SLOT
    found = NO_ROW
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        from_ms, to_ms = dated.install_from_ms[row], dated.install_to_ms[row]
        known = dated.install_rec_from[row] <= instant_ms < dated.install_rec_to[row]
        if known and from_ms < end_ms and to_ms > begin_ms:
            if found != NO_ROW or from_ms >= begin_ms or to_ms <= end_ms:
                return NO_ROW
            found = row
    if found != NO_ROW:
        place = regs.place[dated.install_local[found]]
        if regs.other_at[place] != regs.other_at[place + 1]:
            return NO_ROW
    return found


@kernel
def plain_cells(
    value: NDArray[np.uint32],
    arrival: NDArray[np.int64],
    modulus: int,
    factor: int,
    cap_dwh: int,
    instant_ms: int,
    quality: NDArray[np.uint8],
    energy: NDArray[np.int64],
) -> None:
    """Fill in the cells between registers of one installation, stamp after stamp."""
    for k in range(len(quality)):
        found, dwh = MISSING, np.int64(0)
        if arrival[k] <= instant_ms and arrival[k + 1] <= instant_ms:
            found, dwh = difference(np.int64(value[k]), np.int64(value[k + 1]), modulus, factor, cap_dwh)
        quality[k], energy[k] = found, dwh


@kernel
def cells_of(
    dated: Dated,
    regs: Gathered,
    p: int,
    begin: int,
    cap_dwh: int,
    instant_ms: int,
    quality: NDArray[np.uint8],
    energy: NDArray[np.int64],
) -> None:
    """Fill in the cells of the point `p` from the slot `begin` on, which is the first stamp of the registers."""
    row = plain_row(dated, regs, p, begin, begin + len(quality), instant_ms)
    if row != NO_ROW:
        place = regs.place[dated.install_local[row]]
        modulus, factor = dated.install_modulus[row], dated.install_factor[row]
        plain_cells(regs.value[place], regs.arrival[place], modulus, factor, cap_dwh, instant_ms, quality, energy)
        return
    for k in range(len(quality)):
        found, dwh = span_value(dated, regs, p, begin + k, begin + k + 1, cap_dwh, instant_ms)
        quality[k], energy[k] = found, dwh
