# SPDX-License-Identifier: Apache-2.0
"""The kernel of a survey: from the master's points outwards, what each cell of a slot is and what it lacks.

It asks for the value of a cell (`pipeline.cell_kernels`), never for what an issue made of it.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import (
    BACKWARD,
    MS_PER_SLOT,
    NO_METER,
    NO_TELEMETRY,
    NOBODY,
    REMOVED,
    Dated,
    Ends,
    cell_at,
    difference,
    has_value,
    register_at,
)
from pipeline.jit import inlined, kernel
from pipeline.ledger import causes
from pipeline.ledger.histogram import OCTAVE_BITS
from pipeline.master.lookup_kernels import find
from pipeline.master.view import CHAINED, NO_INSTALL
from pipeline.plain_kernels import BLOCK, NO_ROW, choose_rows, is_settled, number_rows
from pipeline.register_kernels import arrival_of, register_of

NO_LOCAL: Final = 0xFFFFFFFF
_SECONDS_MAX: Final = (1 << 23) - 1
_NO_CELL: Final = causes.NO_CELL
_UNASSIGNED: Final = causes.UNASSIGNED
_AVAILABLE: Final = causes.AVAILABLE
_NO_TELEMETRY: Final = causes.NO_TELEMETRY
_NO_METER: Final = causes.NO_METER
_REMOVED: Final = causes.REMOVED
_NOT_COLLECTED: Final = causes.NOT_COLLECTED
_WAITING: Final = causes.WAITING_FOR_PAIR
_REFUSED: Final = causes.REFUSED
_MISMATCH: Final = causes.MASTER_MISMATCH


class Seen(NamedTuple):
    """What a survey writes: of each point of a shard, and sums."""

    state: NDArray[np.uint8]
    owner: NDArray[np.uint16]
    lacking: NDArray[np.uint32]
    """Local installation whose register is absent, `NO_LOCAL` where none is."""
    arrivals: NDArray[np.int64]
    """(areas, `BUCKETS`): from the slot's end to the arrival of the register at it."""
    told: NDArray[np.int64]
    """(retailers, areas, 2): expected and available cells."""


