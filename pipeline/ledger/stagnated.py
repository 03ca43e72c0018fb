# SPDX-License-Identifier: Apache-2.0
"""Stagnated points: what was due of a point and is not there, over all surveyed slots, with its age and cause."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.calendar import BusinessCalendar
from koma.slots import JST, slot_at_ms, slot_date, slot_start_ms
from pipeline.home import Home
from pipeline.ledger.book import KEPT_SLOTS, place_of, read_missing, surveyed_slots
from pipeline.ledger.causes import CAUSES, NOT_FETCHED, STATES
from pipeline.ledger.fetched import WaitingFile
from pipeline.ledger.model import StagnatedPoint, Stagnation
from pipeline.ledger.survey_kernels import first_missing
from pipeline.manifests import day_name
from pipeline.master import MasterView, open_master

NAMED: Final = 20
_CALENDAR: Final = BusinessCalendar()
_WIDTH: Final = 16
"""Room for areas, and for states."""


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
        codes: what `code` indexes.
    """

    position: NDArray[np.uint32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    cells: NDArray[np.int32]
    cause: NDArray[np.uint8]
    code: NDArray[Any]
    owner: NDArray[np.uint16]
    area: NDArray[np.uint8]
    codes: tuple[str, ...]

    def __len__(self) -> int:
        """Count them."""
        return len(self.position)

    def take(self, rows: NDArray[Any]) -> "Stagnated":
        """Return some of them."""
        columns = {each.name: getattr(self, each.name)[rows] for each in fields(self) if each.name != "codes"}
        return replace(self, **columns)

    def of_cause(self, cause: str) -> "Stagnated":
        """Return those of a cause."""
        return self.take(self.cause == STATES.index(cause))

    def of_area(self, area: int) -> "Stagnated":
        """Return those of an area."""
        return self.take(self.area == area)

    def numbers(self) -> dict[str, dict[str, int]]:
        """Count them by area, then by cause."""
        group = self.area.astype(np.int64) * _WIDTH + self.cause
        counted = np.bincount(group, minlength=_WIDTH * _WIDTH).reshape(_WIDTH, _WIDTH)
        return {
            f"{area:02d}": {STATES[cause]: int(counted[area, cause]) for cause in CAUSES if counted[area, cause]}
            for area in np.flatnonzero(counted.any(axis=1)).tolist()
        }

    def since(self) -> dict[str, dict[str, int]]:
        """Return the start of the first slot that is missing, by area, then by cause."""
        group = self.area.astype(np.int64) * _WIDTH + self.cause
        earliest = np.full(_WIDTH * _WIDTH, np.iinfo(np.int64).max)
        np.minimum.at(earliest, group, self.first)
        found: dict[str, dict[str, int]] = {}
        for number in np.unique(group).tolist():
            area, cause = divmod(number, _WIDTH)
            found.setdefault(f"{area:02d}", {})[STATES[cause]] = slot_start_ms(int(earliest[number]))
        return found


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
        coded = missing["code"].cast(pa.string()).combine_chunks().dictionary_encode()
        numbers = np.array([words.setdefault(each, len(words)) for each in coded.dictionary.to_pylist()], np.uint16)
        code[position] = numbers[coded.indices.to_numpy()]
    some = np.flatnonzero(cells)
    found = some[np.lexsort((view.rank[some], -cells[some], first[some]))]
    return Stagnated(
        position=found.astype(np.uint32),
        first=first[found],
        last=last[found],
        cells=cells[found],
        cause=cause[found],
        code=code[found],
        owner=owner[found],
        area=view.area[found],
        codes=tuple(words),
    )


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


def waiting_points(home: Home, file: WaitingFile, now_ms: int, *, area: str, limit: int) -> Iterator[StagnatedPoint]:
    """Yield the points of a file that waits at the gateway, at most `limit`."""
    path = home.deliveries / file.retailer_code / day_name(file.slot) / f"{file.name.removesuffix('.zip')}.parquet"
    try:
        ids = pq.read_table(path, columns=["point_id"])["point_id"].to_pylist()
    except (OSError, pa.ArrowInvalid):
        return
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(JST).date()
    start_ms = slot_start_ms(file.slot)
    for point_id in [each for each in ids if not area or each[:2] == area][: max(0, limit)]:
        yield StagnatedPoint(
            point_id=point_id,
            area=point_id[:2],
            retailer_code=file.retailer_code,
            cause=STATES[NOT_FETCHED],
            code=file.name,
            since_ms=start_ms,
            last_ms=start_ms,
            cells=1,
            age_slots=age_slots(file.slot, now_ms),
            age_business_days=business_days(slot_date(file.slot), today),
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
        since_ms=found.since(),
        oldest_slots=age_slots(int(found.first.min()), now_ms) if len(found) else 0,
        oldest=tuple(points(home, found.take(np.arange(min(NAMED, len(found)))), now_ms)),
    )
