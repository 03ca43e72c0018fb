# SPDX-License-Identifier: Apache-2.0
"""The sums of slots over their cells: by retailer, balancing group and area, demand and generation apart.

The cells are those of the deliveries, by the same kernels, as known at an instant; those of high and extra-high
voltage, which no low-voltage file holds, belong to a total as well. Retailers are added up by the owner that the
kernels find, balancing groups by the supply row found here, areas by the point: three sums of their own, so that they
can be held against each other.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_SLOT, slot_start_ms
from pipeline.books import open_book
from pipeline.cell_kernels import Dated
from pipeline.columns import Columns
from pipeline.directions import DIRECTIONS, direction_numbers
from pipeline.home import Home
from pipeline.journal import State
from pipeline.master import MasterView
from pipeline.master.view import OPEN_SLOT, VOLTAGES
from pipeline.plain_kernels import READY_STEPS
from pipeline.quality import has_value
from pipeline.ready_kernels import unpack_ready
from pipeline.shard_cells import TOTALS, dated, shard_cells, slot_ends

RETAILER, GROUP, AREA = "retailer", "balancing_group", "area"
BY: Final = (RETAILER, GROUP, AREA)
_AREAS: Final = 11
_KINDS: Final = len(VOLTAGES) * len(DIRECTIONS)
_NO_ROW: Final = -1


class Key(NamedTuple):
    """What a sum is of: a code (of a retailer, group or area) in an area, by voltage and direction."""

    code: str
    area: str
    voltage: str
    direction: str


class Sum(NamedTuple):
    """Cells, those with a value, their energy at the customer's end."""

    cells: int
    available: int
    energy_dwh: int

    def plus(self, other: "Sum") -> "Sum":
        """Add another one."""
        return Sum(*(mine + its for mine, its in zip(self, other, strict=True)))


NOTHING: Final = Sum(0, 0, 0)


@dataclass(frozen=True, slots=True)
class SlotSums:
    """The sums of a slot.

    Attributes:
        slot: whose.
        by: of each of `BY`, the sums by key, ascending.
        points: over all cells.
        counted: what the kernels counted themselves, by what they added it up over.
    """

    slot: int
    by: dict[str, dict[Key, Sum]]
    points: Sum
    counted: dict[str, Sum]

    def whole(self) -> dict[str, Sum]:
        """Return what the slot comes to by each way of adding it up: all have to be the same."""
        added = {"points": self.points}
        for name in BY:
            added[name] = NOTHING
            for each in self.by[name].values():
                added[name] = added[name].plus(each)
        return added | self.counted

    def unbalanced(self) -> dict[str, Sum]:
        """Return the sums where they differ; nothing where all is well."""
        whole = self.whole()
        return whole if len(set(whole.values())) > 1 else {}


@dataclass(frozen=True, slots=True)
class Asked:
    """What sums are made from.

    Attributes:
        home: where the registers stand.
        state: of it.
        view: its master.
        instant_ms: as known at this instant.
    """

    home: Home
    state: State
    view: MasterView
    instant_ms: int


def slot_sums(asked: Asked, slots: Sequence[int], workers: int) -> Iterator[SlotSums]:
    """Yield the sums of ascending slots, of which a day's fit the memory."""
    open_book(asked.home.root, asked.state.batches)  # once, before several threads ask for it
    with ThreadPoolExecutor(workers) as pool:
        shards = list(pool.map(partial(_shard_sums, asked, slots), range(asked.view.n_shards)))
    for k, slot in enumerate(slots):
        parts = [shard[k] for shard in shards]
        yield _slot(asked.view, slot, parts)


@dataclass(slots=True)
class _Tables:
    """The sums of a shard and slot: (codes, areas, voltages, directions) flattened, three columns of numbers."""

    by: dict[str, NDArray[np.int64]]
    points: NDArray[np.int64]
    counted: dict[str, NDArray[np.int64]]


