# SPDX-License-Identifier: Apache-2.0
"""Half-hours of homes for months on end, drawn so that they compress as real ones do, and no better.

A home has a level, a curve over the day and a random draw a slot; a meter shows steps of 0.01 or 0.1 kWh. One cell in
two hundred is late: issued as missing first, as a revision hours later.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import SLOTS_PER_DAY
from pipeline.history.rows import ID_TYPE, Rows, merged
from pipeline.quality import ACTUAL, MISSING

RETAILERS: Final = (90013, 90023, 90033, 90043, 90053)
"""The first has half of the points."""
LATE_SHARE: Final = 0.005
_SPLITS: Final = (2, 4, 6)
_SPLIT_SHARES: Final = (0.7, 0.25, 0.05)
_CLOSING: Final = 9
_REVISED: Final = (15, 33, 57, 105)
"""Steps of five minutes from the slot's end to the splits, the closing and some revisions."""
_CURVE: Final = 0.4 + 0.6 * np.exp(-(((np.arange(SLOTS_PER_DAY) - 38) / 7.0) ** 2))


@dataclass(frozen=True, slots=True)
class Homes:
    """The homes of one area."""

    seed: int

    def ids(self, first: int, count: int) -> NDArray[np.bytes_]:
        """Return the points from the `first` on."""
        return np.array([f"03{10**12 + number:020d}" for number in range(first, first + count)], ID_TYPE)

    def energies(self, first: int, count: int, slot: int, slots: int) -> NDArray[np.int64]:
        """Return (count, slots) dWh."""
        chance = np.random.default_rng((self.seed, first, slot))
        level = np.random.default_rng((self.seed, first)).gamma(2.0, 900.0, (count, 1))
        curve = np.tile(_CURVE, slots // SLOTS_PER_DAY + 2)[slot % SLOTS_PER_DAY :][:slots]
        drawn = level * curve * chance.gamma(1.5, 1 / 1.5, (count, slots))
        step = np.where(np.arange(first, first + count) % 10 < 3, 1000, 100)[:, None]
        found: NDArray[np.int64] = (np.round(drawn / step) * step).astype(np.int64)
        return found

    def rows(self, first: int, count: int, slot: int, slots: int) -> Rows:
        """Return all states of the points' cells."""
        energy = self.energies(first, count, slot, slots).ravel()
        chance = np.random.default_rng((self.seed, first, slot, 1))
        late = chance.random(len(energy)) < LATE_SHARE
        columns: dict[str, Any] = {
            "rank": np.repeat(np.arange(count, dtype=np.int32), slots),
            "slot": np.tile(np.arange(slot, slot + slots, dtype=np.int32), count),
            "retailer": np.repeat(self.retailers(first, count), slots),
        }
        ids = self.ids(first, count)
        issued = Rows(
            ids=ids,
            **columns,
            energy=np.where(late, 0, energy),
            quality=np.where(late, MISSING, ACTUAL).astype(np.uint8),
            revision=np.zeros(len(energy), np.int16),
            step=np.where(late, _CLOSING, chance.choice(_SPLITS, len(energy), p=_SPLIT_SHARES)).astype(np.int32),
        )
        revised = Rows(
            ids=ids,
            **{name: column[late] for name, column in columns.items()},
            energy=energy[late],
            quality=np.full(int(late.sum()), ACTUAL, np.uint8),
            revision=np.ones(int(late.sum()), np.int16),
            step=chance.choice(_REVISED, int(late.sum())).astype(np.int32),
        )
        return merged([issued, revised])

    def retailers(self, first: int, count: int) -> NDArray[np.int32]:
        """Return the retailer of each point."""
        number = np.arange(first, first + count)
        return np.array(RETAILERS, np.int32)[np.where(number % 2 == 0, 0, 1 + number // 2 % (len(RETAILERS) - 1))]
