# SPDX-License-Identifier: Apache-2.0
"""A head-end that hands over by a clock that runs faster than the wall's: one file a simulated minute of each slot.

It runs in a process of its own, writes each file ahead of time under a dotted name, renames it when the clock says so,
and notes when that was.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.measuring.area import DIGITS, Area, make_area, write_file
from koma.slots import MS_PER_MINUTE, MS_PER_SLOT

FILES_A_SLOT: Final = 29
"""The n-th lands n minutes after the slot's end; the last before the third split."""


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Business time that runs `factor` times as fast as the machine's steady clock, the same in every process.

    Attributes:
        start_ms: business time at the origin.
        origin_ns: of the steady clock.
        factor: business seconds a second.
    """

    start_ms: int
    origin_ns: int
    factor: float

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self.start_ms + int((time.monotonic_ns() - self.origin_ns) * self.factor / 1e6)

    def real_ns(self, at_ms: float) -> int:
        """Return when the clock reads a time."""
        return self.origin_ns + int((at_ms - self.start_ms) * 1e6 / self.factor)


@dataclass(frozen=True, slots=True)
class Shift:
    """What a head-end hands over.

    Attributes:
        landing: where to.
        log: JSON lines of what was handed over, and when.
        points: of the area.
        seed: of the area.
        first_slot: the first slot; the register at its start is handed over by `hand_over_start`.
        slots: how many.
        clock: when.
    """

    landing: Path
    log: Path
    points: int
    seed: int
    first_slot: int
    slots: int
    clock: ScaledClock


def register_at(area: Area, slots: int) -> NDArray[np.uint32]:
    """Return the registers after a number of slots: every slot has the same energy, and meters roll over."""
    used = (area.end.astype(np.int64) - area.start) % 10**DIGITS
    return ((area.start + used * slots) % 10**DIGITS).astype(np.uint32)


def hand_over_start(landing: Path, area: Area, first_slot: int) -> None:
    """Hand the registers at the start of the first slot over, arrived in time."""
    _write(landing / "start.arrow", area, np.arange(len(area)), first_slot, 0, first_slot * MS_PER_SLOT)


def hand_over(shift: Shift) -> None:
    """Hand all slots over, each file at its time."""
    area = make_area(shift.points, shift.seed)
    order = np.random.default_rng(shift.seed + 1).permutation(shift.points)
    parts = np.array_split(order, FILES_A_SLOT)
    with shift.log.open("w", encoding="ascii", buffering=1) as log:
        for slot in range(shift.slots):
            end = shift.first_slot + slot + 1
            for number, rows in enumerate(parts):
                lands_ms = end * MS_PER_SLOT + (number + 1) * MS_PER_MINUTE
                target = shift.landing / f"reads-{slot:05d}-{number:02d}.arrow"
                hidden = target.with_name(f".{target.name}")
                _write(hidden, area, rows, end, slot + 1, lands_ms - MS_PER_MINUTE)
                time.sleep(max(0.0, (shift.clock.real_ns(lands_ms) - time.monotonic_ns()) / 1e9))
                hidden.rename(target)
                facts = {"slot": slot, "points": len(rows), "due_ms": lands_ms, "landed_ms": shift.clock.now_ms()}
                log.write(json.dumps(facts) + "\n")


def _write(path: Path, area: Area, rows: NDArray[np.int64], stamp: int, slots: int, from_ms: int) -> None:
    received = np.full(len(rows), from_ms) + np.linspace(1_000, MS_PER_MINUTE - 1_000, len(rows)).astype(np.int64)
    with pa.OSFile(str(path), "wb") as sink:
        write_file(sink, area.serial[rows], register_at(area, slots)[rows], received, stamp)
