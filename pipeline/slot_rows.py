# SPDX-License-Identifier: Apache-2.0
"""The rows of a slot: who is sent what at which instant, and in which file.

Nearly every cell has a plain story, and its row follows from the cell alone. Each shard brings such rows ready, by
retailer and instant, a word each; they are never gathered before the file that holds them is written. The rows of the
other cells depend on when the slot closes for a retailer and are decided here, for all shards together.

Files ascend by point id. Points of one import do, those of later ones stand behind them. So the points of the longest
run in order stay where they are, and all other rows, decided ones and those of points that came later, are told
their places among them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import Timeline
from pipeline.columns import Columns
from pipeline.issuance_kernels import CLOSING, LOOK_UP, Rows, count_expected, issue_rows
from pipeline.master import MasterView
from pipeline.merged_rows import READY, Apart, Merged, Pieces, ascending, gathered, unpacked
from pipeline.packed import Packed, spilled
from pipeline.plain_kernels import READY_STEPS
from pipeline.ready_kernels import POSITION_AT, longest_run

FILES_PER_ELEMENT = 64

Facts = tuple[int, int, int, int, int]
"""Retailer, slot, revision, split, instant of a file."""


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    starts: NDArray[np.int64] = (np.cumsum(counts.ravel()) - counts.ravel()).reshape(counts.shape)
    return starts


@lru_cache(maxsize=4)
def _run(view: MasterView) -> tuple[int, int]:
    """Return the longest run of points in the order of their ids; views are opened once a process."""
    first, last = longest_run(view.rank)
    return int(first), int(last)


@dataclass(slots=True)
class _Shard:
    packed: Packed
    ready: NDArray[np.int64]  # (retailers, instants of revision 00): how many rows are ready
    ready_at: NDArray[np.int64]
    words: NDArray[np.uint64]
    reference: NDArray[np.uint32]
    events: Timeline
    decided: NDArray[np.int64]  # (retailers, instants): how many rows were decided here
    decided_at: NDArray[np.int64]
    decided_rows: Columns

    @classmethod
    def of(cls, packed: Packed, columns: Columns, retailers: int, steps: int) -> "_Shard":
        ready = columns["ready_counts"].astype(np.int64).reshape(retailers, READY_STEPS)
        events = Timeline._make(columns[name] for name in Timeline._fields)
        nothing = np.zeros((retailers, steps), np.int64)
        words, reference = (columns[name] for name in READY)
        return cls(packed, ready, _starts(ready), words, reference, events, nothing, nothing, {})

    def decide(self, steps: int, close: NDArray[np.int8]) -> None:
        """Decide the rows of the cells whose story is not plain."""
        counts = np.zeros_like(self.decided)
        nothing = Rows(np.empty(0, np.uint32), np.empty(0, np.uint8), np.empty(0, np.int64))
        issue_rows(self.events, steps, close, False, counts, nothing)  # noqa: FBT003  a kernel takes no keywords
        total = int(counts.sum())
        rows = Rows(np.empty(total, np.uint32), np.empty(total, np.uint8), np.empty(total, np.int64))
        self.decided, self.decided_at = counts, _starts(counts)
        issue_rows(self.events, steps, close, True, self.decided_at.copy(), rows)  # noqa: FBT003
        self.decided_rows = rows._asdict() | {"reference": np.full(total, LOOK_UP, np.uint32)}

    def ready_rows(self, first: int, last: int) -> Columns:
        """Return some of the rows that were ready."""
        return unpacked(self.words[first:last], self.reference[first:last])

    def rows_decided(self, retailer: int, step: int) -> Columns:
        """Return the decided rows of one retailer and instant."""
        first = int(self.decided_at[retailer, step])
        last = first + int(self.decided[retailer, step])
        return {name: column[first:last] for name, column in self.decided_rows.items()}


class SlotRows:
    """The rows of one slot over all shards."""

    def __init__(self, view: MasterView, parts: Sequence[Packed], opened: Sequence[Columns]) -> None:
        """Take what the shards bring, in their order, and count who expects how much."""
        self._view = view
        self._run = _run(view)
        self._steps = len(parts[0].meta[1])
        retailers = len(view.retailers)
        self._shards = [
            _Shard.of(part, columns, retailers, self._steps) for part, columns in zip(parts, opened, strict=True)
        ]
        self.expected = np.zeros((retailers, CLOSING + 1), np.int64)
        self.unissued = np.zeros((retailers, CLOSING + 1), np.int64)
        self.counts = np.zeros((retailers, self._steps), np.int64)
        self._ready = np.stack([shard.ready for shard in self._shards])
        self._ready_at = np.stack([shard.ready_at for shard in self._shards])
        numbers = np.array([part.meta[0] for part in parts])
        points = view.shard_points[numbers], view.shard_points[numbers + 1]
        in_run = (points[0] >= self._run[0]) & (points[1] <= self._run[1])
        self._stays = in_run & np.array([bool(part.path) for part in parts])
        ready = self._ready.sum(axis=0)
        for shard in self._shards:
            count_expected(shard.events, self._steps, self.expected, self.unissued)
        known = min(self._steps, CLOSING + 1)
        for k in range(known):
            self.expected[:, k] += ready.sum(axis=1)
            self.unissued[:, k] += ready[:, k + 1 :].sum(axis=1)
        self.counts[:, :known] = ready[:, :known]

    def decide(self, close: NDArray[np.int8]) -> None:
        """Decide what is not ready; `close[retailer]` is the instant at which the slot closes for it."""
        for shard in self._shards:
            shard.decide(self._steps, close)
            self.counts += shard.decided
        self._decided = np.stack([shard.decided for shard in self._shards])

    def elements(self, files: Sequence[tuple[Facts, int, int, int]], spill: Path, rows_max: int) -> Iterator[Packed]:
        """Yield elements of some files each, to be read by `file_rows`.

        Args:
            files: facts, instant's number, first and last row within the retailer's rows of the instant; those of one
                retailer and instant stand together.
            spill: where rows may stand that no shard brought as they are needed.
            rows_max: how many rows fill an element.
        """
        own = Apart()
        key, rows = (-1, -1), Merged(np.empty((0, 4), np.int64), 0, np.empty(0, np.int64))
        described: list[tuple[Facts, Pieces]] = []
        for facts, step, first, last in files:
            if key != (facts[0], step):
                key = facts[0], step
                rows = self._merged(*key, own)
            described.append((facts, rows.cut(first, last)))
        (mine,) = spilled([Packed((), own.columns())], spill)
        paths = "\n".join(shard.packed.path for shard in self._shards)  # one text: a tuple of each would be unpickled
        places = np.array([_places(shard.packed) for shard in self._shards], np.int64)
        for group in _grouped(described, rows_max):
            meta = (tuple((facts, len(pieces)) for facts, pieces in group), paths, mine.path, mine.layout)
            pieces = np.concatenate([each for _, each in group])
            yield Packed(meta, {"pieces": pieces.ravel(), "places": places.ravel(), **mine.columns})

    def _merged(self, retailer: int, step: int, own: Apart) -> Merged:
        """Say where the rows of one retailer and instant stand, ascending by point id."""
        begin, end = np.zeros((2, len(self._shards)), np.int64)
        if step < READY_STEPS:
            begin = self._ready_at[:, retailer, step].copy()
            end = begin + self._ready[:, retailer, step]
        apart: list[Columns] = []
        for number in np.flatnonzero((end > begin) & ~self._stays).tolist():
            shard, first, last = self._shards[number], int(begin[number]), int(end[number])
            low, high = self._staying(shard, first, last)
            apart += [shard.ready_rows(*each) for each in ((first, low), (high, last)) if each[0] < each[1]]
            begin[number], end[number] = low, high
        decided = np.flatnonzero(self._decided[:, retailer, step]).tolist()
        apart += [self._shards[number].rows_decided(retailer, step) for number in decided]
        runs: Pieces = np.stack([np.arange(len(begin)), begin, end, np.zeros_like(begin)], axis=1)[end > begin]
        if not apart:
            return Merged(runs, 0, np.empty(0, np.int64))
        rows = ascending(apart, self._view.rank)
        places = self._places(runs, rows["position"])
        return Merged(runs, own.add(rows, places), places)

    def _staying(self, shard: _Shard, first: int, last: int) -> tuple[int, int]:
        """Return which of some ready rows belong to points of the run and stand in a file."""
        if not shard.packed.path:
            return last, last
        bounds = np.array(self._run, np.uint64) << POSITION_AT
        low, high = first + np.searchsorted(shard.words[first:last], bounds)
        return int(low), int(high)

    def _places(self, runs: Pieces, position: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the places of rows, which ascend by point id, among themselves and the rows of `runs`."""
        first, last = self._run
        point = position.astype(np.int64)
        strange = (point < first) | (point >= last)
        rank = self._view.rank
        point[strange] = first + np.searchsorted(rank[first:last], rank[position[strange]])
        words = [self._shards[number].words[begin:end] for number, begin, end, _ in runs.tolist()]
        starts = np.array([int(each[0] >> POSITION_AT) for each in words], np.int64)
        before = np.cumsum([0, *map(len, words)])
        run_of = np.searchsorted(starts, point, "right") - 1
        places = np.zeros(len(point), np.int64)
        for run in np.unique(run_of[run_of >= 0]).tolist():
            mine = run_of == run
            bounds = point[mine].astype(np.uint64) << POSITION_AT
            places[mine] = before[run] + np.searchsorted(words[run], bounds)
        return places + np.arange(len(places))


