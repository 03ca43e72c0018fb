# SPDX-License-Identifier: Apache-2.0
"""A run that is cut off at any moment is run again and ends with the same bytes; no hand-over file is lost."""

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.home import Home
from pipeline.journal import read_state
from tests.crashes import Crashed, crash_before, kill_until_done, landing_and_taken, run_through
from tests.homes import SLOT_MS, at, digests, hand_over, learn, new_home, point, reads_of, run
from tests.towns import Town, build_town, differing, hand_over_town

DEEP = settings().max_examples >= 1000
KILLS = 50 if DEEP else 8
START = at("2026-10-06T22:30")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return build_town(tmp_path_factory.mktemp("town") / "made", points=400, slots=6)


@pytest.mark.timeout(1200)
def test_kill_9_at_random_moments_changes_nothing(tmp_path: Path, town: Town) -> None:
    undisturbed = hand_over_town(tmp_path / "undisturbed", town, seed=1, files=20)
    names = landing_and_taken(undisturbed)
    run_through(undisturbed)  # the first may have kernels to compile
    seconds = run_through(hand_over_town(tmp_path / "measured", town, seed=1, files=20))
    chance = random.Random(20261007)  # noqa: S311
    kills, homes = 0, 0
    while kills < KILLS:
        home = hand_over_town(tmp_path / f"home{homes}", town, seed=1, files=20)
        kills += kill_until_done(home, chance, seconds, min(4, KILLS - kills))
        assert differing(digests(undisturbed.deliveries), digests(home.deliveries)) == []
        assert list(home.landing.iterdir()) == []
        assert landing_and_taken(home) == names
        shutil.rmtree(home.root)
        homes += 1
        assert homes < 10 * KILLS, "the command ends before it can be killed"


def two_landings(root: Path) -> Home:
    """A home that has issued, learned of a switch, and has a second landing to take in: late, repeated, unknown."""
    home = new_home(
        root,
        points=[{"point_id": point(n)} for n in range(3)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(3)],
        supply=[{"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(3)],
    )
    for n in range(3):
        registers = [None if n == 2 and k == 2 else 100 + k for k in range(8)]
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, registers))
    hand_over(home, "unknown.csv", reads_of("M9", START, [1, 2, 3]))
    run(home)
    learn(home, supply=[{"point_id": point(0), "retailer_code": "22223", "valid_from": "2020-01-01T00:00"}])
    late = START + 2 * SLOT_MS
    hand_over(home, "late.csv", reads_of("M2", late, [102], delay_ms=9 * SLOT_MS))
    hand_over(home, "again.parquet", [*reads_of("M1", START, [100, 999]), *reads_of("M1", START + 8 * SLOT_MS, [120])])
    return home


def test_a_run_that_ends_before_any_of_its_changes_is_made_good_by_the_next(tmp_path: Path) -> None:
    whole = two_landings(tmp_path / "whole")
    with crash_before(-1, whole.root) as fuse:
        run(whole)
    changes = fuse.count
    assert changes > 30
    chance = random.Random(5)  # noqa: S311
    moments = range(changes) if DEEP else sorted(chance.sample(range(changes), 8))
    for moment in moments:
        home = two_landings(tmp_path / f"home{moment}")
        names = landing_and_taken(home)
        with crash_before(moment, home.root), pytest.raises(Crashed):
            run(home)
        assert landing_and_taken(home) == names
        run(home)
        assert differing(digests(whole.deliveries), digests(home.deliveries)) == [], f"change {moment} of {changes}"
        assert differing(digests(whole.path("ledger")), digests(home.path("ledger"))) == []
        assert landing_and_taken(home) == names
        assert list(home.landing.iterdir()) == []
        assert run(home).summary()["files"] == 0
        shutil.rmtree(home.root)


def test_an_announced_issue_is_finished_before_what_landed_since(tmp_path: Path) -> None:
    whole = two_landings(tmp_path / "whole")
    with crash_before(-1, whole.root) as fuse:
        run(whole)
    late = reads_of("M0", START + 8 * SLOT_MS, [500, 501])
    home = whole
    for moment in range(fuse.count - 1, 0, -1):
        home = two_landings(tmp_path / f"home{moment}")
        with crash_before(moment, home.root), pytest.raises(Crashed):
            run(home)
        if read_state(home.path("journal")).intent is not None:
            break
        shutil.rmtree(home.root)
    assert read_state(home.path("journal")).intent is not None
    for each in (whole, home):
        hand_over(each, "since.arrow", late)

    run(whole)
    run(home)

    assert differing(digests(whole.deliveries), digests(home.deliveries)) == []
