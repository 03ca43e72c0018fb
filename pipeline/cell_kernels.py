# SPDX-License-Identifier: Apache-2.0
"""The value of a cell: difference, roll-over, exchange, backward, spike; who is responsible; since which instant.

A cell is (point, slot). What it is at an instant follows from the registers that had arrived and the master rows that
were known by then. Its *timeline* is the list of instants at which that changes. Energy is int64 dWh throughout.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import inlined, kernel
from pipeline.register_kernels import arrival_of, register_of

ALWAYS_MS = -(1 << 62)
OPEN_MS = 1 << 62
MS_PER_SLOT = 1_800_000

ACTUAL = 0
ROLLOVER = 1
SPIKE = 2
MISSING = 3
BACKWARD = 4
NO_METER = 5
REMOVED = 6
NO_TELEMETRY = 7
DIGITS = 9

NOBODY = 0xFFFF  # not a low-voltage point at this instant: no cell

EXPECTED, AVAILABLE, ENERGY = 0, 1, 2  # columns of totals


class Dated(NamedTuple):
    """The dated columns of a master version, as the kernels take them; shapes as in `MasterView`."""

    area: NDArray[np.uint8]
    attr_of: NDArray[np.int64]
    attr_voltage: NDArray[np.uint8]
    attr_telemetry: NDArray[np.uint8]
    attr_cap_dwh: NDArray[np.int64]
    attr_rec_from: NDArray[np.int64]
    attr_rec_to: NDArray[np.int64]
    supply_of: NDArray[np.int64]
    supply_from: NDArray[np.int32]
    supply_to: NDArray[np.int32]
    supply_retailer: NDArray[np.uint16]
    supply_bg: NDArray[np.uint16]
    supply_rec_from: NDArray[np.int64]
    supply_rec_to: NDArray[np.int64]
    install_of: NDArray[np.int64]
    install_local: NDArray[np.uint32]
    install_from_ms: NDArray[np.int64]
    install_to_ms: NDArray[np.int64]
    install_modulus: NDArray[np.int64]
    install_factor: NDArray[np.int64]
    install_first: NDArray[np.int64]
    install_last: NDArray[np.int64]
    install_rec_from: NDArray[np.int64]
    install_rec_to: NDArray[np.int64]


class Ends(NamedTuple):
    """The registers of a shard at both ends of a slot, by local installation index: words of two columns."""

    start: NDArray[np.uint64]
    start_base_ms: int
    end: NDArray[np.uint64]
    end_base_ms: int
    other_local: NDArray[np.uint32]  # an operator's registers: they count instead from `other_ms` on
    other_at_end: NDArray[np.uint8]
    other_value: NDArray[np.uint32]
    other_ms: NDArray[np.int64]


class Timeline(NamedTuple):
    """Room for events: cell `position` is, from instant number `step` on, `owner`'s, of this quality and energy."""

    position: NDArray[np.uint32]
    step: NDArray[np.uint16]
    owner: NDArray[np.uint16]
    quality: NDArray[np.uint8]
    energy: NDArray[np.int64]


class Totals(NamedTuple):
    """(n, 3) int64 each: expected cells, available cells, dWh; by retailer, balancing group and area index."""

    retailer: NDArray[np.int64]
    bg: NDArray[np.int64]
    area: NDArray[np.int64]


@inlined
def has_value(quality: int) -> bool:
    """Say whether a quality carries a value."""
    return (quality <= SPIKE) | (quality == DIGITS)


@kernel
def difference(start: int, end: int, modulus: int, factor: int, cap_dwh: int) -> tuple[int, int]:
    """Return (quality, dWh) of the energy between two registers.

    Source: the contract's value of a cell. End below start is a roll-over if the modulo result is plausible (not above
    the cap), else backward and without a value; end not below start but above the cap is a spike, flagged and
    delivered; so is what a register with more digits than the meter comes to, modulo the meter's digits.
    """
    step = end - start if end >= start else end - start + modulus
    if not 0 <= step < modulus:  # a register beyond its digits
        step %= modulus
    energy = step * factor
    if energy > cap_dwh:
        return (SPIKE, energy) if end >= start else (BACKWARD, 0)
    if start >= modulus or end >= modulus:
        return DIGITS, energy
    return (ACTUAL if end >= start else ROLLOVER), energy


@kernel
def register_at(at_ms: int, slot_start_ms: int, local: int, ends: Ends, instant_ms: int) -> tuple[bool, int]:
    """Return (known, register) of a read at `at_ms`, which must be an end of the slot, as known at the instant."""
    if at_ms == slot_start_ms:
        at_end, arrival, value = 0, arrival_of(ends.start[local], ends.start_base_ms), register_of(ends.start[local])
    elif at_ms == slot_start_ms + MS_PER_SLOT:
        at_end, arrival, value = 1, arrival_of(ends.end[local], ends.end_base_ms), register_of(ends.end[local])
    else:
        return False, np.int64(0)
    since = np.int64(ALWAYS_MS)
    for k in range(len(ends.other_local)):
        if ends.other_local[k] == local and ends.other_at_end[k] == at_end and since <= ends.other_ms[k] <= instant_ms:
            value, arrival, since = np.int64(ends.other_value[k]), ends.other_ms[k], ends.other_ms[k]
    return arrival <= instant_ms, value


