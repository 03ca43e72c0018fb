# SPDX-License-Identifier: Apache-2.0
"""A fault strikes a command; run again, it ends with the same bytes, and nothing is lost or told twice."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.faults import WHATS, Life, Undisturbed, disturbed, forget
from tests.filelayer import Fault

DEEP = settings().max_examples >= 1000
EACH = 30 if DEEP else 2


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return Life.made(tmp_path_factory.mktemp("life"))


@pytest.fixture(scope="module")
def undisturbed(life: Life, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return life.undisturbed(tmp_path_factory.mktemp("undisturbed") / "home")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    forget(tmp_path / "home")


@pytest.mark.parametrize("seed", range(EACH))
@pytest.mark.parametrize("what", WHATS)
def test_a_fault_at_any_change_leaves_nothing_behind(
    life: Life, undisturbed: Undisturbed, root: Path, what: str, seed: int
) -> None:
    outcome = disturbed(life, root, undisturbed, random.Random(f"{what}{seed}"), what)  # noqa: S311

    assert outcome.wrong == [], outcome


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (1, Fault("power", "remove", 0)),  # hand-over files lie in a new day's folder of taken
    ],
)
def test_what_was_told_to_be_durable_survives_a_power_cut(
    life: Life, undisturbed: Undisturbed, root: Path, step: int, fault: Fault
) -> None:
    outcome = disturbed(life, root, undisturbed, random.Random(1), "power", chosen=(step, fault, "none"))  # noqa: S311

    assert outcome.struck
    assert outcome.wrong == [], outcome
