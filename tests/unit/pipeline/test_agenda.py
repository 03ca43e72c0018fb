# SPDX-License-Identifier: Apache-2.0
"""What a watch does next, from what lies in landing, what was issued and the clock alone."""

import resource
from pathlib import Path
from typing import Any

import pytest

from koma.settings import Settings
from pipeline.agenda import Agenda, Kind
from pipeline.backlog import BACKFILL, CURRENT, MIXED, Backlog, Landed, cut_turn
from pipeline.home import Home
from pipeline.instants import GRID_MS, MINUTE_MS
from pipeline.journal import State
from tests.homes import HOUR_MS, SLOT_MS, at, drop, hand_over, new_home, reads_of

T = at("2026-10-06T23:00")
OPEN = T - SLOT_MS


def landed(name: str, *stamps: int, rows: int = 10, seen_ms: int = 0) -> Landed:
    return Landed(name, 1, seen_ms, 100, rows, stamps, looked=True)


def agenda(home: Home, *, by_hand: bool = False, **changes: Any) -> Agenda:
    return Agenda(Settings(home=home.root, **changes), by_hand)


def looked_at(home: Home, now_ms: int) -> Backlog:
    backlog = Backlog(home.landing)
    backlog.scan(now_ms)
    backlog.look(60.0)
    return backlog


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = new_home(tmp_path / "home")
    hand_over(made, "a-history.arrow", reads_of("M1", T - 48 * HOUR_MS, range(90)))
    hand_over(made, "b-mixed.csv", reads_of("M2", T - 20 * HOUR_MS, range(41)))
    hand_over(made, "c-current.echonet", reads_of("M3", T, [7]))
    return made


