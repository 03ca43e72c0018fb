# SPDX-License-Identifier: Apache-2.0
"""The register book: per shard and stamp, the register of every installation and when it arrived.

What an intake brings to a shard is one immutable segment file. A column is the election over the segments that hold its
stamp: per installation the earliest arrival, at equal times the smaller value. The election does not depend on order,
so neither does anything computed from it. Columns are cached in memory; the files are the truth.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns, read_columns, write_columns
from pipeline.journal import Segment
from pipeline.register_kernels import (
    ABSENT_MS,
    CONFLICT,
    classify,
    count_changes,
    count_stamps,
    elect,
    sort_by_stamp,
    spread,
    take_changes,
)

CACHE_BYTES_MAX = 4 << 30


@dataclass(frozen=True, slots=True)
class Column:
    """The registers of one shard at one stamp, by local installation index; arrival `ABSENT_MS` = none."""

    value: NDArray[np.uint32]
    arrival: NDArray[np.int64]

    @classmethod
    def empty(cls, installs: int) -> "Column":
        """Return a column without any read."""
        return cls(np.zeros(installs, np.uint32), np.full(installs, ABSENT_MS, np.int64))

    def resized(self, installs: int) -> "Column":
        """Return the column with room for installations that came later."""
        if len(self.value) >= installs:
            return self
        column = Column.empty(installs)
        column.value[: len(self.value)] = self.value
        column.arrival[: len(self.arrival)] = self.arrival
        return column

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.value.nbytes + self.arrival.nbytes


class _ColumnCache:
    """Least recently used columns and open segments of this process, bounded in bytes."""

    def __init__(self) -> None:
        self._columns: OrderedDict[tuple[object, ...], Column] = OrderedDict()
        self._files: OrderedDict[Path, Columns] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[object, ...]) -> Column | None:
        with self._lock:
            column = self._columns.get(key)
            if column is not None:
                self._columns.move_to_end(key)
            return column

    def put(self, key: tuple[object, ...], column: Column) -> None:
        with self._lock:
            if key in self._columns:
                return
            self._columns[key] = column
            self._bytes += column.nbytes
            while self._bytes > CACHE_BYTES_MAX and len(self._columns) > 1:
                self._bytes -= self._columns.popitem(last=False)[1].nbytes

    def segment(self, path: Path) -> Columns:
        with self._lock:
            columns = self._files.get(path)
        if columns is None:
            columns = read_columns(path)[0]
            with self._lock:
                self._files[path] = columns
                while len(self._files) > 4096:
                    self._files.popitem(last=False)
        return columns


_CACHE = _ColumnCache()


class RegisterBook:
    """The columns that a list of segments adds up to."""

    def __init__(self, folder: Path, segments: Iterable[Segment]) -> None:
        """Index the segments by shard and stamp."""
        self._folder = folder
        self._names: dict[tuple[int, int], list[str]] = {}
        for segment in segments:
            for stamp, _ in segment.stamps:
                self._names.setdefault((segment.shard, stamp), []).append(segment.name)

    def column(self, shard: int, stamp: int, installs: int) -> Column:
        """Return the column of `shard` at `stamp` with at least `installs` places. Not to be written to."""
        names = tuple(self._names.get((shard, stamp), ()))
        if not names:
            return Column.empty(installs)
        key = (self._folder, shard, stamp, names)
        column = _CACHE.get(key)
        if column is None or len(column.value) < installs:
            column = Column.empty(installs)
            for name in names:
                segment = _CACHE.segment(self._folder / name)
                at = int(np.searchsorted(segment["stamps"], stamp))
                span = slice(int(segment["offsets"][at]), int(segment["offsets"][at + 1]))
                local = segment["local"][span]
                top = int(local[-1]) + 1 if len(local) else 0
                column = column.resized(top)
                spread(local, segment["value"][span], segment["arrival"][span], column.value, column.arrival)
            _CACHE.put(key, column)
        return column

    def remember(self, shard: int, stamp: int, name: str, column: Column) -> None:
        """Cache the column as it will be once segment `name` is part of the book."""
        names = (*self._names.get((shard, stamp), ()), name)
        _CACHE.put((self._folder, shard, stamp, names), column)


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Registers that the master gives at installation or removal, of one shard, ascending by stamp."""

    stamp: NDArray[np.int64]
    local: NDArray[np.uint32]
    value: NDArray[np.int64]

    def contradicted(
        self, stamp: int, rows: NDArray[np.uint32], local: NDArray[np.uint32], value: NDArray[np.uint32], installs: int
    ) -> NDArray[np.bool_] | None:
        """Say which of `rows` differ from the master's register at `stamp`; None where it gives none."""
        first, last = np.searchsorted(self.stamp, [stamp, stamp + 1])
        if first == last:
            return None
        given = np.full(installs, -1, np.int64)
        given[self.local[first:last]] = self.value[first:last]
        wanted = given[local[rows]]
        contradicted: NDArray[np.bool_] = (wanted >= 0) & (wanted != value[rows])
        return contradicted


