# SPDX-License-Identifier: Apache-2.0
"""Reads of the store: a point's months, a retailer's day, an area's slot; as of an instant, or changed since one.

A read goes by one catalogue and by what had been issued until then, so it sees the store at one time, also where the
parts it began with are put together with others meanwhile.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np

from koma.errors import HistoryError
from koma.ids import Area
from koma.settings import Settings
from pipeline.history.catalogue import NEVER, Catalogue, Part, newest
from pipeline.history.files import Files, store_files
from pipeline.history.merge import ALL, blocks
from pipeline.history.parts import PartFile, bounds_of
from pipeline.history.rows import Rows, merged
from pipeline.home import Home

_PATIENCE: Final = 20
"""Times that a read begins again because its parts went: each time the store has moved on."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which states of cells a read is for.

    Attributes:
        first_slot: earliest slot.
        end_slot: slot before which to end.
        as_of_ms: what was issued later is not known; all is unless given.
        changed_since_ms: only cells whose state was issued after this.
        retailers: whose cells; those of all unless given.
        every_state: with the states before the last one.
    """

    first_slot: int
    end_slot: int
    as_of_ms: int | None = None
    changed_since_ms: int | None = None
    retailers: frozenset[int] | None = None
    every_state: bool = False

    def known(self, rows: Rows) -> Rows:
        """Take the states of these cells that were issued by then."""
        mask = (rows.slot >= self.first_slot) & (rows.slot < self.end_slot)
        if self.as_of_ms is not None:
            mask &= rows.issued_ms() <= self.as_of_ms
        if self.retailers is not None:
            mask &= np.any([rows.retailer == each for each in self.retailers], axis=0)
        return rows if mask.all() else rows.take(mask)

    def told(self, rows: Rows) -> Rows:
        """Take of all known states of some points those asked for."""
        mask = np.ones(len(rows), bool) if self.every_state else rows.last_of_cells()
        if self.changed_since_ms is not None:
            mask &= rows.issued_ms() > self.changed_since_ms
        return rows if mask.all() else rows.take(mask)


@dataclass(slots=True)
class IntervalStore:
    """The store as its readers see it; for many threads at once."""

    files: Files
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=2))

    def until_ms(self) -> int:
        """Return the instant up to which all that was issued can be read."""
        return newest(self.files).until_ms

    def point(self, point_id: str, wanted: Wanted) -> Rows:
        """Return the states of a point's cells, by slot.

        Raises:
            HistoryError: the store is damaged.

        """
        return self._steadily(lambda catalogue: self._of_point(catalogue, point_id, wanted))

    def _of_point(self, catalogue: Catalogue, point_id: str, wanted: Wanted) -> Rows:
        parts = _overlapping(catalogue, wanted)
        found = self._pool.map(lambda part: _point_in(self.files, part.name, point_id, wanted), parts)
        return wanted.told(merged(list(found)))

    def _steadily(self, read: Callable[[Catalogue], _T]) -> _T:
        """Read by the newest catalogue; begin again where parts of it went meanwhile."""
        for _ in range(_PATIENCE):
            catalogue = newest(self.files)
            try:
                return read(catalogue)
            except FileNotFoundError:
                if newest(self.files).number == catalogue.number:
                    raise _lacking(self.files) from None
        raise HistoryError(f"{self.files.address} changes faster than it can be read", hint="ask again")

    def scan(self, wanted: Wanted, ids: tuple[str, str] = ALL) -> Iterator[Rows]:
        """Yield the states of many points' cells, block by block, points ascending.

        Args:
            wanted: which.
            ids: the first point id and the one before which to end.

        Raises:
            HistoryError: the store is damaged.

        """
        catalogue = newest(self.files)
        as_of_ms = catalogue.until_ms if wanted.as_of_ms is None else min(wanted.as_of_ms, catalogue.until_ms)
        wanted = _pinned(wanted, as_of_ms)
        begin = ids[0]
        for _ in range(_PATIENCE):
            try:
                names = [each.name for each in _overlapping(catalogue, wanted)]
                for block in blocks(self.files, names, wanted.known, (begin, ids[1])):
                    yield wanted.told(block)
                    begin = block.ids[block.rank[-1]].decode() + "!"  # behind this point, before any other
            except FileNotFoundError:
                following = newest(self.files)
                if following.number == catalogue.number:
                    raise _lacking(self.files) from None
                catalogue = following
            else:
                return
        raise HistoryError(f"{self.files.address} changes faster than it can be read", hint="ask again")

    def retailer_day(self, retailer: str, wanted: Wanted) -> Iterator[Rows]:
        """Yield the states of a retailer's cells, points ascending."""
        return self.scan(_of_retailer(wanted, retailer))

    def area_slot(self, area: Area, wanted: Wanted) -> Iterator[Rows]:
        """Yield the states of an area's cells, points ascending."""
        return self.scan(wanted, (f"{area.number:02d}", f"{area.number:02d}~"))


def _of_retailer(wanted: Wanted, retailer: str) -> Wanted:
    return Wanted(**(_facts(wanted) | {"retailers": frozenset({int(retailer)})}))


def _pinned(wanted: Wanted, as_of_ms: int) -> Wanted:
    return Wanted(**(_facts(wanted) | {"as_of_ms": as_of_ms}))


def _facts(wanted: Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in Wanted.__slots__}


def _lacking(files: Files) -> HistoryError:
    return HistoryError(
        f"{files.address} lacks a file that its catalogue lists", hint="koma history verify names it; then rebuild"
    )


def _overlapping(catalogue: Catalogue, wanted: Wanted) -> list[Part]:
    return [
        each for each in catalogue.parts if each.first_slot < wanted.end_slot and each.last_slot >= wanted.first_slot
    ]


def _point_in(files: Files, part: str, point_id: str, wanted: Wanted) -> Rows:
    found = []
    bounds = bounds_of(files, part)
    for number in bounds.holding(point_id):
        file = PartFile.open(files, part, number, bounds)
        found += [wanted.known(file.rows_of_point(group, point_id)) for group in file.holding(point_id)]
    return merged(found)


def open_store(home: Home, settings: Settings) -> IntervalStore:
    """Open the history of a home for reading.

    Raises:
        HistoryError: there is none yet.

    """
    store = IntervalStore(store_files(home, settings))
    if store.until_ms() == NEVER:
        raise HistoryError(f"{store.files.address} holds no history yet", hint="run koma history update")
    return store
