# SPDX-License-Identifier: Apache-2.0
"""The register book: per shard and stamp, the register of every installation and when it arrived.

What an intake brings to a shard is one immutable segment file. A column is the election over the segments that hold its
stamp: per installation the earliest arrival, at equal times the smaller value. The election does not depend on order,
so neither does anything computed from it. Columns are cached in memory; the files are the truth.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns, read_columns, write_columns
from pipeline.journal import Segment
from pipeline.register_kernels import (
    ABSENT_MS,
    CONFLICT,
    classify,
    count_stamps,
    elect,
    measure_changes,
    sort_by_stamp,
    spread,
    take_changes,
)

CACHE_BYTES_MAX = 4 << 30
_WIDE_MS = 1 << 32
_ALL_ROWS = np.empty(0, np.uint32)
_Rows = tuple[int, NDArray[np.uint32]]
"""Number of a part, and which of its rows; `_ALL_ROWS`, which is empty, stands for every one."""


@dataclass(frozen=True, slots=True)
class Column:
    """The registers of one shard at one stamp, by local installation index; arrival `ABSENT_MS` = none."""

    value: NDArray[np.uint32]
    arrival: NDArray[np.int64]

    @classmethod
    def empty(cls, installs: int) -> "Column":
        """Return a column without any read."""
        return cls(np.zeros(installs, np.uint32), np.full(installs, ABSENT_MS, np.int64))

    def copy(self) -> "Column":
        """Return a column to write to."""
        return Column(self.value.copy(), self.arrival.copy())

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


@lru_cache(maxsize=4)
def _blank(installs: int) -> Column:
    """Return a column without any read, shared: not to be written to."""
    return Column.empty(installs)


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
            replaced = self._columns.pop(key, None)  # an intake that is tried again forms another column
            self._columns[key] = column
            self._bytes += column.nbytes - (0 if replaced is None else replaced.nbytes)
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
            return _blank(installs)
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
                first_ms = int(segment["first_ms"][at])
                spread(local, segment["value"][span], segment["later_ms"][span], first_ms, column.value, column.arrival)
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

    def given(self, stamp: int, installs: int) -> NDArray[np.int64] | None:
        """Return the register by local installation index, -1 where there is none; None where there is none at all."""
        first, last = np.searchsorted(self.stamp, [stamp, stamp + 1])
        if first == last:
            return None
        given = np.full(installs, -1, np.int64)
        given[self.local[first:last]] = self.value[first:last]
        return given


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads of one shard, in any order: columns of equal length.

    Attributes:
        local: installation.
        value: register.
        later_ms: arrival, counted from `first_ms`.
        first_ms: ms UTC.
        stamp: of each read, or the one of them all.
    """

    local: NDArray[np.uint32]
    value: NDArray[np.uint32]
    later_ms: NDArray[Any]
    first_ms: int
    stamp: NDArray[np.int32] | int

    def stamps(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the stamps of some reads."""
        stamp = np.full(len(rows), self.stamp) if isinstance(self.stamp, int) else self.stamp[rows]
        return stamp.astype(np.int64)

    def arrivals(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the arrivals of some reads."""
        return self.first_ms + self.later_ms[rows].astype(np.int64)


@dataclass(frozen=True, slots=True)
class Scattered:
    """What one shard's reads came to.

    Attributes:
        verdicts: one for each read, part by part.
        counts: (parts, 3) how many have which verdict.
        displaced: earlier intakes' reads (local, stamp, value, arrival) that lost against an earlier arrival.
        stamps: the stamps that changed, each with its latest arrival.
    """

    verdicts: tuple[NDArray[np.uint8], ...]
    counts: NDArray[np.int64]
    displaced: Columns
    stamps: tuple[tuple[int, int], ...]


class _Segment:
    """What an intake changes in a shard, stamp by stamp: locals ascend, arrivals count from the stamp's first."""

    def __init__(self, room: int) -> None:
        self._local = np.empty(room, np.uint32)
        self._value = np.empty(room, np.uint32)
        self._later: NDArray[Any] = np.empty(room, np.uint32)
        self._stamps: list[tuple[int, int, int, int]] = []  # stamp, first and latest arrival, end
        self._displaced: list[Columns] = []

    def add(self, stamp: int, base: Column, best: Column) -> bool:
        """Take what `best` changes of `base`; say whether that is anything."""
        count, first_ms, last_ms = measure_changes(best.value, best.arrival, base.value, base.arrival)
        if count == 0:
            return False
        start = self._stamps[-1][3] if self._stamps else 0
        span = slice(start, start + count)
        if last_ms - first_ms >= _WIDE_MS and self._later.dtype == np.uint32:
            self._later = self._later.astype(np.int64)
        displaced = np.zeros(count, np.uint8)
        local = self._local[span]
        take_changes(
            best.value,
            best.arrival,
            base.value,
            base.arrival,
            first_ms,
            local,
            self._value[span],
            self._later[span],
            displaced,
        )
        self._stamps.append((stamp, first_ms, last_ms, start + count))
        if displaced.any():
            where = local[displaced == 1]
            self._displaced.append(
                {
                    "stamp": np.full(len(where), stamp, np.int32),
                    "local": where,
                    "value": base.value[where],
                    "arrival": base.arrival[where],
                }
            )
        return True

    def displaced(self) -> Columns:
        """Return the reads that lost their place."""
        kinds = {"stamp": np.int32, "local": np.uint32, "value": np.uint32, "arrival": np.int64}
        return {
            name: np.concatenate([np.empty(0, kind), *(each[name] for each in self._displaced)])
            for name, kind in kinds.items()
        }

    def write(self, target: Path) -> tuple[tuple[int, int], ...]:
        """Write the segment, if there is anything in it; return the stamps with their latest arrival."""
        if self._stamps:
            stamps, first_ms, _, ends = (np.array(each, np.int64) for each in zip(*self._stamps, strict=True))
            write_columns(
                target,
                {
                    "stamps": stamps.astype(np.int32),
                    "offsets": np.concatenate([[0], ends]),
                    "first_ms": first_ms,
                    "local": self._local[: ends[-1]],
                    "value": self._value[: ends[-1]],
                    "later_ms": self._later[: ends[-1]],
                },
            )
        return tuple((stamp, last_ms) for stamp, _, last_ms, _ in self._stamps)


def scatter(
    book: RegisterBook, shard: int, installs: int, parts: Sequence[Reads], boundaries: Boundaries, target: Path
) -> Scattered:
    """Let reads into the book: write the segment `target` of what they change.

    A read that differs from the master's register at installation or removal is a conflict and never elected. A read of
    the same value as the elected one is a duplicate, of another value a conflict; so is an elected read of an
    earlier intake that an earlier arrival displaces now. The verdicts depend on the set of reads, not on their order.
    """
    verdicts = tuple(np.empty(len(part.local), np.uint8) for part in parts)
    counts = np.zeros((len(parts), 3), np.int64)
    by_stamp: defaultdict[int, list[_Rows]] = defaultdict(list)
    for number, part in enumerate(parts):
        for stamp, those in _by_stamp(part):
            by_stamp[stamp].append((number, those))
    segment = _Segment(sum(map(len, verdicts)))
    for stamp in sorted(by_stamp):
        given = boundaries.given(stamp, installs)
        candidates = by_stamp[stamp]
        if given is not None:
            agreeing = (_agreeing(each, parts, verdicts, counts, given) for each in candidates)
            candidates = [each for each in agreeing if each is not None]
        base = book.column(shard, stamp, installs).resized(installs)
        best = base.copy()
        for number, rows in candidates:
            part = parts[number]
            elect(rows, part.local, part.value, part.later_ms, part.first_ms, best.value, best.arrival)
        seen = np.zeros(len(best.value), np.uint8)
        for number, rows in candidates:
            part, into = parts[number], (verdicts[number], counts[number])
            classify(rows, part.local, part.value, best.value, base.value, base.arrival, seen, *into)
        if segment.add(stamp, base, best):
            book.remember(shard, stamp, target.name, best)
    return Scattered(verdicts, counts, segment.displaced(), segment.write(target))


def _agreeing(
    candidate: _Rows,
    parts: Sequence[Reads],
    verdicts: Sequence[NDArray[np.uint8]],
    counts: NDArray[np.int64],
    given: NDArray[np.int64],
) -> _Rows | None:
    """Return the reads that agree with the master's registers; the others are conflicts: the master's stand."""
    number, some = candidate
    part = parts[number]
    rows = some if len(some) else np.arange(len(part.local), dtype=np.uint32)
    wanted = given[part.local[rows]]
    contradicted = (wanted >= 0) & (wanted != part.value[rows])
    verdicts[number][rows[contradicted]] = CONFLICT
    counts[number, CONFLICT] += int(np.count_nonzero(contradicted))
    return None if contradicted.all() else (number, rows[~contradicted])


def _by_stamp(reads: Reads) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Yield each stamp with its rows; no row numbers where all rows are of one stamp."""
    stamp = reads.stamp
    if isinstance(stamp, int):
        yield stamp, _ALL_ROWS
        return
    if len(stamp) == 0:
        return
    first = int(stamp.min())
    tally = np.zeros(int(stamp.max()) - first + 1, np.int64)
    count_stamps(stamp, first, tally)
    ends = np.cumsum(tally)
    order = np.empty(len(stamp), np.uint32)
    sort_by_stamp(stamp, first, ends - tally, order)
    for at in np.flatnonzero(tally).tolist():
        yield first + at, order[int(ends[at] - tally[at]) : int(ends[at])]
