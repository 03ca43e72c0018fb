# SPDX-License-Identifier: Apache-2.0
"""Kernels of a month's value: what each retailer's part of a period adds up to, as known at an instant.

A month is the sum of its cells that have a value, and of the register differences over those that have none. Energy is
int64 dWh throughout.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import (
    ACTUAL,
    ALWAYS_MS,
    MISSING,
    MS_PER_SLOT,
    NO_METER,
    NO_TELEMETRY,
    REMOVED,
    Dated,
    attribute_row,
    difference,
    has_value,
    supply_row,
)
from pipeline.jit import kernel

ENERGY_MAX: Final = 1 << 62
"""A sum beyond is no value: the next cell could not be added."""

PART_FIELDS: Final = 9
OWNER, FIRST, END, SLOTS, LOST, ENERGY, BEST, REASON, RUN = range(PART_FIELDS)
"""What a retailer's part of a month adds up to: slots [`FIRST`, `END`), of which `SLOTS` are its own and `LOST` have no
value; dWh; the quality of a value; the quality of what has none and cannot be bridged, else `FINE`; the first slot of
missing cells that are not bridged yet, else `_NO_RUN`."""
FINE: Final = -1
_NO_RUN: Final = -(1 << 40)


class Gathered(NamedTuple):
    """Registers of some installations over a range of stamps: (rows, stamps), `place` the row of a local index."""

    first_stamp: int
    place: NDArray[np.int32]
    value: NDArray[np.uint32]
    arrival: NDArray[np.int64]
    other_at: NDArray[
        np.int64
    ]  # (rows + 1,) an operator's registers of each row: they count instead from `other_ms` on
    other_stamp: NDArray[np.int32]
    other_value: NDArray[np.uint32]
    other_ms: NDArray[np.int64]


@kernel
def register_of(regs: Gathered, local: int, at_ms: int, instant_ms: int) -> tuple[bool, int]:
    """Return (known, register) of an installation's read at `at_ms`, as known at the instant."""
    stamp = at_ms // MS_PER_SLOT - regs.first_stamp
    row = regs.place[local]
    if at_ms % MS_PER_SLOT != 0 or not 0 <= stamp < regs.value.shape[1]:
        return False, np.int64(0)
    value, arrival, since = np.int64(regs.value[row, stamp]), regs.arrival[row, stamp], np.int64(ALWAYS_MS)
    for k in range(regs.other_at[row], regs.other_at[row + 1]):
        if regs.other_stamp[k] == stamp and since <= regs.other_ms[k] <= instant_ms:
            value, arrival, since = np.int64(regs.other_value[k]), regs.other_ms[k], regs.other_ms[k]
    return arrival <= instant_ms, value


@kernel
def stretch(start: int, end: int, modulus: int, factor: int, cap_dwh: int, slots: int) -> tuple[int, int]:
    """Return (quality, dWh) between two registers `slots` slots apart; the cap of a slot holds for each of them.

    No value where the register may have turned round once more unseen: a difference over many slots is exact only while
    a whole turn is beyond the cap.
    """
    if slots > 1 and cap_dwh * slots >= modulus * factor:
        return MISSING, np.int64(0)
    return difference(start, end, modulus, factor, cap_dwh * slots)


