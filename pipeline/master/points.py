# SPDX-License-Identifier: Apache-2.0
"""Positions of supply points: those of known points, and provisional ones for the points of an import.

Provisional positions go on behind the known ones in ascending order of ids, so that leaving points out keeps the order.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from koma.limits import POINT_ID_DIGITS
from pipeline.master.point_kernels import ascends, join_ids, locate, split_ids
from pipeline.master.view import MasterView


@dataclass(slots=True)
class Ids:
    """Supply point ids as numbers: the first 4 digits, the other 18."""

    high: NDArray[np.uint16]
    low: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.high)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Ids":
        """Return the ids of some rows."""
        return Ids(self.high[rows], self.low[rows])

    def digits(self) -> NDArray[np.uint8]:
        """(n, 22) ASCII digits."""
        digits = np.empty((len(self), POINT_ID_DIGITS), np.uint8)
        join_ids(self.high, self.low, digits)
        return digits

    def text(self, row: int) -> str:
        """Return one id as text."""
        return f"{int(self.high[row]):04d}{int(self.low[row]):018d}"

    def places_in(self, known: "Ids") -> NDArray[np.int64]:
        """Place of each id among `known`, which ascend; -1 where it is not there."""
        place = np.empty(len(self), np.int64)
        locate(self.high, self.low, known.high, known.low, place)
        return place

    def ascending(self) -> "Ids":
        """Return each id once, in ascending order."""
        ids = self if ascends(self.high, self.low) else self.take(np.lexsort((self.low, self.high)))
        repeats = (ids.high[1:] == ids.high[:-1]) & (ids.low[1:] == ids.low[:-1])
        return ids.take(~np.concatenate([np.zeros(min(1, len(ids)), bool), repeats])) if repeats.any() else ids


@dataclass(slots=True)
class PointIndex:
    """Known points and those of an import, by id."""

    known: Ids
    """Ascending."""
    order: NDArray[np.uint32]
    """Position of each of `known`."""
    new: Ids
    """Ascending; the j-th has the provisional position `len(known) + j`."""

    @classmethod
    def of(cls, view: MasterView) -> "PointIndex":
        """Index of a master version."""
        ids = Ids(np.empty(view.n_points, np.uint16), np.empty(view.n_points, np.uint64))
        split_ids(view.point_id, view.order, ids.high, ids.low)
        return cls(ids, view.order, ids.take(np.zeros(0, np.int64)))

    def __len__(self) -> int:
        return len(self.known) + len(self.new)

    def add(self, ids: Ids) -> None:
        """Take in the points of an import; once."""
        self.new = ids.take(ids.places_in(self.known) < 0).ascending()

    def positions(self, ids: Ids) -> NDArray[np.int64]:
        """Position of each id, -1 where it is neither known nor new."""
        place = ids.places_in(self.known)
        there = place >= 0
        if len(self.known):
            place[there] = self.order[place[there]]
        if not there.all() and len(self.new):
            fresh = ids.take(~there).places_in(self.new)
            place[~there] = np.where(fresh >= 0, fresh + len(self.known), -1)
        return place

    def text(self, position: int) -> str:
        """Id of a position."""
        known = len(self.known)
        if position >= known:
            return self.new.text(position - known)
        return self.known.text(int(np.flatnonzero(self.order == position)[0]))


def ids_of(points: pa.ChunkedArray) -> Ids:
    """Return the ids that a column of texts holds; each has 22 digits."""
    fixed = points.cast(pa.binary()).combine_chunks().cast(pa.binary(POINT_ID_DIGITS))
    digits = np.frombuffer(fixed.buffers()[1], np.uint8, len(fixed) * POINT_ID_DIGITS).reshape(-1, POINT_ID_DIGITS)
    ids = Ids(np.empty(len(fixed), np.uint16), np.empty(len(fixed), np.uint64))
    split_ids(digits, np.arange(len(fixed), dtype=np.uint32), ids.high, ids.low)
    return ids
