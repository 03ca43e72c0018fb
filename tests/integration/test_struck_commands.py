# SPDX-License-Identifier: Apache-2.0
"""A fault strikes a command; run again, it ends with the same bytes, and nothing is lost or told twice."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline import landing
from pipeline.manual import manual_clock
from pipeline.repair import entries
from tests.faults import WHATS, Command, Life, Undisturbed, disturbed, forget
from tests.filelayer import Fault
from tests.homes import at, hand_over, new_home, point, reads_of, run
from tests.power import cut_power
from tests.watched import WatchedLife

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


@pytest.fixture(scope="module")
def watched_life(tmp_path_factory: pytest.TempPathFactory) -> WatchedLife:
    return WatchedLife.made(tmp_path_factory.mktemp("watched"), points=6)


@pytest.fixture(scope="module")
def undisturbed_watch(watched_life: WatchedLife, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    found = watched_life.undisturbed(tmp_path_factory.mktemp("undisturbed-watch") / "home")
    names = [{name.rpartition("/")[0] for name in after} for after in found.after]
    assert any(name.endswith("20261006") for name in names[-3] - names[-1]), "something was forgotten"
    assert any("W41120" in name for name in found.after[3])
    assert found.counts[5]["remove"] > 0, "something was compacted"
    return found


@pytest.mark.xdist_group("watched life")  # one worker lives it without fault
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(EACH // 2))
@pytest.mark.parametrize("what", WHATS if DEEP else ("kill", "power", "once", "halt"))
def test_a_fault_at_any_change_of_a_home_that_is_watched_leaves_nothing_behind(
    watched_life: WatchedLife, undisturbed_watch: Undisturbed, root: Path, what: str, seed: int
) -> None:
    outcome = disturbed(watched_life, root, undisturbed_watch, random.Random(f"{what}{seed}"), what)  # noqa: S311

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


def test_an_import_whose_arrays_do_not_fit_the_disk_says_so_and_can_be_made_again(life: Life, root: Path) -> None:
    koma = [str(Path(sys.executable).with_name("koma")), "master", "import", str(life.town.master), "--home", str(root)]
    limit = (
        f"import resource, os; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); os.execv({koma[0]!r}, {koma!r})"
    )

    whole = subprocess.run([*koma[:-1], f"{root}.whole"], capture_output=True, text=True, check=False)  # compiles
    cut = subprocess.run([sys.executable, "-c", limit], capture_output=True, text=True, check=False)
    again = subprocess.run(koma, capture_output=True, text=True, check=False)

    assert whole.returncode == 0, whole.stderr
    assert (cut.returncode, "Traceback" in cut.stderr) == (1, False), cut.stderr
    assert "koma: " in cut.stderr
    assert "ulimit -f" in cut.stderr
    assert (again.returncode, "Master version 1 is current" in again.stderr) == (0, True), again.stderr


@pytest.mark.parametrize("command", ["replay", "clock"])
def test_what_an_operator_was_told_is_done_outlives_a_power_cut(life: Life, root: Path, command: str) -> None:
    home = new_home(root, points=[{"point_id": point(0)}])
    hand_over(home, "odd.csv", reads_of("M0", at("2026-10-06T22:41"), [100]))  # off the grid
    run(home)
    arguments = {
        "replay": ("quarantine", "replay", "--by", "an operator", "--why", "to try"),
        "clock": ("KOMA_CLOCK=manual", "clock", "set", "2026-10-08T00:00:00+09:00"),
    }[command]

    struck = Command(root, arguments, Fault("power", "end")).start()
    assert struck.wait() == -signal.SIGKILL, struck.said
    cut_power(root, root.with_name(f"{root.name}.durable"), random.Random(1), names="none")  # noqa: S311

    if command == "replay":
        assert [each.name for each in landing.entries(home.landing)] == ["replay-00000000.arrow"]
        assert list(entries(home)) == []
    else:
        assert manual_clock(home).now_ms() == at("2026-10-08T00:00")
