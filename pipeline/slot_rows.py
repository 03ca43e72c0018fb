# SPDX-License-Identifier: Apache-2.0
"""The rows of a slot: who is sent what at which instant, and in which file.

Nearly every cell has a plain story, and its row follows from the cell alone. Each shard brings such rows ready, by
retailer and instant, a word each; they are never gathered before the file that holds them is written. The rows of the
other cells depend on when the slot closes for a retailer and are decided here, for all shards together.
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
from pipeline.issuance_kernels import CLOSING, LOOK_UP, Rows, ascends, count_expected, issue_rows
from pipeline.master import MasterView
from pipeline.packed import Packed, spilled
from pipeline.plain_kernels import READY_STEPS
from pipeline.ready_kernels import all_ascend, unpack_ready

FILES_PER_ELEMENT = 64
_KINDS = {"position": np.uint32, "quality": np.uint8, "energy": np.int64, "reference": np.uint32}
"""Columns of a row; `reference` is the supply row of its customer_ref."""
_READY = {"ready": "<u8", "ready_reference": "<u4"}
"""What of a shard's columns is read where files are written; the second may be empty."""
_OWN = -1

Facts = tuple[int, int, int, int, int]
"""Retailer, slot, revision, split, instant of a file."""
Piece = tuple[int, int, int]
"""Number of a source, and which of its rows."""
Pieces = NDArray[np.int64]
"""(n, 3) pieces."""


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    starts: NDArray[np.int64] = (np.cumsum(counts.ravel()) - counts.ravel()).reshape(counts.shape)
    return starts


def _unpacked(words: NDArray[np.uint64], reference: NDArray[np.uint32]) -> Columns:
    """Return the rows of words; their references are to be looked up where they were not brought."""
    count = len(words)
    position, quality, energy = np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.int64)
    unpack_ready(words, position, quality, energy)
    if len(reference) < count:
        reference = np.full(count, LOOK_UP, np.uint32)
    return {"position": position, "quality": quality, "energy": energy, "reference": reference}


@lru_cache(maxsize=4)
def _in_order(view: MasterView) -> bool:
    """Say whether points stand in the order of their ids; views are opened once a process."""
    return all_ascend(view.rank)


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
        words, reference = (columns[name] for name in _READY)
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

    def rows(self, retailer: int, step: int) -> list[Columns]:
        """Return the rows of one retailer and instant: those that were ready, those that were decided."""
        found: list[Columns] = []
        if step < READY_STEPS and self.ready[retailer, step]:
            first = int(self.ready_at[retailer, step])
            some = slice(first, first + int(self.ready[retailer, step]))
            found.append(_unpacked(self.words[some], self.reference[some]))
        if self.decided[retailer, step]:
            first = int(self.decided_at[retailer, step])
            last = first + int(self.decided[retailer, step])
            found.append({name: column[first:last] for name, column in self.decided_rows.items()})
        return found


class SlotRows:
    """The rows of one slot over all shards."""

    def __init__(self, view: MasterView, parts: Sequence[Packed], opened: Sequence[Columns]) -> None:
        """Take what the shards bring, in their order, and count who expects how much."""
        self._view = view
        self._in_order = _in_order(view)
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
        self._all_mapped = all(part.path for part in parts)
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

    def elements(self, files: Sequence[tuple[Facts, int, int, int]], spill: Path, rows_max: int) -> Iterator[Packed]:
        """Yield elements of some files each, to be read by `file_rows`.

        Args:
            files: facts, instant's number, first and last row within the retailer's rows of the instant; those of one
                retailer and instant stand together.
            spill: where rows may stand that no shard brought as they are needed.
            rows_max: how many rows fill an element.
        """
        own = _Own()
        key, pieces = (-1, -1), np.empty((0, 3), np.int64)
        described: list[tuple[Facts, Pieces]] = []
        for facts, step, first, last in files:
            if key != (facts[0], step):
                key = facts[0], step
                pieces = self._pieces(*key, own)
            described.append((facts, _within(pieces, first, last)))
        (mine,) = spilled([Packed((), own.columns())], spill)
        paths = "\n".join(shard.packed.path for shard in self._shards)  # one text: a tuple of each would be unpickled
        places = np.array([_places(shard.packed) for shard in self._shards], np.int64)
        for group in _grouped(described, rows_max):
            meta = (tuple((facts, len(pieces)) for facts, pieces in group), paths, mine.path, mine.layout)
            pieces = np.concatenate([each for _, each in group])
            yield Packed(meta, {"pieces": pieces.ravel(), "places": places.ravel(), **mine.columns})

    def _pieces(self, retailer: int, step: int, own: "_Own") -> Pieces:
        """Say where the rows of one retailer and instant stand, ascending by point id."""
        rank = self._view.rank
        if not self._in_order:
            return own.add([rows for shard in self._shards for rows in shard.rows(retailer, step)], rank)
        first, count = np.zeros((2, len(self._shards)), np.int64)
        if step < READY_STEPS:
            first, count = self._ready_at[:, retailer, step], self._ready[:, retailer, step]
        ready: Pieces = np.stack([np.arange(len(count)), first, first + count], axis=1)
        if self._all_mapped and count.sum() == self.counts[retailer, step]:
            return ready[count > 0]
        pieces = []
        for number, shard in enumerate(self._shards):
            if count[number] and not shard.decided[retailer, step] and shard.packed.path:
                pieces.append(ready[number : number + 1])
            elif rows := shard.rows(retailer, step):
                pieces.append(own.add(rows, rank))
        return np.concatenate(pieces)


