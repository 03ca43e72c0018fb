# SPDX-License-Identifier: Apache-2.0
"""Real homes as meters: half-hourly energy accumulated into registers of 0.1 kWh, lost where the data has a gap.

A register counts on from a random start in whole units and carries the remainder, as a meter does; it has six digits
and some homes start close enough to the top to roll over.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.handover import ReadBatch
from pipeline.home import Home
from tests.homes import MINUTE_MS, NO_READ, SLOT_MS, Row, hand_over, iso, point
from tests.independent_reader import Cell

RETAILERS = ("10013", "10023", "10033", "10043", "10053")
MODULUS = 1_000_000
DWH_PER_UNIT = 1_000
FILES = 30
FORMATS = (".arrow", ".csv", ".parquet")
JST_MS = 9 * 3_600_000

Registers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Homes:
    """H homes over S slots. `register` (H, S+1) is what each meter showed, `known` whether it was ever read."""

    start_ms: int
    register: Registers
    known: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return len(self.register)

    @property
    def slots(self) -> int:
        return int(self.register.shape[1]) - 1

    def meter(self, home: int) -> str:
        return f"HOME{home:04d}"

    def retailer(self, home: int, retailers: int) -> str:
        return RETAILERS[home % retailers]

    def slot_start(self, slot: int) -> str:
        return iso(self.start_ms + slot * SLOT_MS)

    def energy(self) -> Registers:
        """True energy (H, S) in dWh."""
        return np.diff(self.register, axis=1) % MODULUS * DWH_PER_UNIT


def read_homes(data: Path, first: str, end: str) -> Homes:
    """Take the homes of the real data over the days [first, end), as if its half-hours were JST."""
    begin, stop = (int(np.datetime64(day, "m").astype(np.int64)) for day in (first, end))
    table = pq.read_table(data / "lcl" / "lcl60_dev_2013.parquet")
    names, where = np.unique(np.asarray(table["id"].to_pylist()), return_inverse=True)
    minute = table["t"].to_numpy().astype("datetime64[m]").astype(np.int64)
    slots = (stop - begin) // 30
    slot = (minute - begin) // 30
    inside = (slot >= 0) & (slot < slots)
    energy = np.zeros((len(names), slots), np.int64)  # 10^-7 kWh: the data's single precision, exactly
    there = np.zeros((len(names), slots), bool)
    energy[where[inside], slot[inside]] = np.rint(pc.fill_null(table["kwh"], 0).to_numpy()[inside] * 1e7)
    there[where[inside], slot[inside]] = True
    chance = np.random.default_rng(2013)
    start = chance.integers(0, MODULUS, len(names))
    start[::7] = MODULUS - chance.integers(1, 500, len(start[::7]))
    units = np.concatenate([np.zeros((len(names), 1), np.int64), energy.cumsum(axis=1) // 10**6], axis=1)
    known = np.concatenate([there[:, :1], there], axis=1)
    return Homes(begin * MINUTE_MS - JST_MS, (start[:, None] + units) % MODULUS, known)


def delays(count: int, chance: np.random.Generator, longest_ms: int) -> Registers:
    """Most reads arrive within nine minutes, some within 40, a few within `longest_ms`."""
    minutes = chance.integers(30_000, 9 * MINUTE_MS, count)
    some, few = chance.random(count) < 0.01, chance.random(count) < 0.001
    minutes[some] = chance.integers(9 * MINUTE_MS, 40 * MINUTE_MS, int(some.sum()))
    minutes[few] = chance.integers(40 * MINUTE_MS, longest_ms, int(few.sum()))
    return minutes // 1000 * 1000


def reads(homes: Homes, chance: np.random.Generator, *, longest_ms: int = 5 * 3_600_000) -> ReadBatch:
    """All reads that are known, 5 % of them twice, in random order."""
    home, stamp = np.nonzero(homes.known)
    read_at = homes.start_ms + stamp * SLOT_MS
    received = read_at + delays(len(home), chance, longest_ms)
    again = np.flatnonzero(chance.random(len(home)) < 0.05)
    order = np.concatenate([np.arange(len(home)), again])
    late = np.concatenate([np.zeros(len(home), np.int64), chance.integers(0, 600_000, len(again)) // 1000 * 1000])
    shuffled = chance.permutation(len(order))
    order, late = order[shuffled], late[shuffled]
    ids = np.array([homes.meter(h).encode() for h in range(homes.count)], "S16")
    rows = len(order)
    return ReadBatch(
        "homes",
        ids[home[order]].view(np.uint64).reshape(rows, 2),
        read_at[order],
        received[order] + late,
        homes.register[home[order], stamp[order]].astype(np.uint32),
        np.full(rows, NO_READ, np.uint32),
        np.arange(rows),
    )


def part_of(batch: ReadBatch, rows: NDArray[np.generic] | slice) -> ReadBatch:
    """Some rows of a batch."""
    return ReadBatch(
        batch.source,
        batch.keys[rows],
        batch.read_at_ms[rows],
        batch.received_ms[rows],
        batch.import_register[rows],
        batch.export_register[rows],
        batch.place[rows],
    )


def land(home: Home, batch: ReadBatch, files: int = FILES, name: str = "homes") -> None:
    """Hand a batch over in many files of three formats."""
    for number in range(files):
        if len(part := part_of(batch, slice(number, None, files))):
            hand_over(home, f"{name}{number:03d}{FORMATS[number % len(FORMATS)]}", part)


def master(homes: Homes, retailers: int) -> dict[str, list[Row]]:
    """Give the master: a point and a meter in 0.1 kWh for each home, known since always."""
    return {
        "points": [{"point_id": point(h), "contract_kw": 10} for h in range(homes.count)],
        "meters": [
            {"point_id": point(h), "meter_id": homes.meter(h), "digits": 6, "unit_exponent": -1}
            for h in range(homes.count)
        ],
        "supply": [
            {"point_id": point(h), "retailer_code": homes.retailer(h, retailers), "valid_from": "2010-01-01T00:00"}
            for h in range(homes.count)
        ],
    }


def check(homes: Homes, cells: Mapping[tuple[str, str, str], Cell], retailers: int) -> dict[str, int]:
    """Hold every delivered cell against the registers; returns what was counted.

    Available cells equal the register difference, cells beside a lost register are missing, the missing ones between
    two known registers add up to what these tell, and all together is last minus first register.
    """
    counts = {"cells": 0, "available": 0, "missing": 0, "rolled_over": 0, "dwh": 0}
    energy = homes.energy()
    slots = delivered_slots(homes, cells)
    starts = [homes.slot_start(s) for s in range(slots)]
    for h in range(homes.count):
        retailer, name = homes.retailer(h, retailers), point(h)
        delivered = [cells[retailer, start, name].energy_dwh for start in starts]
        both = homes.known[h, :slots] & homes.known[h, 1 : slots + 1]
        truth = [int(e) if known else None for e, known in zip(energy[h], both, strict=False)]
        assert delivered == truth, f"{name}: {[k for k in range(slots) if delivered[k] != truth[k]][:5]}"
        known = np.flatnonzero(homes.known[h, : slots + 1])
        if len(known) < 2:
            continue
        spans = np.diff(homes.register[h, known]) % MODULUS * DWH_PER_UNIT
        total = 0
        for left, right, span in zip(known[:-1], known[1:], spans.tolist(), strict=True):
            between = delivered[left:right]
            assert len(between) == 1 or between == [None] * len(between), f"{name} around {left}"
            total += span if len(between) > 1 else between[0] or 0
        turns = int((np.diff(homes.register[h, known]) < 0).sum())
        first, last = int(homes.register[h, known[0]]), int(homes.register[h, known[-1]])
        assert total == (last - first + turns * MODULUS) * DWH_PER_UNIT, f"{name}: {total}"
        counts["rolled_over"] += turns
        counts["dwh"] += total
        counts["available"] += int(both.sum())
    counts["cells"] = slots * homes.count
    counts["missing"] = counts["cells"] - counts["available"]
    return counts


def delivered_slots(homes: Homes, cells: Mapping[tuple[str, str, str], Cell]) -> int:
    """Count the slots that were delivered whole: all but the last two, whose closing no arrival has reached."""
    rows = Counter(start for _, start, _ in cells)
    slots = sum(rows[homes.slot_start(slot)] == homes.count for slot in range(homes.slots))
    assert slots >= homes.slots - 2, f"{slots} of {homes.slots} slots were delivered whole"
    return slots