def _grouped(files: Sequence[tuple[Facts, Pieces]], rows_max: int) -> Iterator[list[tuple[Facts, Pieces]]]:
    """Put small files together: an element costs the runner as much as writing hundreds of rows."""
    group: list[tuple[Facts, Pieces]] = []
    rows = 0
    for file in files:
        group.append(file)
        rows += int((file[1][:, 2] - file[1][:, 1]).sum())
        if rows >= rows_max or len(group) >= FILES_PER_ELEMENT:
            yield group
            group, rows = [], 0
    if group:
        yield group


def file_rows(element: Packed, opened: dict[str, Columns]) -> Iterator[tuple[Facts, Columns]]:
    """Yield the files of an element of `SlotRows.elements` with their rows.

    What stands in files is mapped once and kept in `opened` by path, for the next element.
    """
    files, paths, own_path, own_layout = element.meta
    sources = paths.split("\n")
    if not all(path in opened for path in (*sources, own_path)):
        for path, places in zip(sources, element.columns["places"].reshape(-1, 2 * len(READY)).tolist(), strict=True):
            layout = zip(READY, READY.values(), places[1::2], places[::2], strict=True)
            opened[path] = Packed((), path=path, layout=tuple(layout)).opened()
        opened[own_path] = Packed((), path=own_path, layout=own_layout).opened()
    ready = [opened[path] for path in sources]
    own = opened[own_path] if own_path else element.columns
    pieces = map(tuple, element.columns["pieces"].reshape(-1, 4).tolist())
    for facts, count in files:
        yield facts, gathered(list(islice(pieces, count)), ready, own)


def _places(packed: Packed) -> list[int]:
    """Return where the ready rows of a shard stand in its file, and how many there are, column by column."""
    found = {name: (place, count) for name, _, count, place in packed.layout}
    return [number for name in READY for number in found.get(name, (0, 0))]


def has_lookups(reference: NDArray[np.uint32]) -> bool:
    """Say whether the customer_refs of some rows are still to be found."""
    return bool((reference == LOOK_UP).any())
