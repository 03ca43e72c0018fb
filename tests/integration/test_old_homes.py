# SPDX-License-Identifier: Apache-2.0
"""A home that has lived long, with many checkpoints behind it, issues what a young one issues."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import compaction, journal
from pipeline.checking import check_home
from pipeline.checkpoint import HISTORY
from pipeline.compaction import compact
from pipeline.home import Home
from pipeline.journal import Journal
from tests.crashes import Crashed, crash_before
from tests.homes import digests, hand_over, run, settings_of
from tests.integration.test_kill import DEEP, two_landings
from tests.real_homes import part_of
from tests.towns import Town, build_town, differing, hand_over_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return build_town(tmp_path_factory.mktemp("town") / "made", points=40, slots=4)


def compact_all(home: Home) -> None:
    opened = Journal(home.path("journal"))
    done = compact(home, opened, settings_of(home), 1 << 40)
    opened.close()
    assert done.stamps > 0


def live(root: Path, town: Town, *, parts: int = 3, compacting: bool = False, **last: Any) -> dict[str, str]:
    """Take a town in by portions, a run each, the last with other settings; returns digests of what it delivered."""
    home = hand_over_town(root, Town(town.master, part_of(town.reads, slice(0, None, parts))), seed=1)
    for part in range(1, parts):
        run(home)
        if compacting:
            compact_all(home)
        hand_over(home, f"part{part}.arrow", part_of(town.reads, slice(part, None, parts)))
    run(home, **last)
    return digests(home.deliveries)


@pytest.mark.parametrize("mode", ["threads", "processes"])
def test_a_checkpoint_after_every_record_changes_no_byte(
    tmp_path: Path, town: Town, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = live(tmp_path / "young", town)
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 1)

    old = live(tmp_path / "old", town, beam_mode=mode)

    assert len(list((tmp_path / "old" / "journal" / HISTORY).iterdir())) >= 6
    assert len(young) > 50
    assert differing(young, old) == []


def test_compacting_all_there_is_between_any_two_runs_changes_no_byte(
    tmp_path: Path, town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    young = live(tmp_path / "young", town)
    monkeypatch.setattr(compaction, "SETTLED_MS", -(1 << 60))
    monkeypatch.setattr(compaction, "LOOSE_MAX", 0)

    old = live(tmp_path / "old", town, compacting=True)

    assert len(young) > 50
    assert differing(young, old) == []


def test_a_run_that_ends_before_any_of_its_changes_is_made_good_by_the_next_with_checkpoints_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = two_landings(tmp_path / "whole")
    monkeypatch.setattr(journal, "CHECKPOINT_BYTES", 1)
    with crash_before(-1, whole.root) as fuse:
        run(whole)
    chance = random.Random(7)  # noqa: S311
    for moment in range(fuse.count) if DEEP else sorted(chance.sample(range(fuse.count), 6)):
        home = two_landings(tmp_path / f"home{moment}")
        with crash_before(moment, home.root), pytest.raises(Crashed):
            run(home)
        run(home)
        assert differing(digests(whole.deliveries), digests(home.deliveries)) == [], f"change {moment} of {fuse.count}"
        assert [each for each in check_home(home) if each.severity == "harm"] == []
        shutil.rmtree(home.root)
