# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.clock import Clock, ManualClock, WallClock
from koma.errors import InstantError
from koma.slots import parse_utc


def test_both_clocks_serve_where_a_clock_is_asked_for() -> None:
    clocks: list[Clock] = [WallClock(), ManualClock(0)]
    assert clocks[0].now_ms() > parse_utc("2024-01-01T00:00:00Z")
    assert clocks[1].now_ms() == 0


@given(st.lists(st.integers(0, 10**12)))
def test_a_manual_clock_stands_where_it_was_put(instants: list[int]) -> None:
    clock = ManualClock(0)
    for instant in sorted(instants):
        clock.set(instant)
        assert clock.now_ms() == instant


def test_a_manual_clock_refuses_to_go_back_and_stays() -> None:
    clock = ManualClock(1000)
    with pytest.raises(InstantError, match="cannot go back"):
        clock.set(999)
    with pytest.raises(InstantError, match="forward only"):
        clock.advance(-1)
    assert clock.now_ms() == 1000


def test_threads_that_advance_a_clock_lose_nothing() -> None:
    clock = ManualClock(0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(clock.advance, [1] * 2000))
    assert clock.now_ms() == 2000
