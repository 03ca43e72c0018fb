# SPDX-License-Identifier: Apache-2.0
"""`pipeline run --watch` on a clock that the test moves: what goes first, what is waited out, how it ends."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from koma.clock import ManualClock
from koma.errors import HomeError
from pipeline.home import BusyError, Home
from pipeline.intake import TakenIn, take_in
from pipeline.journal import read_state
from pipeline.run import Run
from pipeline.status_file import read_status
from pipeline.watch import watch
from tests.homes import (
    HOUR_MS,
    MINUTE_MS,
    SLOT_MS,
    Read,
    at,
    digests,
    hand_over,
    iso,
    learn,
    new_home,
    point,
    reads_of,
    run,
    settings_of,
)
from tests.independent_reader import files, read_tree

KOMA = Path(sys.executable).with_name("koma")
T = at("2026-10-06T23:00")
FIRST = T - SLOT_MS
METERS = 12
MANY_TURNS = 500


def town(root: Path, meters: int = METERS) -> Home:
    return new_home(
        root,
        points=[{"point_id": point(n)} for n in range(meters)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(meters)],
        supply=[
            {"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(meters)
        ],
    )


@dataclass(slots=True)
class World:
    """A watch, and all that moves while it works or waits: the clock, what lands, what breaks and is repaired."""

    home: Home
    clock: ManualClock
    settings: dict[str, Any] = field(default_factory=dict)
    on_pause: list[Callable[[], object]] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    steady_ms: int = 0

    def pause(self, seconds: float) -> None:
        """Let time pass, then do what is next in the world; ask the watch to end when there is nothing."""
        self.waited.append(seconds)
        self.pass_by(seconds)
        if self.on_pause:
            self.on_pause.pop(0)()
        else:
            os.kill(os.getpid(), signal.SIGTERM)

    def pass_by(self, seconds: float) -> None:
        self.clock.advance(int(seconds * 1000))
        self.steady_ms += int(seconds * 1000)

    def runs(self, **options: Any) -> Generator[Run]:
        changes = {"watch_gather_s": 0, "first_slot": FIRST // SLOT_MS} | self.settings
        return watch(self.home, settings_of(self.home, **changes), self.clock, pause=self.pause, **options)

    def until_idle(self, **options: Any) -> list[Run]:
        done = []
        for each in self.runs(**options):
            done.append(each)
            assert len(done) < MANY_TURNS, "the watch does not come to rest"
        return done

    def status(self) -> dict[str, Any]:
        facts = read_status(self.home)
        assert facts is not None
        return facts


def issues(home: Home) -> list[tuple[str, str, int, int]]:
    """Give (instant, slot, revision, rows available) of every file, by instant."""
    return sorted(
        (each.issued_at, each.slot_start, each.revision, sum(row.available for row in each.rows))
        for each in files(home.deliveries)
    )


def values(home: Home) -> dict[tuple[str, str, str], int | None]:
    return {cell: known.energy_dwh for cell, known in read_tree(home.deliveries).items()}


def current_reads(meters: int = METERS, late_ms: int = 2 * MINUTE_MS) -> list[Read]:
    return [read for n in range(meters) for read in reads_of(f"M{n}", FIRST, [100 + n, 107 + n], delay_ms=late_ms)]


def test_an_instant_is_issued_when_the_clock_has_passed_it_by_the_delay(tmp_path: Path) -> None:
    world = World(town(tmp_path / "home"), ManualClock(T + 10 * MINUTE_MS + 58_000))
    hand_over(world.home, "a.arrow", current_reads())
    world.on_pause = [lambda: None, lambda: None, lambda: None]
    world.until_idle()
    assert [each[0] for each in issues(world.home)] == [iso(T + 10 * MINUTE_MS)]
    assert read_state(world.home.path("journal")).issued_ms == T + 10 * MINUTE_MS
    said = world.status()
    assert said["phase"] == "stopped"
    assert said["last_issue"]["instant"] == iso(T + 10 * MINUTE_MS)
    assert said["last_issue"]["lag_s"] < 2


def test_the_current_slot_goes_out_in_time_while_a_flood_of_history_waits(tmp_path: Path) -> None:
    """48 hours of all meters land before the current reads, and each turn of them takes twenty seconds."""
    home, plain = town(tmp_path / "home"), town(tmp_path / "plain")
    settings: dict[str, Any] = {"first_slot": (FIRST - 48 * HOUR_MS) // SLOT_MS}
    for each in (home, plain):
        run(each, wall_ms=T, **settings)  # all of the history is closed, as missing
        for n in range(METERS):
            hand_over(each, f"0-history-{n:02d}.arrow", reads_of(f"M{n}", FIRST - 48 * HOUR_MS, range(4, 100)))
    world = World(home, ManualClock(T + 9 * MINUTE_MS), {**settings, "turn_rows": 100})
    still_waiting, issued_after = -1, 0.0
    watching = world.runs()
    with closing(watching):
        for number, done in enumerate(watching):
            assert number < MANY_TURNS
            assert done.taken.files <= 1, "a turn holds one history"
            world.pass_by(20)
            if number == 0:
                for each in (home, plain):
                    hand_over(each, "9-current.arrow", current_reads())
            if done.issued.rows and still_waiting < 0:
                still_waiting = len(list(home.landing.glob("0-*")))
                issued_after = (done.clock_ms - T) / 60_000
            if not any(home.landing.iterdir()) and read_state(home.path("journal")).issued_ms >= T + 45 * MINUTE_MS:
                break
            if world.clock.now_ms() < T + 47 * MINUTE_MS:
                world.on_pause = [lambda: world.pass_by(20)] * 3
    assert (iso(T + 10 * MINUTE_MS), iso(FIRST), 0, METERS) in issues(home)
    assert still_waiting > 0
    assert issued_after <= 11 + 1
    for each in (plain, home):  # until each slot of the history has had a revision
        run(each, wall_ms=T + 26 * HOUR_MS, **settings)
    assert values(home) == values(plain)


def test_a_turn_takes_in_no_more_than_it_may_and_the_values_are_those_of_one_run(tmp_path: Path) -> None:
    home, plain = town(tmp_path / "home"), town(tmp_path / "plain")
    for each in (home, plain):
        for n in range(METERS):
            hand_over(each, f"{n:02d}.csv", reads_of(f"M{n}", FIRST, range(1, 6)))
    world = World(home, ManualClock(T + 3 * HOUR_MS), {"turn_rows": 12})
    done = world.until_idle()
    assert [each.taken.files for each in done if each.taken.files] == [2] * 6
    assert sum(each.taken.counts.accepted for each in done) == METERS * 5
    run(plain, wall_ms=T + 3 * HOUR_MS - 60_000, first_slot=FIRST // SLOT_MS)
    assert values(home) == values(plain)
    assert digests(home.deliveries) == digests(plain.deliveries)


def test_a_home_that_catches_up_issues_a_bounded_number_of_cells_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.agenda.CATCH_UP_CELLS", 2)  # two slots of one point
    home = town(tmp_path / "home", 1)
    hand_over(home, "a.arrow", reads_of("M0", FIRST, range(1, 10)))
    done = World(home, ManualClock(T + 3 * HOUR_MS)).until_idle()
    assert len([each for each in done if "issue" in each.seconds]) == 4
    assert len({each[1] for each in issues(home)}) == 6


def test_reads_that_waited_for_a_master_are_judged_soon_after_it_comes(tmp_path: Path) -> None:
    """Nothing lands meanwhile; the watch goes on with the new master by itself."""
    home = town(tmp_path / "home", 1)
    hand_over(home, "a.arrow", current_reads(2))
    world = World(home, ManualClock(T + 5 * MINUTE_MS))
    world.on_pause = [
        lambda: learn(
            home,
            points=[{"point_id": point(1)}],
            meters=[{"point_id": point(1), "meter_id": "M1", "digits": 6, "unit_exponent": -1}],
            supply=[{"point_id": point(1), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
        ),
        lambda: world.pass_by(400),
    ]
    done = world.until_idle()
    assert [each.taken.counts.held for each in done if each.taken.files] == [2]
    assert (iso(T + 10 * MINUTE_MS), iso(FIRST), 0, 2) in issues(home)


def break_registers(home: Home) -> None:
    """Put a file where a folder should be, as a file system that is not mounted does."""
    home.path("registers").rename(home.root / "elsewhere")
    home.path("registers").write_text("not mounted")


def mend_registers(home: Home) -> None:
    home.path("registers").unlink()
    (home.root / "elsewhere").rename(home.path("registers"))


def test_a_fault_of_the_disk_is_waited_out_and_nothing_is_lost_or_published_twice(tmp_path: Path) -> None:
    home, plain = town(tmp_path / "home"), town(tmp_path / "plain")
    for each in (home, plain):
        hand_over(each, "a.arrow", current_reads())
    world = World(home, ManualClock(T + 12 * MINUTE_MS))
    break_registers(home)
    said: list[dict[str, Any]] = []

    def mend() -> None:
        said.append(world.status())
        mend_registers(home)

    world.on_pause = [lambda: None, lambda: None, mend]
    done = world.until_idle()
    assert world.waited[:3] == [1, 2, 4]
    assert said[0]["phase"] == "trouble"
    assert said[0]["errors"][0]["times"] == 3
    assert "look whether it is mounted" in said[0]["errors"][0]["what_to_do"]
    assert sum(each.taken.counts.accepted for each in done) == 2 * METERS
    run(plain, wall_ms=T + 11 * MINUTE_MS, first_slot=FIRST // SLOT_MS)
    assert digests(home.deliveries) == digests(plain.deliveries)


@pytest.mark.parametrize("limit", [0, 700])
def test_files_that_cannot_grow_are_waited_out(tmp_path: Path, limit: int) -> None:
    """As on a full disk, writes end in the middle: of a register file, of a delivery file, of the journal."""
    home, plain = town(tmp_path / "home"), town(tmp_path / "plain")
    world = World(home, ManualClock(T + 8 * MINUTE_MS))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        for each in (home, plain):
            hand_over(each, "a.arrow", current_reads())
        world.pass_by(4 * 60)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    def mend() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    world.on_pause = [fill, lambda: None, mend]
    try:
        world.until_idle()
    finally:
        mend()
    assert world.waited[1:3] == [1, 2]
    run(plain, wall_ms=T + 5 * MINUTE_MS, first_slot=FIRST // SLOT_MS)
    run(plain, wall_ms=T + 10 * MINUTE_MS, first_slot=FIRST // SLOT_MS)
    assert digests(home.deliveries) == digests(plain.deliveries)
    assert not list(home.landing.iterdir())


def test_a_journal_that_is_damaged_ends_the_watch(tmp_path: Path) -> None:
    home = town(tmp_path / "home", 1)
    (home.path("journal") / "journal.jsonl").write_bytes(b"{nonsense}\n")
    with pytest.raises(HomeError, match="damaged"):
        World(home, ManualClock(T)).until_idle()
    with home.sole_writer("another command"):
        pass


def test_a_file_that_breaks_a_turn_is_set_aside_and_the_others_are_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = town(tmp_path / "home")
    for n in range(4):
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", FIRST, [1, 2]))

    def breaking(*arguments: Any, files: list[Path], **options: Any) -> TakenIn:
        assert all(path.name != "2.arrow" for path in files), "this file breaks every turn"
        return take_in(*arguments, files=files, **options)

    monkeypatch.setattr("pipeline.watch.take_in", breaking)
    world = World(home, ManualClock(T + 5 * MINUTE_MS))
    done = world.until_idle()
    assert sum(each.taken.counts.accepted for each in done) == 6
    assert [path.name for path in home.landing.iterdir()] == ["2.arrow"]
    assert [each["file"] for each in world.status()["waiting"]] == ["2.arrow"]


def test_a_file_whose_arrivals_run_ahead_comes_in_once_the_clock_gets_near(tmp_path: Path) -> None:
    home = town(tmp_path / "home", 1)
    world = World(home, ManualClock(T))
    hand_over(home, "a.arrow", reads_of("M0", FIRST, [1, 2]))
    hand_over(home, "ahead.arrow", reads_of("M0", T + 12 * 24 * HOUR_MS, [30]))
    waits: list[list[str]] = []

    def later() -> None:
        waits.append([each["file"] for each in world.status()["waiting"]])
        world.pass_by(3 * 24 * 3600)

    world.on_pause = [later, later, later]
    world.until_idle()
    assert waits == [["ahead.arrow"], ["ahead.arrow"], []]
    assert not list(home.landing.iterdir())


def test_reads_are_taken_in_after_weeks_without_any(tmp_path: Path) -> None:
    """They lie far ahead of the last ones, and just where the clock stands."""
    home = town(tmp_path / "home", 1)
    hand_over(home, "a.arrow", reads_of("M0", FIRST, [1, 2]))
    run(home, wall_ms=T, first_slot=FIRST // SLOT_MS)
    later = T + 20 * 24 * HOUR_MS
    world = World(home, ManualClock(later))
    hand_over(home, "b.arrow", reads_of("M0", later - SLOT_MS, [30, 31], delay_ms=0))
    world.until_idle(steady=lambda: world.steady_ms)
    assert not list(home.landing.iterdir())
    assert read_state(home.path("journal")).issued_ms >= later - 5 * MINUTE_MS


def test_a_clock_that_jumps_ahead_issues_nothing_until_reads_agree(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    world = World(home, ManualClock(T + 5 * MINUTE_MS))
    hand_over(home, "a.arrow", current_reads())
    jumped = T + 4 * HOUR_MS
    until: list[object] = []

    def agree() -> None:
        until.append(world.status()["issued_until"])
        until.append(world.status()["clock_objection"])
        hand_over(home, "b.arrow", reads_of("M0", T + SLOT_MS * 7, [900], delay_ms=29 * MINUTE_MS))

    world.on_pause = [lambda: world.clock.set(jumped), lambda: None, agree]
    world.until_idle(steady=lambda: world.steady_ms)
    assert until[0] == iso(T)
    assert "stepped ahead by 140" in str(until[1])
    assert read_state(home.path("journal")).issued_ms == jumped - 5 * MINUTE_MS


def test_a_clock_that_jumps_ahead_and_is_put_right_leaves_no_trace(tmp_path: Path) -> None:
    home, plain = town(tmp_path / "home"), town(tmp_path / "plain")
    for each in (home, plain):
        hand_over(each, "a.arrow", current_reads())

    class Stepping:
        def __init__(self) -> None:
            self.ahead_ms = 0

        def now_ms(self) -> int:
            return world.clock.now_ms() + self.ahead_ms

    wrong = Stepping()
    world = World(home, ManualClock(T + 5 * MINUTE_MS))

    def step(ahead_ms: int) -> None:
        wrong.ahead_ms = ahead_ms

    world.on_pause = [
        lambda: step(3 * HOUR_MS),
        lambda: step(0),
        lambda: step(-3 * HOUR_MS),
        lambda: step(0),
        lambda: world.pass_by(7 * 60),
        lambda: None,
    ]
    settings = settings_of(home, watch_gather_s=0, first_slot=FIRST // SLOT_MS)
    for _ in watch(home, settings, wrong, pause=world.pause, steady=lambda: world.steady_ms):
        pass
    run(plain, wall_ms=T + 10 * MINUTE_MS, first_slot=FIRST // SLOT_MS)
    assert digests(home.deliveries) == digests(plain.deliveries)


def test_a_second_watch_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    home = town(tmp_path / "home", 1)
    with (
        home.sole_writer("pipeline run --watch"),
        pytest.raises(BusyError, match=r"koma pipeline run --watch \(process"),
    ):
        World(home, ManualClock(T)).until_idle()


def test_two_signals_end_it_as_orderly_as_one(tmp_path: Path) -> None:
    home, plain = town(tmp_path / "home"), town(tmp_path / "plain")
    for each in (home, plain):
        for n in range(METERS):
            hand_over(each, f"{n:02d}.arrow", reads_of(f"M{n}", FIRST, [1, 2]))
    process = subprocess.Popen(
        [KOMA, "pipeline", "run", "--watch", "--home", str(home.root)],
        env={**os.environ, "KOMA_FIRST_SLOT": iso(FIRST), "KOMA_CLOCK": "wall"},
        stdout=subprocess.PIPE,
        text=True,
    )
    ends = time.monotonic() + 60
    try:
        while (read_status(home) or {"phase": "starting"})["phase"] == "starting":
            assert time.monotonic() < ends, "the watch did not begin"
            assert process.poll() is None, "the watch ended"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert all(json.loads(line) for line in said.splitlines())
    facts = read_status(home)
    assert facts is not None
    assert (facts["phase"], facts["running"]) == ("stopped", False)
    run(home, first_slot=FIRST // SLOT_MS)
    taken = [path.name for path in home.path("taken").rglob("*.arrow")]
    assert sorted(taken) == [f"{n:02d}.arrow" for n in range(METERS)]
