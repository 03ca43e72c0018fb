# SPDX-License-Identifier: Apache-2.0
"""Demand and generation: which registers count a point. Energy of the one is never a part of the other's sums."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.master import MasterView

DIRECTIONS: Final = ("demand", "generation", "mixed", "unknown")
"""A point is counted by import registers, by export registers, by both, or by none that is known."""
DEMAND, GENERATION, MIXED, UNKNOWN = DIRECTIONS
_NUMBERS: Final = np.array([3, 0, 1, 2], np.uint8)
"""By import, 1, and export, 2."""
_DIRECTION_AT: Final = 4
"""An area's number lies below."""


def direction_numbers(imports: NDArray[np.bool_], exports: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the numbers of directions of points that have registers of these kinds."""
    return _NUMBERS[imports.view(np.uint8) | exports.view(np.uint8) << np.uint8(1)]


@lru_cache(maxsize=2)
def areas_by_direction(view: MasterView) -> NDArray[np.uint8]:
    """Return of each point its area and its direction in one number, as kernels take areas to add up by.

    The direction is that of all registers the point ever had: a fixed number, made once for a master version.
    """
    found = np.empty(len(view.area), np.uint8)
    for first, last in zip(view.shard_points[:-1].tolist(), view.shard_points[1:].tolist(), strict=True):
        rows = view.install_of[first : last + 1] - view.install_of[first]
        registers = view.install_register[view.install_of[first] : view.install_of[last]]
        number = _of_points(rows, np.append(registers, np.uint8(0)))
        found[first:last] = view.area[first:last] | number << np.uint8(_DIRECTION_AT)
    found.flags.writeable = False  # as the mapped columns of a master version are
    return found


def _of_points(offsets: NDArray[np.int64], registers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the numbers of directions of points, of which nearly all have one register: import, 0, or export, 1."""
    number = registers[offsets[:-1]]
    counts = np.diff(offsets)
    odd = np.flatnonzero(counts != 1)
    counts, owner = counts[odd], np.repeat(np.arange(len(odd)), counts[odd])
    row = np.repeat(offsets[odd] - (np.cumsum(counts) - counts), counts) + np.arange(len(owner))
    imports, exports = np.zeros((2, len(odd)), np.bool_)
    imports[owner[registers[row] == 0]] = True
    exports[owner[registers[row] == 1]] = True
    number[odd] = direction_numbers(imports, exports)
    return number


def area_and_direction(number: int) -> tuple[int, str]:
    """Take a number of `areas_by_direction` apart."""
    direction, area = divmod(number, 1 << _DIRECTION_AT)
    return area, DIRECTIONS[direction]
