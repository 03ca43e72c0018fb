# SPDX-License-Identifier: Apache-2.0
"""What blocks of points have in common, measured once when a version is made."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import Dated
from pipeline.plain_kernels import BLOCK, MEASURES, measure_blocks

BLOCKS = ("block_of", "block_measures")


def measured(array: Callable[[str], NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays `BLOCKS` of a version of which `array` gives the others. No block lies in two shards."""
    dated = Dated(**{name: array(name) for name in Dated._fields})
    bounds = array("shard_points")
    block_of = np.concatenate([[0], np.cumsum(-(-np.diff(bounds) // BLOCK))]).astype(np.int64)
    blocks = np.zeros((int(block_of[-1]), MEASURES), np.int64)
    for shard in range(len(block_of) - 1):
        mine = blocks[block_of[shard] : block_of[shard + 1]]
        measure_blocks(dated, int(bounds[shard]), int(bounds[shard + 1]), mine)
    return {"block_of": block_of, "block_measures": blocks.ravel()}
