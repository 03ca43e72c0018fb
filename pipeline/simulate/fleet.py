# SPDX-License-Identifier: Apache-2.0
"""The meters of a block through time: energy flows, registers count, old meters go and new ones come.

A register shows `floor(counted dWh / dWh of one count) mod 10^digits`: the part below one count is carried on, as real
meters do.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.handover.batch import NO_READ
from pipeline.simulate.draws import NOISE_ONE, Stream, chance, generator, noise, u32
from pipeline.simulate.options import Options
from pipeline.simulate.population import NO_METER, NO_TELEMETRY, Block, slot_codes
from pipeline.simulate.shapes import MEAN_DWH, SCALE_ONE

REMOVED_AFTER_MIN: Final = 12
INSTALLED_AFTER_MIN: Final = 17
"""A change inside a slot: the house is without current between these minutes."""


@dataclass(frozen=True, slots=True)
class Readout:
    """What the meters of a block show at one stamp, one row a meter.

    Attributes:
        point: (n,) index in the block of the demand point the meter stands at.
        meter: (n,) meter number.
        import_register, export_register: (n,) in the meter's unit; `NO_READ` where the meter has no such register.
        incoming: (n,) the meter is put in at this very stamp.
    """

    point: NDArray[np.int64]
    meter: NDArray[np.uint32]
    import_register: NDArray[np.uint32]
    export_register: NDArray[np.uint32]
    incoming: NDArray[np.bool_]


class Fleet:
    """Registers of one block, advanced stamp by stamp.

    Attributes:
        removal_register: (changes,) what the old register shows when it goes; filled as time passes.
        install_register: (changes,) what the new register shows when it comes.
        reporting: meters that report at the start.
    """

    __slots__ = (
        "_active",
        "_block",
        "_codes",
        "_factor",
        "_level",
        "_meter",
        "_modulus",
        "_options",
        "_stamp",
        "install_register",
        "removal_register",
        "reporting",
    )

    def __init__(self, options: Options, block: Block) -> None:
        """Stand before the first stamp of the window."""
        self._options = options
        self._block = block
        self._codes = slot_codes(options)
        self._stamp = -1
        self._level = block.level_dwh.copy()
        self._factor = block.meters.factor().astype(np.int32)
        self._modulus = block.meters.modulus().astype(np.int32)
        self._meter = meter_numbers(options, block, successor=False)
        self._active = (block.fate != NO_METER) & (block.fate != NO_TELEMETRY)
        self.reporting = int((self._active & ~block.generation).sum())
        changes = block.changes
        self.removal_register = np.zeros(len(changes.point), np.int64)
        self.install_register = changes.level_dwh // changes.meters.factor() % changes.meters.modulus()

    def advance(self) -> Readout:
        """Move to the next stamp and read every meter that stands or is just being taken away."""
        self._stamp += 1
        if self._stamp:
            self._consume(self._stamp - 1)
        shown = self._shown()
        before = self._rows(shown, self._active)
        gone = self._change_meters(shown)
        if not len(gone):
            return before
        fresh = np.zeros(self._block.count, np.bool_)
        fresh[gone] = self._active[gone]
        after = self._rows(self._shown(), fresh)
        return Readout(
            np.concatenate([before.point, after.point]),
            np.concatenate([before.meter, after.meter]),
            np.concatenate([before.import_register, after.import_register]),
            np.concatenate([before.export_register, after.export_register]),
            np.concatenate([before.incoming, np.ones(len(after.point), np.bool_)]),
        )

    def _shown(self) -> NDArray[np.uint32]:
        return (self._level // self._factor % self._modulus).astype(np.uint32)

    def _rows(self, shown: NDArray[np.uint32], standing: NDArray[np.bool_]) -> Readout:
        """Return one row a meter: a generation point adds its register to the row of the point before it."""
        point = np.flatnonzero(standing & ~self._block.generation)
        export = np.full(self._block.count, NO_READ, np.uint32)
        behind = np.flatnonzero(standing & self._block.generation)
        export[behind - 1] = shown[behind]
        return Readout(point, self._meter[point], shown[point], export[point], np.zeros(len(point), np.bool_))

    def _consume(self, slot: int) -> None:
        """Let the energy of a slot flow through the registers."""
        block, faults = self._block, self._options.faults
        random = generator(self._options.seed, Stream.LOAD, block.number, slot)
        energy = MEAN_DWH[:, self._codes[slot]][block.kind] * block.scale
        energy *= noise(u32(random, block.count))
        energy //= SCALE_ONE * NOISE_ONE
        np.minimum(energy, block.limit_dwh, out=energy)
        if faults.spikes or faults.backward:
            energy = self._jump(random, energy)
        inside = np.flatnonzero(block.changes.inside & (block.changes.at == slot))
        if len(inside):
            self._change_inside(inside, energy)
        self._level += energy

    def _jump(self, random: np.random.Generator, energy: NDArray[np.int64]) -> NDArray[np.int64]:
        """Make some registers jump: far ahead, or a few counts back (never below zero)."""
        faults, block = self._options.faults, self._block
        numbers = u32(random, block.count)
        steady = block.fate == 0
        ahead = steady & chance(numbers, faults.spikes)
        back = steady & chance(~numbers, faults.backward) & ~ahead & (self._level >= 5 * self._factor.astype(np.int64))
        cap_kw = np.where(block.contract_kw == 0, 100, block.contract_kw).astype(np.int64)
        jumped = np.where(ahead, energy + 25_000 * cap_kw + self._factor, energy)
        counts = 1 + (numbers >> np.uint32(3)).astype(np.int64) % 5
        return np.where(back, -counts * self._factor, jumped)

    def _change_inside(self, rows: NDArray[np.int64], energy: NDArray[np.int64]) -> None:
        """Change meters inside a slot: the old one counts until it goes, the new one from when it comes."""
        changes = self._block.changes
        point = changes.point[rows]
        last = self._level[point] + energy[point] * REMOVED_AFTER_MIN // 30
        self.removal_register[rows] = last // self._factor[point] % self._modulus[point]
        self._install(rows)
        energy[point] = energy[point] * (30 - INSTALLED_AFTER_MIN) // 30

    def _change_meters(self, shown: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Take away the meters that go at this stamp, put in those that come; return their points."""
        changes = self._block.changes
        rows = np.flatnonzero(~changes.inside & (changes.at == self._stamp))
        self.removal_register[rows] = shown[changes.point[rows]]
        self._install(rows)
        return changes.point[rows]

    def _install(self, rows: NDArray[np.int64]) -> None:
        changes = self._block.changes
        point = changes.point[rows]
        self._active[point] = changes.successor[rows]
        self._level[point] = changes.level_dwh[rows]
        self._factor[point] = changes.meters.factor()[rows]
        self._modulus[point] = changes.meters.modulus()[rows]
        self._meter[point] += np.uint32(self._options.points)


def meter_numbers(options: Options, block: Block, *, successor: bool) -> NDArray[np.uint32]:
    """Return the number of the meter each point hangs on; successors count on from the number of points."""
    number = np.arange(block.first, block.first + block.count, dtype=np.uint32)
    number -= block.generation.astype(np.uint32)
    if successor:
        number += np.uint32(options.points)
    return number


def unknown_meters(options: Options, block: Block) -> NDArray[np.uint32]:
    """Return the numbers of the block's meters that the master does not hold."""
    first = 2 * options.points + block.first
    return np.arange(first, first + block.unknown, dtype=np.uint32)
