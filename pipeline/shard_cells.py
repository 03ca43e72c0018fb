# SPDX-License-Identifier: Apache-2.0
"""What one shard brings to a slot: rows that are ready, events of the cells whose row is not, and totals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.cell_kernels import AVAILABLE, EXPECTED, Dated, Ends, Timeline, Totals
from pipeline.columns import Columns
from pipeline.directions import areas_by_direction
from pipeline.journal import Supersession
from pipeline.master import MasterView
from pipeline.plain_kernels import MEASURES, READY_STEPS, timelines
from pipeline.ready_kernels import order_ready, take_ready
from pipeline.registers import RegisterBook

TOTALS = tuple(f"total_{name}" for name in Totals._fields)
"""Columns of the totals, each flattened from (indexes, 3)."""
_NOTHING = np.empty(0, np.int64)
_NOTHING.flags.writeable = False  # as the mapped columns of a master version are


def dated(view: MasterView) -> Dated:
    """Return the master's columns as the kernels take them."""
    return Dated(**{name: getattr(view, name) for name in Dated._fields})


def slot_ends(book: RegisterBook, supersessions: Sequence[Supersession], shard: int, slot: int, installs: int) -> Ends:
    """Return the registers of a shard at both ends of a slot, with those of operators in the order they were decided.

    Args:
        book: where the registers stand.
        supersessions: the operators' decisions.
        shard: of which `installs` installations are known.
        slot: whose ends.
        installs: number of installations.

    """
    start, end = book.column(shard, slot, installs), book.column(shard, slot + 1, installs)
    rows = [each for each in supersessions if each.shard == shard and each.stamp in (slot, slot + 1)]
    return Ends(
        start.words,
        start.base_ms,
        end.words,
        end.base_ms,
        np.array([each.local for each in rows], np.uint32),
        np.array([each.stamp - slot for each in rows], np.uint8),
        np.array([each.value for each in rows], np.uint32),
        np.array([each.from_ms for each in rows], np.int64),
    )


def shard_cells(
    view: MasterView,
    shard: int,
    slot: int,
    instants: NDArray[np.int64],
    real: int,
    ends: Ends,
    *,
    references: bool = False,
    columns: Dated | None = None,
) -> Columns:
    """Compute the cells of a shard at a slot over ascending instants; `real` of them are due, one may be ahead.

    Ready rows come with the supply rows of their customer_refs where `references` asks for them. `columns` stand in for
    the master's own. Totals by area are by direction, too (`areas_by_direction`).
    """
    columns, blocks = dated(view) if columns is None else columns, measured(view, shard)
    columns = columns._replace(area=areas_by_direction(view))
    first, last = int(view.shard_points[shard]), int(view.shard_points[shard + 1])
    totals = Totals(*(np.zeros((size, 3), np.int64) for size in (len(view.retailers), len(view.bgs), 256)))
    counts = np.zeros(len(view.retailers) * READY_STEPS, np.int64)
    ready = np.empty(last - first, np.uint64)
    room = (last - first) // 8 + 64
    while True:
        events = _room(room)
        count = timelines(columns, blocks, first, slot, ends, instants, real, ready, counts, events, totals)
        if count <= room:
            break
        room = count
        for table in (counts, *totals):
            table[:] = 0
    totals.retailer[:, [EXPECTED, AVAILABLE]] += counts.reshape(-1, READY_STEPS).sum(axis=1)[:, None]
    events = Timeline._make(column[:count] for column in events)
    rows = shard_rows(events, view if references else None, first, ready, counts)
    return rows | dict(zip(TOTALS, (each.ravel() for each in totals), strict=True))


def shard_rows(
    events: Timeline, view: MasterView | None, first: int, ready: NDArray[np.uint64], counts: NDArray[np.int64]
) -> Columns:
    """Order the rows of ready cells by retailer and instant, with those that events turn out to make ready.

    Args:
        events: of the other cells; changed.
        view: the master, where rows come with the supply rows of their customer_refs.
        first: position of the first cell.
        ready: a word a cell; changed.
        counts: ready cells by group; changed.

    """
    left = take_ready(events, first, ready, counts)
    rows = np.empty(int(counts.sum()), np.uint64)
    reference = np.empty(0 if view is None else len(rows), np.uint32)
    supply_of, ref_off = (_NOTHING, _NOTHING) if view is None else (view.supply_of, view.supply_ref_off)
    order_ready(ready, first, np.cumsum(counts) - counts, rows, supply_of, ref_off, reference)
    rest = Timeline._make(column[:left] for column in events)
    return {"ready_counts": counts.astype(np.uint32), "ready": rows, "ready_reference": reference, **rest._asdict()}


def _room(count: int) -> Timeline:
    return Timeline(
        np.empty(count, np.uint32),
        np.empty(count, np.uint16),
        np.empty(count, np.uint16),
        np.empty(count, np.uint8),
        np.empty(count, np.int64),
    )


def measured(view: MasterView, shard: int) -> NDArray[np.int64]:
    """Return the measures of a shard's blocks."""
    return view.block_measures.reshape(-1, MEASURES)[view.block_of[shard] : view.block_of[shard + 1]]
