# SPDX-License-Identifier: Apache-2.0
import pytest

from koma.slots import MS_PER_MINUTE, MS_PER_SLOT, slot_start_ms
from pipeline.ledger.promise import AHEAD, MET, MISSED, PAGE, TICKET, Events, burn_rates, deadlines

SLOT = 992_000
END = slot_start_ms(SLOT) + MS_PER_SLOT


def after(minutes: int) -> int:
    return END + minutes * MS_PER_MINUTE


def states(now_min: int, out: dict[int, int]) -> list[str]:
    found = deadlines(SLOT, {after(instant): after(at) for instant, at in out.items()}, after(now_min))
    assert [each.minutes for each in found] == [20, 35, 50, 60]
    return [each.state for each in found]


@pytest.mark.parametrize(
    ("now_min", "out", "wanted"),
    [
        (5, {}, [AHEAD] * 4),
        (20, {}, [AHEAD] * 4),  # at the very minute it may still come
        (21, {}, [MISSED, AHEAD, AHEAD, AHEAD]),
        (21, {10: 11}, [MET, AHEAD, AHEAD, AHEAD]),
        (36, {10: 11}, [MET, MISSED, AHEAD, AHEAD]),
        (36, {10: 11, 30: 36}, [MET, MISSED, AHEAD, AHEAD]),
        (55, {10: 11, 30: 31}, [MET, MET, MISSED, AHEAD]),
        (61, {10: 11, 30: 31}, [MET, MET, MISSED, MISSED]),
        (61, {10: 11, 30: 31, 45: 55}, [MET, MET, MISSED, MET]),
        (999, {10: 11, 30: 31, 45: 46}, [MET] * 4),
        (999, {45: 34}, [MET if rung > 20 else MISSED for rung in (20, 35, 50, 60)]),
    ],
)
def test_each_deadline_is_met_missed_or_ahead(now_min: int, out: dict[int, int], wanted: list[str]) -> None:
    assert states(now_min, out) == wanted


def test_a_slot_that_one_retailer_misses_is_seen_by_its_deadline_and_by_no_burn_rate() -> None:
    events = [Events(SLOT - k, 500, 1 if k == 0 else 0) for k in range(144)]
    assert not any(each.burning for each in burn_rates("on_time", events, SLOT))
    assert states(61, {})[-1] == MISSED


def test_a_slot_that_all_miss_wakes_somebody() -> None:
    events = [Events(SLOT - k, 500, 500 if k == 0 else 0) for k in range(144)]
    assert all(each.burning for each in burn_rates("on_time", events, SLOT))


def test_what_is_over_burns_no_more_in_the_short_window() -> None:
    events = [Events(SLOT - k, 500, 500 if k == 1 else 0) for k in range(144)]
    found = burn_rates("on_time", events, SLOT)
    assert found[0].long_burn > found[0].factor
    assert [each.burning for each in found if each.severity == PAGE] == [False, False]


def test_a_slow_leak_asks_for_a_ticket_and_wakes_nobody() -> None:
    events = [Events(SLOT - k, 10_000, 300) for k in range(144)]
    assert [(each.severity, each.burning) for each in burn_rates("complete", events, SLOT)] == [
        (PAGE, False),
        (PAGE, False),
        (TICKET, True),
    ]


def test_a_home_that_promised_nothing_burns_nothing() -> None:
    assert {each.long_burn for each in burn_rates("complete", [], SLOT)} == {0.0}
