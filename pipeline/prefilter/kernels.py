# SPDX-License-Identifier: Apache-2.0
"""Kernels of the pre-filter: verdicts by time, look-up of installations, cutting by shard."""

import numpy as np
from numpy.typing import NDArray

from pipeline.delivery.memory_kernels import prefetch
from pipeline.jit import kernel
from pipeline.master.lookup import hash_key

NONE = 0xFFFFFFFF
CHAINED = 0xFFFFFFFE
NO_DATA = 0xFFFFFFFE
MS_PER_SLOT = 1_800_000
DAY_MS = 86_400_000
LOCAL_BITS = 20

_AHEAD = 16
_ROW_WORDS = np.uint64(4)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_NOWHERE = np.uint64(0xFFFFFFFFFFFFFFFF)

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
def find_installs(table: NDArray[np.uint64], keys: NDArray[np.uint64], found: NDArray[np.uint64]) -> None:
    """Fill `found` (n, 2) with the two last words of each key's table row; all ones and zero where there is none.

    The table is far larger than any cache: each row is asked for some keys ahead, so that several are under way at
    once. Until its turn comes, `found` holds where the key's probing starts.
    """
    last, rows = np.uint64(table.shape[0] - 1), keys.shape[0]
    for i in range(rows + _AHEAD):
        if i < rows:
            start = hash_key(keys[i, 0], keys[i, 1]) & last
            found[i, 0] = start
            prefetch(table, start * _ROW_WORDS)
        if i >= _AHEAD:
            j = i - _AHEAD
            at = found[j, 0]
            while table[at, 0] != 0 and (table[at, 0] != keys[j, 0] or table[at, 1] != keys[j, 1]):
                at = (at + _ONE) & last
            known = table[at, 0] != 0
            found[j, 0] = table[at, 2] if known else _NOWHERE
            found[j, 1] = table[at, 3] if known else _ZERO  # a plain 0 would make both floats


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
    first_ms: int,
    place: NDArray[np.int64],
    out_local: NDArray[np.uint32],
    out_stamp: NDArray[np.int32],
    out_value: NDArray[np.uint32],
    out_later: NDArray[np.uint32],
) -> None:
    """Copy reads to their shard's part of the outputs; `place` holds each shard's next free position.

    Arrivals become ms after `first_ms`, and none is before it: what is taken in late arrived just after the last
    instant that was issued. No `out_stamp` at all leaves the stamps out.
    """
    mask = np.uint32((1 << LOCAL_BITS) - 1)
    for i in range(len(install)):
        shard = install[i] >> LOCAL_BITS
        source = row[i]
        to = place[shard]
        place[shard] = to + 1
        out_local[to] = install[i] & mask
        out_value[to] = value[source]
        out_later[to] = max(received_ms[source] - first_ms, np.int64(0))
        if len(out_stamp) > 0:
            out_stamp[to] = stamp[source]


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
