# SPDX-License-Identifier: Apache-2.0
"""Sharing a known energy out: whole parts that add up to it exactly, by largest remainder."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel

WEIGHTS_SUM_MAX: Final = (1 << 31) - 1
"""A remainder times a weight stays within int64."""
_STEEP_MAX: Final = 1 << 45
"""An energy times a few thousand slots stays within int64."""


@kernel
def share(total: int, weights: NDArray[np.int64], parts: NDArray[np.int64]) -> None:
    """Share `total` out in proportion to `weights`, none of which is negative; `parts` add up to `total` exactly.

    What rounding down leaves goes one by one to the parts with the largest remainders, at equal ones to the earlier
    part. All weights 0 count as equal ones. Weights too large for exact products lose their lowest bits first.
    """
    count = len(weights)
    greatest = np.int64(0)
    for k in range(count):
        greatest = max(greatest, weights[k])
    shift = 0
    while greatest >> shift > WEIGHTS_SUM_MAX // count:
        shift += 1
    whole = np.int64(0)
    for k in range(count):
        whole += weights[k] >> shift
    flat = whole == 0
    if flat:
        whole = np.int64(count)
    each, rest = total // whole, total % whole
    remainder = np.empty(count, np.int64)
    left = total
    for k in range(count):
        weight = np.int64(1) if flat else weights[k] >> shift
        parts[k] = each * weight + rest * weight // whole
        remainder[k] = rest * weight % whole
        left -= parts[k]
    order = np.argsort(-remainder, kind="mergesort")  # stable: the earlier of two equal ones stays first
    for k in range(left):
        parts[order[k]] += 1


@kernel
def slope(before: int, after: int, weights: NDArray[np.int64]) -> None:
    """Weight slots along the line from the energy before them to the one after; -1 where there is none.

    One neighbour alone makes the line flat, none makes all weights equal.
    """
    count = len(weights)
    if before < 0:
        before = after
    if after < 0:
        after = before
    if before < 0:
        weights[:] = 1
        return
    while max(before, after) > _STEEP_MAX:
        before, after = before >> 1, after >> 1
    for k in range(count):
        weights[k] = before * (count - k) + after * (k + 1)


@kernel
def on_line(before: int, after: int, k: int, count: int) -> int:
    """Return the k-th of `count` energies on the line between two, rounded down."""
    step, rest = (after - before) // (count + 1), (after - before) % (count + 1)
    return before + step * (k + 1) + rest * (k + 1) // (count + 1)


@kernel
def mean(total: int, count: int) -> int:
    """Return the mean of energies that add up to `total`, halves rounded up."""
    return (2 * total + count) // (2 * count)