@inlined
def bucket_of(latency_ms: int) -> int:
    """Return the bucket of a latency, as `histogram.bucket_numbers` does."""
    seconds = min(max(np.int64(0), latency_ms // 1000), np.int64(_SECONDS_MAX))
    doublings = np.int64(0)
    while (seconds >> doublings) >= (np.int64(2) << OCTAVE_BITS):
        doublings += 1
    return (doublings << OCTAVE_BITS) + (seconds >> doublings)


@kernel
def lack_of(dated: Dated, p: int, slot_start_ms: int, ends: Ends, instant_ms: int) -> tuple[int, int]:
    """Return (state, local installation) of a cell without a value for want of a register.

    Of several that are absent the one at the slot's end decides, then the one at its start; else it is one inside the
    slot, where a meter was exchanged: that only the master can give.
    """
    slot_end_ms = slot_start_ms + MS_PER_SLOT
    state, found = _MISMATCH, NO_LOCAL
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        if not dated.install_rec_from[row] <= instant_ms < dated.install_rec_to[row]:
            continue
        begin = max(slot_start_ms, dated.install_from_ms[row])
        end = min(slot_end_ms, dated.install_to_ms[row])
        if begin >= end:
            continue
        local = np.int64(dated.install_local[row])
        given = end == dated.install_to_ms[row] and dated.install_last[row] >= 0
        if end == slot_end_ms and not given and not register_at(end, slot_start_ms, local, ends, instant_ms)[0]:
            return _NOT_COLLECTED, local
        given = begin == dated.install_from_ms[row] and dated.install_first[row] >= 0
        if begin == slot_start_ms and not given and not register_at(begin, slot_start_ms, local, ends, instant_ms)[0]:
            state, found = _WAITING, local
    return state, found


@kernel
def count_arrivals(
    dated: Dated, p: int, slot_end_ms: int, ends: Ends, instant_ms: int, histogram: NDArray[np.int64]
) -> None:
    """Count when the registers at the slot's end arrived, of the installations that stand then."""
    for row in range(dated.install_of[p], dated.install_of[p + 1]):
        known = dated.install_rec_from[row] <= instant_ms < dated.install_rec_to[row]
        if known and dated.install_from_ms[row] < slot_end_ms <= dated.install_to_ms[row]:
            arrival = arrival_of(ends.end[dated.install_local[row]], ends.end_base_ms)
            if arrival <= instant_ms:
                histogram[bucket_of(arrival - slot_end_ms)] += 1


@kernel
def look_at(dated: Dated, p: int, k: int, slot: int, ends: Ends, instant_ms: int, seen: Seen) -> None:
    """Look at the cell of one point, whatever its rows are; `k` is its place among those seen."""
    slot_start_ms = slot * MS_PER_SLOT
    owner, quality, _, _ = cell_at(dated, p, slot, ends, instant_ms)
    seen.owner[k] = owner
    if owner == NOBODY:
        seen.state[k] = _NO_CELL
        return
    count_arrivals(dated, p, slot_start_ms + MS_PER_SLOT, ends, instant_ms, seen.arrivals[dated.area[p]])
    if owner == 0:
        seen.state[k] = _UNASSIGNED
        return
    seen.told[owner, dated.area[p], 0] += 1
    if has_value(quality):
        seen.told[owner, dated.area[p], 1] += 1
        seen.state[k] = _AVAILABLE
    elif quality == NO_TELEMETRY:
        seen.state[k] = _NO_TELEMETRY
    elif quality == NO_METER:
        seen.state[k] = _NO_METER
    elif quality == REMOVED:
        seen.state[k] = _REMOVED
    elif quality == BACKWARD:
        seen.state[k] = _REFUSED
    else:
        seen.state[k], seen.lacking[k] = lack_of(dated, p, slot_start_ms, ends, instant_ms)


@inlined
def plain_state(telemetry: int, start_known: bool, end_known: bool, quality: int) -> int:
    """Return the state of a cell with one owner and one meter; `quality` is that of its value."""
    if start_known and end_known:
        return _AVAILABLE if quality != BACKWARD else _REFUSED
    if telemetry == 0:
        return _NO_TELEMETRY
    return _WAITING if end_known else _NOT_COLLECTED


@kernel
def survey(
    dated: Dated, blocks: NDArray[np.int64], first: int, slot: int, ends: Ends, instants: NDArray[np.int64], seen: Seen
) -> None:
    """Look at the cells of the points from `first` on, as known at the one instant in `instants`.

    The rows of plain cells are found as an issue finds them (`pipeline.plain_kernels`), block by block; columns leave
    their tuples first.
    """
    # fmt: off
    (area, attr_of, _, attr_telemetry, attr_cap_dwh, _, _, supply_of, _, _, supply_retailer, _, _, _, install_of,
     install_local, _, _, install_modulus, install_factor, _, _, _, _) = dated
    # fmt: on
    start_word, start_base_ms, end_word, end_base_ms, other_local, _, _, _ = ends
    state, owners, lacking, arrivals, told = seen
    instant_ms, slot_end_ms = instants[0], slot * MS_PER_SLOT + MS_PER_SLOT
    chosen = np.empty((3, BLOCK), np.uint64)
    for block in range(len(blocks)):
        begin = first + block * BLOCK
        cells = min(BLOCK, first + len(state) - begin)
        if len(other_local) > 0 or not is_settled(blocks[block], slot, instants):
            choose_rows(dated, begin, begin + cells, slot, instants, other_local, chosen)
        else:
            number_rows(chosen, cells, attr_of[begin], supply_of[begin], install_of[begin])
        for k in range(cells):
            p, place = np.uint64(begin + k), np.uint64(begin + k - first)
            a, s, i = chosen[0, k], chosen[1, k], chosen[2, k]
            lacking[place] = NO_LOCAL
            if a == NO_ROW or supply_retailer[s] == 0:
                look_at(dated, begin + k, begin + k - first, slot, ends, instant_ms, seen)
                continue
            owner, local, where = np.uint64(supply_retailer[s]), install_local[i], area[p]
            start, end = start_word[local], end_word[local]
            came_ms = arrival_of(end, end_base_ms)
            start_known, end_known = arrival_of(start, start_base_ms) <= instant_ms, came_ms <= instant_ms
            if end_known:
                arrivals[where, bucket_of(came_ms - slot_end_ms)] += 1
            quality = _NO_CELL
            if start_known and end_known:
                begun, ended, cap_dwh = register_of(start), register_of(end), attr_cap_dwh[a]
                quality, _ = difference(begun, ended, install_modulus[i], install_factor[i], cap_dwh)
            found = plain_state(attr_telemetry[a], start_known, end_known, quality)
            owners[place], state[place] = owner, found
            told[owner, where, 0] += 1
            told[owner, where, 1] += found == _AVAILABLE
            if found in (_WAITING, _NOT_COLLECTED):
                lacking[place] = local


@kernel
def first_missing(
    position: NDArray[np.uint32],
    slot: int,
    first: NDArray[np.int32],
    last: NDArray[np.int32],
    cells: NDArray[np.int32],
) -> None:
    """Take the points that a slot misses into what is known by point; slots come in ascending order."""
    for i in range(len(position)):
        p = position[i]
        if cells[p] == 0:
            first[p] = slot
        last[p] = slot
        cells[p] += 1


@kernel
def any_installs(
    table: NDArray[np.uint64], chain_install: NDArray[np.uint32], keys: NDArray[np.uint64], out: NDArray[np.int64]
) -> None:
    """Fill `out` with an installation of each meter, whenever it stood there; -1 of meters that the master has not."""
    mask = len(table) - 1
    for i in range(len(keys)):
        at = find(table, mask, keys[i, 0], keys[i, 1])
        out[i] = -1
        if at >= 0:
            on_import = np.int64(table[at, 2] & np.uint64(0xFFFFFFFF))
            on_export = np.int64(table[at, 2] >> np.uint64(32))
            if on_import == CHAINED:
                out[i] = chain_install[on_export]
            else:
                out[i] = on_import if on_import != NO_INSTALL else on_export
