# SPDX-License-Identifier: Apache-2.0
"""The register book: per shard and stamp, the register of every installation and when it arrived.

What an intake brings is immutable register files. A column is the election over the files that hold its stamp: per
installation the earliest arrival, at equal times the smaller value. The election does not depend on order, so neither
does anything computed from it. Columns are cached in memory; the files are the truth.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import REGISTER_BITS
from koma.slots import MS_PER_SLOT
from pipeline.register_files import Reads, RegisterFile
from pipeline.register_kernels import (
    ABSENT,
    ABSENT_MS,
    CONFLICT,
    LATEST_MS,
    classify,
    elect,
    latest_change,
    mark_displaced,
)
from pipeline.state import Segment, StampIndex

CACHE_BYTES_MAX = 4 << 30
EARLIEST_MS: Final = 3_600_000
"""No read arrives so long before its stamp: its time lies at most minutes ahead of its arrival."""
_FILES_MAX = 512
_NARROW_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """The registers of one shard at one stamp, a word for each local installation index (see `register_kernels`).

    Attributes:
        words: arrival above register, by local installation; `ABSENT` = none.
        base_ms: from which the words count arrivals, ms UTC.
    """

    words: NDArray[np.uint64]
    base_ms: int

    @classmethod
    def empty(cls, stamp: int, installs: int, step_ms: int = MS_PER_SLOT) -> "Column":
        """Return a column without any read; `step_ms` lie between two stamps."""
        return cls(np.full(installs, ABSENT, np.uint64), stamp * step_ms - EARLIEST_MS)

    @classmethod
    def formed(cls, stamp: int, parts: Sequence[Reads], installs: int = 0, step_ms: int = MS_PER_SLOT) -> "Column":
        """Return the column that reads of one shard and stamp elect, with at least `installs` places."""
        top = max((int(reads.local.max()) + 1 for reads in parts if len(reads)), default=0)
        column = cls.empty(stamp, max(installs, top), step_ms)
        for reads in parts:
            column.let_in(reads)
        return column

    def let_in(self, reads: Reads) -> tuple[int, int]:
        """Elect over further reads, in place.

        Returns how many found their cell empty, and their latest arrival, ms UTC; -`ABSENT_MS` where there are none.
        """
        if len(reads) == 0:
            return 0, -ABSENT_MS
        later_ms, since_ms = reads.later_ms, reads.first_ms - self.base_ms
        if since_ms < 0 or since_ms + _greatest(later_ms) > LATEST_MS:
            later_ms, since_ms = np.clip(later_ms.astype(np.int64) + since_ms, 0, LATEST_MS), 0
            fresh, _ = elect(reads.local, reads.value, later_ms, since_ms, self.words)
            return fresh, reads.first_ms + int(reads.later_ms.max())
        fresh, latest_ms = elect(reads.local, reads.value, later_ms, since_ms, self.words)
        return fresh, reads.first_ms + latest_ms

    def values(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return the registers of some installations that have one."""
        return (self.words[rows] & np.uint64((1 << REGISTER_BITS) - 1)).astype(np.uint32)

    def arrivals(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when the registers of some installations arrived, ms UTC."""
        return self.base_ms + (self.words[rows] >> np.uint64(REGISTER_BITS)).astype(np.int64)

    def present(self) -> NDArray[np.int64]:
        """Return the installations that have a register, ascending."""
        return np.flatnonzero(self.words != ABSENT)

    def known_at(self, instant_ms: int) -> int:
        """Count the registers that had arrived by an instant, ms UTC."""
        past_ms = min(max(instant_ms - self.base_ms + 1, 0), LATEST_MS + 1)
        return int(np.count_nonzero(self.words < np.uint64(past_ms << REGISTER_BITS)))

    def copy(self) -> "Column":
        """Return a column to write to."""
        return Column(self.words.copy(), self.base_ms)

    def resized(self, installs: int) -> "Column":
        """Return the column with room for installations that came later."""
        if len(self.words) >= installs:
            return self
        words = np.full(installs, ABSENT, np.uint64)
        words[: len(self.words)] = self.words
        return Column(words, self.base_ms)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.words.nbytes


def _greatest(later_ms: NDArray[Any]) -> int:
    """Return a bound of some offsets: that of their type, where it is narrow."""
    return int(later_ms.max()) if later_ms.dtype.itemsize > _NARROW_BYTES else int(np.iinfo(later_ms.dtype).max)


@lru_cache(maxsize=4)
def _blank(installs: int) -> NDArray[np.uint64]:
    """Return words without any read, shared: not to be written to."""
    return Column.empty(0, installs).words


_Key = tuple[Path, int, int, tuple[str, ...]]  # folder of registers, shard, stamp, files


class _Cache:
    """Least recently used columns and open files of this process, bounded."""

    def __init__(self) -> None:
        self._columns: OrderedDict[_Key, Column] = OrderedDict()
        self._files: OrderedDict[Path, RegisterFile] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: _Key) -> Column | None:
        with self._lock:
            column = self._columns.get(key)
            if column is not None:
                self._columns.move_to_end(key)
            return column

    def put(self, key: _Key, column: Column, instead_of: _Key | None = None) -> None:
        with self._lock:
            for gone in (key, instead_of):  # an intake that is tried again forms another column
                replaced = None if gone is None else self._columns.pop(gone, None)
                self._bytes -= 0 if replaced is None else replaced.nbytes
            self._columns[key] = column
            self._bytes += column.nbytes
            while self._bytes > CACHE_BYTES_MAX and len(self._columns) > 1:
                self._bytes -= self._columns.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        with self._lock:
            self._columns.clear()
            self._files.clear()
            self._bytes = 0

    def file(self, path: Path) -> RegisterFile:
        with self._lock:
            file = self._files.get(path)
        if file is None:
            file = RegisterFile.open(path)
            with self._lock:
                self._files[path] = file
                while len(self._files) > _FILES_MAX:
                    self._files.popitem(last=False)
        return file

    def close(self, paths: Iterable[Path]) -> None:
        gone = {(path.parent, path.name) for path in paths}
        with self._lock:
            for folder, name in gone:
                self._files.pop(folder / name, None)
            self._drop(lambda key: any((key[0], name) in gone for name in key[3]))

    def drop_before(self, stamp: int) -> None:
        with self._lock:
            self._files.clear()
            self._drop(lambda key: key[2] < stamp)

    def _drop(self, chosen: Callable[[_Key], bool]) -> None:
        for key in [key for key in self._columns if chosen(key)]:
            self._bytes -= self._columns.pop(key).nbytes


_CACHE = _Cache()


def forget() -> None:
    """Drop what this process keeps in memory: another home stands where one stood before."""
    _CACHE.clear()


def close_files(paths: Iterable[Path]) -> None:
    """Let go of files that are gone, and of columns known by them: while one is mapped, the disk keeps it."""
    _CACHE.close(paths)


def drop_before(stamp: int) -> None:
    """Let go of the columns of earlier stamps, which nobody asks for any more but the odd late read, and of files.

    Without that a home whose days are small would keep months of them before the cache is full.
    """
    _CACHE.drop_before(stamp)


class RegisterBook:
    """The columns that a list of segments adds up to."""

    def __init__(
        self,
        folder: Path,
        segments: Iterable[Segment],
        index: StampIndex | None = None,
        step_ms: int = MS_PER_SLOT,
    ) -> None:
        """Index the segments by stamp, beside those that `index` knows; `step_ms` lie between two stamps."""
        self._folder = folder
        self.step_ms = step_ms
        self.index = StampIndex() if index is None else index
        self.index.add(segments)

    def names(self, shard: int, stamp: int) -> tuple[str, ...]:
        """Return the files that hold reads of `shard` at `stamp`."""
        return tuple(name for name in self.index.names.get(stamp, ()) if _any(self._file(name).sections(stamp, shard)))

    def column(self, shard: int, stamp: int, installs: int) -> Column:
        """Return the column of `shard` at `stamp` with at least `installs` places. Not to be written to."""
        names = self.names(shard, stamp)
        if not names:
            return Column(_blank(installs), Column.empty(stamp, 0, self.step_ms).base_ms)
        key = (self._folder, shard, stamp, names)
        column = _CACHE.get(key)
        if column is None or len(column.words) < installs:
            parts = [
                reads for name in names for reads in self._file(name).reads(*self._file(name).sections(stamp, shard))
            ]
            column = Column.formed(stamp, parts, installs, self.step_ms)
            if self.step_ms == MS_PER_SLOT:  # minutes are many, and asked for once an intake
                _CACHE.put(key, column)
        return column

    def remember(self, shard: int, stamp: int, names: Iterable[str], column: Column) -> None:
        """Cache the column as it will be once the files `names` are part of the book, in this order.

        The column as it is now leaves the cache: a watch would keep one for every turn that brought the stamp reads.
        """
        if self.step_ms != MS_PER_SLOT:
            return
        before = self.names(shard, stamp)
        place = self._folder, shard, stamp
        _CACHE.put((*place, (*before, *names)), column, instead_of=(*place, before))

    def _file(self, name: str) -> RegisterFile:
        return _CACHE.file(self._folder / name)


def _any(span: tuple[int, int]) -> bool:
    return span[0] < span[1]


@dataclass(frozen=True, slots=True)
class Lost:
    """Reads that lost against another value of the same installation and stamp; columns of equal length.

    Attributes:
        local: installation.
        value: register.
        arrival: ms UTC.
        counted: 1 where the read counts in the intake's sums: not for one of an earlier intake that is displaced now.
    """

    local: NDArray[np.uint32]
    value: NDArray[np.uint32]
    arrival: NDArray[np.int64]
    counted: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Elected:
    """What the reads of one shard and stamp came to.

    Attributes:
        column: the column they lead to.
        counts: how many of those counted were accepted, duplicates, in conflict.
        latest_ms: latest arrival of those that are not in conflict, -`ABSENT_MS` for none.
        changed_ms: latest arrival in the cells that changed, -`ABSENT_MS` for none.
        lost: reads in conflict.
    """

    column: Column
    counts: NDArray[np.int64]
    latest_ms: int
    changed_ms: int
    lost: tuple[Lost, ...]


def let_in(base: Column, parts: Sequence[Reads]) -> Elected:
    """Elect over a column and new reads of its shard and stamp.

    A read of the same value as the elected one is a duplicate, of another value a conflict; so is an elected read of an
    earlier intake that an earlier arrival displaces now. The verdicts depend on the set of reads, not on their order.
    """
    best = base.copy()
    fresh, latest = 0, -ABSENT_MS
    for part in parts:
        mine, last = best.let_in(part)
        fresh, latest = fresh + mine, max(latest, last)
    if fresh == sum(map(len, parts)):  # as nearly always: every read is the first of its cell
        counts = np.array([sum(len(part) for part in parts if part.counted), 0, 0])
        return Elected(best, counts, latest, latest, ())
    return _classified(base, best, parts)


def _classified(base: Column, best: Column, parts: Sequence[Reads]) -> Elected:
    counts = np.zeros(3, np.int64)
    seen = np.zeros(len(best.words), np.uint8)
    lost: list[Lost] = []
    latest_ms = -ABSENT_MS
    for part in parts:
        verdict = np.empty(len(part), np.uint8)
        classify(part.local, part.value, best.words, base.words, seen, verdict)
        if part.counted:
            counts += np.bincount(verdict, minlength=3)
        bad = np.flatnonzero(verdict == CONFLICT)
        good = np.flatnonzero(verdict != CONFLICT) if len(bad) else slice(None)
        if len(bad) < len(part):
            latest_ms = max(latest_ms, part.first_ms + int(part.later_ms[good].max()))
        if len(bad):
            counted = np.full(len(bad), int(part.counted))
            lost.append(Lost(part.local[bad], part.value[bad], part.arrivals(bad), counted))
    displaced = np.empty(len(best.words), np.uint8)
    if mark_displaced(best.words, base.words, displaced):
        where = np.flatnonzero(displaced)
        lost.append(
            Lost(where.astype(np.uint32), base.values(where), base.arrivals(where), np.zeros(len(where), np.int64))
        )
    changed = latest_change(best.words, base.words)
    return Elected(best, counts, latest_ms, -ABSENT_MS if changed < 0 else best.base_ms + changed, tuple(lost))
