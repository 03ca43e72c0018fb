# SPDX-License-Identifier: Apache-2.0
"""Masters of a few points as the kernels take them, and what their cells come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from koma.limits import REGISTER_BITS
from koma.slots import slot_at_ms
from pipeline.cell_kernels import NOBODY, Dated, Ends
from pipeline.master import MasterView
from pipeline.master.blocks import measured
from pipeline.master.view import ALWAYS_MS, OPEN_MS
from pipeline.plain_kernels import READY_STEPS
from pipeline.quality import QUALITIES
from pipeline.ready_kernels import unpack_ready
from pipeline.register_kernels import ABSENT
from pipeline.shard_cells import shard_cells
from tests.homes import MINUTE_MS, SLOT_MS, at

SLOT = slot_at_ms(at("2026-10-06T23:30"))  # the last slot of a day
START = SLOT * SLOT_MS
END = START + SLOT_MS
LATER = END + 45 * MINUTE_MS
CAP = 2_000_000  # 4 x 100 kW x half an hour
OPEN_SLOT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Meter:
    """An installation; its reads at the slot's start and end, None where there is none."""

    start: int | None = None
    end: int | None = None
    from_ms: int = ALWAYS_MS
    to_ms: int = OPEN_MS
    digits: int = 6
    unit_exponent: int = -1
    coefficient: int = 1
    first: int = -1
    last: int = -1


@dataclass(frozen=True, slots=True)
class Point:
    """A low-voltage point, supplied by retailer 1 since always unless told otherwise."""

    meters: tuple[Meter, ...]
    voltage: int = 0
    telemetry: int = 1
    cap_dwh: int = CAP
    supply: tuple[tuple[int, int, int], ...] = ((-(2**31), OPEN_SLOT, 1),)


def _fixed(values: Sequence[int], kind: type[np.generic]) -> Any:
    column = np.array(values, kind)
    column.flags.writeable = False  # as the mapped columns of a master version are
    return column


def _offsets(sizes: Sequence[int]) -> Any:
    return _fixed(np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))]).tolist(), np.int64)


def dated(points: Sequence[Point]) -> Dated:
    """Lay points out as the kernels take them, everything known since always."""
    meters = [meter for point in points for meter in point.meters]
    supply = [row for point in points for row in point.supply]
    columns: Mapping[str, tuple[Sequence[int], type[np.generic]]] = {
        "area": ([3 for _ in points], np.uint8),
        "attr_voltage": ([point.voltage for point in points], np.uint8),
        "attr_telemetry": ([point.telemetry for point in points], np.uint8),
        "attr_cap_dwh": ([point.cap_dwh for point in points], np.int64),
        "attr_rec_from": ([ALWAYS_MS for _ in points], np.int64),
        "attr_rec_to": ([OPEN_MS for _ in points], np.int64),
        "supply_from": ([row[0] for row in supply], np.int32),
        "supply_to": ([row[1] for row in supply], np.int32),
        "supply_retailer": ([row[2] for row in supply], np.uint16),
        "supply_bg": ([0 for _ in supply], np.uint16),
        "supply_rec_from": ([ALWAYS_MS for _ in supply], np.int64),
        "supply_rec_to": ([OPEN_MS for _ in supply], np.int64),
        "install_local": (list(range(len(meters))), np.uint32),
        "install_from_ms": ([meter.from_ms for meter in meters], np.int64),
        "install_to_ms": ([meter.to_ms for meter in meters], np.int64),
        "install_modulus": ([10**meter.digits for meter in meters], np.int64),
        "install_factor": ([meter.coefficient * 10 ** (meter.unit_exponent + 4) for meter in meters], np.int64),
        "install_first": ([meter.first for meter in meters], np.int64),
        "install_last": ([meter.last for meter in meters], np.int64),
        "install_rec_from": ([ALWAYS_MS for _ in meters], np.int64),
        "install_rec_to": ([OPEN_MS for _ in meters], np.int64),
    }
    offsets = {
        "attr_of": _offsets([1 for _ in points]),
        "supply_of": _offsets([len(point.supply) for point in points]),
        "install_of": _offsets([len(point.meters) for point in points]),
    }
    fixed = {name: _fixed(values, kind) for name, (values, kind) in columns.items()}
    return Dated(**fixed, **offsets)


def ends(points: Sequence[Point], start_ms: int = START) -> Ends:
    """Lay the reads at both ends of a slot out as the kernels take them; all came two minutes later."""
    meters = [meter for point in points for meter in point.meters]

    def column(reads: Sequence[int | None], stamp_ms: int) -> tuple[Any, int]:
        words = [ABSENT if read is None else np.uint64(2 * MINUTE_MS << REGISTER_BITS | read) for read in reads]
        return np.array(words, np.uint64), stamp_ms

    start = column([m.start for m in meters], start_ms)
    end = column([m.end for m in meters], start_ms + SLOT_MS)
    nothing = np.empty(0, np.uint32)
    return Ends(*start, *end, nothing, np.empty(0, np.uint8), nothing, np.empty(0, np.int64))


def master(points: Sequence[Point]) -> MasterView:
    """Build a master of one shard of which only what cells need is filled in."""
    known: dict[str, Any] = {
        "retailers": tuple(f"{r:05d}" for r in range(4)),
        "bgs": tuple(f"{g}" for g in range(4)),
        "shard_points": np.array([0, len(points)]),
    }
    empty: dict[str, Any] = {each.name: np.empty(0) for each in fields(MasterView)}
    columns = dated(points)._asdict()
    known["install_register"] = np.zeros(len(columns["install_local"]), np.uint8)
    arrays = empty | columns | known
    return MasterView(**(arrays | measured(arrays.__getitem__)))


def computed(points: Sequence[Point], slot: int, registers: Ends) -> list[tuple[int, str, int]]:
    """Owner, quality and dWh of each point's cell, long after the slot; points without a cell are left out."""
    columns = shard_cells(master(points), 0, slot, np.array([LATER], np.int64), 1, registers)
    count = len(columns["ready"])
    position, quality, energy = np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.int64)
    unpack_ready(columns["ready"], position, quality, energy)
    ready_owner = np.repeat(np.arange(len(columns["ready_counts"])) // READY_STEPS, columns["ready_counts"])
    rows = [*zip(position, ready_owner, quality, energy, strict=True)]
    rows += [*zip(*(columns[name] for name in ("position", "owner", "quality", "energy")), strict=True)]
    found = [(int(owner), QUALITIES[quality], int(energy)) for _, owner, quality, energy in sorted(rows)]
    owned = [each for each in found if each[0] != NOBODY]
    retailer, bg, area = (columns[f"total_{name}"].reshape(-1, 3) for name in ("retailer", "bg", "area"))
    assert retailer.sum(axis=0).tolist() == area.sum(axis=0).tolist() == bg.sum(axis=0).tolist()
    assert area.sum(axis=0)[[0, 2]].tolist() == [len(owned), sum(energy for _, _, energy in owned)]
    return found
