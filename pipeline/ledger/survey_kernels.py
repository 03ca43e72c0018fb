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
    has_value,
    register_at,
)
from pipeline.jit import inlined, kernel
from pipeline.ledger import causes
from pipeline.ledger.histogram import OCTAVE_BITS
from pipeline.master.lookup_kernels import find
from pipeline.master.view import CHAINED, NO_INSTALL
from pipeline.register_kernels import arrival_of

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
def survey(dated: Dated, first: int, slot: int, ends: Ends, instant_ms: int, seen: Seen) -> None:
    """Look at the cells of the points from `first` on, as known at an instant."""
    slot_start_ms = slot * MS_PER_SLOT
    for k in range(len(seen.state)):
        p = first + k
        owner, quality, _, _ = cell_at(dated, p, slot, ends, instant_ms)
        seen.owner[k] = owner
        seen.lacking[k] = NO_LOCAL
        if owner == NOBODY:
            seen.state[k] = _NO_CELL
            continue
        count_arrivals(dated, p, slot_start_ms + MS_PER_SLOT, ends, instant_ms, seen.arrivals[dated.area[p]])
        if owner == 0:
            seen.state[k] = _UNASSIGNED
            continue
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
            state, local = lack_of(dated, p, slot_start_ms, ends, instant_ms)
            seen.state[k] = state
            seen.lacking[k] = local


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
