# SPDX-License-Identifier: Apache-2.0
"""Cells of a retailer and slot as columns, ascending by point, and how two sides of them are laid beside each other."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.compare import text_kernels as kernels

NO_QUALITY: Final = 255
"""The file does not tell."""
_ID: Final = pa.binary(kernels.ID_CHARS)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Columns of equal length, ascending by point; of one revision, of several, or the last of each point."""

    high: NDArray[np.uint64]
    """First eleven digits of the point id."""
    low: NDArray[np.uint64]
    """The other eleven."""
    energy: NDArray[np.int64]
    """dWh, 0 where not available."""
    available: NDArray[np.bool_]
    quality: NDArray[np.uint8]
    """Index into `pipeline.quality.QUALITIES`, or `NO_QUALITY`."""
    revision: NDArray[np.uint8]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.high)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Cells":
        """Return some of the rows."""
        return Cells(*(getattr(self, each.name)[rows] for each in fields(self)))

    def beside(self, points: "Cells") -> NDArray[np.int64]:
        """Return for each row of `points` the row here that has its point, -1 for none; no point here twice."""
        out = np.empty(len(points), np.int64)
        kernels.match_points(points.high, points.low, self.high, self.low, out)
        return out


NONE: Final = Cells(
    np.empty(0, np.uint64),
    np.empty(0, np.uint64),
    np.empty(0, np.int64),
    np.empty(0, np.bool_),
    np.empty(0, np.uint8),
    np.empty(0, np.uint8),
)


def joined(parts: Sequence[Cells]) -> Cells:
    """Put the cells of several files together, ascending by point, then revision, then the order of the files."""
    if not parts:
        return NONE
    whole = Cells(*(np.concatenate([getattr(each, column.name) for each in parts]) for column in fields(Cells)))
    return whole.take(np.lexsort((whole.revision, whole.low, whole.high)))


def latest(cells: Cells) -> Cells:
    """Return the last revision of each point, of cells as `joined` gives them."""
    if not len(cells):
        return cells
    changes = (cells.high[1:] != cells.high[:-1]) | (cells.low[1:] != cells.low[:-1])
    return cells.take(np.append(changes, np.True_))


def point_ids(cells: Cells) -> pa.Array:
    """Print the ids of the points."""
    powers = 10 ** np.arange(kernels.HALF_CHARS - 1, -1, -1, dtype=np.uint64)
    halves = [half[:, None] // powers % np.uint64(10) for half in (cells.high, cells.low)]
    digits = (np.hstack(halves) + np.uint64(ord("0"))).astype(np.uint8)
    return pc.cast(pa.FixedSizeBinaryArray.from_buffers(_ID, len(cells), [None, pa.py_buffer(digits)]), pa.string())