@kernel
def span_value(
    dated: Dated, regs: Gathered, p: int, first: int, end: int, cap_dwh: int, instant_ms: int
) -> tuple[int, int]:
    """Return (quality, dWh) of a point over the slots [first, end) from the registers at their ends alone.

    For one slot it is the value of a cell; over more of them an installation counts from the later of the start and
    installed_at to the earlier of the end and removed_at, as in a cell.
    """
    begin_ms, end_ms = first * MS_PER_SLOT, end * MS_PER_SLOT
    quality, energy = NO_METER, np.int64(0)
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        if not dated.install_rec_from[row] <= instant_ms < dated.install_rec_to[row]:
            continue
        from_ms, to_ms = dated.install_from_ms[row], dated.install_to_ms[row]
        since_ms, until_ms = max(begin_ms, from_ms), min(end_ms, to_ms)
        if since_ms >= until_ms:
            if quality == NO_METER and to_ms <= begin_ms:
                quality = REMOVED
            continue
        local = dated.install_local[row]
        if since_ms == from_ms and dated.install_first[row] >= 0:
            known, register = True, dated.install_first[row]
        else:
            known, register = register_of(regs, local, since_ms, instant_ms)
        if until_ms == to_ms and dated.install_last[row] >= 0:
            known_last, last = True, dated.install_last[row]
        else:
            known_last, last = register_of(regs, local, until_ms, instant_ms)
        if not (known and known_last):
            return MISSING, np.int64(0)
        modulus, factor = dated.install_modulus[row], dated.install_factor[row]
        part, part_energy = stretch(register, last, modulus, factor, cap_dwh, end - first)
        if not has_value(part):
            return part, np.int64(0)
        if quality in (NO_METER, REMOVED) or part > quality:
            quality = part
        energy += part_energy
    return quality, energy


@kernel
def begin_part(parts: NDArray[np.int64], h: int, owner: int, slot: int) -> None:
    """Begin a retailer's part."""
    parts[h] = 0
    parts[h, OWNER], parts[h, FIRST], parts[h, END] = owner, slot, slot
    parts[h, BEST], parts[h, REASON], parts[h, RUN] = ACTUAL, FINE, _NO_RUN


@kernel
def add_value(parts: NDArray[np.int64], h: int, quality: int, energy: int) -> None:
    """Add the value of a cell or of a bridged run."""
    parts[h, BEST] = max(parts[h, BEST], quality)
    if energy > ENERGY_MAX - parts[h, ENERGY]:
        parts[h, REASON] = max(parts[h, REASON], MISSING)
    else:
        parts[h, ENERGY] += energy


@kernel
def end_run(parts: NDArray[np.int64], h: int, quality: int, energy: int, final: bool) -> None:
    """Take in what a run of missing cells comes to; while it is not known, the run goes on unless this is its end."""
    if quality == MISSING and not final:
        return
    parts[h, RUN] = _NO_RUN
    if has_value(quality):
        add_value(parts, h, quality, energy)
    else:
        parts[h, REASON] = max(parts[h, REASON], quality)


@kernel
def add_cell(parts: NDArray[np.int64], h: int, slot: int, quality: int, energy: int) -> None:
    """Add a cell to a part whose run, if any, was looked at before."""
    parts[h, SLOTS] += 1
    parts[h, END] = slot + 1
    if has_value(quality):
        add_value(parts, h, quality, energy)
        return
    parts[h, LOST] += 1
    if quality != MISSING:
        parts[h, REASON] = max(parts[h, REASON], quality)
    elif parts[h, RUN] == _NO_RUN:
        parts[h, RUN] = slot


@kernel
def month_parts(
    dated: Dated, regs: Gathered, p: int, start: int, end: int, cap_dwh: int, instant_ms: int, parts: NDArray[np.int64]
) -> int:
    """Fill in each retailer's part of the slots [start, end) as known at an instant; returns how many there are.

    A run of missing cells is cut as early as the registers at both ends of a piece of it are known, and ends where the
    retailer's slots do.
    """
    count = 0
    for slot in range(start, end):
        supply = supply_row(dated, p, slot, instant_ms)
        if supply < 0:
            continue
        owner, h = np.int64(dated.supply_retailer[supply]), 0
        while h < count and parts[h, OWNER] != owner:
            h += 1
        if h == count:
            begin_part(parts, h, owner, slot)
            count += 1
        quality, energy = span_value(dated, regs, p, slot, slot + 1, cap_dwh, instant_ms)
        if parts[h, RUN] != _NO_RUN:
            until = parts[h, END]
            found, bridged = span_value(dated, regs, p, parts[h, RUN], until, cap_dwh, instant_ms)
            end_run(parts, h, found, bridged, until < slot or quality != MISSING)
        add_cell(parts, h, slot, quality, energy)
    for h in range(count):
        if parts[h, RUN] != _NO_RUN:
            found, bridged = span_value(dated, regs, p, parts[h, RUN], parts[h, END], cap_dwh, instant_ms)
            end_run(parts, h, found, bridged, True)
    return count


