# SPDX-License-Identifier: Apache-2.0
"""The wall clock is set back and ahead between runs: nothing is issued twice, no line changes, the values are right."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.home import Home
from tests.faults import unkept, visible
from tests.homes import HOUR_MS, MINUTE_MS, at, digests, hand_over, run
from tests.independent_reader import files, read_tree
from tests.real_homes import part_of
from tests.towns import Town, build_town, differing, hand_over_town

START = at("2026-10-06T23:15")
TURNS = 8


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return build_town(tmp_path_factory.mktemp("town") / "made", points=12, slots=3)


def lived(root: Path, town: Town, steps: Sequence[tuple[int, int]]) -> Home:
    """Run a home by the wall clock every half hour; `steps`: before turn k, run once with the clock so far off."""
    home = hand_over_town(root, town, seed=1, files=2)
    for path in home.landing.iterdir():
        path.unlink()
    order = np.argsort(town.reads.received_ms, kind="stable")
    arrived = town.reads.received_ms[order]
    bounds = [START + turn * 30 * MINUTE_MS for turn in range(TURNS)] + [START + 100 * HOUR_MS]
    begin = 0
    for turn, now_ms in enumerate(bounds):
        end = int(np.searchsorted(arrived, now_ms, side="right"))
        for off_ms in (off_ms for at_turn, off_ms in steps if at_turn == turn):
            before = visible(home), digests(home.deliveries)
            run(home, wall_ms=now_ms + off_ms)
            assert unkept(before[0], visible(home)) == []
            assert off_ms > 0 or differing(before[1], digests(home.deliveries)) == []
        if end > begin:
            hand_over(home, f"{turn}.arrow", part_of(town.reads, order[begin:end]))
        before_turn = visible(home)
        run(home, wall_ms=now_ms)
        assert unkept(before_turn, visible(home)) == []
        begin = end
    return home


def test_a_clock_set_back_changes_no_byte(tmp_path: Path, town: Town) -> None:
    steady = lived(tmp_path / "steady", town, [])
    stepped = lived(tmp_path / "stepped", town, [(1, -HOUR_MS), (3, -40 * MINUTE_MS), (6, -9 * 365 * 24 * HOUR_MS)])

    assert differing(digests(steady.deliveries), digests(stepped.deliveries)) == []


def test_a_clock_set_ahead_issues_early_once_and_the_values_are_right_in_the_end(tmp_path: Path, town: Town) -> None:
    steady = lived(tmp_path / "steady", town, [])
    stepped = lived(tmp_path / "stepped", town, [(3, 2 * HOUR_MS)])

    values = [
        {key: (cell.energy_dwh, cell.available) for key, cell in read_tree(home.deliveries).items()}
        for home in (steady, stepped)
    ]
    issued = [(file.retailer, file.slot_start, file.revision, file.split) for file in files(stepped.deliveries)]
    assert values[0].keys() == values[1].keys()
    assert {key: each for key, each in values[0].items() if values[1][key] != each} == {}
    assert len(issued) == len(set(issued))