@kernel
def supply_row(dated: Dated, p: int, slot: int, instant_ms: int) -> int:
    """Return the supply row that covers `slot` as known at the instant, -1 for none; the later recorded one of two."""
    found = -1
    for row in range(dated.supply_of[p], dated.supply_of[p + 1]):
        if (
            dated.supply_from[row] <= slot < dated.supply_to[row]
            and dated.supply_rec_from[row] <= instant_ms < dated.supply_rec_to[row]
            and (found < 0 or dated.supply_rec_from[row] > dated.supply_rec_from[found])
        ):
            found = row
    return found


@kernel
def attribute_row(dated: Dated, p: int, instant_ms: int) -> int:
    """Return the attribute row known at the instant, -1 for none."""
    for row in range(dated.attr_of[p], dated.attr_of[p + 1]):
        if dated.attr_rec_from[row] <= instant_ms < dated.attr_rec_to[row]:
            return row
    return -1


@kernel
def value_at(dated: Dated, p: int, slot_start_ms: int, ends: Ends, cap_dwh: int, instant_ms: int) -> tuple[int, int]:
    """Return (quality, dWh) of a cell as known at the instant: the sum over the point's installations in the slot."""
    slot_end_ms = slot_start_ms + MS_PER_SLOT
    quality = NO_METER
    energy = np.int64(0)
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        if not dated.install_rec_from[row] <= instant_ms < dated.install_rec_to[row]:
            continue
        begin = max(slot_start_ms, dated.install_from_ms[row])
        end = min(slot_end_ms, dated.install_to_ms[row])
        if begin >= end:
            if quality == NO_METER and dated.install_to_ms[row] <= slot_start_ms:
                quality = REMOVED
            continue
        local = dated.install_local[row]
        if begin == dated.install_from_ms[row] and dated.install_first[row] >= 0:
            start_known, start = True, dated.install_first[row]
        else:
            start_known, start = register_at(begin, slot_start_ms, local, ends, instant_ms)
        if end == dated.install_to_ms[row] and dated.install_last[row] >= 0:
            last_known, last = True, dated.install_last[row]
        else:
            last_known, last = register_at(end, slot_start_ms, local, ends, instant_ms)
        if not (start_known and last_known):
            return MISSING, np.int64(0)
        part, part_energy = difference(start, last, dated.install_modulus[row], dated.install_factor[row], cap_dwh)
        if part == BACKWARD:
            return BACKWARD, np.int64(0)
        if quality in (NO_METER, REMOVED) or part > quality:
            quality = part
        energy += part_energy
    return quality, energy


@kernel
def cell_at(dated: Dated, p: int, slot: int, ends: Ends, instant_ms: int) -> tuple[int, int, int, int]:
    """Return (owner, quality, dWh, balancing group) of a cell as known at the instant."""
    attribute = attribute_row(dated, p, instant_ms)
    if attribute < 0 or dated.attr_voltage[attribute] != 0:
        return NOBODY, MISSING, np.int64(0), 0
    supply = supply_row(dated, p, slot, instant_ms)
    owner = np.int64(dated.supply_retailer[supply]) if supply >= 0 else 0
    group = np.int64(dated.supply_bg[supply]) if supply >= 0 else 0
    quality, energy = value_at(dated, p, slot * MS_PER_SLOT, ends, dated.attr_cap_dwh[attribute], instant_ms)
    if quality in (MISSING, NO_METER, REMOVED) and dated.attr_telemetry[attribute] == 0:
        quality = NO_TELEMETRY
    return owner, quality, energy, group


@kernel
def put_event(out: Timeline, count: int, position: int, step: int, owner: int, quality: int, energy: int) -> int:
    """Store an event where there is room and return the count with it."""
    if count < len(out.position):
        out.position[count] = position
        out.step[count] = step
        out.owner[count] = owner
        out.quality[count] = quality
        out.energy[count] = energy
    return count + 1


@kernel
def add_total(totals: Totals, owner: int, group: int, area: int, quality: int, energy: int) -> None:
    """Count one cell's final state."""
    add_row(totals.retailer, owner, quality, energy)
    add_row(totals.bg, group, quality, energy)
    add_row(totals.area, area, quality, energy)


@kernel
def add_row(table: NDArray[np.int64], index: int, quality: int, energy: int) -> None:
    """Count one cell in a row of totals."""
    table[index, EXPECTED] += 1
    if has_value(quality):
        table[index, AVAILABLE] += 1
        table[index, ENERGY] += energy


@kernel
def walk_cell(
    dated: Dated,
    p: int,
    slot: int,
    ends: Ends,
    instants: NDArray[np.int64],
    real: int,
    out: Timeline,
    count: int,
    totals: Totals,
) -> int:
    """Add the events of a cell whose master rows change or whose meter does, instant by instant."""
    last_owner, last_quality, last_energy = -1, -1, np.int64(-1)
    for step in range(len(instants)):
        owner, quality, energy, group = cell_at(dated, p, slot, ends, instants[step])
        if owner != last_owner or quality != last_quality or energy != last_energy:
            if not (step == 0 and owner == NOBODY):
                count = put_event(out, count, p, step, owner, quality, energy)
            last_owner, last_quality, last_energy = owner, quality, energy
        if step == real - 1 and owner != NOBODY:
            add_total(totals, owner, group, dated.area[p], quality, energy)
    return count