@kernel
def plain_month(
    value: NDArray[np.uint32],
    arrival: NDArray[np.int64],
    slots: int,
    start: int,
    modulus: int,
    factor: int,
    cap_dwh: int,
    instant_ms: int,
    parts: NDArray[np.int64],
) -> None:
    """Add the slots from `start` on to part 0 as `month_parts` does, where one meter counts all of them."""
    for k in range(slots):
        begun, ended = arrival[k] <= instant_ms, arrival[k + 1] <= instant_ms
        quality, energy = MISSING, np.int64(0)
        if begun and ended:
            quality, energy = difference(np.int64(value[k]), np.int64(value[k + 1]), modulus, factor, cap_dwh)
        if parts[0, RUN] != _NO_RUN:
            since = parts[0, RUN] - start
            found, bridged = MISSING, np.int64(0)
            if begun and arrival[since] <= instant_ms:
                ends = np.int64(value[since]), np.int64(value[k])
                found, bridged = stretch(ends[0], ends[1], modulus, factor, cap_dwh, k - since)
            end_run(parts, 0, found, bridged, quality != MISSING)
        add_cell(parts, 0, start + k, quality, energy)
    if parts[0, RUN] != _NO_RUN:
        since = parts[0, RUN] - start
        found, bridged = MISSING, np.int64(0)
        if arrival[slots] <= instant_ms and arrival[since] <= instant_ms:
            ends = np.int64(value[since]), np.int64(value[slots])
            found, bridged = stretch(ends[0], ends[1], modulus, factor, cap_dwh, slots - since)
        end_run(parts, 0, found, bridged, True)


@kernel
def parts_at(
    dated: Dated, regs: Gathered, p: int, start: int, end: int, instant_ms: int, parts: NDArray[np.int64]
) -> int:
    """Fill in each retailer's part of a month as known at an instant; returns how many there are.

    Nearly always one supply row, one installation hold over the whole period.
    """
    attribute = attribute_row(dated, p, instant_ms)
    if attribute < 0 or dated.attr_voltage[attribute] != 0:
        return 0
    cap_dwh = dated.attr_cap_dwh[attribute]
    supply, install, plain = -1, -1, True
    for row in range(dated.supply_of[p], dated.supply_of[p + 1]):
        if dated.supply_rec_from[row] <= instant_ms < dated.supply_rec_to[row] and (
            dated.supply_from[row] < end and dated.supply_to[row] > start
        ):
            plain = plain and supply < 0 and dated.supply_from[row] <= start and dated.supply_to[row] >= end
            supply = row
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        from_ms, to_ms = dated.install_from_ms[row], dated.install_to_ms[row]
        if dated.install_rec_from[row] <= instant_ms < dated.install_rec_to[row] and (
            from_ms < end * MS_PER_SLOT and to_ms > start * MS_PER_SLOT
        ):
            plain = plain and install < 0 and from_ms < start * MS_PER_SLOT and to_ms > end * MS_PER_SLOT
            install = row
    if supply < 0:
        return 0
    place = regs.place[dated.install_local[install]] if install >= 0 else -1
    if plain and place >= 0 and regs.other_at[place] == regs.other_at[place + 1]:
        begin_part(parts, 0, np.int64(dated.supply_retailer[supply]), start)
        at, count = start - regs.first_stamp, 1
        modulus, factor = dated.install_modulus[install], dated.install_factor[install]
        value, arrival = regs.value[place, at:], regs.arrival[place, at:]
        plain_month(value, arrival, end - start, start, modulus, factor, cap_dwh, instant_ms, parts)
    else:
        count = month_parts(dated, regs, p, start, end, cap_dwh, instant_ms, parts)
    if dated.attr_telemetry[attribute] == 0:
        for h in range(count):
            if parts[h, REASON] in (MISSING, NO_METER, REMOVED):
                parts[h, REASON] = NO_TELEMETRY
    return count
