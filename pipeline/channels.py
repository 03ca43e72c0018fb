# SPDX-License-Identifier: Apache-2.0
"""The energy of points in slots of 1, 5 or 15 minutes: the cells of a day by the same kernels as half-hours.

A register that is read more often than every slot has its stamps on slot boundaries in the register book, as all have,
and those between them in the book of minutes. Both are differences of one register, so finer slots add up to coarser
ones exactly. The kernels know half-hours alone: time is stretched for them, until a finer slot is as long as one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.errors import HomeError
from koma.limits import SHARD_LOCAL_BITS, SLOT_MINUTES
from koma.slots import MS_PER_DAY, SLOTS_PER_DAY, first_slot_of_day, slot_start_ms
from pipeline.cell_kernels import Dated
from pipeline.estimates.cells_kernels import cells_of
from pipeline.home import Home
from pipeline.journal import State, read_state
from pipeline.master import MasterView, open_master
from pipeline.month_cells import installs_of
from pipeline.month_kernels import Gathered
from pipeline.month_registers import gather
from pipeline.quality import MISSING, has_value
from pipeline.shard_cells import dated

CHUNK_POINTS: Final = 8_192
"""Registers of every minute of their day lie in memory together, 17 kB each."""
_ANY_MS: Final = 1 << 60
"""Times beyond it say since always, or open."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a home knows when its channels are looked at.

    Attributes:
        home: where the registers stand.
        state: of it.
        view: its current master.
        instant_ms: as known at this instant.
    """

    home: Home
    state: State
    view: MasterView
    instant_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class DayValues:
    """The cells of some points over a JST day, in slots of equal length: a row a point, a column a slot."""

    position: NDArray[np.uint32]
    minutes: int
    quality: NDArray[np.uint8]
    energy: NDArray[np.int64]

    def coarser(self, minutes: int) -> "DayValues":
        """Add the slots up to longer ones; one of which a part has no value has none."""
        k = minutes // self.minutes
        shape = len(self.position), -1, k
        parts = self.quality.reshape(shape)
        whole = has_value(parts).all(axis=2)
        quality = np.where(whole, parts.max(axis=2), MISSING).astype(np.uint8)
        energy = np.where(whole, self.energy.reshape(shape).sum(axis=2), 0)
        return DayValues(self.position, minutes, quality, energy)


def known_now(home: Home) -> Known:
    """Return what a home knows now.

    Raises:
        HomeError: it has accepted no read.

    """
    state = read_state(home.path("journal"))
    if state.next_fact_ms is None:
        raise HomeError(
            f"{home.root} has accepted no read yet", hint="hand reads over and run: koma pipeline run --once"
        )
    return Known(home, state, open_master(home.root, None), state.next_fact_ms)


def lengths_of(view: MasterView, position: NDArray[np.uint32], day: date) -> NDArray[np.int64]:
    """Return the minutes between two reads of points on a day, by their finest register; 30 where none is finer."""
    begin_ms = slot_start_ms(first_slot_of_day(day))
    lengths = np.full(len(position), SLOT_MINUTES, np.int64)
    if len(view.fine_install) == 0:
        return lengths
    owner, local = installs_of(view, position)
    shard = np.searchsorted(view.shard_points, position[owner], "right") - 1
    install = (shard.astype(np.uint32) << np.uint32(SHARD_LOCAL_BITS)) | local
    place = np.minimum(np.searchsorted(view.fine_install, install), len(view.fine_install) - 1)
    there = (
        (view.fine_install[place] == install)
        & (view.fine_from_ms[place] < begin_ms + MS_PER_DAY)
        & (view.fine_to_ms[place] > begin_ms)
    )
    np.minimum.at(lengths, owner[there], view.fine_minutes[place[there]].astype(np.int64))
    return lengths


def day_values(known: Known, position: NDArray[np.uint32], day: date, minutes: int) -> Iterator[DayValues]:
    """Yield the cells of points over a day in slots of so many minutes, some points at a time, ascending."""
    view = known.view
    position = np.sort(position)
    shard = np.searchsorted(view.shard_points, position, "right") - 1
    for each in np.unique(shard).tolist():
        mine = position[shard == each]
        for at in range(0, len(mine), CHUNK_POINTS):
            yield _chunk(known, each, mine[at : at + CHUNK_POINTS], day, minutes)


def _chunk(known: Known, shard: int, position: NDArray[np.uint32], day: date, minutes: int) -> DayValues:
    view, k = known.view, SLOT_MINUTES // minutes
    _, local = installs_of(view, position)
    registers = _gathered(known, shard, np.unique(local), day, minutes)
    stretched = _stretched(dated(view), position, k)
    caps = view.attr_cap_dwh[view.attr_of[position + 1] - 1].tolist()
    shape = len(position), SLOTS_PER_DAY * k
    quality, energy = np.empty(shape, np.uint8), np.empty(shape, np.int64)
    begin = first_slot_of_day(day, minutes)
    for p, cap_dwh in enumerate(caps):
        cells_of(stretched, registers, p, begin, cap_dwh, known.instant_ms, quality[p], energy[p])
    return DayValues(position, minutes, quality, energy)


def _gathered(known: Known, shard: int, local: NDArray[np.uint32], day: date, minutes: int) -> Gathered:
    """Return the registers of a day on the grid of some minutes: those of the register book on slot boundaries."""
    state, k, first = known.state, SLOT_MINUTES // minutes, first_slot_of_day(day)
    book = known.home.path("registers")
    whole = gather(book, state.index, state.supersessions, shard, local, first, first + SLOTS_PER_DAY)
    if k == 1:
        return whole
    minute, last = first * SLOT_MINUTES, (first + SLOTS_PER_DAY) * SLOT_MINUTES
    between = gather(known.home.path("minutes"), state.minutes, (), shard, local, minute, last)
    value, arrival = (
        np.ascontiguousarray(between.value[:, ::minutes]),
        np.ascontiguousarray(between.arrival[:, ::minutes]),
    )
    value[:, ::k], arrival[:, ::k] = whole.value, whole.arrival
    return whole._replace(
        first_stamp=first * k, value=value, arrival=arrival, other_stamp=whole.other_stamp * np.int32(k)
    )


def _stretched(master: Dated, position: NDArray[np.uint32], k: int) -> Dated:
    """Return the installations of some points alone, numbered from 0, their times `k` times as far from 1970."""
    begin = master.install_of[position]
    counts = master.install_of[position + 1] - begin
    of = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    row = np.repeat(begin - of[:-1], counts) + np.arange(int(of[-1]))
    names = [name for name in Dated._fields if name.startswith("install_") and name != "install_of"]
    columns = {name: getattr(master, name)[row] for name in names} | {"install_of": of}
    for name in ("install_from_ms", "install_to_ms"):
        ms = columns[name]
        columns[name] = np.where(abs(ms) < _ANY_MS, ms * k, ms)
    for column in columns.values():
        column.flags.writeable = False
    return master._replace(**columns)
