# SPDX-License-Identifier: Apache-2.0
"""Latencies as histograms of fixed buckets: those of shards, slots and days merge by addition, without loss.

A bucket is a second wide below 256 s; above, 128 of them share each doubling, so that a percentile is off by less than
1/128 of itself (0.8 %): 16 s at an hour. A latency below zero counts as zero; the last bucket holds all
from 97 days on. (A kernel counts in the same buckets: `pipeline.jit`.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

OCTAVE: Final = 128
"""Buckets of a doubling."""
OCTAVE_BITS: Final = 7
BUCKETS: Final = 2176
"""Of all; the upper edge of the last is 2^23 s."""

Pairs = Sequence[Sequence[int]]
"""Number of a bucket and count, for the buckets that are not empty: how a histogram is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many latencies lie in each bucket; `counts` has `BUCKETS` of them."""

    counts: NDArray[np.int64]

    @classmethod
    def empty(cls) -> "Histogram":
        """Return one without any latency."""
        return cls(np.zeros(BUCKETS, np.int64))

    @classmethod
    def of(cls, latencies_ms: Iterable[int], weights: Iterable[int] | None = None) -> "Histogram":
        """Return that of some latencies, each counted as often as its weight says."""
        found = cls.empty()
        late = np.fromiter(latencies_ms, np.int64)
        many = np.ones(len(late), np.int64) if weights is None else np.fromiter(weights, np.int64)
        np.add.at(found.counts, bucket_numbers(late), many)
        return found

    @classmethod
    def of_pairs(cls, pairs: Pairs) -> "Histogram":
        """Make it again from what `pairs` returned."""
        found = cls.empty()
        for bucket, count in pairs:
            found.counts[bucket] += count
        return found

    def pairs(self) -> list[list[int]]:
        """Return the buckets that hold anything."""
        where = np.flatnonzero(self.counts)
        return [[int(bucket), int(count)] for bucket, count in zip(where, self.counts[where], strict=True)]

    def __add__(self, other: "Histogram") -> "Histogram":
        """Merge two, exactly."""
        return Histogram(self.counts + other.counts)

    @property
    def count(self) -> int:
        """How many latencies there are."""
        return int(self.counts.sum())

    def percentile_s(self, percent: float) -> int | None:
        """Return the seconds within which `percent` of the latencies lie: the upper edge of the bucket of that rank.

        The true value lies in that bucket, never above the edge. None where there is no latency.
        """
        total = self.count
        if total == 0:
            return None
        rank = max(1, -int(-total * percent // 100))
        return upper_edge_s(int(np.searchsorted(np.cumsum(self.counts), rank)))

    def within(self, seconds: int) -> int:
        """Count the latencies of buckets that end by `seconds`."""
        return int(self.counts[: buckets_until(seconds)].sum())


def bucket_numbers(latencies_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bucket of each latency; the kernel of a survey counts in the same ones."""
    seconds = np.clip(latencies_ms // 1000, 0, (1 << 23) - 1)
    doublings = np.maximum(np.frexp(seconds.astype(np.float64))[1] - 1 - OCTAVE_BITS, 0).astype(np.int64)
    numbers: NDArray[np.int64] = (doublings << OCTAVE_BITS) + (seconds >> doublings)
    return numbers


def upper_edge_s(bucket: int) -> int:
    """Return the seconds at which a bucket ends, exclusive.

    >>> [upper_edge_s(bucket) for bucket in (0, 255, 256, 2175)]
    [1, 256, 258, 8388608]
    """
    doublings = max(0, (bucket >> OCTAVE_BITS) - 1)
    return (bucket - (doublings << OCTAVE_BITS) + 1) << doublings


def buckets_until(seconds: int) -> int:
    """Return how many buckets end by some seconds.

    >>> [buckets_until(seconds) for seconds in (0, 1, 256, 257, 258)]
    [0, 1, 256, 256, 257]
    """
    if seconds <= 0:
        return 0
    number = int(bucket_numbers(np.array([seconds * 1000]))[0])
    return number + 1 if upper_edge_s(number) <= seconds else number