def _shard_sums(asked: Asked, slots: Sequence[int], shard: int) -> list[_Tables]:
    view, first = asked.view, int(asked.view.shard_points[shard])
    book = open_book(asked.home.root, asked.state.batches)
    columns = _of_any_voltage(view)
    instants = np.array([asked.instant_ms], np.int64)
    facts, found, until = _PointFacts.empty(), [], slots[0] if slots else 0
    for slot in slots:
        ends = slot_ends(book, asked.state.supersessions, shard, slot, int(view.shard_installs[shard]))
        cells = shard_cells(view, shard, slot, instants, 1, ends, columns=columns)
        if slot >= until:
            facts, until = _PointFacts.of(view, shard, slot, asked.instant_ms), _changes_after(view, shard, slot)
        found.append(_tables(view, first, facts, cells))
    return found


def _of_any_voltage(view: MasterView) -> Dated:
    """Return the dated columns as if every point were of low voltage: the kernels pass over all others."""
    low = np.zeros_like(np.asarray(view.attr_voltage))
    low.flags.writeable = False  # as the mapped columns of a master version are
    return dated(view)._replace(attr_voltage=low)


@dataclass(frozen=True, slots=True)
class _PointFacts:
    """What the master says of a shard's points in a slot: balancing group, and the kind of its sums."""

    group: NDArray[np.int64]
    kind: NDArray[np.int64]

    @classmethod
    def empty(cls) -> "_PointFacts":
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing)

    @classmethod
    def of(cls, view: MasterView, shard: int, slot: int, instant_ms: int) -> "_PointFacts":
        first, last = (int(each) for each in view.shard_points[shard : shard + 2])
        attribute = _Rows.of(view.attr_of, first, last)
        known = attribute.known(view.attr_rec_from, view.attr_rec_to, instant_ms)
        row = attribute.chosen(known, view.attr_rec_from)
        voltage = np.where(row == _NO_ROW, 0, view.attr_voltage[np.maximum(row, 0)]).astype(np.int64)
        supply = _Rows.of(view.supply_of, first, last)
        known = supply.known(view.supply_rec_from, view.supply_rec_to, instant_ms)
        covers = (supply.cut(view.supply_from) <= slot) & (slot < supply.cut(view.supply_to))
        row = supply.chosen(known & covers, view.supply_rec_from)
        group = np.zeros(last - first, np.int64)
        group[row != _NO_ROW] = view.supply_bg[row[row != _NO_ROW]]
        direction = _directions(view, first, last, slot, instant_ms)
        area = view.area[first:last].astype(np.int64)
        return cls(group, (area * len(VOLTAGES) + voltage) * len(DIRECTIONS) + direction)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The dated rows of a shard's points, and whose each is."""

    first: int
    last: int
    owner: NDArray[np.int64]
    points: int

    @classmethod
    def of(cls, offsets: NDArray[np.int64], first: int, last: int) -> "_Rows":
        counts = np.diff(offsets[first : last + 1])
        return cls(int(offsets[first]), int(offsets[last]), np.repeat(np.arange(last - first), counts), last - first)

    def cut(self, column: NDArray[Any]) -> NDArray[Any]:
        return column[self.first : self.last]

    def known(self, since: NDArray[np.int64], until: NDArray[np.int64], instant_ms: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self.cut(since) <= instant_ms) & (instant_ms < self.cut(until))
        return found

    def chosen(self, holds: NDArray[np.bool_], recorded: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return of each point the row that holds, of several the one recorded last, then the first of them."""
        row = np.flatnonzero(holds)
        owner = self.owner[row]
        if bool((owner[1:] == owner[:-1]).any()):
            row = row[np.lexsort((-row, self.cut(recorded)[row], owner))]
            last = np.ones(len(row), np.bool_)
            last[:-1] = self.owner[row[1:]] != self.owner[row[:-1]]
            row = row[last]
            owner = self.owner[row]
        found = np.full(self.points, _NO_ROW, np.int64)
        found[owner] = row + self.first
        return found

    def any(self, holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say of which points some row holds."""
        found = np.zeros(self.points, np.bool_)
        found[self.owner[holds]] = True
        return found


def _directions(view: MasterView, first: int, last: int, slot: int, instant_ms: int) -> NDArray[np.int64]:
    """Return of each point which of `DIRECTIONS` its meters count in a slot; without a meter, those it ever had."""
    installs = _Rows.of(view.install_of, first, last)
    known = installs.known(view.install_rec_from, view.install_rec_to, instant_ms)
    start_ms = slot_start_ms(slot)
    counts = known & (installs.cut(view.install_from_ms) < start_ms + MS_PER_SLOT)
    counts &= installs.cut(view.install_to_ms) > start_ms
    exports = installs.cut(view.install_register) == 1
    some = installs.any(counts)
    counts |= known & ~some[installs.owner]
    return direction_numbers(installs.any(counts & ~exports), installs.any(counts & exports)).astype(np.int64)


def _changes_after(view: MasterView, shard: int, slot: int) -> int:
    """Return the first slot after one in which what the master says of a shard's points may differ."""
    first, last = (int(each) for each in view.shard_points[shard : shard + 2])
    supply, installs = _Rows.of(view.supply_of, first, last), _Rows.of(view.install_of, first, last)
    found = [supply.cut(view.supply_from), supply.cut(view.supply_to)]
    for column in (view.install_from_ms, view.install_to_ms):
        begun = installs.cut(column) // MS_PER_SLOT
        found += [begun, begun + 1]
    later = [int(each[each > slot].min(initial=OPEN_SLOT)) for each in found]
    return min(later)


def _tables(view: MasterView, first: int, facts: _PointFacts, cells: Columns) -> _Tables:
    """Add the cells of a shard and slot up."""
    count = len(cells["ready"])
    position, quality, energy = np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.int64)
    unpack_ready(cells["ready"], position, quality, energy)
    ready = cells["ready_counts"]
    owner = np.repeat(np.arange(len(ready)) // READY_STEPS, ready)
    place = np.concatenate([position, cells["position"]]).astype(np.int64) - first
    quality, energy = np.concatenate([quality, cells["quality"]]), np.concatenate([energy, cells["energy"]])
    owner = np.concatenate([owner, cells["owner"]]).astype(np.int64)  # at one instant a cell has one event
    available = has_value(quality)
    energy = np.where(available, energy, 0)
    kind = facts.kind[place]
    sizes = {RETAILER: len(view.retailers), GROUP: len(view.bgs), AREA: 1}
    codes = {RETAILER: owner, GROUP: facts.group[place], AREA: np.zeros(len(place), np.int64)}
    by = {
        name: _added(codes[name] * (_AREAS * _KINDS) + kind, sizes[name] * _AREAS * _KINDS, available, energy)
        for name in BY
    }
    points = np.array([len(place), int(available.sum()), int(energy.sum())], np.int64)
    counted = {f"counted_{name}": cells[name].reshape(-1, 3).sum(axis=0) for name in TOTALS}
    return _Tables(by, points, counted)


def _added(
    index: NDArray[np.int64], size: int, available: NDArray[np.bool_], energy: NDArray[np.int64]
) -> NDArray[np.int64]:
    found = np.zeros((size, 3), np.int64)
    found[:, 0] = np.bincount(index, minlength=size)
    found[:, 1] = np.bincount(index[available], minlength=size)
    np.add.at(found[:, 2], index, energy)  # `bincount` adds weights up as floats
    return found


def _slot(view: MasterView, slot: int, parts: Sequence[_Tables]) -> SlotSums:
    def added(tables: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.sum(tables, axis=0, dtype=np.int64)
        return found

    codes = {RETAILER: view.retailers, GROUP: view.bgs, AREA: None}
    by = {name: _keyed(codes[name], added([each.by[name] for each in parts])) for name in BY}
    counted = {name: _sum(added([each.counted[name] for each in parts])) for name in parts[0].counted}
    return SlotSums(slot, by, _sum(added([each.points for each in parts])), counted)


def _keyed(codes: Sequence[str] | None, table: NDArray[np.int64]) -> dict[Key, Sum]:
    found: dict[Key, Sum] = {}
    for row in np.flatnonzero(table[:, 0]).tolist():
        rest, direction = divmod(row, len(DIRECTIONS))
        rest, voltage = divmod(rest, len(VOLTAGES))
        code, area = divmod(rest, _AREAS)
        name = f"{area:02d}"
        key = Key(name if codes is None else codes[code], name, VOLTAGES[voltage], DIRECTIONS[direction])
        found[key] = _sum(table[row])
    return dict(sorted(found.items()))


def _sum(row: NDArray[np.int64]) -> Sum:
    return Sum(*row.tolist())
