# SPDX-License-Identifier: Apache-2.0
"""Stagnated points: what was due of a point and is not there, over all surveyed slots, with its age and cause."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.calendar import BusinessCalendar
from koma.slots import JST, MS_PER_SLOT, SLOTS_PER_DAY, slot_at_ms, slot_date, slot_start_ms
from pipeline.home import Home
from pipeline.ledger.book import place_of, read_missing, surveyed_slots
from pipeline.ledger.causes import CAUSES, STATES
from pipeline.ledger.model import StagnatedPoint, Stagnation
from pipeline.ledger.survey_kernels import first_missing
from pipeline.master import MasterView, open_master

KEPT_SLOTS: Final = 45 * SLOTS_PER_DAY
"""How far back a point is looked for; as long as slots are revised every day."""
NAMED: Final = 20
_CALENDAR: Final = BusinessCalendar()


@dataclass(slots=True)
class Stagnated:
    """Points by position, the longest missing first; columns of equal length.

    Attributes:
        position: of the point.
        first: first slot that is missing.
        last: last slot that is.
        cells: how many are.
        cause: of the last, one of `causes.STATES`.
        code: what stands behind that cause.
        owner: index of the retailer of the last.
        area: of the point.
    """

    position: NDArray[np.uint32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    cells: NDArray[np.int32]
    cause: NDArray[np.uint8]
    code: NDArray[Any]
    owner: NDArray[np.uint16]
    area: NDArray[np.uint8]
    codes: tuple[str, ...] = field(default=("",))

    def __len__(self) -> int:
        """Count them."""
        return len(self.position)

    def take(self, rows: NDArray[Any]) -> "Stagnated":
        """Return some of them."""
        names = ("position", "first", "last", "cells", "cause", "code", "owner", "area")
        return Stagnated(*(getattr(self, name)[rows] for name in names), self.codes)

    def of_cause(self, cause: str) -> "Stagnated":
        """Return those of a cause."""
        return self.take(self.cause == STATES.index(cause))

    def numbers(self) -> dict[str, dict[str, int]]:
        """Count them by area, then by cause."""
        counted = np.bincount(self.area.astype(np.int64) * 16 + self.cause, minlength=256).reshape(16, 16)
        return {
            f"{area:02d}": {STATES[cause]: int(counted[area, cause]) for cause in CAUSES if counted[area, cause]}
            for area in np.flatnonzero(counted.any(axis=1)).tolist()
        }


def stagnated(home: Home, until: int, slots: int = KEPT_SLOTS) -> Stagnated:
    """Gather the points that slots up to `until` miss, as far as they were surveyed."""
    known = surveyed_slots(home, until, slots)
    state = tuple((slot, place_of(home, slot, "parquet").stat().st_mtime_ns) for slot in known)
    return _gathered(home, open_master(home.root).version, state)


@lru_cache(maxsize=2)
def _gathered(home: Home, _version: int, known: tuple[tuple[int, int], ...]) -> Stagnated:
    view = open_master(home.root)
    first, last, cells = (np.zeros(view.n_points, np.int32) for _ in range(3))
    cause, code = np.zeros(view.n_points, np.uint8), np.zeros(view.n_points, np.uint16)
    owner = np.zeros(view.n_points, np.uint16)
    words: dict[str, int] = {"": 0}
    for slot, _ in known:
        missing = read_missing(home, slot)
        if missing is None or not missing.num_rows:
            continue
        position = missing["position"].to_numpy()
        first_missing(position, slot, first, last, cells)
        cause[position], owner[position] = missing["cause"].to_numpy(), missing["owner"].to_numpy()
        coded = missing["code"].combine_chunks().dictionary_encode()
        coded = coded if not hasattr(coded, "combine_chunks") else coded.combine_chunks()
        numbers = np.array([words.setdefault(each, len(words)) for each in coded.dictionary.to_pylist()], np.uint16)
        code[position] = numbers[coded.indices.to_numpy()]
    found = np.flatnonzero(cells)
    found = found[np.lexsort((view.rank[found], -cells[found], first[found]))].astype(np.uint32)
    columns = (each[found] for each in (first, last, cells, cause, code, owner))
    return Stagnated(found, *columns, view.area[found], tuple(words))


def points(home: Home, some: Stagnated, now_ms: int) -> Iterator[StagnatedPoint]:
    """Yield stagnated points by name; take a part of them first where they are many."""
    view = open_master(home.root)
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(JST).date()
    for row in range(len(some)):
        yield _point(view, some, row, now_ms, today)


def _point(view: MasterView, some: Stagnated, row: int, now_ms: int, today: date) -> StagnatedPoint:
    first = int(some.first[row])
    return StagnatedPoint(
        point_id=view.point_id[some.position[row]].tobytes().decode("ascii"),
        area=f"{int(some.area[row]):02d}",
        retailer_code=view.retailers[int(some.owner[row])],
        cause=STATES[int(some.cause[row])],
        code=some.codes[int(some.code[row])],
        since_ms=slot_start_ms(first),
        last_ms=slot_start_ms(int(some.last[row])),
        cells=int(some.cells[row]),
        age_slots=age_slots(first, now_ms),
        age_business_days=business_days(slot_date(first), today),
    )


def age_slots(first: int, now_ms: int) -> int:
    """Return how many whole slots have passed since a slot ended."""
    return max(0, slot_at_ms(now_ms) - first - 1)


@lru_cache(maxsize=4096)
def business_days(day: date, today: date) -> int:
    """Return how many business days lie behind a day, today among them; 0 on the day itself.

    >>> business_days(date(2026, 10, 9), date(2026, 10, 13))  # a Friday, and the Tuesday after a Monday that is closed
    1
    """
    return _CALENDAR.count(day + timedelta(days=1), today + timedelta(days=1))


def stagnation(home: Home, found: Stagnated, now_ms: int) -> Stagnation:
    """Return all of them in numbers, and the oldest by name."""
    by_area = found.numbers()
    return Stagnation(
        points=len(found),
        by_cause={
            STATES[cause]: count
            for cause in CAUSES
            if (count := sum(each.get(STATES[cause], 0) for each in by_area.values()))
        },
        by_area=by_area,
        oldest_slots=age_slots(int(found.first.min()), now_ms) if len(found) else 0,
        oldest=tuple(points(home, found.take(np.arange(min(NAMED, len(found)))), now_ms)),
    )


def end_ms(slot: int) -> int:
    """Return when a slot ends."""
    return slot_start_ms(slot) + MS_PER_SLOT