class _Own:
    """Rows that no shard brought as they are needed."""

    def __init__(self) -> None:
        self._parts: list[Columns] = []
        self._rows = 0

    def add(self, parts: Sequence[Columns], rank: NDArray[np.uint32]) -> Pieces:
        """Take rows in, ascending by point id, and say where they stand."""
        rows = {name: np.concatenate([each[name] for each in parts]) for name in _KINDS}
        count = len(rows["position"])
        if not ascends(rank, rows["position"], 0, count):
            order = np.argsort(rank[rows["position"]], kind="stable")
            rows = {name: column[order] for name, column in rows.items()}
        self._parts.append(rows)
        self._rows += count
        return np.array([[_OWN, self._rows - count, self._rows]], np.int64)

    def columns(self) -> Columns:
        """Return them all."""
        return {
            name: np.concatenate([np.empty(0, kind), *(part[name] for part in self._parts)])
            for name, kind in _KINDS.items()
        }


def _within(pieces: Pieces, first: int, last: int) -> Pieces:
    """Cut the rows [first, last) out of pieces that stand one behind the other."""
    ends = np.cumsum(pieces[:, 2] - pieces[:, 1])
    low, high = np.searchsorted(ends, first, "right"), np.searchsorted(ends, last, "left")
    cut: Pieces = pieces[low : high + 1].copy()
    cut[-1, 2] -= ends[high] - last
    cut[0, 1] = pieces[low, 2] - (ends[low] - first)
    return cut


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
        for path, places in zip(sources, element.columns["places"].reshape(-1, 2 * len(_READY)).tolist(), strict=True):
            layout = zip(_READY, _READY.values(), places[1::2], places[::2], strict=True)
            opened[path] = Packed((), path=path, layout=tuple(layout)).opened()
        opened[own_path] = Packed((), path=own_path, layout=own_layout).opened()
    ready = [opened[path] for path in sources]
    own = opened[own_path] if own_path else element.columns
    pieces = map(tuple, element.columns["pieces"].reshape(-1, 3).tolist())
    for facts, count in files:
        yield facts, _gathered(list(islice(pieces, count)), ready, own)


def _places(packed: Packed) -> list[int]:
    """Return where the ready rows of a shard stand in its file, and how many there are, column by column."""
    found = {name: (place, count) for name, _, count, place in packed.layout}
    return [number for name in _READY for number in found.get(name, (0, 0))]


def _gathered(pieces: list[Piece], ready: list[Columns], own: Columns) -> Columns:
    """Return the rows of pieces, one behind the other."""
    if len(pieces) == 1 and pieces[0][0] == _OWN:
        _, first, last = pieces[0]
        return {name: own[name][first:last] for name in _KINDS}
    parts = [
        [
            np.zeros(last - first, _READY[name]) if source == _OWN else ready[source][name][first:last]
            for source, first, last in pieces
        ]
        for name in _READY
    ]
    words, reference = (each[0] if len(each) == 1 else np.concatenate(each) for each in parts)
    rows = _unpacked(words, reference)
    at = 0
    for source, first, last in pieces:
        if source == _OWN:
            for name in _KINDS:
                rows[name][at : at + last - first] = own[name][first:last]
        at += last - first
    return rows


def has_lookups(reference: NDArray[np.uint32]) -> bool:
    """Say whether the customer_refs of some rows are still to be found."""
    return bool((reference == LOOK_UP).any())
