# SPDX-License-Identifier: Apache-2.0
"""Which reads an import moves from one installation to another.

A read is kept with the installation that its meter had when it was taken in. A master that learns later that the meter
fed another point by then, or was installed at another time, makes another installation out of it: the reads of the
stamps that the new one covers, and did not cover before, have to be found there too.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from koma.limits import SHARD_LOCAL_BITS
from pipeline.master.ledger import Ledger
from pipeline.master.lookup import first_stamps, last_stamps
from pipeline.master.view import MasterView


@dataclass(frozen=True, slots=True, eq=False)
class Carries:
    """Reads to be carried, columns of equal length.

    Attributes:
        source: installation that may hold them, `shard << SHARD_LOCAL_BITS | local`.
        target: installation of the same register of the same meter that covers their stamps now.
        lo: first stamp.
        hi: last stamp, included.
    """

    source: NDArray[np.uint32]
    target: NDArray[np.uint32]
    lo: NDArray[np.int32]
    hi: NDArray[np.int32]

    @classmethod
    def after(cls, view: MasterView, version: int) -> Self:
        """Return what the imports after a version of the master move."""
        rows = np.flatnonzero(view.carried_version > version)
        return cls(view.carried_from[rows], view.carried_to[rows], view.carried_lo[rows], view.carried_hi[rows])

    def targets(self, shard: int, local: int, stamp: int) -> list[tuple[int, int]]:
        """Return the installations, shard and local index, to which the reads of one at a stamp move; each once."""
        here = (self.source == shard << SHARD_LOCAL_BITS | local) & (self.lo <= stamp) & (stamp <= self.hi)
        found = np.unique(self.target[here]).tolist()
        return [(each >> SHARD_LOCAL_BITS, each & (1 << SHARD_LOCAL_BITS) - 1) for each in found]


def carries_of(ledger: Ledger, shard: NDArray[np.uint16], local: NDArray[np.uint32]) -> Carries:
    """Return what the rows of an import move.

    Args:
        ledger: of the meters, judged.
        shard: by position of a point.
        local: by row of the ledger.

    """
    start, end = (ledger.column(name) for name in ("from_ms", "to_ms"))
    row = np.flatnonzero(ledger.applied()[ledger.n_old :] & ~ledger.closed[ledger.n_old :]) + ledger.n_old
    before = ledger.previous[row]
    covered = (before >= 0) & ~ledger.closed[before]
    lo = np.where(covered, last_stamps(end[before]).astype(np.int64) + 1, first_stamps(start[row]))
    hi = last_stamps(end[row])
    some = lo <= hi
    row, lo, hi = row[some], lo[some], hi[some]
    if not ledger.n_old or not len(row):
        none = np.zeros(0, np.uint32)
        return Carries(none, none, none.astype(np.int32), none.astype(np.int32))
    install = (shard[ledger.position].astype(np.uint32) << np.uint32(SHARD_LOCAL_BITS)) | local
    mine, other = _of_the_same_register(ledger, row)
    overlap = (first_stamps(start[other]) <= hi[mine]) & (last_stamps(end[other]) >= lo[mine])
    moved = overlap & (install[other] != install[row[mine]])
    mine, other = mine[moved], other[moved]
    found = np.column_stack([install[other], install[row[mine]], lo[mine], hi[mine]]).astype(np.int64)
    found = np.unique(found, axis=0) if len(found) else found
    source, target, first, last = found.T
    return Carries(source.astype(np.uint32), target.astype(np.uint32), first.astype(np.int32), last.astype(np.int32))


def _of_the_same_register(ledger: Ledger, row: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair rows with all rows that were ever known of the same register of the same meter: places in `row`, rows."""
    k0, k1, register = (ledger.column(name) for name in ("k0", "k1", "register"))
    near = np.flatnonzero(ledger.applied() & np.isin(k0, k0[row]))
    near = near[np.lexsort((register[near], k1[near], k0[near]))]
    keys = np.empty(len(near) + len(row), [("k0", "u8"), ("k1", "u8"), ("register", "u1")])
    whole = np.concatenate([near, row])
    keys["k0"], keys["k1"], keys["register"] = k0[whole], k1[whole], register[whole]
    _, number = np.unique(keys, return_inverse=True)
    groups, wanted = number[: len(near)], number[len(near) :]
    first, last = np.searchsorted(groups, wanted, "left"), np.searchsorted(groups, wanted, "right")
    counts = last - first
    mine = np.repeat(np.arange(len(row)), counts)
    place = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return mine, near[place]
