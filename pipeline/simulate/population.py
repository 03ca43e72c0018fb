# SPDX-License-Identifier: Apache-2.0
"""Who lives in a block of points: kinds, contracts, meters, retailers, and what will happen to them in the window.

A meter stands at a demand point; a generation point directly behind it hangs on the export register of the same meter.
The points of a block are all there is to know about it: load, collection, master and truth are made from them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import slot_at_ms, slot_code
from pipeline.simulate.draws import Stream, below, chance, generator, split_by_weight, u32
from pipeline.simulate.options import Options
from pipeline.simulate.shapes import (
    CONTRACT_KW_PER_SCALE,
    CONTRACT_KW_RANGE,
    SCALE_ONE,
    Kind,
    window_mean_dwh,
)

UNASSIGNED: Final = 0xFFFF
"""Retailer index of a point that nobody supplies."""
NEVER: Final = -1

NO_METER, NO_TELEMETRY, REMOVED, EXCHANGED = 1, 2, 3, 4
"""Fates; 0 is a meter that simply reports."""

AREA_METERS: Final = {
    "01": 370, "02": 666, "03": 2840, "04": 950, "05": 182, "06": 1300, "07": 495, "08": 265, "09": 810, "10": 85,
}  # fmt: skip
"""Low-voltage smart meters by area in units of 10,000, as the transmission operators report them."""

BALANCING_GROUPS: Final = 3
_TABLE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Meters:
    """Metering equipment, one row a register: what a row of meters.csv says about it."""

    unit_exponent: NDArray[np.int8]
    digits: NDArray[np.uint8]
    coefficient: NDArray[np.int16]

    def factor(self) -> NDArray[np.int64]:
        """Return the dWh of one count: coefficient x 10^(unit_exponent + 4)."""
        power: NDArray[np.int64] = 10 ** (self.unit_exponent.astype(np.int64) + 4)
        return self.coefficient.astype(np.int64) * power

    def modulus(self) -> NDArray[np.int64]:
        """Return the number of values the register shows: 10^digits."""
        power: NDArray[np.int64] = 10 ** self.digits.astype(np.int64)
        return power


@dataclass(frozen=True, slots=True)
class Changes:
    """Meters that go in the window, one row a point, ascending by point.

    Attributes:
        point: index in the block.
        at: stamp at which the old meter goes, or slot in the middle of which it goes where `inside`.
        inside: the change lies inside the slot: away after 12 minutes, the new one in after 17.
        successor: a new meter comes.
        removal_given: the master knows the old meter's last register.
        install_given: the master knows the new meter's first register.
        meters: the new equipment.
        level_dwh: what the new register has counted when it comes, in dWh with the part below one count.
    """

    point: NDArray[np.int64]
    at: NDArray[np.int64]
    inside: NDArray[np.bool_]
    successor: NDArray[np.bool_]
    removal_given: NDArray[np.bool_]
    install_given: NDArray[np.bool_]
    meters: Meters
    level_dwh: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Points `first` to `first + count - 1`.

    Attributes:
        number: the block's number.
        first: number of its first point.
        kind: `Kind` of each point.
        area: index in the areas asked for.
        generation: the point hangs on the export register of the point before it.
        scale: size, in units of 1 / `SCALE_ONE`.
        contract_kw: contract power; 0 = the master does not say.
        limit_dwh: energy of a half-hour never exceeds it.
        fate: 0, `NO_METER`, `NO_TELEMETRY`, `REMOVED` or `EXCHANGED`.
        meters: the equipment at the start of the window.
        level_dwh: what each register has counted at the start, in dWh with the part below one count.
        rolls: the register starts close below its highest value.
        installed_day, supplied_day: days before the window.
        retailer: operator at the start of the window, `UNASSIGNED` for none.
        new_retailer: operator from slot `switch_at` on.
        switch_at: `NEVER`, or the slot at which the supply contract changes.
        bg: which of the retailer's balancing groups.
        referenced: the retailer gave a customer reference.
        read_day: meter-reading day.
        unknown: reporting meters that the master does not hold.
        changes: meters that go.
    """

    number: int
    first: int
    kind: NDArray[np.uint8]
    area: NDArray[np.uint8]
    generation: NDArray[np.bool_]
    scale: NDArray[np.uint16]
    contract_kw: NDArray[np.uint16]
    limit_dwh: NDArray[np.int32]
    fate: NDArray[np.uint8]
    meters: Meters
    level_dwh: NDArray[np.int64]
    rolls: NDArray[np.bool_]
    installed_day: NDArray[np.uint16]
    supplied_day: NDArray[np.uint16]
    retailer: NDArray[np.uint16]
    new_retailer: NDArray[np.uint16]
    switch_at: NDArray[np.int16]
    bg: NDArray[np.uint8]
    referenced: NDArray[np.bool_]
    read_day: NDArray[np.uint8]
    unknown: int
    changes: Changes

    @property
    def count(self) -> int:
        """Number of points."""
        return len(self.kind)

    def retailer_at(self, slot: int) -> NDArray[np.uint16]:
        """Return the operator that supplies each point at a slot's start, `UNASSIGNED` where none does."""
        switched = (self.switch_at != NEVER) & (self.switch_at <= slot)
        return np.where(switched, self.new_retailer, self.retailer)

    def low_voltage(self) -> NDArray[np.bool_]:
        """Return which points are low voltage."""
        low: NDArray[np.bool_] = self.kind != Kind.HIGH_VOLTAGE
        return low


