# SPDX-License-Identifier: Apache-2.0
"""The months of one shard: for each retailer and instant the rows it is told, as they follow from registers and master.

Points go through in chunks whose registers are in memory at once, 12 bytes for each stamp of each installation; what
stays of a chunk are its rows.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.books import open_book
from pipeline.columns import Columns
from pipeline.issue_graph import Issue
from pipeline.master import MasterView, open_master
from pipeline.month_plan import Members, MonthPlan, members
from pipeline.month_registers import gather, late_rows
from pipeline.month_row_kernels import MonthRows, month_rows
from pipeline.shard_cells import dated

CHUNK_CELLS: Final = 24_000_000
"""Registers in memory at once: 288 MB for each worker."""
_KINDS: Final = (np.int64, np.uint32, np.int32, np.int32, np.int32, np.int32, np.uint8, np.int64, np.uint8)


def shard_months(issue: Issue, first_slot: int, plan: MonthPlan, shard: int) -> tuple[Columns, NDArray[np.bool_]]:
    """Compute the rows of one shard for a reading day.

    Returns:
        The rows that are not out, ordered by retailer, instant and point id; and by retailer and instant whether there
        are any, those that are out too.

    """
    view = open_master(issue.home, issue.master)
    first, last = (int(view.shard_points[each]) for each in (shard, shard + 1))
    found = members(view, np.arange(first, last, dtype=np.uint32), plan.reading, first_slot, plan.instants[-1])
    if not plan.whole:
        found = found.taken(_touched(issue, view, plan, shard, found))
    instants = np.array(plan.instants, np.int64)
    content = np.zeros((len(view.retailers), len(instants)), np.bool_)
    rows = [_no_rows(0)]
    for some, local in _chunks(view, found, plan.reading):
        rows.append(_chunk_rows(issue, view, plan, shard, some, local, instants, content))
    whole = MonthRows._make(np.concatenate(columns) for columns in zip(*rows, strict=True))
    order = np.argsort(whole.key)
    return {name: column[order] for name, column in whole._asdict().items()}, content


def _chunk_rows(
    issue: Issue,
    view: MasterView,
    plan: MonthPlan,
    shard: int,
    some: Members,
    local: NDArray[np.uint32],
    instants: NDArray[np.int64],
    content: NDArray[np.bool_],
) -> MonthRows:
    """Return the rows of some points whose installations are `local`; adds to `content`."""
    book = open_book(issue.home, issue.batches)
    folder = issue.home / "registers"
    longest = some.longest(plan.reading)
    registers = gather(folder, book.index, issue.supersessions, shard, local, longest.start, longest.end)
    holders = int((view.supply_of[some.position + 1] - view.supply_of[some.position]).max()) + 1
    from_step = sum(instant <= issue.from_ms for instant in plan.instants)
    room = len(some) + 64
    while True:
        rows = _no_rows(room)
        count = month_rows(
            dated(view), view.attr_read_day, view.rank, registers, some.position, some.start, some.known_ms,
            plan.reading, instants, from_step, holders, content, rows,
        )  # fmt: skip
        if count <= room:
            return MonthRows._make(column[:count] for column in rows)
        room = count


def _no_rows(room: int) -> MonthRows:
    return MonthRows._make(np.empty(room, kind) for kind in _KINDS)


def installs_of(view: MasterView, position: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return (number of the point among `position`, local index) of every installation row of some points."""
    begin = view.install_of[position]
    counts = view.install_of[position + 1] - begin
    owner = np.repeat(np.arange(len(position)), counts)
    row = np.repeat(begin - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    return owner, view.install_local[row]


def _chunks(view: MasterView, found: Members, reading: int) -> Iterator[tuple[Members, NDArray[np.uint32]]]:
    """Cut points into chunks by the registers of their months, the longest periods first; with their installations."""
    found = found.taken(np.argsort(found.start, kind="stable"))
    counts = view.install_of[found.position + 1] - view.install_of[found.position]
    at = 0
    while at < len(found):
        stamps = reading - int(found.start[at]) + 1
        most = max(1, CHUNK_CELLS // stamps)
        end = at + max(1, int(np.searchsorted(np.cumsum(counts[at : at + most + 1]), most, "right")))
        some = found.taken(np.arange(at, min(end, len(found))))
        yield some, np.unique(installs_of(view, some.position)[1])
        at = end


def _touched(issue: Issue, view: MasterView, plan: MonthPlan, shard: int, found: Members) -> NDArray[np.bool_]:
    """Say of which points something may have changed since the first instant."""
    since_ms = plan.instants[0]
    touched: NDArray[np.bool_] = found.known_ms > since_ms
    if not len(found):
        return touched
    start = found.longest(plan.reading).start
    owner, local = installs_of(view, found.position)
    index = open_book(issue.home, issue.batches).index
    distinct, number = np.unique(local, return_inverse=True)
    late = late_rows(issue.home / "registers", index, shard, distinct, start, plan.reading, since_ms)
    decided = [each.local for each in issue.supersessions if each.shard == shard and each.from_ms > since_ms]
    late |= np.isin(distinct, decided)
    touched[owner[late[number]]] = True
    row = np.flatnonzero(
        (view.changed_rec_ms > since_ms) & (view.changed_from_slot < plan.reading) & (view.changed_to_slot > start)
    )
    touched |= np.isin(found.position, view.changed_position[row])
    return touched