@dataclass(frozen=True, slots=True)
class Scattered:
    """What one shard's reads came to: a verdict each, those displaced, the stamps with their latest arrival."""

    verdict: NDArray[np.uint8]
    displaced: Columns
    stamps: tuple[tuple[int, int], ...]
    rows: int


def scatter(
    book: RegisterBook,
    shard: int,
    installs: int,
    reads: Columns,
    boundaries: Boundaries,
    target: Path,
) -> Scattered:
    """Let `reads` (columns local, stamp, value, arrival) into the book: write the segment `target` of what they change.

    A read that differs from the master's register at installation or removal is a conflict and never elected. A read of
    the same value as the elected one is a duplicate, of another value a conflict; so is an elected read of an
    earlier intake that an earlier arrival displaces now. The verdicts depend on the set of reads, not on their order.
    """
    local, stamp, value, arrival = reads["local"], reads["stamp"], reads["value"], reads["arrival"]
    verdict = np.empty(len(local), np.uint8)
    first = int(stamp.min())
    counts = np.zeros(int(stamp.max()) - first + 1, np.int64)
    count_stamps(stamp, first, counts)
    ends = np.cumsum(counts)
    order = np.empty(len(stamp), np.uint32)
    sort_by_stamp(stamp, first, ends - counts, order)
    taken: list[tuple[int, int, Columns]] = []
    for at in np.flatnonzero(counts).tolist():
        rows = order[int(ends[at] - counts[at]) : int(ends[at])]
        contradicted = boundaries.contradicted(first + at, rows, local, value, installs)
        if contradicted is not None:  # the master's register stands; a read that differs is no candidate
            verdict[rows[contradicted]] = CONFLICT
            rows = rows[~contradicted]
        base = book.column(shard, first + at, installs).resized(installs)
        best = Column(base.value.copy(), base.arrival.copy())
        elect(rows, local, value, arrival, best.value, best.arrival)
        seen = np.zeros(len(best.value), np.uint8)
        classify(rows, local, value, best.value, base.value, base.arrival, seen, verdict)
        changes = _changes(base, best)
        if len(changes["local"]):
            taken.append((first + at, int(changes["arrival"].max()), changes))
            book.remember(shard, first + at, target.name, best)
    return Scattered(
        verdict, _displaced(taken), _write_segment(target, taken), sum(len(c["local"]) for _, _, c in taken)
    )


def _changes(base: Column, best: Column) -> Columns:
    count = count_changes(best.value, best.arrival, base.value, base.arrival)
    changes: Columns = {
        "local": np.empty(count, np.uint32),
        "value": np.empty(count, np.uint32),
        "arrival": np.empty(count, np.int64),
    }
    displaced = np.zeros(count, np.uint8)
    take_changes(
        best.value,
        best.arrival,
        base.value,
        base.arrival,
        changes["local"],
        changes["value"],
        changes["arrival"],
        displaced,
    )
    where = changes["local"][displaced == 1]
    changes["displaced_local"] = where
    changes["displaced_value"] = base.value[where]
    changes["displaced_arrival"] = base.arrival[where]
    return changes


def _displaced(taken: Sequence[tuple[int, int, Columns]]) -> Columns:
    parts = [(stamp, changes) for stamp, _, changes in taken if len(changes["displaced_local"])]
    return {
        "stamp": np.repeat(
            np.array([stamp for stamp, _ in parts], np.int32), [len(c["displaced_local"]) for _, c in parts]
        ),
        "local": _joined([c["displaced_local"] for _, c in parts], np.uint32),
        "value": _joined([c["displaced_value"] for _, c in parts], np.uint32),
        "arrival": _joined([c["displaced_arrival"] for _, c in parts], np.int64),
    }


def _joined(parts: list[NDArray[np.generic]], dtype: type[np.generic]) -> NDArray[np.generic]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def _write_segment(target: Path, taken: Sequence[tuple[int, int, Columns]]) -> tuple[tuple[int, int], ...]:
    if taken:
        sizes = [len(changes["local"]) for _, _, changes in taken]
        write_columns(
            target,
            {
                "stamps": np.array([stamp for stamp, _, _ in taken], np.int32),
                "offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
                "local": np.concatenate([changes["local"] for _, _, changes in taken]),
                "value": np.concatenate([changes["value"] for _, _, changes in taken]),
                "arrival": np.concatenate([changes["arrival"] for _, _, changes in taken]),
            },
        )
    return tuple((stamp, latest) for stamp, latest, _ in taken)