def block_count(options: Options) -> int:
    """Return the number of blocks."""
    return -(-options.points // options.block_points)


def slot_codes(options: Options) -> NDArray[np.int64]:
    """Return the time code, less one, of each slot of the window."""
    first = slot_at_ms(options.start_ms)
    return np.array([slot_code(first + k) - 1 for k in range(options.slots)], np.int64)


def retailer_table(retailers: int) -> NDArray[np.uint16]:
    """Return 65,536 operators by share: the first has about half, the others fall off with their rank."""
    if retailers == 1:
        return np.zeros(_TABLE, np.uint16)
    tail = [1_000_000 // rank for rank in range(1, retailers)]
    return split_by_weight([sum(tail) * 53 // 47, *tail], _TABLE)


def draw_block(options: Options, number: int) -> Block:
    """Draw one block; always the same for the same options."""
    random = generator(options.seed, Stream.POPULATION, number)
    first = number * options.block_points
    count = min(options.block_points, options.points - first)
    kind = _kinds(random, options, count)
    generation = (kind == Kind.SOLAR) | (kind == Kind.STEADY_GENERATION)
    rank = u32(random, count) >> np.uint32(20)
    scale = (88 + 220 * rank.astype(np.int64) * rank * rank // 4096**3).astype(np.uint16)
    contract = np.clip(
        CONTRACT_KW_PER_SCALE[kind] * scale // SCALE_ONE + 1, CONTRACT_KW_RANGE[kind, 0], CONTRACT_KW_RANGE[kind, 1]
    )
    unsaid = chance(u32(random, count), 0.03) & (kind == Kind.HOME)
    fate = _with_its_meter(_fates(u32(random, count), options), generation)
    meters = draw_meters(random, kind, generation)
    level, rolls = _levels(random, options, kind, scale, meters, fate)
    retailer, new_retailer, switch_at = _supply(random, options, count)
    areas = split_by_weight([AREA_METERS[area] for area in options.areas], _TABLE)
    return Block(
        number=number,
        first=first,
        kind=kind,
        area=_with_its_meter(areas[u32(random, count) >> np.uint32(16)].astype(np.uint8), generation),
        generation=generation,
        scale=scale,
        contract_kw=np.where(unsaid, 0, contract).astype(np.uint16),
        limit_dwh=(contract * 5_000).astype(np.int32),
        fate=fate,
        meters=meters,
        level_dwh=level,
        rolls=rolls,
        installed_day=_with_its_meter((30 + below(u32(random, count), 3000)).astype(np.uint16), generation),
        supplied_day=(1 + below(u32(random, count), 3000)).astype(np.uint16),
        retailer=retailer,
        new_retailer=new_retailer,
        switch_at=switch_at,
        bg=below(u32(random, count), BALANCING_GROUPS).astype(np.uint8),
        referenced=~chance(u32(random, count), 0.1),
        read_day=(1 + below(u32(random, count), 26)).astype(np.uint8),
        unknown=int(chance(u32(random, count), options.faults.unknown).sum()),
        changes=_changes(random, options, kind, fate, generation),
    )


def _with_its_meter(values: NDArray[np.uint8] | NDArray[np.uint16], generation: NDArray[np.bool_]) -> NDArray:  # type: ignore[type-arg]
    """Give every generation point what its demand point has."""
    behind = np.flatnonzero(generation)
    values[behind] = values[behind - 1]
    return values


def _kinds(random: np.random.Generator, options: Options, count: int) -> NDArray[np.uint8]:
    """Draw kinds; a home with solar is always followed by its generation point."""
    dealt = split_by_weight([70, 12, 18], _TABLE).astype(np.uint8)
    kind: NDArray[np.uint8] = dealt[u32(random, count) >> np.uint32(16)]
    kind[chance(u32(random, count), options.high_voltage)] = Kind.HIGH_VOLTAGE
    # A wish is granted unless the point before was: granted = wished x (1 - granted), so the wishes must be more.
    wish = chance(u32(random, count), options.solar / max(1 - options.solar, options.solar, 1e-9))
    wish[-1] = False
    place = np.arange(count)
    run_start = np.maximum.accumulate(np.where(wish, 0, place + 1))
    solar = wish & ((place - run_start) % 2 == 0)
    kind[solar] = Kind.SOLAR_HOME
    behind = np.flatnonzero(solar) + 1
    steady = chance(u32(random, len(behind)), 0.08)
    kind[behind] = np.where(steady, Kind.STEADY_GENERATION, Kind.SOLAR)
    return kind


def _fates(numbers: NDArray[np.uint32], options: Options) -> NDArray[np.uint8]:
    """Draw fates; the shares follow one another on one scale, so that a point has one at most."""
    fate = np.zeros(len(numbers), np.uint8)
    faults = options.faults
    shares = (faults.no_meter, faults.no_telemetry, faults.removed, faults.exchanges)
    for value in (EXCHANGED, REMOVED, NO_TELEMETRY, NO_METER):
        fate[chance(numbers, min(1.0, sum(shares[:value])))] = value
    return fate


def draw_meters(random: np.random.Generator, kind: NDArray[np.uint8], generation: NDArray[np.bool_]) -> Meters:
    """Draw equipment: mostly 0.1 kWh, six digits, coefficient 1. A generation point shares that of its meter."""
    numbers = u32(random, len(kind))
    unit = np.where(chance(numbers, 0.08), -2, -1).astype(np.int8)
    digits = np.where(chance(u32(random, len(kind)), 0.12), 8, 6).astype(np.uint8)
    coefficient = np.where(chance(u32(random, len(kind)), 0.01), 10, 1).astype(np.int16)
    high = kind == Kind.HIGH_VOLTAGE
    unit[high], coefficient[high] = -2, 100
    behind = np.flatnonzero(generation)
    for column in (unit, digits, coefficient):
        column[behind] = column[behind - 1]
    return Meters(unit, digits, coefficient)


def _levels(
    random: np.random.Generator,
    options: Options,
    kind: NDArray[np.uint8],
    scale: NDArray[np.uint16],
    meters: Meters,
    fate: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw where registers start; some so close below their end that they pass it in the window."""
    factor, modulus = meters.factor(), meters.modulus()
    level = below(u32(random, len(kind)), modulus) * factor + below(u32(random, len(kind)), factor)
    rolls = chance(u32(random, len(kind)), options.faults.rollovers) & (fate == 0)
    expected = window_mean_dwh(slot_codes(options))[kind] * scale // SCALE_ONE
    rolls &= expected > 0
    left = 1 + below(u32(random, len(kind)), np.minimum(expected // 2 + 1, 2**31))
    return np.where(rolls, modulus * factor - left, level), rolls


def _supply(
    random: np.random.Generator, options: Options, count: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.int16]]:
    """Draw retailers and their changes: of sixteen changes one is an end without successor, one a first supply."""
    table = retailer_table(options.retailers)
    retailer = table[u32(random, count) >> np.uint32(16)]
    other = table[u32(random, count) >> np.uint32(16)]
    if options.retailers > 1:
        other = np.where(other == retailer, (retailer + 1) % options.retailers, other).astype(np.uint16)
    nobody = chance(u32(random, count), options.faults.unassigned)
    switch_at = np.full(count, NEVER, np.int16)
    midnights = options.midnights()
    which = chance(u32(random, count), options.faults.switches) & ~nobody
    form = below(u32(random, count), 16)
    if midnights:
        night = np.array(midnights, np.int16)[below(u32(random, count), len(midnights))]
        which &= (retailer != other) | (form < 2)
        switch_at[which] = night[which]
        other[which & (form == 0)] = UNASSIGNED
        retailer[which & (form == 1)] = UNASSIGNED
    retailer[nobody] = UNASSIGNED
    return retailer, other, switch_at


def _changes(
    random: np.random.Generator,
    options: Options,
    kind: NDArray[np.uint8],
    fate: NDArray[np.uint8],
    generation: NDArray[np.bool_],
) -> Changes:
    """Draw the meters that go: half at a stamp, half inside a slot; some without registers in the master."""
    point = np.flatnonzero(fate >= REMOVED)
    count = len(point)
    successor = fate[point] == EXCHANGED
    inside = chance(u32(random, count), 0.5)
    at = below(u32(random, count), options.slots)
    at[~inside & successor] = 1 + below(u32(random, count), max(1, options.slots - 1))[~inside & successor]
    if options.slots == 1:
        inside |= successor
        at[successor] = 0
    sparse = np.where(inside, chance(u32(random, count), 0.12), chance(u32(random, count), 0.5))
    half = below(u32(random, count), 3)  # of the sparse rows some lack one register only
    removal_given = ~sparse | (half == 1)
    install_given = ~sparse | (half == 2)
    meters = draw_meters(random, kind[point], generation[point])
    factor = meters.factor()
    level = below(u32(random, count), 5_000) * factor + below(u32(random, count), factor)
    columns = (at, inside, removal_given, install_given)
    behind = np.flatnonzero(generation[point])
    for column in columns:
        column[behind] = column[behind - 1]
    return Changes(point, at, inside, successor, removal_given, install_given, meters, level)
