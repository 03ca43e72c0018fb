# SPDX-License-Identifier: Apache-2.0
"""What is issued to whom at which instant, held against the contract's sentences written as plain Python."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cell_kernels import Timeline
from pipeline.issuance_kernels import CLOSING, WITHDRAWN, Rows, count_expected, issue_rows
from pipeline.issue_graph import _closings
from pipeline.quality import DIGITS, WITH_VALUE

Event = tuple[int, int, int, int]  # step, owner, quality, energy
Cell = list[Event]
Row = tuple[int, int, int]  # position, quality, energy
ACTUAL, MISSING, NOBODY = 0, 3, 0xFFFF
RETAILERS = 4
COUNT, FILL = False, True


def kernel_rows(cells: Sequence[Cell], steps: int) -> dict[tuple[int, int], list[Row]]:
    flat = [(p, *event) for p, cell in enumerate(cells) for event in cell]
    columns = list(zip(*flat, strict=True)) if flat else [()] * 5
    events = Timeline(
        np.array(columns[0], np.uint32),
        np.array(columns[1], np.uint16),
        np.array(columns[2], np.uint16),
        np.array(columns[3], np.uint8),
        np.array(columns[4], np.int64),
    )
    expected = np.zeros((RETAILERS, CLOSING + 1), np.int64)
    unissued = np.zeros((RETAILERS, CLOSING + 1), np.int64)
    count_expected(events, steps, expected, unissued)
    close = _closings(expected, unissued)
    counts = np.zeros((RETAILERS, steps), np.int64)
    issue_rows(
        events, steps, close, COUNT, counts, Rows(np.empty(0, np.uint32), np.empty(0, np.uint8), np.empty(0, np.int64))
    )
    total = int(counts.sum())
    rows = Rows(np.empty(total, np.uint32), np.empty(total, np.uint8), np.empty(total, np.int64))
    place = np.cumsum(counts.ravel()).reshape(counts.shape) - counts
    issue_rows(events, steps, close, FILL, place.copy(), rows)
    issued = {}
    for r, k in zip(*np.nonzero(counts), strict=True):
        span = slice(place[r, k], place[r, k] + counts[r, k])
        issued[int(r), int(k)] = list(
            zip(rows.position[span].tolist(), rows.quality[span].tolist(), rows.energy[span].tolist(), strict=True)
        )
    return issued


def reference_rows(cells: Sequence[Cell], steps: int) -> dict[tuple[int, int], list[Row]]:
    """Go through the instants one by one, remembering for each retailer what was last issued to it."""
    issued: dict[tuple[int, int], list[Row]] = defaultdict(list)
    last: dict[tuple[int, int], tuple[str, int]] = {}  # (cell, retailer) -> state, energy
    closed: set[int] = set()
    for k in range(steps):
        now = {p: [e for e in cell if e[0] <= k][-1] for p, cell in enumerate(cells) if cell and cell[0][0] <= k}
        for r in range(1, RETAILERS):
            mine = {p: event for p, event in now.items() if event[1] == r}
            for p in range(len(cells)):
                event = mine.get(p)
                known = last.get((p, r))
                if event is not None:
                    _, _, quality, energy = event
                    state = "value" if quality in WITH_VALUE else "missing"
                    if k <= CLOSING:
                        due = r not in closed and known is None and (state == "value" or k == CLOSING)
                    else:
                        due = known is None or known[0] != state or (state == "value" and known[1] != energy)
                    if due:
                        issued[r, k].append((p, quality, energy))
                        last[p, r] = (state, energy)
                elif k > CLOSING and known is not None and known[0] != "withdrawn":
                    issued[r, k].append((p, WITHDRAWN, 0))
                    last[p, r] = ("withdrawn", 0)
            if k <= CLOSING and mine and all((p, r) in last for p in mine):
                closed.add(r)
    return {key: rows for key, rows in issued.items() if rows}


@st.composite
def cells(draw: st.DrawFn, steps: int) -> Cell:
    marks = sorted(draw(st.sets(st.integers(0, steps - 1), max_size=5)) | {0})
    cell: Cell = []
    for step in marks:
        quality = draw(st.sampled_from([ACTUAL, ACTUAL, 1, 2, DIGITS, MISSING]))
        energy = draw(st.integers(0, 2)) * 1000 if quality in WITH_VALUE else 0
        event = (step, draw(st.sampled_from([0, 1, 1, 2, 3, NOBODY])), quality, energy)
        if not cell or cell[-1][1:] != event[1:]:
            cell.append(event)
    return cell


@given(st.integers(1, 8).flatmap(lambda steps: st.tuples(st.just(steps), st.lists(cells(steps), max_size=8))))
def test_rows_follow_from_the_timelines_as_the_contract_says(case: tuple[int, list[Cell]]) -> None:
    steps, timelines = case

    assert reference_rows(timelines, steps) == kernel_rows(timelines, steps)


def test_a_cell_that_is_ready_at_the_first_split_goes_out_there_and_never_again() -> None:
    assert kernel_rows([[(0, 1, ACTUAL, 5000)]], 8) == {(1, 0): [(0, ACTUAL, 5000)]}


def test_what_is_missing_at_the_closing_goes_out_as_missing_and_later_as_revision() -> None:
    issued = kernel_rows([[(0, 1, MISSING, 0), (5, 1, ACTUAL, 7000)]], 8)

    assert issued == {(1, 3): [(0, MISSING, 0)], (1, 5): [(0, ACTUAL, 7000)]}


def test_a_cell_that_changes_hands_is_withdrawn_from_one_and_issued_to_the_other() -> None:
    issued = kernel_rows([[(0, 1, ACTUAL, 7000), (5, 2, ACTUAL, 7000)]], 8)

    assert issued == {(1, 0): [(0, ACTUAL, 7000)], (1, 5): [(0, WITHDRAWN, 0)], (2, 5): [(0, ACTUAL, 7000)]}


def test_a_new_owner_gets_the_cell_in_the_first_issue_while_its_slot_is_open() -> None:
    waiting = [(0, 2, MISSING, 0)]
    issued = kernel_rows([[(0, 1, ACTUAL, 7000), (1, 2, ACTUAL, 7000)], waiting], 5)

    assert (0, ACTUAL, 7000) in issued[2, 1]
    assert {(0, WITHDRAWN, 0)} == set(issued[1, 4])
