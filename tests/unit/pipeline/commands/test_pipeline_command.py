# SPDX-License-Identifier: Apache-2.0
"""`koma pipeline run` and `koma quarantine`: what they say to people."""

import json
import stat
from pathlib import Path

import pytest

from koma.cli import main
from koma.clock import ManualClock
from pipeline.home import Home
from pipeline.status_file import lines_of
from pipeline.watch import watch
from tests.homes import Read, at, hand_over, new_home, point, reads_of, settings_of

START = at("2026-10-06T22:30")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(each) for each in arguments])
    return int(left.value.code or 0)


def served(root: Path) -> Home:
    home = new_home(
        root,
        points=[{"point_id": point(1)}],
        meters=[{"point_id": point(1), "meter_id": "M1", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(1), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
    )
    hand_over(home, "a.arrow", [*reads_of("M1", START, [1, 2, 3]), Read("M1", START + 600_000, START + 600_000, 3)])
    return home


def test_a_home_that_was_not_there_is_named_as_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pipeline", "run", "--once", "--home", tmp_path / "hoem") == 0
    assert f"{tmp_path / 'hoem'} is new: there is no master yet (koma master import DIR)" in capsys.readouterr().err
    assert run("pipeline", "run", "--once", "--home", tmp_path / "hoem") == 0
    assert capsys.readouterr().err == ""


def test_held_reads_are_said_to_wait_for_a_master(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = new_home(tmp_path / "home")
    hand_over(home, "a.arrow", reads_of("M1", START, [1, 2]))
    assert run("pipeline", "run", "--once", "--home", home.root) == 0
    assert "2 reads wait for a master that knows their meters: koma master import DIR" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--once", "--watch"), ("--once", "--clock", "sundial")])
def test_a_run_in_no_known_way_is_a_usage_error(
    arguments: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pipeline", "run", *arguments, "--home", tmp_path) == 2
    words = capsys.readouterr().err
    assert "--once" in words or "wall, received or manual" in words


def test_nothing_that_a_run_writes_is_open_to_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "made" / "home"
    run("pipeline", "run", "--once", "--home", home)
    served(home)
    assert run("pipeline", "run", "--once", "--home", home) == 0
    written = [home, *home.rglob("*")]
    assert any(each.suffix == ".zip" for each in written)
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in written}
    own = {each: mode for each, mode in modes.items() if each.parent.name != "landing"}
    assert {each: oct(mode) for each, mode in own.items() if mode & 0o007} == {}
    assert all(mode & 0o040 for each, mode in own.items() if home / "deliveries" in each.parents)


def test_the_status_of_a_watch_is_one_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = served(tmp_path / "home")
    assert run("pipeline", "status", "--home", home.root) == 1
    assert "no watch has ever run" in capsys.readouterr().err
    clock = ManualClock(START + 3 * 3_600_000)
    turns = watch(home, settings_of(home, first_slot=START // 1_800_000), clock, pause=lambda _: None)
    next(turns)
    assert run("pipeline", "status", "--home", home.root, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["running"], facts["backlog"]["files"], facts["last_intake"]["received"]) == (True, 0, 4)
    turns.close()
    assert run("pipeline", "status", "--home", home.root) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["running"], facts["phase"]) == (False, "stopped")
    assert dict(lines_of(facts))["last intake"].endswith("1 files, 4 reads")


def test_the_quarantine_reads_well_at_any_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = served(tmp_path / "home")
    run("pipeline", "run", "--once", "--home", home.root)
    for width in ("120", "80", "60"):
        monkeypatch.setenv("COLUMNS", width)
        assert run("quarantine", "list", "--home", home.root) == 0
        words = capsys.readouterr().err.split()
        assert {"off_grid", "a.arrow", "M1", "2026-10-06", "22:40:00"} <= set(words)


def test_an_empty_quarantine_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = new_home(tmp_path / "home")
    assert run("quarantine", "list", "--home", home.root) == 0
    assert run("quarantine", "replay", "--by", "desk", "--why", "repaired", "--home", home.root) == 0
    assert capsys.readouterr().err.count("no read waits in quarantine") == 2
