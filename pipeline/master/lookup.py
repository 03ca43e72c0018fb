# SPDX-License-Identifier: Apache-2.0
"""Building the meter lookup of one master version, and finding meters in it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_SLOT
from pipeline.master.lookup_kernels import chained_rows, fill_table, find, first_row, hash_key, link_chains
from pipeline.master.view import ALWAYS_MS, FIRST_SLOT, OPEN_MS, OPEN_SLOT

__all__ = ["Lookup", "build_table", "find", "first_row", "first_stamps", "hash_key", "last_stamps"]

_CAPACITY_MIN = 2


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """The table of a master version and the rows of its chains (see `MasterView`)."""

    table: NDArray[np.uint64]
    chain_register: NDArray[np.uint8]
    chain_lo: NDArray[np.int32]
    chain_hi: NDArray[np.int32]
    chain_install: NDArray[np.uint32]


def first_stamps(from_ms: NDArray[np.int64]) -> NDArray[np.int32]:
    """First stamp at or after each instant; `FIRST_SLOT` for `ALWAYS_MS`."""
    stamps = -(-from_ms // MS_PER_SLOT)
    return np.where(from_ms == ALWAYS_MS, FIRST_SLOT, stamps).astype(np.int32)


def last_stamps(to_ms: NDArray[np.int64]) -> NDArray[np.int32]:
    """Last stamp at or before each instant; `OPEN_SLOT` for `OPEN_MS`."""
    return np.where(to_ms == OPEN_MS, OPEN_SLOT, to_ms // MS_PER_SLOT).astype(np.int32)


def build_table(
    k0: NDArray[np.uint64],
    k1: NDArray[np.uint64],
    register: NDArray[np.uint8],
    install: NDArray[np.uint32],
    lo: NDArray[np.int32],
    hi: NDArray[np.int32],
) -> Lookup:
    """Build the lookup of installations; each stands in exactly one place, the table or the chain rows.

    Args:
        k0: (n,) first word of the meter ids, never 0.
        k1: (n,) second word.
        register: (n,) 0 import, 1 export.
        install: (n,) `shard << SHARD_LOCAL_BITS | local`.
        lo: (n,) first stamp that belongs to the installation.
        hi: (n,) last stamp, included.

    The result is a function of the rows and their order.

    """
    span = lo.view(np.uint32).astype(np.uint64) | (hi.view(np.uint32).astype(np.uint64) << np.uint64(32))
    exported = int(np.count_nonzero(register))
    capacity = _CAPACITY_MIN
    while capacity < 2 * max(exported, len(register) - exported):
        capacity *= 2
    table = np.zeros((capacity, 4), np.uint64)
    while (chained := fill_table(table, k0, k1, register, install, span)) < 0:
        capacity *= 2
        table = np.zeros((capacity, 4), np.uint64)
    rows = np.empty(len(k0) if chained else 0, np.int64)
    rows = rows[: chained_rows(table, k0, k1, rows)] if chained else rows
    rows = rows[np.lexsort((install[rows], lo[rows], register[rows], k1[rows], k0[rows]))]
    link_chains(table, k0[rows], k1[rows])
    return Lookup(table, register[rows], lo[rows], hi[rows], install[rows])