def state(issued_ms: int) -> State:
    return State(issued_ms=issued_ms, first_slot=(T - 96 * HOUR_MS) // SLOT_MS)


def test_the_kind_of_a_file_follows_from_its_stamps_and_what_is_closed() -> None:
    assert landed("a", OPEN, T).kind(OPEN) == CURRENT
    assert landed("a", *[OPEN - SLOT_MS] * 5, T).kind(OPEN) == MIXED
    assert landed("a", OPEN - SLOT_MS).kind(OPEN) == BACKFILL
    assert landed("a").kind(OPEN) == CURRENT, "what cannot be known must not be late"


def test_a_slot_is_open_until_its_closing_is_issued(home: Home) -> None:
    plan = agenda(home)
    assert plan.open_ms(state(T + 44 * MINUTE_MS)) == OPEN
    assert plan.open_ms(state(T + 45 * MINUTE_MS)) == T


def test_current_goes_before_mixed_before_backfill(home: Home) -> None:
    backlog = looked_at(home, T)
    assert [each.name for each in backlog.ready(OPEN, T)] == ["c-current.echonet", "b-mixed.csv", "a-history.arrow"]


def test_the_odd_late_file_goes_before_a_flood_that_landed_before_it() -> None:
    old = OPEN - 30 * HOUR_MS
    files = [
        landed("flood-0", old, rows=90_000, seen_ms=0),
        landed("flood-1", old, rows=80_000, seen_ms=1),
        landed("late", old, rows=500, seen_ms=2),
    ]
    assert [each.name for each in sorted(files, key=lambda each: each.rank(OPEN))] == ["late", "flood-0", "flood-1"]


def test_however_long_current_files_take_backfill_has_its_seconds_after_them(home: Home) -> None:
    now_ms = T + 11 * MINUTE_MS
    plan, backlog, known = agenda(home), looked_at(home, now_ms), state(T + 5 * MINUTE_MS)
    assert plan.next_step(backlog, known, now_ms).kind is Kind.CURRENT
    done_ms = now_ms + 45_000
    (home.landing / "c-current.echonet").unlink()
    backlog.scan(done_ms)

    kinds = [plan.next_step(backlog, known, done_ms + ms).kind for ms in (0, 19_999, 20_000)]

    assert kinds == [Kind.BACKFILL, Kind.BACKFILL, Kind.ISSUE]


def test_an_instant_waits_for_current_files_and_only_so_long_for_others(home: Home) -> None:
    now_ms = T + 11 * MINUTE_MS
    plan, backlog, known = agenda(home), looked_at(home, now_ms), state(T + 5 * MINUTE_MS)
    first = plan.next_step(backlog, known, now_ms)
    assert (first.kind, [each.name for each in first.files]) == (Kind.CURRENT, ["c-current.echonet"])
    (home.landing / "c-current.echonet").unlink()
    backlog.scan(now_ms)
    second = plan.next_step(backlog, known, now_ms + 19_000)
    assert (second.kind, second.files[0].name) == (Kind.BACKFILL, "b-mixed.csv")
    third = plan.next_step(backlog, known, now_ms + 39_000)
    assert (third.kind, third.to_ms) == (Kind.ISSUE, T + 10 * MINUTE_MS)


def test_what_lands_after_an_instant_fell_due_does_not_hold_it_up(home: Home) -> None:
    now_ms = T + 11 * MINUTE_MS
    plan, known = agenda(home, watch_backfill_s=0), state(T + 5 * MINUTE_MS)
    backlog = looked_at(home, now_ms)
    assert plan.next_step(backlog, known, now_ms).kind is Kind.CURRENT
    (home.landing / "c-current.echonet").unlink()
    hand_over(home, "d-current.arrow", reads_of("M4", T, [7]))
    backlog.scan(now_ms + 1000)
    backlog.look(60.0)
    assert plan.next_step(backlog, known, now_ms + 1000).kind is Kind.ISSUE


def test_by_hand_all_of_landing_is_taken_in_before_an_instant(home: Home) -> None:
    plan, known, taken = agenda(home, by_hand=True, turn_rows=1), state(T), []
    now_ms = T + 10 * MINUTE_MS
    for _ in range(3):
        backlog = looked_at(home, now_ms)
        step = plan.next_step(backlog, known, now_ms)
        taken += [each.name for each in step.files]
        (home.landing / taken[-1]).unlink()
    assert taken == ["c-current.echonet", "b-mixed.csv", "a-history.arrow"]
    assert plan.next_step(looked_at(home, now_ms), known, now_ms).kind is Kind.ISSUE


def test_current_files_gather_until_a_turn_is_worth_its_price(home: Home) -> None:
    plan, known = agenda(home, watch_gather_s=10), state(T + 5 * MINUTE_MS)
    backlog = looked_at(home, T + 6 * MINUTE_MS)
    assert plan.next_step(backlog, known, T + 6 * MINUTE_MS).kind is Kind.CURRENT, "nothing took long so far"
    plan.took(Kind.CURRENT, 400)
    kinds = [plan.next_step(backlog, known, T + 6 * MINUTE_MS + ms).kind for ms in (0, 3_999, 4_000)]
    assert kinds == [Kind.BACKFILL, Kind.BACKFILL, Kind.CURRENT]
    plan.took(Kind.CURRENT, 60_000)
    assert plan.next_step(backlog, known, T + 6 * MINUTE_MS + 10_000).kind is Kind.CURRENT


def test_backfill_does_not_begin_when_it_would_run_into_the_next_instant(home: Home) -> None:
    (home.landing / "c-current.echonet").unlink()
    plan, known, falls_due_ms = agenda(home), state(T + 5 * MINUTE_MS), T + 11 * MINUTE_MS
    backlog = looked_at(home, T)
    plan.took(Kind.BACKFILL, 30_000)
    assert plan.next_step(backlog, known, falls_due_ms - 30_000).kind is Kind.BACKFILL
    assert plan.next_step(backlog, known, falls_due_ms - 29_999).kind is Kind.WAIT
    plan.took(Kind.BACKFILL, GRID_MS)
    assert plan.next_step(backlog, known, falls_due_ms - 1000).kind is Kind.BACKFILL, "no moment would be better"


def test_nothing_is_issued_while_the_clock_is_in_doubt(home: Home) -> None:
    step = agenda(home).next_step(looked_at(home, T), state(T), T + 2 * HOUR_MS, may_issue=False)
    assert step.kind is Kind.CURRENT


def test_a_turn_ends_at_its_rows_and_bytes_and_holds_at_least_one_file(home: Home) -> None:
    files = [landed(str(n), T, rows=40) for n in range(5)]
    by_rows = Settings(home=home.root, turn_rows=100)
    by_bytes = Settings(home=home.root, turn_bytes=300)
    alone = Settings(home=home.root, turn_rows=1, turn_bytes=1)
    assert [len(cut_turn(files, each)) for each in (by_rows, by_bytes, alone)] == [2, 3, 1]


def test_a_file_that_cannot_be_opened_is_tried_again_and_holds_nothing_up(home: Home) -> None:
    drop(home, "d-current.csv", (home.landing / "b-mixed.csv").read_bytes())
    backlog = Backlog(home.landing)
    backlog.scan(T)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # as when all handles are in use
    try:
        backlog.look(60.0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [each.shut for each in backlog.files] == ["Too many open files"] * 4
    assert (backlog.ready(OPEN, T), backlog.unknown) == ([], 0)
    for each in backlog.files:
        each.retry_s = 0.0
    backlog.look(60.0)
    assert len(backlog.ready(OPEN, T)) == 4


def test_another_file_of_the_same_name_is_looked_at_anew(home: Home) -> None:
    backlog = looked_at(home, T)
    backlog.set_aside("c-current.echonet", {"file": "c-current.echonet"})
    assert len(backlog.ready(OPEN, T)) == 2
    (home.landing / "kept").hardlink_to(home.landing / "c-current.echonet")  # keeps its inode in use
    hand_over(home, "c-current.echonet", reads_of("M3", T - 40 * HOUR_MS, [7]))
    backlog.scan(T + 1000)
    backlog.look(60.0)
    (home.landing / "kept").unlink()
    backlog.scan(T + 1000)
    assert {each.name: each.kind(OPEN) for each in backlog.ready(OPEN, T)}["c-current.echonet"] == BACKFILL
