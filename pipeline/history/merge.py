# SPDX-License-Identifier: Apache-2.0
"""Reading several parts as one: block by block of points, all states of a point together and in order."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from pipeline.history.files import Files
from pipeline.history.parts import PartFile, bounds_of
from pipeline.history.rows import BOUND_TYPE, ID_TYPE, Rows, joined, merged

Pick = Callable[[Rows], Rows]
"""Takes of the rows of a group those that are wanted."""
ALL = ("", "~")
"""Every point id lies between these."""
BLOCK_ROWS_MIN = 200_000
"""Blocks of fewer rows are put together with the next: what a block costs beside its rows then hardly shows."""


def everything(rows: Rows) -> Rows:
    """Pick all rows."""
    return rows


_FEW: Final = 2
"""Where more parts are read at once, both cores have work without reading ahead."""
_AHEAD: Final = 3
"""Groups that are read while one is worked on."""


@dataclass(slots=True)
class _Stream:
    """The groups of a part, one after the other, and what of the last one is not yet handed out."""

    groups: Iterator[Rows]
    kept: Rows = field(default_factory=Rows.empty)
    upto: bytes = b""
    open: bool = True

    def fill(self) -> None:
        """Read on until there are rows, or none are left."""
        while self.open and not len(self.kept):
            following = next(self.groups, None)
            if following is None:
                self.open = False
            else:
                self.kept = following

    def last_id(self) -> bytes:
        """Return the last point of what was read; only of an open stream that is filled."""
        return bytes(self.kept.ids[self.kept.rank[-1]])

    def until(self, cut: bytes) -> Rows:
        """Hand out the rows of points up to `cut`."""
        if not len(self.kept):
            return self.kept
        points = int(np.searchsorted(self.kept.ids, np.array(cut, ID_TYPE), side="right"))
        end = int(np.searchsorted(self.kept.rank, points))
        given, self.kept = self.kept.between(0, end), self.kept.between(end, len(self.kept))
        return given


def _groups(files: Files, part: str, pick: Pick, ids: tuple[str, str]) -> Iterator[Rows]:
    for file, _, group in _places(files, part, ids):
        yield pick(_within(file.rows(group), ids))


class _Opened(threading.local):
    """The file of a part that a thread reads: an open file serves one thread at a time."""

    number = -1
    file: PartFile


def _groups_ahead(files: Files, part: str, pick: Pick, ids: tuple[str, str]) -> Iterator[Rows]:
    """Yield what `_groups` does, and read the next ones meanwhile."""
    opened, bounds = _Opened(), bounds_of(files, part)

    def read(number: int, group: int) -> Rows:
        if opened.number != number:
            opened.number, opened.file = number, PartFile.open(files, part, number, bounds)
        return pick(_within(opened.file.rows(group), ids))

    with ThreadPoolExecutor(max_workers=2) as pool:
        coming: deque[Future[Rows]] = deque()
        for _, number, group in _places(files, part, ids):
            coming.append(pool.submit(read, number, group))
            if len(coming) > _AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _places(files: Files, part: str, ids: tuple[str, str]) -> Iterator[tuple[PartFile, int, int]]:
    """Yield the groups in which points of a range may stand: the open file, its number, the group."""
    bounds = bounds_of(files, part)
    for number in bounds.between(*ids):
        file = PartFile.open(files, part, number, bounds)
        for group in range(file.groups):
            least, greatest = file.bounds(group)
            if greatest >= ids[0] and least < ids[1]:
                yield file, number, group


def _within(rows: Rows, ids: tuple[str, str]) -> Rows:
    """Take the rows of points from the first id to before the second."""
    points = np.searchsorted(rows.ids, np.array(ids, BOUND_TYPE))
    if points[0] == 0 and points[1] == len(rows.ids):
        return rows
    first, end = np.searchsorted(rows.rank, points)
    return rows.between(int(first), int(end))


def blocks(files: Files, parts: Iterable[str], pick: Pick = everything, ids: tuple[str, str] = ALL) -> Iterator[Rows]:
    """Yield the rows of parts in order, each block with all of its points; a state in several parts once.

    Args:
        files: of the store.
        parts: names.
        pick: which rows are wanted.
        ids: the first point id and the one before which to end.

    """
    names = list(parts)
    groups = _groups_ahead if len(names) <= _FEW else _groups
    streams = [_Stream(groups(files, part, pick, ids)) for part in names]
    waiting: list[Rows] = []
    while True:
        for each in streams:
            each.fill()
        streams = [each for each in streams if each.open]
        if not streams:
            break
        # No stream has a further row of a point up to the least of the last ones: groups hold whole points.
        cut = min(each.last_id() for each in streams)
        waiting.append(merged([each.until(cut) for each in streams]))
        if sum(map(len, waiting)) >= BLOCK_ROWS_MIN:
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)
