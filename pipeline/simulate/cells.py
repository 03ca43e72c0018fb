# SPDX-License-Identifier: Apache-2.0
"""What every cell must come out as once everything has arrived: the truth, from the list of facts alone.

The rules are those of the public contract for the value of a cell, written down once more in plain numpy; nothing here
is shared with the pipeline that is to be judged by it, but the words for the qualities.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.handover.batch import NO_READ
from pipeline.quality import ACTUAL, BACKWARD, MISSING, NO_METER, NO_TELEMETRY, REMOVED, ROLLOVER, SPIKE
from pipeline.simulate import population
from pipeline.simulate.collection import Collected
from pipeline.simulate.fleet import Fleet, Readout
from pipeline.simulate.population import Block

CAP_FACTOR: Final = 4
CAP_KW_DEFAULT: Final = 100
_DWH_PER_KW: Final = 5_000  # a kilowatt for half an hour


@dataclass(frozen=True, slots=True)
class Cells:
    """One slot of a block.

    Attributes:
        energy_dwh: (n,) exact; 0 where there is no value.
        quality: (n,) index into `QUALITIES`; those of `WITH_VALUE` have one.
        retailer: (n,) operator of record at the slot's start, or `UNASSIGNED`.
    """

    energy_dwh: NDArray[np.int64]
    quality: NDArray[np.uint8]
    retailer: NDArray[np.uint16]


@dataclass(slots=True)
class _Parts:
    """Sum over installations, and what is wrong with any of them."""

    energy: NDArray[np.int64]
    missing: NDArray[np.bool_]
    backward: NDArray[np.bool_]
    spike: NDArray[np.bool_]
    rolled: NDArray[np.bool_]


class CellTruth:
    """The truth of one block, slot after slot."""

    __slots__ = ("_block", "_factor", "_known", "_modulus", "_register", "_removed")

    def __init__(self, block: Block) -> None:
        """Stand before the first stamp."""
        self._block = block
        self._modulus = block.meters.modulus().astype(np.int32)
        self._factor = block.meters.factor().astype(np.int32)
        self._register = np.zeros(block.count, np.uint32)
        self._known = np.zeros(block.count, np.bool_)
        self._removed = np.zeros(block.count, np.bool_)

    def observe(self, stamp: int, readout: Readout, collected: Collected, fleet: Fleet) -> Cells | None:
        """Take in what arrived of a stamp and return the slot that ends there; None at the first stamp."""
        changes = self._block.changes
        going = np.flatnonzero(~changes.inside & (changes.at == stamp))
        point = changes.point[going]
        register, known = self._spread(readout, ~collected.lost & ~readout.incoming)
        given = changes.removal_given[going]
        register[point[given]] = fleet.removal_register[going[given]]
        known[point[given]] = True
        cells = self._slot(stamp - 1, register, known, fleet) if stamp else None
        new_register, new_known = self._spread(readout, ~collected.lost & readout.incoming)
        register[point], known[point] = new_register[point], new_known[point]
        given = changes.install_given[going] & changes.successor[going]
        register[point[given]] = fleet.install_register[going[given]]
        known[point[given]] = True
        self._replace(going)
        self._register, self._known = register.astype(np.uint32), known
        return cells

    def _spread(self, readout: Readout, arrived: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return register and knowledge of every point, from the rows that arrived."""
        register = np.zeros(self._block.count, np.int64)
        known = np.zeros(self._block.count, np.bool_)
        point = readout.point[arrived]
        register[point] = readout.import_register[arrived]
        known[point] = True
        export = readout.export_register[arrived]
        behind = point[export != NO_READ] + 1
        register[behind] = export[export != NO_READ]
        known[behind] = True
        return register, known

    def _replace(self, rows: NDArray[np.int64]) -> None:
        changes = self._block.changes
        point = changes.point[rows]
        self._modulus[point] = changes.meters.modulus()[rows]
        self._factor[point] = changes.meters.factor()[rows]
        self._removed[point] = ~changes.successor[rows]

    def _slot(self, slot: int, end: NDArray[np.int64], end_known: NDArray[np.bool_], fleet: Fleet) -> Cells:
        """Return the cells of a slot from the registers at its start (kept) and at its end."""
        block, changes = self._block, self._block.changes
        fate = block.fate
        inside = np.flatnonzero(changes.inside & (changes.at == slot))
        changed = changes.point[inside]
        quality = np.full(block.count, ACTUAL, np.uint8)
        quality[self._removed] = REMOVED
        quality[fate == population.NO_TELEMETRY] = NO_TELEMETRY
        quality[fate == population.NO_METER] = NO_METER
        measured = quality == ACTUAL
        parts = _Parts(np.zeros(block.count, np.int64), *(np.zeros(block.count, np.bool_) for _ in range(4)))
        whole = measured.copy()
        whole[changed] = False
        point = np.flatnonzero(whole)
        self._add(parts, point, self._register[point], end[point], self._known[point] & end_known[point])
        known = self._known[changed] & changes.removal_given[inside]
        self._add(parts, changed, self._register[changed], fleet.removal_register[inside], known)
        self._replace(inside)
        inside = inside[changes.successor[inside]]
        changed = changes.point[inside]
        known = end_known[changed] & changes.install_given[inside]
        self._add(parts, changed, fleet.install_register[inside], end[changed], known)
        for flag, word in ((parts.rolled, ROLLOVER), (parts.spike, SPIKE), (parts.backward, BACKWARD)):
            quality[measured & flag] = word
        quality[measured & parts.missing] = MISSING
        energy = np.where(quality <= SPIKE, parts.energy, 0)
        return Cells(energy, quality, block.retailer_at(slot))

    def _add(
        self,
        parts: _Parts,
        point: NDArray[np.int64],
        start: NDArray[np.int64] | NDArray[np.uint32],
        end: NDArray[np.int64],
        known: NDArray[np.bool_],
    ) -> None:
        """Add one installation each, as it stands now, to some points: from register `start` to register `end`."""
        kw = self._block.contract_kw[point].astype(np.int64)
        cap = CAP_FACTOR * _DWH_PER_KW * np.where(kw == 0, CAP_KW_DEFAULT, kw)
        difference = end - start.astype(np.int64)
        used = difference % self._modulus[point] * self._factor[point]
        fell = known & (difference < 0)
        parts.energy[point] += np.where(known, used, 0)
        parts.missing[point] |= ~known
        parts.backward[point] |= fell & (used > cap)
        parts.rolled[point] |= fell & (used <= cap)
        parts.spike[point] |= known & (difference >= 0) & (used > cap)
