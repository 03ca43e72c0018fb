# SPDX-License-Identifier: Apache-2.0
"""What a rule on rows is given: a batch, how far its times reach, and the bounds from the settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.settings import Settings
from koma.slots import MS_PER_DAY
from pipeline.handover.batch import ReadBatch
from pipeline.rules.rule import Rule

FUTURE_SLACK_MS: Final = 180_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a stamp may lie from where it should."""

    tolerance_ms: int
    too_old_ms: int

    @classmethod
    def of(cls, settings: Settings) -> "Bounds":
        """Take the bounds from the settings."""
        return cls(settings.stamp_tolerance_s * 1000, settings.too_old_days * MS_PER_DAY)


@dataclass(frozen=True, slots=True)
class Reach:
    """The earliest and the latest of a batch's times, ms: mostly enough to see that no row breaks a rule."""

    first_read: int
    last_read: int
    first_received: int
    last_received: int


Apply = Callable[[ReadBatch, Reach, Bounds, NDArray[np.uint8], NDArray[np.int32], int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule(Rule):
    """A rule that judges rows by themselves; a row keeps the first verdict it gets, and no value changes.

    Attributes:
        apply: marks the rows it refuses with its number, and returns how many reads it lets pass with a flag.
        flags: the counter of those.
    """

    apply: Apply
    flags: str = ""
