# SPDX-License-Identifier: Apache-2.0
"""One table's rows, those known and those of the import, and what the import does to each key."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.master.ledger_kernels import (
    CANCELLED,
    IDLE,
    NEW,
    NO_LOCAL,
    SUPERSEDING,
    classify,
    count_rows,
    date_rows,
    place_rows,
    sort_rows,
)
from pipeline.master.rows import NOT_STATED_MS
from pipeline.master.view import ALWAYS_MS

KEYS: dict[str, tuple[str, ...]] = {
    "points": (),
    "meters": ("from_ms", "k0", "k1", "register"),
    "supply": ("from_slot",),
}
"""Columns that make the key of a row among the rows of its point, in the order in which rows stand."""

ENDS: dict[str, tuple[str, str] | None] = {
    "points": None,
    "meters": ("from_ms", "to_ms"),
    "supply": ("from_slot", "to_slot"),
}

_ROWS_SORTED_BY_INSERTION = 64
_APPLIED = np.isin(np.arange(IDLE + 1), (NEW, SUPERSEDING, CANCELLED))

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Moment:
    """When an import takes place in business time."""

    now_ms: int | None
    """The home's clock; None where nothing was accepted yet and so no instant has passed."""
    first: bool
    """The first import counts since always."""
    issued_ms: int = ALWAYS_MS
    """The last instant issued, or announced. What is out was issued without this import: it counts after that."""

    def now(self) -> int:
        """Recorded time of rows that state none, unless what is known is recorded later."""
        return ALWAYS_MS if self.now_ms is None else self.now_ms

    def since(self, stated: NDArray[np.int64]) -> NDArray[np.int64]:
        """Instant from which rows count: the one recorded, but not after now and not before what is still to come."""
        if self.first:
            return np.full(len(stated), ALWAYS_MS, np.int64)
        if self.now_ms is None:
            return np.where(stated == NOT_STATED_MS, ALWAYS_MS, stated)
        return np.maximum(np.minimum(stated, self.now_ms), self.issued_ms + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Dated:
    """Rows that count at some instant, by point: row numbers of the ledger and from when to when they count, ms."""

    of: NDArray[np.int64]
    row: NDArray[np.int32]
    rec_from: NDArray[np.int64]
    rec_to: NDArray[np.int64]


class Ledger:
    """Rows of one table: the first `n_old` are known, the others come with the import."""

    def __init__(self, name: str, old: Columns, delta: Columns, n_points: int, moment: Moment) -> None:
        """Sort the rows by point, key and recorded time.

        Args:
            name: of the table.
            old: columns of the rows known, with `position`, `recorded_ms`, `rec_from` and `content`.
            delta: columns of the rows of the import, with `position` (-1 for none), `recorded_ms` and `content`.
            n_points: known points and new ones.
            moment: when the import takes place.

        """
        self.name = name
        self.old = old
        self.delta = delta
        self.n_old = len(old["position"])
        self.moment = moment
        self.stated = self.column("recorded_ms")
        if moment.first:
            fresh = self.stated[self.n_old :]
            fresh[fresh == NOT_STATED_MS] = ALWAYS_MS
        self.content = self.column("content")
        self.position = np.concatenate([old["position"].astype(np.int32), delta["position"]])
        self.keys = tuple(_as_int64(self.column(each)) for each in KEYS[name]) or (
            np.zeros(len(self.position), np.int64),
        )
        ends = ENDS[name]
        size = len(self.position)
        self.closed = self.column(ends[0]) == self.column(ends[1]) if ends else np.zeros(size, bool)
        self.of, self.order = _sorted(self.position, (*self.keys, self.stated), n_points)
        self.active = np.ones(size, bool)
        self.recorded = self.stated.copy()
        self.status = np.full(size - self.n_old, IDLE, np.uint8)
        self.previous = np.full(size, -1, np.int32)
        self.clash = np.full(size, -1, np.int32)
        self.current = np.zeros(size, bool)

    def __len__(self) -> int:
        return len(self.position)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of all rows; not copied where nothing was known before."""
        old, fresh = self.old[name], self.delta[name]
        return np.concatenate([old, fresh.astype(old.dtype, copy=False)]) if len(old) else fresh

    def classify(self) -> int:
        """Say of each active row what it does to what is known; returns how many contradict another of the import."""
        now_ms = self.moment.now()
        return classify(
            self.of, self.order, self.keys, self.stated, self.content, self.closed, self.active, self.n_old, now_ms,
            self.status, self.recorded, self.previous, self.clash, self.current,
        )  # fmt: skip

    def applied(self) -> NDArray[np.bool_]:
        """Rows that make up knowledge, past or present: all that were known and those the import adds."""
        return np.concatenate([np.ones(self.n_old, bool), _APPLIED[self.status]])

    def rec_from(self) -> NDArray[np.int64]:
        """Instant from which each row counts, ms."""
        since = self.moment.since(self.stated[self.n_old :])
        return np.concatenate([self.old["rec_from"], since]) if self.n_old else since

    def dated(self) -> Dated:
        """Rows that count at some instant."""
        size = len(self)
        of = np.zeros(len(self.of), np.int64)
        row = np.empty(size, np.int32)
        start, end = np.empty(size, np.int64), np.empty(size, np.int64)
        count = date_rows(
            self.of,
            self.order,
            self.keys,
            self.applied(),
            self.content,
            self.closed,
            self.rec_from(),
            of,
            row,
            start,
            end,
        )
        return Dated(of, row[:count], start[:count], end[:count])

    def locals(self) -> NDArray[np.uint32]:
        """Local installation index by row, `NO_LOCAL` where none was given yet."""
        fresh = np.full(len(self) - self.n_old, NO_LOCAL, np.uint32)
        return np.concatenate([self.old["local"], fresh]) if self.n_old else fresh


def _as_int64(column: NDArray[Any]) -> NDArray[np.int64]:
    return column.view(np.int64) if column.dtype == np.uint64 else column.astype(np.int64, copy=False)


def _sorted(
    position: NDArray[np.int32], columns: tuple[NDArray[np.int64], ...], n_points: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    of = np.zeros(n_points + 1, np.int64)
    count_rows(position, of)
    if n_points and int(np.diff(of).max()) > _ROWS_SORTED_BY_INSERTION:
        sorted_by: list[NDArray[Any]] = [*reversed(columns), position]
        whole = np.lexsort(sorted_by)
        return of, whole[len(whole) - int(of[-1]) :].astype(np.int32)
    order = np.empty(int(of[-1]), np.int32)
    place_rows(position, of, order)
    sort_rows(of, order, columns)
    return of, order
