# SPDX-License-Identifier: Apache-2.0
"""The grid of instants, by dates written out."""

import pytest

from koma.slots import slot_at_ms
from pipeline.instants import FIRST_ISSUES, GRID_MS, closing_ms, next_extra, regular_instants, slot_instants
from tests import reference_times
from tests.homes import SLOT_MS, at, iso


def texts(slot: str) -> list[str]:
    return [iso(each)[:16] for each in regular_instants(slot_at_ms(at(slot)))]


def test_a_slot_has_three_splits_a_closing_and_revisions_that_grow_apart() -> None:
    found = texts("2026-08-22T16:30")

    assert found[:FIRST_ISSUES] == ["2026-08-22T17:10", "2026-08-22T17:20", "2026-08-22T17:30", "2026-08-22T17:45"]
    assert found[FIRST_ISSUES : FIRST_ISSUES + 8] == [
        "2026-08-22T18:15",
        "2026-08-22T18:45",
        "2026-08-22T19:45",
        "2026-08-22T21:45",
        "2026-08-23T01:45",
        "2026-08-23T17:45",
        "2026-08-24T17:45",
        "2026-08-25T06:15",
    ]


def test_then_daily_until_day_45_and_on_thirteen_firsts_of_a_month() -> None:
    found = texts("2026-08-22T16:30")

    daily = [each for each in found if each.endswith("06:15")]
    assert daily[0] == "2026-08-25T06:15"
    assert daily[-14] == "2026-10-06T06:15"  # 45 days after the 22nd of August
    assert daily[-13:] == [
        "2026-11-01T06:15",
        "2026-12-01T06:15",
        *(f"2027-{month:02d}-01T06:15" for month in range(1, 12)),
    ]


@pytest.mark.parametrize(
    ("slot", "first_daily"),
    [
        ("2026-08-22T05:00", "2026-08-25T06:15"),  # 48 h after the closing is exactly 06:15: one instant, not two
        ("2026-08-22T04:30", "2026-08-24T06:15"),
        ("2026-08-22T23:30", "2026-08-25T06:15"),
    ],
)
def test_the_daily_instants_begin_after_the_last_of_the_others(slot: str, first_daily: str) -> None:
    found = texts(slot)

    assert found[FIRST_ISSUES + 7] == first_daily
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "slot",
    [
        "2026-08-22T16:30",
        "2026-08-22T05:00",
        "2026-12-31T23:30",
        "2028-02-28T23:30",
        "2028-02-29T00:00",
        "2027-01-17T12:00",
        "2026-10-06T23:00",
    ],
)
def test_instants_ascend_lie_on_the_grid_and_are_those_of_the_reference(slot: str) -> None:
    found = regular_instants(slot_at_ms(at(slot)))

    assert found == sorted(set(found))
    assert all(each % GRID_MS == 0 for each in found)
    assert found == reference_times.instants(at(slot))


def test_year_end_and_leap_day_are_days_like_others() -> None:
    assert texts("2026-12-31T23:30")[:4] == [
        "2027-01-01T00:10",
        "2027-01-01T00:20",
        "2027-01-01T00:30",
        "2027-01-01T00:45",
    ]
    assert texts("2028-02-28T23:30")[0] == "2028-02-29T00:10"
    assert "2028-02-29T06:15" in texts("2028-02-20T12:00")


def test_an_extra_instant_counts_for_slots_closed_before_it_and_for_no_others() -> None:
    slot = slot_at_ms(at("2026-08-22T16:30"))
    before, after = at("2026-08-22T17:15"), at("2026-08-22T18:00")

    found = slot_instants(slot, [before, after])

    assert before not in found.instants
    assert found.instants[FIRST_ISSUES] == after
    assert slot_instants(slot, []).instants == tuple(regular_instants(slot))


def test_an_extra_on_an_instant_of_the_slot_changes_nothing() -> None:
    slot = slot_at_ms(at("2026-08-22T16:30"))

    assert slot_instants(slot, [at("2026-08-22T18:15")]).instants == tuple(regular_instants(slot))


@pytest.mark.parametrize(
    ("now", "extra"),
    [
        ("2026-08-22T17:14:59", "2026-08-22T17:15"),
        ("2026-08-22T17:15:00", "2026-08-22T17:45"),
        ("2026-08-22T17:44:59", "2026-08-22T17:45"),
        ("2026-08-22T17:50:00", "2026-08-22T18:15"),
        ("2026-08-22T23:50:00", "2026-08-23T00:15"),
    ],
)
def test_the_one_more_instant_is_the_next_quarter_past_or_to(now: str, extra: str) -> None:
    assert next_extra(at(now)) == at(extra)


def test_what_is_due_and_what_was_done_last() -> None:
    slot = slot_at_ms(at("2026-08-22T16:30"))
    found = slot_instants(slot, [])

    assert found.until(at("2026-08-22T17:09")) == ()
    assert len(found.until(at("2026-08-22T17:20"))) == 2
    assert found.last_at(at("2026-08-22T17:09"))[0] == -1
    assert found.last_at(at("2026-08-22T17:46")) == (3, closing_ms(slot))
    assert closing_ms(slot) == slot * SLOT_MS + SLOT_MS + 45 * 60_000
