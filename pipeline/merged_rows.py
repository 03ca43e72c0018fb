# SPDX-License-Identifier: Apache-2.0
"""Rows of a file: runs that shards brought ready, and rows that stand apart, put in their places among them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns
from pipeline.issuance_kernels import LOOK_UP, ascends
from pipeline.ready_kernels import unpack_ready

KINDS = {"position": np.uint32, "quality": np.uint8, "energy": np.int64, "reference": np.uint32}
"""Columns of a row; `reference` is the supply row of its customer_ref."""
READY = {"ready": "<u8", "ready_reference": "<u4"}
"""What of a shard's columns is read where files are written; the second may be empty."""
PLACE = "place"
APART = -1

Piece = tuple[int, int, int, int]
"""Number of a source, which of its rows, and the number of the file's first row among those of its retailer and
instant, from which rows that stand apart count their places."""
Pieces = NDArray[np.int64]
"""(n, 4) pieces."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The rows of one retailer and instant: runs that shards brought ready, and rows apart with places among them."""

    runs: Pieces
    own_first: int
    places: NDArray[np.int64]

    def cut(self, first: int, last: int) -> Pieces:
        """Return the pieces that hold the rows [first, last)."""
        begin, end = np.searchsorted(self.places, [first, last])
        pieces = _within(self.runs, first - int(begin), last - int(end))
        if begin == end:
            return pieces
        apart = [[APART, self.own_first + begin, self.own_first + end, first]]
        return np.concatenate([pieces, np.array(apart, np.int64)])


class Apart:
    """Rows that stand apart from those that shards brought ready."""

    def __init__(self) -> None:
        self._parts: list[Columns] = []
        self._rows = 0

    def add(self, rows: Columns, places: NDArray[np.int64]) -> int:
        """Take in rows with their places among those of their retailer and instant; return the number of the first."""
        self._parts.append(rows | {PLACE: places})
        self._rows += len(places)
        return self._rows - len(places)

    def columns(self) -> Columns:
        """Return them all."""
        return {
            name: np.concatenate([np.empty(0, kind), *(part[name] for part in self._parts)])
            for name, kind in (KINDS | {PLACE: np.int64}).items()
        }


def ascending(parts: Sequence[Columns], rank: NDArray[np.uint32]) -> Columns:
    """Return the rows of all parts, ascending by point id."""
    rows = {name: np.concatenate([each[name] for each in parts]) for name in KINDS}
    if ascends(rank, rows["position"], 0, len(rows["position"])):
        return rows
    order = np.argsort(rank[rows["position"]], kind="stable")
    return {name: column[order] for name, column in rows.items()}


def _within(pieces: Pieces, first: int, last: int) -> Pieces:
    """Cut the rows [first, last) out of pieces that stand one behind the other."""
    if first == last:
        return pieces[:0]
    ends = np.cumsum(pieces[:, 2] - pieces[:, 1])
    low, high = np.searchsorted(ends, first, "right"), np.searchsorted(ends, last, "left")
    cut: Pieces = pieces[low : high + 1].copy()
    cut[-1, 2] -= ends[high] - last
    cut[0, 1] = pieces[low, 2] - (ends[low] - first)
    return cut


def unpacked(words: NDArray[np.uint64], reference: NDArray[np.uint32]) -> Columns:
    """Return the rows of words; their references are to be looked up where they were not brought."""
    count = len(words)
    position, quality, energy = np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.int64)
    unpack_ready(words, position, quality, energy)
    if len(reference) < count:
        reference = np.full(count, LOOK_UP, np.uint32)
    return {"position": position, "quality": quality, "energy": energy, "reference": reference}


def gathered(pieces: list[Piece], ready: list[Columns], own: Columns) -> Columns:
    """Return the rows of a file: those of ready pieces one behind the other, those that stand apart in their places."""
    parts = [
        [ready[source][name][first:last] for source, first, last, _ in pieces if source != APART] for name in READY
    ]
    words, reference = (
        each[0] if len(each) == 1 else np.concatenate([np.empty(0, kind), *each])
        for each, kind in zip(parts, READY.values(), strict=True)
    )
    rows = unpacked(words, reference)
    for source, first, last, base in pieces:
        if source == APART:
            rows = _put_among(rows, {name: own[name][first:last] for name in KINDS}, own[PLACE][first:last] - base)
    return rows


def _put_among(rows: Columns, others: Columns, places: NDArray[np.int64]) -> Columns:
    """Return rows and others together; the others stand in their places."""
    free = np.ones(len(rows["position"]) + len(places), bool)
    free[places] = False
    merged: Columns = {}
    for name, kind in KINDS.items():
        merged[name] = np.empty(len(free), kind)
        merged[name][free] = rows[name]
        merged[name][places] = others[name]
    return merged
