# SPDX-License-Identifier: Apache-2.0
"""Rows that shards bring ready and rows that are decided for all shards are together the rows of the slot."""

from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.cell_kernels import Timeline
from pipeline.issuance_kernels import CLOSING, LOOK_UP, Rows, count_expected, issue_rows
from pipeline.issue_graph import _closings
from pipeline.master import MasterView
from pipeline.packed import Packed, PackedCoder, spilled
from pipeline.plain_kernels import NOT_READY, READY_ENERGY, READY_STEPS
from pipeline.quality import DIGITS, WITH_VALUE
from pipeline.ready_kernels import NO_REFERENCE
from pipeline.shard_cells import shard_rows
from pipeline.slot_rows import SlotRows, file_rows

Event = tuple[int, int, int, int]  # step, owner, quality, energy
ACTUAL, MISSING, NOBODY = 0, 3, 0xFFFF
COUNT, FILL = False, True
RETAILERS = 4
ROWS_PER_FILE = 3


def timeline(cells: list[list[Event]], first: int) -> Timeline:
    flat = [(first + p, *event) for p, cell in enumerate(cells) for event in cell]
    columns = list(zip(*flat, strict=True)) if flat else [()] * 5
    kinds = (np.uint32, np.uint16, np.uint16, np.uint8, np.int64)
    return Timeline._make(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))


def master(shards: list[int], imports: list[int], rows: list[int]) -> MasterView:
    """Build a master of which only what rows need is filled in; every third supply row has no customer_ref.

    `imports` says of each id with which import its point came: points stand by import, then id.
    """
    points = sum(shards)
    rank = np.argsort(imports[:points], kind="stable").astype(np.uint32)
    supply_of = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
    known: dict[str, Any] = {
        "version": 1,
        "retailers": tuple(f"{10_000 + r}" for r in range(RETAILERS)),
        "rank": rank,
        "shard_points": np.cumsum([0, *shards]),
        "supply_of": supply_of,
        "supply_ref_off": np.cumsum(np.arange(supply_of[-1] + 1) % 3 > 0).astype(np.int64),
    }
    empty: dict[str, Any] = {each.name: np.empty(0) for each in fields(MasterView)}
    return MasterView(**(empty | known))


def whole(events: Timeline, steps: int) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """Issue all cells as one shard, none of them ready."""
    expected = np.zeros((RETAILERS, CLOSING + 1), np.int64)
    unissued = np.zeros((RETAILERS, CLOSING + 1), np.int64)
    count_expected(events, steps, expected, unissued)
    close = _closings(expected, unissued)
    counts = np.zeros((RETAILERS, steps), np.int64)
    issue_rows(events, steps, close, COUNT, counts, Rows._make(column[:0] for column in empty_rows(0)))
    rows = empty_rows(int(counts.sum()))
    place = np.cumsum(counts.ravel()).reshape(counts.shape) - counts
    issue_rows(events, steps, close, FILL, place.copy(), rows)
    triples = list(zip(*(column.tolist() for column in rows), strict=True))
    return {
        (r, k): triples[place[r, k] : place[r, k] + counts[r, k]]
        for r, k in zip(*(each.tolist() for each in np.nonzero(counts)), strict=True)
    }


def empty_rows(count: int) -> Rows:
    return Rows(np.empty(count, np.uint32), np.empty(count, np.uint8), np.empty(count, np.int64))


@st.composite
def cells(draw: st.DrawFn, steps: int) -> list[Event]:
    if draw(st.integers(0, 3)):  # a plain story
        step, owner = draw(st.integers(0, min(steps, CLOSING + 2) - 1)), draw(st.integers(0, RETAILERS - 1))
        value = (step, owner, draw(st.sampled_from(WITH_VALUE)), draw(st.integers(0, 9)) or READY_ENERGY)
        return [value] if step == 0 else [(0, owner, MISSING, 0), value]
    cell: list[Event] = []
    for step in sorted(draw(st.sets(st.integers(0, steps - 1), max_size=4)) | {draw(st.sampled_from([0, steps - 1]))}):
        quality = draw(st.sampled_from([ACTUAL, 1, DIGITS, MISSING]))
        owner = draw(st.sampled_from([0, 1, 1, 2, 3, NOBODY]))
        event = (step, owner, quality, draw(st.integers(0, 2)) if quality in WITH_VALUE else 0)
        if not cell or cell[-1][1:] != event[1:]:
            cell.append(event)
    return cell


@pytest.mark.parametrize("inline_max", [0, 1 << 16])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=st.integers(1, 8).flatmap(
        lambda steps: st.tuples(st.just(steps), st.lists(st.lists(cells(steps), max_size=6), max_size=4))
    ),
    imports=st.sampled_from([[0], [0] * 9 + [1], [0, 1], [0, 0, 1, 2]]).flatmap(
        lambda kinds: st.lists(st.sampled_from(kinds), min_size=24, max_size=24)
    ),
    references=st.booleans(),
    random=st.randoms(use_true_random=False),
)
def test_ready_and_decided_rows_are_the_rows_of_the_slot(
    *,
    tmp_path: Path,
    inline_max: int,
    case: tuple[int, list[list[list[Event]]]],
    imports: list[int],
    references: bool,
    random: Random,
) -> None:
    steps, shards = case
    shards = shards or [[]]
    points = sum(map(len, shards))
    view = master([*map(len, shards)], imports, [random.choice([1, 1, 1, 2]) for _ in range(points)])
    parts: list[Packed] = []
    first = 0
    for number, shard in enumerate(shards):
        ready, counts = np.full(len(shard), NOT_READY), np.zeros(RETAILERS * READY_STEPS, np.int64)
        columns = shard_rows(timeline(shard, first), view if references else None, first, ready, counts)
        packed = Packed((number, tuple(range(steps)), steps, 0), columns)
        parts += [
            through_the_runner(each) for each in spilled([packed], tmp_path / f"cells-{number}", inline_max=inline_max)
        ]
        first += len(shard)
    rows = SlotRows(view, parts, [part.opened() for part in parts])
    close = _closings(rows.expected, rows.unissued)
    rows.decide(close)
    wanted = whole(timeline([cell for shard in shards for cell in shard], 0), steps)

    assert {key: len(group) for key, group in wanted.items()} == {
        (r, k): int(rows.counts[r, k]) for r, k in zip(*np.nonzero(rows.counts), strict=True)
    }
    files = [
        ((r, 0, 0, k, k), k, start, min(len(group), start + ROWS_PER_FILE))
        for (r, k), group in wanted.items()
        for start in range(0, len(group), ROWS_PER_FILE)
    ]
    found: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    opened: dict[str, Any] = {}
    for element in rows.elements(files, tmp_path / "rows", ROWS_PER_FILE):
        for facts, columns in file_rows(through_the_runner(element), opened):
            position, quality, energy, reference = (columns[name].tolist() for name in columns)
            found.setdefault((facts[0], facts[3]), []).extend(zip(position, quality, energy, strict=True))
            for p, supply in zip(position, reference, strict=True):
                assert supply == LOOK_UP or (references and supply in {NO_REFERENCE, int(view.supply_of[p])})
                if supply not in {LOOK_UP, NO_REFERENCE}:
                    assert view.supply_ref_off[supply + 1] > view.supply_ref_off[supply]
    assert {key: sorted(group, key=lambda row: view.rank[row[0]]) for key, group in wanted.items()} == found


def through_the_runner(element: Packed) -> Packed:
    coder = PackedCoder()
    return coder.decode(coder.encode(element))
