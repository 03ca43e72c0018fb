# SPDX-License-Identifier: Apache-2.0
"""The estimates of one shard's day: its gaps are looked for slot by slot, then the points that have some over weeks.

Registers of those points lie in memory together, 12 bytes for each stamp of each installation; so points go through in
chunks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.books import open_book
from pipeline.estimates.agreed import Cells
from pipeline.estimates.estimate_kernels import Asked, Estimates, estimate_points
from pipeline.estimates.gap_kernels import lost_points
from pipeline.journal import State
from pipeline.master import MasterView
from pipeline.month_cells import installs_of
from pipeline.month_registers import gather
from pipeline.shard_cells import dated, slot_ends

CHUNK_CELLS: Final = 24_000_000
"""Registers in memory at once: 288 MB for each worker."""
_KINDS: Final = (
    np.uint32, np.int32, np.uint16, np.int64, np.uint8, np.uint8, np.int32, np.int32, np.int64, np.int64, np.int64,
    np.int64, np.bool_,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DayEstimate:
    """What the estimates of a day are made from.

    Attributes:
        home: where the registers stand.
        state: of the home.
        view: the master.
        asked: the day and the rules.
        cells: agreed values in force around it.
        reference_days: how many at most.
        first_slot: of the home.
    """

    home: Path
    state: State
    view: MasterView
    asked: Asked
    cells: Cells
    reference_days: int
    first_slot: int


def shard_estimates(day: DayEstimate, shard: int) -> Estimates:
    """Compute the estimates of a shard, points in the order of their positions."""
    chunks = _chunks(day, _points(day, shard))
    return joined([no_rows(0, day.reference_days), *(_estimated(day, shard, position) for position in chunks)])


def joined(parts: list[Estimates]) -> Estimates:
    """Put rows behind one another."""
    return Estimates._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _points(day: DayEstimate, shard: int) -> NDArray[np.uint32]:
    """Return the points of a shard that a gap or an agreed value is told of, ascending."""
    view, asked = day.view, day.asked
    first, last = (int(view.shard_points[each]) for each in (shard, shard + 1))
    book = open_book(day.home, day.state.batches)
    lost = np.zeros(last - first, np.bool_)
    for slot in range(max(asked.day, day.first_slot), asked.day_end):
        ends = slot_ends(book, day.state.supersessions, shard, slot, int(view.shard_installs[shard]))
        lost_points(dated(view), first, last, slot, ends, asked.instant_ms, lost)
    told = day.cells.position[(day.cells.slot >= asked.day) & (day.cells.slot < asked.day_end)]
    lost[told[(told >= first) & (told < last)] - first] = True
    return (np.flatnonzero(lost) + first).astype(np.uint32)


def _chunks(day: DayEstimate, position: NDArray[np.uint32]) -> Iterator[NDArray[np.uint32]]:
    """Cut points so that the registers of each chunk fit the memory meant for them."""
    counts = day.view.install_of[position + 1] - day.view.install_of[position]
    stamps = len(day.asked.kind) * 48 + 1
    most = max(1, CHUNK_CELLS // stamps)
    number = np.cumsum(counts) // most
    at = 0
    while at < len(position):
        end = int(np.searchsorted(number, number[at], "right"))
        yield position[at:end]
        at = end


def _estimated(day: DayEstimate, shard: int, position: NDArray[np.uint32]) -> Estimates:
    view, asked = day.view, day.asked
    local = np.unique(installs_of(view, position)[1])
    index = open_book(day.home, day.state.batches).index
    stamps = len(asked.kind) * 48
    registers = gather(
        day.home / "registers", index, day.state.supersessions, shard, local, asked.begin, asked.begin + stamps
    )
    out = no_rows(len(position) * (asked.day_end - asked.day), day.reference_days)
    count = estimate_points(dated(view), registers, position, asked, day.cells.of(position), day.first_slot, out)
    return Estimates._make(column[:count] for column in out)


def no_rows(room: int, reference_days: int) -> Estimates:
    """Return room for estimates."""
    days = np.empty((room, reference_days), np.int32)
    return Estimates._make([*(np.empty(room, kind) for kind in _KINDS), days])
