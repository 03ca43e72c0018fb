# SPDX-License-Identifier: Apache-2.0
"""Random numbers that depend on the seed, the block and the stamp alone, and the tables they are turned into.

Everything is whole numbers: a float that two machines round differently would change a file.
"""

from enum import IntEnum
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_MINUTE

U32_RANGE: Final = 2**32
NOISE_ONE: Final = 256
"""What `NOISE` holds for a factor of one."""


class Stream(IntEnum):
    """Which question a generator answers; each has its own numbers."""

    POPULATION = 1
    LOAD = 2
    COLLECTION = 3
    HANDOVER = 4


def generator(seed: int, stream: Stream, block: int = 0, step: int = 0) -> np.random.Generator:
    """Return the generator of one block at one step."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, int(stream), block, step))))


def u32(random: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """Return `count` uniform 32-bit numbers."""
    return random.integers(0, U32_RANGE, count, dtype=np.uint32)


def chance(numbers: NDArray[np.uint32], share: float) -> NDArray[np.bool_]:
    """Return which of the numbers lie in the lowest `share` of the range."""
    limit = round(share * U32_RANGE)
    if limit >= U32_RANGE:
        return np.ones(len(numbers), np.bool_)
    return numbers < np.uint32(limit)


def below(numbers: NDArray[np.uint32], bound: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Return uniform numbers in [0, bound), for bounds up to 2^31."""
    return (numbers.astype(np.int64) * bound) >> 32


def split_by_weight(weights: list[int], size: int) -> NDArray[np.uint16]:
    """Return a table of `size` indices in which each index stands as often as its weight says, at least once."""
    total = sum(weights)
    counts = [max(1, weight * size // total) for weight in weights]
    counts[counts.index(max(counts))] += size - sum(counts)
    return np.repeat(np.arange(len(weights), dtype=np.uint16), counts)


def _noise() -> NDArray[np.int64]:
    """Return 4,096 factors with mean 1: often a little, sometimes 2.5 times."""
    rank = np.arange(4096, dtype=np.int64)
    return 64 + ((576 * rank * rank) >> 24)


def _delays() -> NDArray[np.int64]:
    """Return 65,536 delays in ms between a stamp and its arrival: half within 7 minutes, nearly all within 20.

    Source: a meter announces its registers within 5 minutes of each half-hour (ECHONET Lite class 0x0288); collection
    with its retries takes up to half an hour. The shares are ours.
    """
    knots = ((0, 60), (6_554, 120), (32_768, 420), (58_982, 900), (64_225, 1_200), (65_536, 1_740))
    parts = []
    for (rank, seconds), (next_rank, next_seconds) in pairwise(knots):
        place = np.arange(next_rank - rank, dtype=np.int64)
        parts.append(1000 * seconds + 1000 * (next_seconds - seconds) * place // (next_rank - rank))
    return np.concatenate(parts)


NOISE: Final = _noise()
DELAY_MS: Final = _delays()
DELAY_MAX_MS: Final = 30 * MS_PER_MINUTE
"""A read that is not late arrives before this."""


def noise(numbers: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return a factor for each number, in units of 1 / `NOISE_ONE`."""
    factor: NDArray[np.int64] = NOISE[numbers >> np.uint32(20)]
    return factor


def delay_ms(numbers: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the time from stamp to arrival of reads that are not late."""
    delay: NDArray[np.int64] = DELAY_MS[numbers >> np.uint32(16)] + (numbers & np.uint32(0x3F)).astype(np.int64)
    return delay


def late_delay_ms(numbers: NDArray[np.uint32], late_hours: int) -> NDArray[np.int64]:
    """Return the time from stamp to arrival of late reads: after half an hour, thinning out up to `late_hours`."""
    span = late_hours * 60 * MS_PER_MINUTE - DELAY_MAX_MS
    rank = (numbers >> np.uint32(16)).astype(np.int64)
    delay: NDArray[np.int64] = DELAY_MAX_MS + ((rank * rank) >> 16) * span // 65_536
    return delay
