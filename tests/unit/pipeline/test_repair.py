# SPDX-License-Identifier: Apache-2.0
"""Repair by several people at once, and beside a pipeline that never stops."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from koma.errors import HomeError
from pipeline.home import Home
from pipeline.repair import entries, replay
from tests.homes import MINUTE_MS, Read, at, hand_over, new_home, point, run

START = at("2026-10-06T22:30")
PEOPLE = 6


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = new_home(
        tmp_path / "home",
        points=[{"point_id": point(1)}],
        meters=[{"point_id": point(1), "meter_id": "M1", "digits": 6, "unit_exponent": -1}],
    )
    reads = [Read("M1", START + each * MINUTE_MS, START + each * MINUTE_MS, each) for each in range(5, 5 + PEOPLE)]
    hand_over(made, "off.arrow", reads)
    run(made)
    return made


def test_acts_of_several_people_at_once_are_all_kept(home: Home) -> None:
    waiting = [entry.id for entry in entries(home)]
    with ThreadPoolExecutor(PEOPLE) as pool:
        told = list(pool.map(lambda each: replay(home, [each], by=f"desk {each}", why="clock put right"), waiting))

    assert sorted(each for _, done, _ in told for each in done) == sorted(waiting)
    assert len({target for target, _, _ in told}) == len(waiting) == PEOPLE
    assert list(entries(home)) == []
    assert len(list(home.landing.iterdir())) == PEOPLE


def test_two_who_ask_for_the_same_read_hand_it_over_once(home: Home) -> None:
    waiting = [entry.id for entry in entries(home)]
    replay(home, waiting, by="desk", why="clock put right")
    with pytest.raises(HomeError, match="is not in quarantine"):
        replay(home, waiting[:1], by="desk", why="clock put right")
    assert replay(home, [], by="desk", why="clock put right") == (None, [], [])


def test_reads_are_handed_over_again_beside_a_running_watch(home: Home) -> None:
    with home.sole_writer("pipeline run --watch"):
        target, done, _ = replay(home, [], by="desk", why="clock put right")

    assert target is not None
    assert len(done) == PEOPLE
