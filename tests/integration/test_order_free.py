# SPDX-License-Identifier: Apache-2.0
"""The same reads in any order, in any files, cut in any way, give the same bytes."""

from pathlib import Path

import pytest

from tests.homes import digests, run
from tests.independent_reader import read_tree
from tests.towns import Town, build_town, delivered, differing, hand_over_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return build_town(tmp_path_factory.mktemp("town") / "made", points=60, slots=6)


def test_any_order_and_cut_gives_the_same_bytes(tmp_path: Path, town: Town) -> None:
    first = delivered(tmp_path / "0", town, seed=0)

    assert len(first) > 100
    for seed in (1, 2):
        assert differing(first, delivered(tmp_path / str(seed), town, seed=seed)) == []


def test_more_copies_of_the_same_files_change_nothing(tmp_path: Path, town: Town) -> None:
    first = delivered(tmp_path / "once", town, seed=3)
    home = hand_over_town(tmp_path / "twice", town, seed=3, files=4)
    for path in list(home.landing.iterdir()):
        (home.landing / f"again-{path.name}").write_bytes(path.read_bytes())

    facts = run(home).summary()

    assert facts["duplicate"] >= facts["accepted"]
    assert differing(first, digests(home.deliveries)) == []


def test_the_tree_holds_every_kind_of_cell(tmp_path: Path, town: Town) -> None:
    home = hand_over_town(tmp_path / "home", town, seed=5)
    facts = run(home).summary()

    qualities = {cell.quality for cell in read_tree(home.deliveries).values()}
    assert qualities >= {"actual", "rollover", "spike", "missing", "no_meter", "removed", "no_telemetry"}
    assert all(facts[name] > 0 for name in ("accepted", "duplicate", "quarantined", "held"))
