# SPDX-License-Identifier: Apache-2.0
"""When the wall clock is not to be trusted with issuing, and what an error of the environment is."""

import errno

import pytest

from koma.errors import HomeError
from pipeline.clock_guard import DOUBT_MS, ClockGuard
from pipeline.journal import State
from pipeline.trouble import trouble_of, wait_s
from tests.homes import HOUR_MS, at

T = at("2026-10-06T23:00")
DAY_MS = 24 * HOUR_MS


class Machine:
    """A machine's two clocks."""

    def __init__(self) -> None:
        self.steady_ms = 0
        self.ahead_ms = 0
        self.guard = ClockGuard(lambda: self.steady_ms, jump_days=7)

    def objection(self, state: State, *, after_ms: int = 1000) -> str:
        self.steady_ms += after_ms
        return self.guard.objection(T + self.steady_ms + self.ahead_ms, state)


def test_a_clock_that_goes_on_is_trusted_however_long_nobody_looks() -> None:
    machine, state = Machine(), State(clock_ms=T, issued_ms=T)
    assert [machine.objection(state, after_ms=each) for each in (0, 1000, 3 * HOUR_MS, DAY_MS)] == [""] * 4


def test_a_small_correction_is_none_of_our_business() -> None:
    machine, state = Machine(), State(clock_ms=T, issued_ms=T)
    machine.objection(state)
    machine.ahead_ms = 90_000
    assert machine.objection(state) == ""


def test_a_step_ahead_is_doubted_until_a_read_agrees() -> None:
    machine, state = Machine(), State(clock_ms=T, issued_ms=T)
    machine.objection(state)
    machine.ahead_ms = HOUR_MS
    assert "stepped ahead by 3600 s" in machine.objection(state)
    assert machine.objection(state) != ""
    state.clock_ms = T + HOUR_MS
    assert machine.objection(state) == ""


def test_a_step_ahead_is_doubted_for_ten_minutes_at_most() -> None:
    machine, state = Machine(), State(clock_ms=T, issued_ms=T)
    machine.objection(state)
    machine.ahead_ms = HOUR_MS
    assert machine.objection(state) != ""
    assert machine.objection(state, after_ms=DOUBT_MS - 1) != ""
    assert machine.objection(state, after_ms=1) == ""


def test_a_step_that_is_taken_back_is_forgotten() -> None:
    machine, state = Machine(), State(clock_ms=T, issued_ms=T)
    machine.objection(state)
    machine.ahead_ms = HOUR_MS
    assert machine.objection(state) != ""
    machine.ahead_ms = 0
    assert machine.objection(state) == ""


def test_a_clock_that_went_back_says_until_when_nothing_is_issued() -> None:
    machine, state = Machine(), State(clock_ms=T, issued_ms=T)
    machine.objection(state)
    machine.ahead_ms = -2 * HOUR_MS
    assert "all is issued until 2026-10-06T23:00:00+09:00" in machine.objection(state)


@pytest.mark.parametrize("ahead_days", [-20_000, 8])
def test_a_clock_far_from_all_that_is_known_waits_for_a_person(ahead_days: int) -> None:
    machine, state = Machine(), State(clock_ms=T, issued_ms=T)
    machine.ahead_ms = ahead_days * DAY_MS
    assert machine.objection(state) != ""
    assert machine.objection(state, after_ms=2 * DOUBT_MS) != ""
    machine.guard.accept = True
    assert machine.objection(state) == ""


@pytest.mark.parametrize(
    ("error", "says", "what_to_do"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "No space left", "make room"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "Read-only", "mount it for writing"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied", "right to read"),
        (RuntimeError("Trace\nOSError: [Errno 28] No space left [while running 'X']"), "[Errno 28]", "make room"),
        (OSError(5, "Input/output error", "/x"), "Input/output error: '/x'", "look at the disk"),
        (MemoryError(), "no memory", "more memory"),
    ],
)
def test_faults_of_the_environment_say_what_to_do(error: Exception, says: str, what_to_do: str) -> None:
    trouble = trouble_of(error)
    assert trouble is not None
    assert says in trouble.message
    assert "while running" not in trouble.message
    assert what_to_do in trouble.what_to_do


def test_other_errors_are_no_fault_of_the_environment() -> None:
    for error in (HomeError("damaged"), RuntimeError("something else"), AssertionError("a sum is wrong")):
        assert trouble_of(error) is None


def test_waits_grow_and_are_bounded() -> None:
    assert [wait_s(n) for n in (1, 2, 3, 7, 1000)] == [1, 2, 4, 60, 60]
