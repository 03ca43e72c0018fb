# SPDX-License-Identifier: Apache-2.0
"""The short way of plain cells and the long way of all others see the same; each state follows from rows and reads."""

import numpy as np
import pytest

from pipeline.ledger.causes import STATES
from pipeline.ledger.histogram import BUCKETS
from pipeline.ledger.survey_kernels import NO_LOCAL, Seen, survey
from pipeline.shard_cells import measured
from tests.homes import MINUTE_MS
from tests.small_masters import END, LATER, SLOT, START, Meter, Point, dated, ends, master

CASES: dict[str, tuple[Point, str]] = {
    "whole": (Point((Meter(5, 8),)), "available"),
    "rollover": (Point((Meter(999_999, 3),)), "available"),
    "backward": (Point((Meter(500_000, 3),)), "refused"),
    "no end": (Point((Meter(5, None),)), "not_collected"),
    "no start": (Point((Meter(None, 8),)), "waiting_for_pair"),
    "neither": (Point((Meter(None, None),)), "not_collected"),
    "neither, no telemetry": (Point((Meter(None, None),), telemetry=0), "no_telemetry"),
    "whole, no telemetry": (Point((Meter(5, 8),), telemetry=0), "available"),
    "no meter": (Point(()), "no_meter"),
    "removed": (Point((Meter(to_ms=START),)), "removed"),
    "high voltage": (Point((Meter(5, 8),), voltage=1), "no_cell"),
    "nobody": (Point((Meter(5, 8),), supply=()), "unassigned"),
    "exchanged without registers": (
        Point((Meter(5, to_ms=START + 7 * MINUTE_MS), Meter(None, 8, from_ms=START + 7 * MINUTE_MS))),
        "master_mismatch",
    ),
    "exchanged, no end": (
        Point((Meter(5, to_ms=START + 7 * MINUTE_MS, last=6), Meter(from_ms=START + 7 * MINUTE_MS, first=0))),
        "not_collected",
    ),
    "removed at the end, register given": (Point((Meter(5, None, to_ms=END, last=9),)), "available"),
    "installed at the start, register given": (Point((Meter(None, 9, from_ms=START, first=5),)), "available"),
}


def seen_of(points: list[Point], *, long_way: bool, at_ms: int = LATER) -> Seen:
    registers, view = ends(points), master(points)
    if long_way:  # an operator's registers that count from later on: they change nothing but the way
        locals_ = np.arange(len(registers.start), dtype=np.uint32)
        registers = registers._replace(
            other_local=locals_,
            other_at_end=np.zeros(len(locals_), np.uint8),
            other_value=locals_,
            other_ms=np.full(len(locals_), LATER + 1),
        )
    found = Seen(
        np.zeros(len(points), np.uint8),
        np.zeros(len(points), np.uint16),
        np.zeros(len(points), np.uint32),
        np.zeros((16, BUCKETS), np.int64),
        np.zeros((4, 16, 2), np.int64),
    )
    survey(dated(points), measured(view, 0), 0, SLOT, registers, np.array([at_ms]), found)
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("long_way", [False, True])
def test_the_state_of_a_cell(case: str, long_way: bool) -> None:
    point, state = CASES[case]
    found = seen_of([point], long_way=long_way)
    assert STATES[found.state[0]] == state
    assert (found.lacking[0] != NO_LOCAL) == (state in {"not_collected", "waiting_for_pair"})


def test_both_ways_agree_on_every_column() -> None:
    points = [CASES[name][0] for name in sorted(CASES)] * 20
    for at_ms in (END, END + 2 * MINUTE_MS, LATER):
        for short, long in zip(
            seen_of(points, long_way=False, at_ms=at_ms), seen_of(points, long_way=True, at_ms=at_ms), strict=True
        ):
            assert np.array_equal(np.asarray(short), np.asarray(long))


def test_what_came_after_the_instant_is_not_seen() -> None:
    found = seen_of([CASES["whole"][0]], long_way=False, at_ms=END + MINUTE_MS)
    assert STATES[found.state[0]] == "not_collected"
    assert found.arrivals.sum() == 0
    assert seen_of([CASES["whole"][0]], long_way=False).arrivals[3].nonzero()[0].tolist() == [120]
