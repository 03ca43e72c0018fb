# SPDX-License-Identifier: Apache-2.0
"""Reads between two slot boundaries that lie on the grid of their own register: 15, 5 or 1 minutes.

They leave the batch before the rules judge it, and go to files of their own with stamps that count minutes. What such a
register shows on a slot boundary stays in the batch: its half-hours go the way of all others.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import NO_READ, SLOT_MINUTES
from koma.slots import MS_PER_MINUTE, MS_PER_SLOT
from pipeline.handover.batch import ReadBatch
from pipeline.handover.column_kernels import extent
from pipeline.master import MasterView
from pipeline.prefilter.install_kernels import find_installs
from pipeline.prefilter.kernels import CHAINED, NO_DATA, NONE
from pipeline.prefilter.route import Found, Routed
from pipeline.prefilter.rules import RULES, Judged
from pipeline.rules.rows import Bounds, Reach

_OFF_GRID: Final = next(code for code, rule in enumerate(RULES, 1) if rule.code == "off_grid")
_REGISTERS: Final = ("import_register", "export_register")


@dataclass(frozen=True, slots=True)
class MinuteReads:
    """Reads of one register of a batch: rows with nothing else in them, judged, with their installations.

    Stamps count minutes since 1970-01-01T00:00Z.
    """

    batch: ReadBatch
    judged: Judged
    routed: Routed


@dataclass(frozen=True, slots=True)
class _Between:
    """Reads that lie nearest a minute of their register's own grid which is no slot boundary; ascending by row."""

    row: NDArray[np.int64]
    install: NDArray[np.uint32]
    minute: NDArray[np.int32]
    away_ms: NDArray[np.int64]
    every: NDArray[np.int64]  # minutes between two reads


def split_minutes(batch: ReadBatch, view: MasterView, bounds: Bounds) -> tuple[ReadBatch, tuple[MinuteReads, ...]]:
    """Return the batch without the reads of finer registers between slot boundaries, and those by register."""
    if len(view.fine_install) == 0:
        return batch, ()
    since_ms = batch.read_at_ms % MS_PER_SLOT
    half = MS_PER_MINUTE // 2
    rows = np.flatnonzero((since_ms >= half) & (since_ms < MS_PER_SLOT - half))
    if len(rows) == 0:
        return batch, ()
    looked_up = np.empty((len(rows), 2), np.uint64)
    find_installs(view.table, np.ascontiguousarray(batch.keys[rows]), looked_up, np.empty(len(rows), np.uint32))
    split: list[MinuteReads] = []
    left = {name: getattr(batch, name).copy() for name in _REGISTERS}
    stays = np.ones(len(batch.place), bool)
    for register, name in enumerate(_REGISTERS):
        found = _between(batch, rows, looked_up, view, register)
        if len(found.row):
            split.append(_judged(batch, found, register, bounds))
            left[name][found.row] = NO_READ
            stays[found.row] = False
    if not split:
        return batch, ()
    stays |= (left["import_register"] < NO_DATA) | (left["export_register"] < NO_DATA)
    return _take(replace(batch, **left), np.flatnonzero(stays)), tuple(split)


def _between(
    batch: ReadBatch, rows: NDArray[np.int64], looked_up: NDArray[np.uint64], view: MasterView, register: int
) -> _Between:
    value = getattr(batch, _REGISTERS[register])
    at, install = installs_on(looked_up, view, register)
    place = np.minimum(np.searchsorted(view.fine_install, install), len(view.fine_install) - 1)
    fine = (view.fine_install[place] == install) & (value[rows[at]] < NO_DATA)
    at, install, place = at[fine], install[fine], place[fine]
    every = view.fine_minutes[place].astype(np.int64)
    read_ms = batch.read_at_ms[rows[at]]
    grid_ms = every * MS_PER_MINUTE
    nearest_ms = (read_ms + grid_ms // 2) // grid_ms * grid_ms
    mine = (
        (nearest_ms % MS_PER_SLOT != 0)
        & (view.fine_from_ms[place] <= nearest_ms)
        & (nearest_ms <= view.fine_to_ms[place])
        & (abs(nearest_ms // MS_PER_MINUTE) < 2**31)
    )
    minute = (nearest_ms[mine] // MS_PER_MINUTE).astype(np.int32)
    return _Between(rows[at[mine]], install[mine], minute, abs(read_ms - nearest_ms)[mine], every[mine])


def installs_on(
    looked_up: NDArray[np.uint64], view: MasterView, register: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the installations that meters have on a register, at any time: place in `looked_up`, installation."""
    words = looked_up.view(np.uint32)
    chained = words[:, 0] == CHAINED
    single = np.flatnonzero(~chained & (words[:, register] != NONE))
    many = np.flatnonzero(chained)
    counts = words[many, 2].astype(np.int64)
    at = np.repeat(many, counts)
    link = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    link += words[at, 1].astype(np.int64)
    mine = view.chain_register[link] == register
    at, install = at[mine], view.chain_install[link[mine]]
    whole = np.concatenate([single, at])
    order = np.argsort(whole, kind="stable")
    return whole[order], np.concatenate([words[single, register], install])[order]


def _judged(batch: ReadBatch, found: _Between, register: int, bounds: Bounds) -> MinuteReads:
    """Judge the reads as all others, but the grid by its own measure: a tolerance as much smaller as the interval."""
    rows, first, of_row = np.unique(found.row, return_index=True, return_inverse=True)
    none = np.full(len(batch.place), NO_READ, np.uint32)
    alone = replace(batch, export_register=none) if register == 0 else replace(batch, import_register=none)
    mine = _take(alone, rows)
    verdict = np.zeros(len(rows), np.uint8)
    stamp = found.minute[first].copy()
    far = found.away_ms[first] > bounds.tolerance_ms * found.every[first] // SLOT_MINUTES
    verdict[far] = _OFF_GRID
    reach = Reach(*extent(mine.read_at_ms), *extent(mine.received_ms))
    flagged = {
        rule.flags or rule.code: rule.apply(mine, reach, bounds, verdict, stamp, code)
        for code, rule in enumerate(RULES, 1)
        if code != _OFF_GRID
    }
    flagged["moved"] = int(np.count_nonzero((found.away_ms[first] != 0) & (verdict == 0)))
    good = verdict[of_row] == 0
    leads = np.zeros(len(found.row), bool)
    leads[first] = True
    pieces = [
        _piece(found, np.flatnonzero(good & (leads == leading)), of_row, mine, register, counted=leading)
        for leading in (True, False)
    ]
    reads = len(pieces[0].install)
    nothing = np.zeros(len(rows), np.uint8)
    found_first, shared = (tuple(piece for piece in (each,) if len(piece.row)) for each in pieces)
    return MinuteReads(mine, Judged(verdict, stamp, flagged), Routed(found_first, shared, nothing, nothing, reads, 0))


def _piece(
    found: _Between,
    chosen: NDArray[np.int64],
    of_row: NDArray[np.int64],
    mine: ReadBatch,
    register: int,
    *,
    counted: bool,
) -> Found:
    row = of_row[chosen].astype(np.uint32)
    row.flags.writeable = False
    stamp = np.zeros(len(mine.place), np.int32)
    stamp[row] = found.minute[chosen]
    value = getattr(mine, _REGISTERS[register])
    return Found(found.install[chosen], row, stamp, value, mine.received_ms, register, counted)


def _take(batch: ReadBatch, rows: NDArray[np.int64]) -> ReadBatch:
    names = ("keys", "read_at_ms", "received_ms", *_REGISTERS, "place")
    return ReadBatch(batch.source, *(getattr(batch, name)[rows] for name in names))
