# SPDX-License-Identifier: Apache-2.0
"""Kernels that cut reads by stamp and shard, and find those that contradict a register of the master."""

import numpy as np
from numpy.typing import NDArray

from koma.limits import SHARD_LOCAL_BITS
from pipeline.jit import kernel


@kernel
def stamp_bounds(row: NDArray[np.uint32], stamp: NDArray[np.int32]) -> tuple[int, int]:
    """Return the first and the last stamp of some rows, which must not be none."""
    first = last = np.int64(stamp[row[0]])
    for i in range(len(row)):
        first = min(first, np.int64(stamp[row[i]]))
        last = max(last, np.int64(stamp[row[i]]))
    return first, last  # type: ignore[return-value]  # numba's integers are Python's


@kernel
def mark_stamps(row: NDArray[np.uint32], stamp: NDArray[np.int32], first: int, present: NDArray[np.uint8]) -> None:
    """Set `present[s - first]` for each stamp s of some rows."""
    for i in range(len(row)):
        present[stamp[row[i]] - first] = 1


@kernel
def count_sections(
    install: NDArray[np.uint32],
    row: NDArray[np.uint32],
    stamp: NDArray[np.int32],
    first: int,
    number: NDArray[np.int32],
    shards: int,
    counts: NDArray[np.int64],
) -> None:
    """Add reads to the counts of their sections; `number[s - first]` numbers the stamps."""
    if len(number) == 1:  # one stamp, as nearly always
        for i in range(len(install)):
            counts[install[i] >> SHARD_LOCAL_BITS] += 1
        return
    for i in range(len(install)):
        counts[number[stamp[row[i]] - first] * shards + (install[i] >> SHARD_LOCAL_BITS)] += 1


@kernel
def cut_sections(
    install: NDArray[np.uint32],
    row: NDArray[np.uint32],
    stamp: NDArray[np.int32],
    value: NDArray[np.uint32],
    received_ms: NDArray[np.int64],
    first: int,
    number: NDArray[np.int32],
    shards: int,
    first_ms: int,
    place: NDArray[np.int64],
    out_local: NDArray[np.uint32],
    out_value: NDArray[np.uint32],
    out_later: NDArray[np.uint32],
) -> None:
    """Copy reads to their sections of the outputs; `place` holds each section's next free position.

    Arrivals become ms after `first_ms`, and none is before it: what is taken in late arrived just after the last
    instant that was issued.
    """
    mask = np.uint32((1 << SHARD_LOCAL_BITS) - 1)
    alike = len(number) == 1
    for i in range(len(install)):
        source = row[i]
        section = np.int64(install[i] >> SHARD_LOCAL_BITS)
        if not alike:
            section += number[stamp[source] - first] * shards
        to = place[section]
        place[section] = to + 1
        out_local[to] = install[i] & mask
        out_value[to] = value[source]
        out_later[to] = max(received_ms[source] - first_ms, np.int64(0))


@kernel
def mark_contradicted(
    install: NDArray[np.uint32],
    row: NDArray[np.uint32],
    stamp: NDArray[np.int32],
    value: NDArray[np.uint32],
    given_install: NDArray[np.uint32],
    given_stamp: NDArray[np.int32],
    given_value: NDArray[np.uint32],
    contradicted: NDArray[np.uint8],
) -> int:
    """Mark reads that differ from the register that the master gives for their installation and stamp; count them.

    What is given ascends by installation, then stamp.
    """
    count = 0
    for i in range(len(install)):
        at = np.searchsorted(given_install, install[i])
        while at < len(given_install) and given_install[at] == install[i] and given_stamp[at] < stamp[row[i]]:
            at += 1
        if (
            at < len(given_install)
            and given_install[at] == install[i]
            and given_stamp[at] == stamp[row[i]]
            and given_value[at] != value[row[i]]
        ):
            contradicted[i] = 1
            count += 1
    return count
