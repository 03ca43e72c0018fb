# SPDX-License-Identifier: Apache-2.0
"""Reference days: which earlier days of a point are like a day, and what they say of one of its slots.

A day serves only if all of its cells are exact, if it is of the same kind, and if the same supply row covers it: before
that another customer may have lived there, and another retailer may not be told of it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import ROLLOVER
from pipeline.estimates.share_kernels import mean
from pipeline.jit import kernel

SLOTS_PER_DAY: Final = 48
NO_MEAN: Final = -1


@kernel
def mark_exact(quality: NDArray[np.uint8], exact: NDArray[np.bool_]) -> None:
    """Mark the days of which every cell is a difference of registers that nothing speaks against."""
    for day in range(len(exact)):
        exact[day] = True
        for slot in range(day * SLOTS_PER_DAY, (day + 1) * SLOTS_PER_DAY):
            if quality[slot] > ROLLOVER:
                exact[day] = False


@kernel
def like_days(
    exact: NDArray[np.bool_], kind: NDArray[np.uint8], day: int, lookback: int, since: int, chosen: NDArray[np.int32]
) -> int:
    """Choose the latest days like `day` among the `lookback` before it, none before `since`; returns how many.

    Days count from the first one looked at. `chosen` has room for as many as are wanted; the latest stands first.
    """
    count = 0
    for other in range(day - 1, max(since, day - lookback, 0) - 1, -1):
        if count == len(chosen):
            break
        if exact[other] and kind[other] == kind[day]:
            chosen[count] = other
            count += 1
    return count


@kernel
def like_mean(energy: NDArray[np.int64], chosen: NDArray[np.int32], count: int, code: int) -> int:
    """Return the mean energy of some days at the slot `code` of the day, from 0; `NO_MEAN` where there is no day."""
    if count == 0:
        return NO_MEAN
    total = np.int64(0)
    for k in range(count):
        total += energy[chosen[k] * SLOTS_PER_DAY + code]
    return mean(total, count)
