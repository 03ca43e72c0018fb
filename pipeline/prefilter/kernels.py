# SPDX-License-Identifier: Apache-2.0
"""Kernels of the pre-filter: verdicts by time, look-up of installations, cutting by shard."""

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel
from pipeline.master.lookup import find

NONE = 0xFFFFFFFF
CHAINED = 0xFFFFFFFE
NO_DATA = 0xFFFFFFFE
MS_PER_SLOT = 1_800_000
DAY_MS = 86_400_000
LOCAL_BITS = 20

IntColumn = NDArray[np.int64]
Verdicts = NDArray[np.uint8]


@kernel
def snap_to_grid(
    read_at_ms: IntColumn, tolerance_ms: int, verdict: Verdicts, code: int, stamp: NDArray[np.int32]
) -> int:
    """Fill `stamp` with the nearest slot boundary; mark rows farther than the tolerance. Returns the rows moved."""
    moved = 0
    for i in range(len(read_at_ms)):
        nearest = (read_at_ms[i] + MS_PER_SLOT // 2) // MS_PER_SLOT
        distance = abs(read_at_ms[i] - nearest * MS_PER_SLOT)
        if distance > tolerance_ms or nearest > 2**31 - 2 or nearest < -(2**31):
            stamp[i] = 0
            if verdict[i] == 0:
                verdict[i] = code
            continue
        stamp[i] = nearest
        if distance != 0:
            moved += 1
    return moved


@kernel
def mark_later(read_at_ms: IntColumn, received_ms: IntColumn, slack_ms: int, verdict: Verdicts, code: int) -> None:
    """Mark rows stamped later than their arrival plus `slack_ms`."""
    for i in range(len(read_at_ms)):
        if verdict[i] == 0 and read_at_ms[i] > received_ms[i] + slack_ms:
            verdict[i] = code


@kernel
def mark_older(read_at_ms: IntColumn, received_ms: IntColumn, age_ms: int, verdict: Verdicts, code: int) -> None:
    """Mark rows stamped more than `age_ms` before their arrival."""
    for i in range(len(read_at_ms)):
        if verdict[i] == 0 and read_at_ms[i] < received_ms[i] - age_ms:
            verdict[i] = code


@kernel
def find_rows(table: NDArray[np.uint64], keys: NDArray[np.uint64], row: NDArray[np.int64]) -> None:
    """Fill `row` with the table row of each key, -1 where there is none.

    One pass and nothing else in the loop, so that the processor keeps several cache misses under way at once.
    """
    mask = table.shape[0] - 1
    for i in range(keys.shape[0]):
        row[i] = find(table, mask, keys[i, 0], keys[i, 1])


@kernel
def install_reads(
    table: NDArray[np.uint64],
    row: NDArray[np.int64],
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
) -> tuple[int, int]:
    """Name the installations that one register's reads feed.

    A stamp at both ends of an installation belongs to it, so a read on the boundary of two feeds both: `out_first` is
    1 for the first, 0 for further ones. `held[i]` becomes 1 where no installation takes the read. Returns (outputs,
    reads).
    The outputs must have room for every read and every chain row that matches.
    """
    count = 0
    reads = 0
    for i in range(len(value)):
        if verdict[i] != 0 or value[i] >= NO_DATA:
            continue
        reads += 1
        first = np.uint8(1)
        if row[i] >= 0:
            installs = table[row[i], 2]
            bounds = table[row[i], 3]
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
                        out_first[count] = first
                        first = np.uint8(0)
                        count += 1
            else:
                install = imports if register == 0 else exports
                if install != NONE and low <= stamp[i] <= high:
                    out_install[count] = install
                    out_row[count] = i
                    out_first[count] = first
                    first = np.uint8(0)
                    count += 1
        if first == 1:
            held[i] = 1
    return count, reads


@kernel
def count_shards(install: NDArray[np.uint32], counts: NDArray[np.int64]) -> None:
    """Add the reads of each shard to `counts`."""
    for i in range(len(install)):
        counts[install[i] >> LOCAL_BITS] += 1


@kernel
def cut_by_shard(
    install: NDArray[np.uint32],
    row: NDArray[np.uint32],
    stamp: NDArray[np.int32],
    value: NDArray[np.uint32],
    received_ms: IntColumn,
    floor_ms: int,
    place: NDArray[np.int64],
    out_local: NDArray[np.uint32],
    out_stamp: NDArray[np.int32],
    out_value: NDArray[np.uint32],
    out_arrival: IntColumn,
) -> None:
    """Copy reads to their shard's part of the outputs; `place` holds each shard's next free position.

    The arrival of a read taken in late is `floor_ms`, just after the last instant that was issued.
    """
    mask = np.uint32((1 << LOCAL_BITS) - 1)
    for i in range(len(install)):
        shard = install[i] >> LOCAL_BITS
        source = row[i]
        to = place[shard]
        place[shard] = to + 1
        out_local[to] = install[i] & mask
        out_stamp[to] = stamp[source]
        out_value[to] = value[source]
        out_arrival[to] = max(received_ms[source], floor_ms)


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
