# SPDX-License-Identifier: Apache-2.0
"""From rows of meters to reads of installations, cut by shard."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns
from pipeline.handover.batch import ReadBatch
from pipeline.master import MasterView
from pipeline.prefilter.kernels import count_shards, cut_by_shard, find_installs, install_reads
from pipeline.prefilter.rules import Judged

_WIDE_MS = 1 << 32
_NO_STAMPS = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class ShardReads:
    """Reads of one shard: columns of equal length.

    Attributes:
        shard: which.
        counted: False for the second owner of a read.
        first_ms: arrivals count from here.
        one_stamp: the stamp of all of them; None where they have several.
        columns: local, value, later_ms; stamp where they have several.
    """

    shard: int
    counted: bool
    first_ms: int
    one_stamp: int | None
    columns: Columns


@dataclass(frozen=True, slots=True)
class _Found:
    install: NDArray[np.uint32]
    row: NDArray[np.uint32]
    stamp: NDArray[np.int32]
    value: NDArray[np.uint32]
    received_ms: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Routed:
    """One batch after the look-up, before cutting."""

    found: tuple[_Found, ...]  # reads of their first installation
    shared: tuple[_Found, ...]  # the same reads for a further installation
    held_import: NDArray[np.uint8]
    held_export: NDArray[np.uint8]
    reads: int
    held: int


def route(batch: ReadBatch, judged: Judged, view: MasterView) -> Routed:
    """Find the installations of every read of `batch` that no rule refused."""
    rows = len(batch.read_at_ms)
    looked_up = np.empty((rows, 2), np.uint64)
    find_installs(view.table, batch.keys, looked_up)
    found: list[_Found] = []
    shared: list[_Found] = []
    held = (np.zeros(rows, np.uint8), np.zeros(rows, np.uint8))
    reads = held_reads = 0
    # Installations of one meter's register touch but never overlap, so a stamp belongs to at most two of them.
    room = rows * (2 if len(view.chain_lo) else 1)
    for register, value in enumerate((batch.import_register, batch.export_register)):
        install, source, first = np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.uint8)
        count, further, asked, lost = install_reads(
            looked_up,
            judged.verdict,
            judged.stamp,
            value,
            register,
            view.chain_register,
            view.chain_lo,
            view.chain_hi,
            view.chain_install,
            install,
            source,
            first,
            held[register],
        )
        reads += asked
        held_reads += lost
        for wanted, into in ((1, found), (0, shared)):
            if (count - further if wanted else further) == 0:
                continue
            pick = slice(count) if further == 0 else np.flatnonzero(first[:count] == wanted)
            into.append(_Found(install[pick], source[pick], judged.stamp, value, batch.received_ms))
    return Routed(tuple(found), tuple(shared), *held, reads, held_reads)


def cut(routed: list[Routed], shards: int, floor_ms: int) -> list[ShardReads]:
    """Cut the reads of several batches by shard, arrivals not before `floor_ms`."""
    parts: list[ShardReads] = []
    for counted in (True, False):
        pieces = [piece for each in routed for piece in (each.found if counted else each.shared)]
        counts = np.zeros(shards, np.int64)
        for piece in pieces:
            count_shards(piece.install, counts)
        total = int(counts.sum())
        if total == 0:
            continue
        first_ms = max(floor_ms, min(int(piece.received_ms.min()) for piece in pieces))
        last_ms = max(int(piece.received_ms.max()) for piece in pieces)
        stamp = int(pieces[0].stamp[pieces[0].row[0]])
        alike = all(bool((piece.stamp == stamp).all()) for piece in pieces)
        columns: Columns = {
            "local": np.empty(total, np.uint32),
            "value": np.empty(total, np.uint32),
            "later_ms": np.empty(total, np.uint32 if last_ms - first_ms < _WIDE_MS else np.int64),
        }
        if not alike:
            columns["stamp"] = np.empty(total, np.int32)
        ends = np.cumsum(counts)
        place = ends - counts
        for piece in pieces:
            cut_by_shard(
                piece.install,
                piece.row,
                piece.stamp,
                piece.value,
                piece.received_ms,
                first_ms,
                place,
                columns["local"],
                columns.get("stamp", _NO_STAMPS),
                columns["value"],
                columns["later_ms"],
            )
        for shard in np.flatnonzero(counts).tolist():
            span = slice(int(ends[shard] - counts[shard]), int(ends[shard]))
            reads = {name: column[span] for name, column in columns.items()}
            parts.append(ShardReads(shard, counted, first_ms, stamp if alike else None, reads))
    return parts
