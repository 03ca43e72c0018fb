# SPDX-License-Identifier: Apache-2.0
"""The rows of a slot: who is sent what at which instant, and in which file.

Nearly every cell has a plain story, and its row follows from the cell alone. Each shard brings such rows ready, by
retailer and instant; they are never gathered before the file that holds them is written. The rows of the other cells
depend on when the slot closes for a retailer and are decided here, for all shards together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import Timeline
from pipeline.columns import Columns
from pipeline.issuance_kernels import CLOSING, Rows, ascends, count_expected, issue_rows
from pipeline.master import MasterView
from pipeline.packed import Layout, Packed, spilled
from pipeline.ready_kernels import LOOK_UP, all_ascend, mark_ready, take_ready

FILES_PER_ELEMENT = 64
_KINDS = {"position": np.uint32, "quality": np.uint8, "energy": np.int64, "reference": np.uint32}
"""Columns of a row; `reference` is the supply row of its customer_ref."""
_READY = tuple(f"ready_{name}" for name in _KINDS)
_OWN = -1

Facts = tuple[int, int, int, int, int]
"""Retailer, slot, revision, split, instant of a file."""
Piece = tuple[int, int, int]
"""Number of a source, and which of its rows."""
Files = tuple[tuple[Facts, tuple[Piece, ...]], ...]
Sources = tuple[tuple[str, Layout], ...]


def shard_rows(events: Timeline, view: MasterView) -> Columns:
    """Return what one shard brings to a slot: ready rows with their counts, and the events of all other cells."""
    counts = np.zeros((len(view.retailers), CLOSING + 1), np.int64)
    mark = np.empty(len(events.position), np.int8)
    left = mark_ready(events, view.supply_of, mark, counts)
    ready: Columns = {name: np.empty(int(counts.sum()), kind) for name, kind in _KINDS.items()}
    rest = Timeline._make(np.empty(left, column.dtype) for column in events)
    take_ready(
        events,
        mark,
        view.supply_of,
        view.supply_ref_off,
        _starts(counts),
        ready["position"],
        ready["quality"],
        ready["energy"],
        ready["reference"],
        rest,
    )
    return {
        "ready_counts": counts.astype(np.uint32).ravel(),
        **dict(zip(_READY, ready.values(), strict=True)),
        **rest._asdict(),
    }


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    starts: NDArray[np.int64] = (np.cumsum(counts.ravel()) - counts.ravel()).reshape(counts.shape)
    return starts


@lru_cache(maxsize=4)
def _in_order(view: MasterView) -> bool:
    """Say whether points stand in the order of their ids; views are opened once a process."""
    return all_ascend(view.rank)


@dataclass(slots=True)
class _Shard:
    packed: Packed
    ready: NDArray[np.int64]  # (retailers, instants of revision 00): how many rows are ready
    ready_at: NDArray[np.int64]
    ready_rows: Columns
    events: Timeline
    decided: NDArray[np.int64]  # (retailers, instants): how many rows were decided here
    decided_at: NDArray[np.int64]
    decided_rows: Columns

    @classmethod
    def of(cls, packed: Packed, columns: Columns, retailers: int, steps: int) -> "_Shard":
        ready = columns["ready_counts"].astype(np.int64).reshape(retailers, CLOSING + 1)
        events = Timeline._make(columns[name] for name in Timeline._fields)
        rows = dict(zip(_KINDS, (columns[name] for name in _READY), strict=True))
        nothing = np.zeros((retailers, steps), np.int64)
        return cls(packed, ready, _starts(ready), rows, events, nothing, nothing, {})

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

    def spans(self, retailer: int, step: int) -> list[tuple[Columns, int, int]]:
        """Return the rows of one retailer and instant: those that were ready, those that were decided."""
        found = []
        if step <= CLOSING and self.ready[retailer, step]:
            first = int(self.ready_at[retailer, step])
            found.append((self.ready_rows, first, first + int(self.ready[retailer, step])))
        if self.decided[retailer, step]:
            first = int(self.decided_at[retailer, step])
            found.append((self.decided_rows, first, first + int(self.decided[retailer, step])))
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
        ready = np.sum([shard.ready for shard in self._shards], axis=0)
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
        groups: dict[tuple[int, int], list[Piece]] = {}
        described: list[tuple[Facts, tuple[Piece, ...]]] = []
        for facts, step, first, last in files:
            key = facts[0], step
            if key not in groups:
                groups = {key: list(self._pieces(*key, own))}
            described.append((facts, tuple(_within(groups[key], first, last))))
        (mine,) = spilled([Packed((), own.columns())], spill)
        sources: Sources = tuple((shard.packed.path, self._layout(shard)) for shard in self._shards)
        if mine.path:
            sources = (*sources, (mine.path, mine.layout))
        for group in _grouped(described, rows_max):
            yield Packed((group, sources), mine.columns)

    def _pieces(self, retailer: int, step: int, own: "_Own") -> Iterator[Piece]:
        """Yield where the rows of one retailer and instant stand, ascending by point id."""
        rank = self._view.rank
        if not self._in_order:
            yield from own.add([span for shard in self._shards for span in shard.spans(retailer, step)], rank)
            return
        for number, shard in enumerate(self._shards):
            spans = shard.spans(retailer, step)
            if len(spans) == 1 and spans[0][0] is shard.ready_rows and shard.packed.path:
                yield number, spans[0][1], spans[0][2]
            elif spans:
                yield from own.add(spans, rank)

    def _layout(self, shard: _Shard) -> Layout:
        found = {name: (dtype, count, place) for name, dtype, count, place in shard.packed.layout}
        return tuple((name, *found[ready]) for name, ready in zip(_KINDS, _READY, strict=True) if found)


class _Own:
    """Rows that no shard brought as they are needed."""

    def __init__(self) -> None:
        self._parts: list[Columns] = []
        self._rows = 0

    def add(self, spans: Sequence[tuple[Columns, int, int]], rank: NDArray[np.uint32]) -> Iterator[Piece]:
        """Take rows in, ascending by point id, and yield where they stand."""
        rows = {name: np.concatenate([columns[name][a:b] for columns, a, b in spans]) for name in _KINDS}
        count = len(rows["position"])
        if not ascends(rank, rows["position"], 0, count):
            order = np.argsort(rank[rows["position"]], kind="stable")
            rows = {name: column[order] for name, column in rows.items()}
        self._parts.append(rows)
        yield _OWN, self._rows, self._rows + count
        self._rows += count

    def columns(self) -> Columns:
        """Return them all."""
        return {
            name: np.concatenate([np.empty(0, kind), *(part[name] for part in self._parts)])
            for name, kind in _KINDS.items()
        }


def _within(pieces: Sequence[Piece], first: int, last: int) -> Iterator[Piece]:
    """Cut the rows [first, last) out of pieces that stand one behind the other."""
    start = 0
    for source, a, b in pieces:
        low, high = max(first - start, 0), min(last - start, b - a)
        if low < high:
            yield source, a + low, a + high
        start += b - a


def _grouped(files: Sequence[tuple[Facts, tuple[Piece, ...]]], rows_max: int) -> Iterator[Files]:
    """Put small files together: an element costs the runner as much as writing hundreds of rows."""
    group: list[tuple[Facts, tuple[Piece, ...]]] = []
    rows = 0
    for file in files:
        group.append(file)
        rows += sum(b - a for _, a, b in file[1])
        if rows >= rows_max or len(group) >= FILES_PER_ELEMENT:
            yield tuple(group)
            group, rows = [], 0
    if group:
        yield tuple(group)


def file_rows(element: Packed) -> Iterator[tuple[Facts, Columns]]:
    """Yield the files of an element of `SlotRows.elements` with their rows."""
    files, sources = element.meta
    opened: dict[int, Columns] = {}
    if element.columns:
        opened[_OWN] = element.columns
    for facts, pieces in files:
        for number in {source for source, _, _ in pieces} - set(opened):
            path, layout = sources[number]
            opened[number] = Packed((), path=path, layout=layout).opened()
        spans: list[tuple[Columns, int, int]] = [(opened[source], a, b) for source, a, b in pieces]
        if len(spans) == 1:
            columns, a, b = spans[0]
            yield facts, {name: columns[name][a:b] for name in _KINDS}
        else:
            yield facts, {name: np.concatenate([columns[name][a:b] for columns, a, b in spans]) for name in _KINDS}


def has_lookups(reference: NDArray[Any]) -> bool:
    """Say whether the customer_refs of some rows are still to be found."""
    return bool((reference == LOOK_UP).any())
