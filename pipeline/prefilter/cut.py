# SPDX-License-Identifier: Apache-2.0
"""From reads of installations to columns by stamp and shard, as they lie in a register file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns
from pipeline.prefilter.cut_kernels import count_sections, cut_sections, mark_stamps, stamp_bounds
from pipeline.prefilter.route import Found
from pipeline.register_files import offset_type

_STAMPS_MAX = 1 << 16
"""Stamps farther apart than this many are numbered by sorting: no table is made for years without a read."""


@dataclass(frozen=True, slots=True)
class _Stamps:
    """The stamps of some reads, ascending, and the number of each: `number[stamp - first]`."""

    stamps: NDArray[np.int32]
    first: int
    number: NDArray[np.int32]


def cut(found: Sequence[Found], shared: Sequence[Found], shards: int, floor_ms: int) -> Columns:
    """Cut reads into sections of one stamp and shard each; nothing where there are none.

    Args:
        found: reads of their first installation.
        shared: the same reads for a further one.
        shards: how many there are.
        floor_ms: arrivals are not before this.

    Returns the columns of a `RegisterFile`: of the sections, ascending by stamp, shard and `counted` (1 for reads of
    their first installation), and of the reads.

    """
    pieces = [piece for piece in (*found, *shared) if len(piece.install)]
    if not pieces:
        return {}
    numbered, pieces = _numbered(pieces)
    sections = len(numbered.stamps) * shards
    first_ms = max(floor_ms, min(int(piece.received_ms.min()) for piece in pieces))
    last_ms = max(int(piece.received_ms.max()) for piece in pieces)
    counts = np.zeros((sections, 2), np.int64)
    for piece in pieces:
        mine = np.zeros(sections, np.int64)
        count_sections(piece.install, piece.row, piece.stamp, numbered.first, numbered.number, shards, mine)
        counts[:, int(piece.counted)] += mine
    ends = np.cumsum(counts.ravel()).reshape(sections, 2)
    places = [np.ascontiguousarray(column) for column in (ends - counts).T]
    total = int(ends[-1, 1])
    columns: Columns = {
        "local": np.empty(total, np.uint32),
        "value": np.empty(total, np.uint32),
        "later_ms": np.empty(total, offset_type(last_ms - first_ms)),
    }
    for piece in pieces:
        cut_sections(
            piece.install,
            piece.row,
            piece.stamp,
            piece.value,
            piece.received_ms,
            numbered.first,
            numbered.number,
            shards,
            first_ms,
            places[int(piece.counted)],
            *columns.values(),
        )
    some = np.flatnonzero(counts.ravel())
    return {
        "first_ms": np.array([first_ms], np.int64),
        "stamp": numbered.stamps[some // (2 * shards)],
        "shard": (some // 2 % shards).astype(np.int32),
        "counted": (some % 2).astype(np.uint8),
        "offset": np.concatenate([[0], ends.ravel()[some]]),
        **columns,
    }


def _numbered(pieces: list[Found]) -> tuple[_Stamps, list[Found]]:
    """Number the stamps; pieces whose stamps lie years apart come back with numbers in place of stamps."""
    bounds = [stamp_bounds(piece.row, piece.stamp) for piece in pieces]
    first, last = min(low for low, _ in bounds), max(high for _, high in bounds)
    if last - first < _STAMPS_MAX:
        present = np.zeros(last - first + 1, np.uint8)
        for piece in pieces:
            mark_stamps(piece.row, piece.stamp, first, present)
        number = np.cumsum(present, dtype=np.int32) - np.int32(1)
        return _Stamps((np.flatnonzero(present) + first).astype(np.int32), first, number), pieces
    stamps = np.unique(np.concatenate([piece.stamp[piece.row] for piece in pieces]))
    return _Stamps(stamps, 0, np.arange(len(stamps), dtype=np.int32)), [
        replace(piece, stamp=np.searchsorted(stamps, piece.stamp).astype(np.int32)) for piece in pieces
    ]
