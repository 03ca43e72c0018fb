# SPDX-License-Identifier: Apache-2.0
"""Kernels of the pre-filter: look-up of installations, arrivals by day, names of meters."""

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel

NONE = 0xFFFFFFFF
CHAINED = 0xFFFFFFFE
NO_DATA = 0xFFFFFFFE
DAY_MS = 86_400_000

Verdicts = NDArray[np.uint8]


@kernel
def install_reads(
    found: NDArray[np.uint64],
    verdict: Verdicts,
    stamp: NDArray[np.int32],
    value: NDArray[np.uint32],
    register: int,
    chain_register: NDArray[np.uint8],
    chain_lo: NDArray[np.int32],
    chain_hi: NDArray[np.int32],
    chain_install: NDArray[np.uint32],
    out_install: NDArray[np.uint32],
    out_row: NDArray[np.uint32],
    out_first: NDArray[np.uint8],
    held: NDArray[np.uint8],
) -> tuple[int, int, int, int]:
    """Name the installations that one register's reads feed.

    A stamp at both ends of an installation belongs to it, so a read on the boundary of two feeds both: `out_first` is
    1 for the first, 0 for further ones. `held[i]` becomes 1 where no installation takes the read. Returns how many
    outputs, outputs that are not the first, reads, held reads.
    The outputs must have room for every read and every chain row that matches.
    """
    count, further, reads, held_reads = 0, 0, 0, 0
    for i in range(len(value)):
        if verdict[i] != 0 or value[i] >= NO_DATA:
            continue
        reads += 1
        before = count
        installs, bounds = found[i, 0], found[i, 1]
        low = np.int32(np.uint32(bounds & np.uint64(0xFFFFFFFF)))
        high = np.int32(np.uint32(bounds >> np.uint64(32)))
        imports = np.uint32(installs & np.uint64(0xFFFFFFFF))
        exports = np.uint32(installs >> np.uint64(32))
        if imports == CHAINED:
            for link in range(np.int64(exports), np.int64(exports) + low):
                if (
                    chain_register[link] == register
                    and chain_lo[link] <= stamp[i] <= chain_hi[link]
                    and count < len(out_install)
                ):
                    out_install[count] = chain_install[link]
                    out_row[count] = i
                    out_first[count] = count == before
                    count += 1
        else:
            install = imports if register == 0 else exports
            if install != NONE and low <= stamp[i] <= high:
                out_install[count] = install
                out_row[count] = i
                out_first[count] = 1
                count += 1
        if count == before:
            held[i] = 1
            held_reads += 1
        else:
            further += count - before - 1
    return count, further, reads, held_reads


@kernel
def arrival_spans(
    received_ms: NDArray[np.int64],
    rows: NDArray[np.uint32],
    first_day: int,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    where: NDArray[np.int64],
) -> None:
    """Find the earliest and latest arrival of each day among `rows`, and the row of the earliest."""
    for j in range(len(rows)):
        i = rows[j]
        day = received_ms[i] // DAY_MS - first_day
        if received_ms[i] < first[day]:
            first[day] = received_ms[i]
            where[day] = i
        last[day] = max(last[day], received_ms[i])


@kernel
def name_meters(
    table: NDArray[np.uint64],
    chain_install: NDArray[np.uint32],
    wanted: NDArray[np.uint32],
    key: NDArray[np.uint64],
) -> None:
    """Fill `key` (n, 2) with the meter of each of the `wanted` installations (ascending); (0, 0) where none has it."""
    for row in range(table.shape[0]):
        if table[row, 0] == 0:
            continue
        imports = np.uint32(table[row, 2] & np.uint64(0xFFFFFFFF))
        exports = np.uint32(table[row, 2] >> np.uint64(32))
        chained = imports == CHAINED
        links = np.int64(np.uint32(table[row, 3] & np.uint64(0xFFFFFFFF))) if chained else 2
        for link in range(links):
            single = imports if link == 0 else exports
            install = chain_install[np.int64(exports) + link] if chained else single
            at = np.searchsorted(wanted, install)
            while at < len(wanted) and wanted[at] == install:
                key[at, 0] = table[row, 0]
                key[at, 1] = table[row, 1]
                at += 1
