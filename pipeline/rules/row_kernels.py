# SPDX-License-Identifier: Apache-2.0
"""Kernels of rules on rows: verdicts by stamp and arrival."""

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel

MS_PER_SLOT = 1_800_000
NO_DATA = 0xFFFFFFFE

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
def snap_near(
    read_at_ms: IntColumn, first_slot: int, tolerance_ms: int, verdict: Verdicts, code: int, stamp: NDArray[np.int32]
) -> int:
    """Do what `snap_to_grid` does for times less than 2^32 ms apart; `first_slot` is the earliest one's boundary.

    Differences of 32 bits and no branch: eight times as many rows go through the processor at once.
    """
    slot_ms, half = np.uint32(MS_PER_SLOT), np.uint32(MS_PER_SLOT // 2)
    start_ms = first_slot * MS_PER_SLOT - MS_PER_SLOT // 2
    most, moved = np.uint32(tolerance_ms), np.uint32(0)
    for i in range(len(read_at_ms)):
        since = np.uint32(read_at_ms[i] - start_ms)
        slots = since // slot_ms
        rest = since - slots * slot_ms
        distance = max(rest, half) - min(rest, half)
        far = distance > most
        stamp[i] = np.int32(0) if far else np.int32(first_slot) + np.int32(slots)
        verdict[i] = np.uint8(code) if far & (verdict[i] == 0) else verdict[i]
        moved += np.uint32((distance != 0) & (not far))
    return np.int64(moved)


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
def count_late(
    stamp: NDArray[np.int32], received_ms: IntColumn, slack_ms: int, value: NDArray[np.uint32], verdict: Verdicts
) -> int:
    """Count the reads of one register that arrived more than `slack_ms` after their stamp and that no rule refused."""
    count = 0
    for i in range(len(stamp)):
        late = received_ms[i] > stamp[i] * MS_PER_SLOT + slack_ms
        count += late & (verdict[i] == 0) & (value[i] < NO_DATA)
    return count
