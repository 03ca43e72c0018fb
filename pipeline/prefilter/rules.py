# SPDX-License-Identifier: Apache-2.0
"""The rules on rows, in the order in which they judge.

A row keeps the first verdict it gets; a rule changes no value.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koma.settings import Settings
from pipeline.handover.batch import ReadBatch
from pipeline.handover.column_kernels import extent
from pipeline.prefilter.kernels import MS_PER_SLOT, mark_later, mark_older, snap_near, snap_to_grid

FUTURE_SLACK_MS = 180_000
DAY_MS = 86_400_000
_NEAR_MS = 2**32 - 1 - MS_PER_SLOT
"""How far apart times may lie for `snap_near`, which counts from up to a slot before the first of them."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a stamp may lie from where it should."""

    tolerance_ms: int
    too_old_ms: int

    @classmethod
    def of(cls, settings: Settings) -> "Bounds":
        """Take the bounds from the settings."""
        return cls(settings.stamp_tolerance_s * 1000, settings.too_old_days * DAY_MS)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the rules say of a batch: a verdict a row (0 = none), the slot boundary of each row, rows moved to it."""

    verdict: NDArray[np.uint8]
    stamp: NDArray[np.int32]
    moved: int


@dataclass(frozen=True, slots=True)
class Reach:
    """The earliest and the latest of a batch's times, ms: mostly enough to see that no row breaks a rule."""

    first_read: int
    last_read: int
    first_received: int
    last_received: int


Apply = Callable[[ReadBatch, Reach, Bounds, NDArray[np.uint8], NDArray[np.int32], int], int]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the code that goes to quarantine with a row, what it tells the reader, and the judge."""

    code: str
    says: str
    apply: Apply


def _off_grid(
    batch: ReadBatch, reach: Reach, bounds: Bounds, verdict: NDArray[np.uint8], stamp: NDArray[np.int32], code: int
) -> int:
    tolerance_ms = bounds.tolerance_ms
    first_slot = (reach.first_read + MS_PER_SLOT // 2) // MS_PER_SLOT
    last_slot = (reach.last_read + MS_PER_SLOT // 2) // MS_PER_SLOT
    near = reach.last_read - reach.first_read <= _NEAR_MS and -(2**31) <= first_slot <= last_slot <= 2**31 - 2
    if near and 0 <= tolerance_ms < 2**32:
        return snap_near(batch.read_at_ms, first_slot, tolerance_ms, verdict, code, stamp)
    return snap_to_grid(batch.read_at_ms, tolerance_ms, verdict, code, stamp)


def _future(
    batch: ReadBatch, reach: Reach, bounds: Bounds, verdict: NDArray[np.uint8], stamp: NDArray[np.int32], code: int
) -> int:
    del bounds, stamp
    if reach.last_read > reach.first_received + FUTURE_SLACK_MS:
        mark_later(batch.read_at_ms, batch.received_ms, FUTURE_SLACK_MS, verdict, code)
    return 0


def _too_old(
    batch: ReadBatch, reach: Reach, bounds: Bounds, verdict: NDArray[np.uint8], stamp: NDArray[np.int32], code: int
) -> int:
    del stamp
    if reach.first_read < reach.last_received - bounds.too_old_ms:
        mark_older(batch.read_at_ms, batch.received_ms, bounds.too_old_ms, verdict, code)
    return 0


RULES: tuple[Rule, ...] = (
    Rule("off_grid", "the stamp lies between two slot boundaries: check the meter's clock", _off_grid),
    Rule("future", "the stamp is later than the arrival: check the clocks of meter and head-end", _future),
    Rule("too_old", "the stamp is older than reads are taken: hand it over by an agreed correction", _too_old),
)


def judge(batch: ReadBatch, bounds: Bounds) -> Judged:
    """Apply all rules to `batch`; verdict k means `RULES[k - 1]` refused the row."""
    rows = len(batch.read_at_ms)
    verdict = np.zeros(rows, np.uint8)
    stamp = np.empty(rows, np.int32)
    if rows == 0:
        return Judged(verdict, stamp, 0)
    reach = Reach(*extent(batch.read_at_ms), *extent(batch.received_ms))
    moved = sum(rule.apply(batch, reach, bounds, verdict, stamp, code) for code, rule in enumerate(RULES, 1))
    return Judged(verdict, stamp, moved)
