# SPDX-License-Identifier: Apache-2.0
"""The manual clock: moved forward only, for all processes, and all that fell due is done when it stands."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from koma.cli import main
from koma.clock import KeptClock
from koma.errors import HomeError, InstantError
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.manual import WATCH, manual_clock, mark_reached, set_clock
from pipeline.run import run_once
from tests.homes import MINUTE_MS, SLOT_MS, at, digests, hand_over, iso, new_home, point, reads_of, settings_of
from tests.independent_reader import files

KOMA = Path(sys.executable).with_name("koma")
START = at("2026-10-06T22:30")
T = START + SLOT_MS


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return home_with_reads(tmp_path / "home")


def home_with_reads(root: Path) -> Home:
    made = new_home(
        root,
        points=[{"point_id": point(n)} for n in range(2)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(2)],
        supply=[{"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(2)],
    )
    hand_over(made, "a.arrow", [*reads_of("M0", START, [1, 2, 3]), *reads_of("M1", START, [5, None, 6])])
    return made


def koma(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> dict[str, object]:
    with pytest.raises(SystemExit) as left:
        main([*(str(each) for each in arguments), "--json"])
    assert int(left.value.code or 0) == status
    said: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return said


@contextmanager
def watching(home: Home) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "KOMA_CLOCK": "manual", "KOMA_HOME": str(home.root), "KOMA_FIRST_SLOT": iso(START)}
    watch = subprocess.Popen([KOMA, "pipeline", "run", "--watch"], env=environment, stdout=subprocess.PIPE, text=True)
    lock, ends = home.path("run") / "writer.lock", time.monotonic() + 60
    while not (lock.exists() and WATCH in lock.read_text()):
        assert time.monotonic() < ends, "the watch did not start"
        assert watch.poll() is None, "the watch ended"
    try:
        yield watch
    finally:
        watch.terminate()
        watch.communicate(timeout=60)


def test_a_kept_clock_stands_where_it_was_put_for_everyone_and_moves_forward_only(tmp_path: Path) -> None:
    clock, other = KeptClock(tmp_path), KeptClock(tmp_path)
    assert clock.stands_at() is None
    with pytest.raises(InstantError, match=r"never set\. Set it: koma clock set"):
        clock.now_ms()
    clock.set(T)
    clock.set(T)
    assert (clock.now_ms(), other.now_ms()) == (T, T)
    with pytest.raises(InstantError, match="cannot go back"):
        other.set(T - 1)
    assert clock.now_ms() == T


def test_a_clock_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text("{}")
    with pytest.raises(HomeError, match=r"clock\.json cannot be read"):
        KeptClock(tmp_path).stands_at()


def test_setting_the_clock_issues_what_fell_due_and_no_more(home: Home) -> None:
    settings = settings_of(home)
    for minutes in (9, 10, 20):
        set_clock(home, settings, T + minutes * MINUTE_MS)
    found = [(file.slot_start, file.issued_at) for file in files(home.deliveries)]
    assert found == [(iso(START), iso(T + 10 * MINUTE_MS))]
    set_clock(home, settings, T + SLOT_MS + 45 * MINUTE_MS)
    assert {file.slot_start for file in files(home.deliveries)} == {iso(START), iso(T)}
    assert read_state(home.path("journal")).issued_ms == T + SLOT_MS + 45 * MINUTE_MS


def test_one_step_and_many_give_the_same_bytes(tmp_path: Path) -> None:
    ends = T + SLOT_MS + 50 * MINUTE_MS
    one, many = (home_with_reads(tmp_path / name / "home") for name in ("one", "many"))
    set_clock(one, settings_of(one), ends)
    for now_ms in range(T, ends + 1, 10 * MINUTE_MS):
        set_clock(many, settings_of(many), now_ms)
    assert digests(one.deliveries) == digests(many.deliveries)


def test_the_clock_does_not_go_back_behind_what_was_issued(home: Home) -> None:
    run_once(home, settings_of(home))
    issued_ms = read_state(home.path("journal")).issued_ms
    with pytest.raises(InstantError, match="has issued all until"):
        set_clock(home, settings_of(home), issued_ms - 1)
    assert manual_clock(home).stands_at() is None


def test_a_slip_of_the_year_is_refused(home: Home) -> None:
    set_clock(home, settings_of(home), T)
    with pytest.raises(InstantError, match="more than 1000 days after"):
        set_clock(home, settings_of(home), at("2062-10-06T23:00"))
    assert manual_clock(home).now_ms() == T


def test_a_run_by_the_manual_clock_issues_until_where_it_stands(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOMA_HOME", str(home.root))
    monkeypatch.setenv("KOMA_CLOCK", "manual")
    refused = koma(capsys, "pipeline", "run", "--once", status=1)
    assert "koma clock set" in json.dumps(refused)
    assert len(list(home.landing.iterdir())) == 1
    manual_clock(home).set(T + 10 * MINUTE_MS)
    assert koma(capsys, "pipeline", "run", "--once")["clock"] == iso(T + 10 * MINUTE_MS)
    assert [file.issued_at for file in files(home.deliveries)] == [iso(T + 10 * MINUTE_MS)]


def test_the_command_moves_and_shows_the_clock(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOMA_HOME", str(home.root))
    monkeypatch.setenv("KOMA_CLOCK", "manual")
    said = koma(capsys, "clock", "set", "2026-10-06T23:12:30")
    assert (said["clock"], said["files"]) == ("2026-10-06T23:12:30+09:00", 1)
    shown = koma(capsys, "clock", "show")
    assert (shown["clock"], shown["manual"]) == ("manual", "2026-10-06T23:12:30+09:00")
    assert shown["issued"] == "2026-10-06T23:10:00+09:00"
    assert "cannot go back" in json.dumps(koma(capsys, "clock", "set", "2026-10-06T23:00", status=1))


def test_only_a_manual_clock_can_be_set(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    refused = koma(capsys, "clock", "set", "2026-10-07", "--home", home.root, status=1)
    assert refused["error"] == {
        "code": "setting.invalid",
        "message": "the clock is received, and only a manual one can be set",
        "hint": "Set KOMA_CLOCK=manual for this command and for all processes of the home",
    }
    assert manual_clock(home).stands_at() is None


def test_a_watch_by_another_clock_is_named(home: Home) -> None:
    with home.sole_writer("pipeline run --watch"), pytest.raises(HomeError, match="which follows another clock"):
        set_clock(home, settings_of(home), T)


def test_setting_returns_when_a_running_watch_has_done_what_fell_due(tmp_path: Path) -> None:
    alone, watched = (home_with_reads(tmp_path / name / "home") for name in ("alone", "watched"))
    ends = T + SLOT_MS + 50 * MINUTE_MS
    with watching(watched):
        settings = settings_of(watched, first_slot=START // SLOT_MS)
        done_here = [set_clock(watched, settings, T + 12 * MINUTE_MS), set_clock(watched, settings, ends)]
        assert read_state(watched.path("journal")).issued_ms == ends
        assert not list(watched.landing.iterdir())
    assert done_here == [None, None]
    set_clock(alone, settings_of(alone, first_slot=START // SLOT_MS), ends)
    assert digests(alone.deliveries) == digests(watched.deliveries)


def test_set_to_the_same_time_again_it_takes_in_what_has_landed_since(home: Home) -> None:
    settings = settings_of(home, first_slot=START // SLOT_MS)
    ends = T + 46 * MINUTE_MS
    set_clock(home, settings, ends)
    before = digests(home.deliveries)

    hand_over(home, "late.arrow", reads_of("M1", T, [5]))
    again = set_clock(home, settings, ends)

    assert again is not None
    assert again.summary()["accepted"] == 1
    assert list(home.landing.iterdir()) == []
    assert digests(home.deliveries) == before


def test_set_to_the_same_time_again_a_running_watch_has_taken_in_what_landed(tmp_path: Path) -> None:
    watched = home_with_reads(tmp_path / "watched")
    settings, ends = settings_of(watched, first_slot=START // SLOT_MS), T + 46 * MINUTE_MS
    with watching(watched):
        set_clock(watched, settings, ends)
        for number in range(3):
            hand_over(watched, f"late{number}.arrow", reads_of("M1", T + number * SLOT_MS, [5 + number]))
            assert set_clock(watched, settings, ends) is None
            assert list(watched.landing.iterdir()) == []


def test_what_is_reached_never_falls_back(home: Home) -> None:
    mark_reached(home, T)
    mark_reached(home, T - 1)
    assert json.loads((home.path("run") / "clock.reached.json").read_text()) == {"now_ms": T}
