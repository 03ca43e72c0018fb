# SPDX-License-Identifier: Apache-2.0
"""From rows of meters to reads of installations."""

import threading
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koma.limits import BATCH_READS_MAX
from pipeline.handover.batch import ReadBatch
from pipeline.master import MasterView
from pipeline.prefilter.install_kernels import find_installs, install_plain
from pipeline.prefilter.kernels import NO_DATA, install_reads
from pipeline.prefilter.rules import Judged


@dataclass(frozen=True, slots=True)
class Found:
    """Reads of one register of a batch that found an installation.

    Attributes:
        install: `shard << SHARD_LOCAL_BITS | local`, by read.
        row: the batch's row, by read.
        stamp: slot boundary, by row.
        value: register, by row.
        received_ms: arrival, by row.
        register: 0 import, 1 export.
        counted: False where the read was counted at another installation, which shares it.
    """

    install: NDArray[np.uint32]
    row: NDArray[np.uint32]
    stamp: NDArray[np.int32]
    value: NDArray[np.uint32]
    received_ms: NDArray[np.int64]
    register: int
    counted: bool

    def without(self, reads: NDArray[np.bool_]) -> "Found":
        """Leave some reads out."""
        return replace(self, install=self.install[~reads], row=_frozen(self.row[~reads]))


@dataclass(frozen=True, slots=True)
class Routed:
    """One batch after the look-up, before cutting."""

    found: tuple[Found, ...]  # reads of their first installation
    shared: tuple[Found, ...]  # the same reads for a further installation
    held_import: NDArray[np.uint8]
    held_export: NDArray[np.uint8]
    reads: int
    held: int


def route(batch: ReadBatch, judged: Judged, view: MasterView) -> Routed:
    """Find the installations of every read of `batch` that no rule refused."""
    rows = len(batch.read_at_ms)
    looked_up, open_rows = _rooms.of(rows)
    find_installs(view.table, batch.keys, looked_up, open_rows)
    found: list[Found] = []
    shared: list[Found] = []
    held = (np.zeros(rows, np.uint8), np.zeros(rows, np.uint8))
    reads = held_reads = 0
    # Installations of one meter's register touch but never overlap, so a stamp belongs to at most two of them.
    room = rows * (2 if len(view.chain_lo) else 1)
    for register, value in enumerate((batch.import_register, batch.export_register)):
        if rows == 0 or value.min() >= NO_DATA:
            continue
        install = np.empty(rows, np.uint32)
        if install_plain(looked_up.view(np.uint32), judged.verdict, judged.stamp, value, register, install):
            reads += rows
            row = _all_rows(rows)
            found.append(Found(install, row, judged.stamp, value, batch.received_ms, register, counted=True))
            continue
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
            into.append(
                Found(
                    install[pick], _frozen(source[pick]), judged.stamp, value, batch.received_ms, register, bool(wanted)
                )
            )
    return Routed(tuple(found), tuple(shared), *held, reads, held_reads)


class _Rooms(threading.local):
    """Each thread's memory for what a batch's look-up finds: used again while it is still in the cache."""

    def __init__(self) -> None:
        self.looked_up = np.empty((0, 2), np.uint64)
        self.open_rows = np.empty(0, np.uint32)

    def of(self, rows: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        if len(self.open_rows) < rows:
            self.looked_up, self.open_rows = np.empty((rows, 2), np.uint64), np.empty(rows, np.uint32)
        return self.looked_up[:rows], self.open_rows[:rows]


_rooms = _Rooms()


def _all_rows(rows: int) -> NDArray[np.uint32]:
    """Row numbers from 0 on; the same array for every batch that is not larger than batches are cut."""
    return _ROWS[:rows] if rows <= len(_ROWS) else _frozen(np.arange(rows, dtype=np.uint32))


def _frozen(rows: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Row numbers as kernels know them, wherever they come from."""
    rows.flags.writeable = False
    return rows


_ROWS = _frozen(np.arange(BATCH_READS_MAX, dtype=np.uint32))
