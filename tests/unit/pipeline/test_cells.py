# SPDX-License-Identifier: Apache-2.0
"""The value of a cell, case by case: what the registers at both ends of a slot come to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.slots import slot_at_ms
from pipeline.cell_kernels import Ends, difference
from pipeline.quality import QUALITIES
from tests.homes import MINUTE_MS, at
from tests.small_masters import CAP, END, LATER, OPEN_SLOT, SLOT, START, Meter, Point, computed, ends

INSIDE = START + 7 * MINUTE_MS


def cells(points: Sequence[Point], slot: int = SLOT) -> list[tuple[int, str, int]]:
    return computed(points, slot, ends(points))


def value(*meters: Meter, **point: Any) -> tuple[str, int]:
    """Quality and dWh of one point's cell."""
    (cell,) = cells([Point(meters, **point)])
    return cell[1:]


OLD = Meter(start=100, to_ms=END, last=103)
GONE_INSIDE = Meter(start=100, to_ms=INSIDE, last=103)

GOLDEN: dict[str, tuple[tuple[Meter, ...], tuple[str, int]]] = {
    "a plain difference": ((Meter(100, 105),), ("actual", 5_000)),
    "nothing used is a value": ((Meter(100, 100),), ("actual", 0)),
    "six digits roll over": ((Meter(999_998, 3),), ("rollover", 5_000)),
    "coefficient 10 and 0.01 kWh": ((Meter(999_998, 3, unit_exponent=-2, coefficient=10),), ("rollover", 5_000)),
    "eight digits roll over": ((Meter(99_999_999, 1, digits=8, unit_exponent=-4),), ("rollover", 2)),
    "one digit rolls over": ((Meter(9, 0, digits=1, unit_exponent=-4),), ("rollover", 1)),
    "backward by two": ((Meter(300, 298),), ("backward", 0)),
    "the finest unit": ((Meter(7, 8, unit_exponent=-4),), ("actual", 1)),
    "exactly the cap": ((Meter(0, 2_000),), ("actual", CAP)),
    "one unit above the cap": ((Meter(0, 2_001),), ("spike", CAP + 1_000)),
    "a roll-over of exactly the cap": ((Meter(999_000, 1_000),), ("rollover", CAP)),
    "a roll-over above the cap": ((Meter(999_000, 1_001),), ("backward", 0)),
    "no read at the start": ((Meter(None, 105),), ("missing", 0)),
    "no read at the end": ((Meter(100, None),), ("missing", 0)),
    "no meter": ((), ("no_meter", 0)),
    "a meter to come": ((Meter(from_ms=END),), ("no_meter", 0)),
    "removed before the slot": ((Meter(to_ms=START),), ("removed", 0)),
    "removed at the slot's end": ((OLD,), ("actual", 3_000)),
    "removed at the slot's end, told by a read": ((Meter(100, 104, to_ms=END),), ("actual", 4_000)),
    "the master's register counts before the read": ((Meter(100, 999, to_ms=END, last=103),), ("actual", 3_000)),
    "installed at the slot's start": ((Meter(7, 9, from_ms=START),), ("actual", 2_000)),
    "installed at the start, told by the master": ((Meter(None, 9, from_ms=START, first=4),), ("actual", 5_000)),
    "exchanged at the slot's start": ((Meter(50, to_ms=START), Meter(0, 2, from_ms=START)), ("actual", 2_000)),
    "exchanged at the slot's end": ((Meter(50, 53, to_ms=END), Meter(None, 0, from_ms=END)), ("actual", 3_000)),
    "exchanged inside the slot": ((GONE_INSIDE, Meter(None, 4, from_ms=INSIDE, first=0)), ("actual", 7_000)),
    "exchanged inside without the old meter's last register": (
        (Meter(100, to_ms=INSIDE), Meter(None, 4, from_ms=INSIDE, first=0)),
        ("missing", 0),
    ),
    "exchanged inside without the new meter's first register": (
        (GONE_INSIDE, Meter(None, 4, from_ms=INSIDE)),
        ("missing", 0),
    ),
    "from 0.1 to 0.01 kWh inside the slot": (
        (GONE_INSIDE, Meter(None, 42, from_ms=INSIDE, first=5, unit_exponent=-2)),
        ("actual", 3_000 + 3_700),
    ),
    "the old meter rolled over before it went": (
        (Meter(999_998, to_ms=INSIDE, last=1), Meter(None, 4, from_ms=INSIDE, first=0)),
        ("rollover", 3_000 + 4_000),
    ),
    "the new meter spiked": (
        (GONE_INSIDE, Meter(None, 2_001, from_ms=INSIDE, first=0)),
        ("spike", 3_000 + 2_001_000),
    ),
    "the old meter went backward": (
        (Meter(300, to_ms=INSIDE, last=298), Meter(None, 4, from_ms=INSIDE, first=0)),
        ("backward", 0),
    ),
    "a gap between two meters carries nothing": (
        (GONE_INSIDE, Meter(None, 4, from_ms=INSIDE + MINUTE_MS, first=0)),
        ("actual", 7_000),
    ),
    "there and gone inside the slot": (
        (Meter(from_ms=INSIDE, to_ms=INSIDE + MINUTE_MS, first=3, last=5),),
        ("actual", 2_000),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    meters, expected = GOLDEN[name]

    assert value(*meters) == expected


def test_the_cap_is_the_point_s_own() -> None:
    assert value(Meter(0, 60), cap_dwh=60_000) == ("actual", 60_000)
    assert value(Meter(0, 61), cap_dwh=60_000) == ("spike", 61_000)
    assert value(Meter(999_999, 60), cap_dwh=60_000) == ("backward", 0)


def test_a_point_without_telemetry_is_missing_for_that_reason() -> None:
    for meters in ((Meter(),), (), (Meter(to_ms=START),)):
        assert value(*meters, telemetry=0) == ("no_telemetry", 0)


def test_the_day_s_last_slot_belongs_to_the_old_retailer_and_the_next_to_the_new() -> None:
    switched = Point((Meter(100, 105),), supply=((-(2**31), SLOT + 1, 1), (SLOT + 1, OPEN_SLOT, 2)))

    assert cells([switched]) == [(1, "actual", 5_000)]
    assert cells([switched], SLOT + 1)[0][0] == 2


@pytest.mark.parametrize("day", ["2028-02-28T23:30", "2028-02-29T23:30", "2026-12-31T23:30", "2027-12-31T23:30"])
def test_a_switch_at_midnight_holds_on_leap_days_and_at_the_year_s_end(day: str) -> None:
    slot = slot_at_ms(at(day))
    switched = Point((Meter(),), supply=((-(2**31), slot + 1, 1), (slot + 1, OPEN_SLOT, 2)))

    assert cells([switched], slot)[0][0] == 1
    assert cells([switched], slot + 1)[0][0] == 2


def test_what_nobody_supplies_is_unassigned_and_high_voltage_is_no_cell_at_all() -> None:
    unsupplied = Point((Meter(100, 105),), supply=())
    high = Point((Meter(100, 105),), voltage=1)

    assert cells([unsupplied]) == [(0, "actual", 5_000)]
    assert cells([high]) == []


def test_import_and_export_of_one_meter_are_two_points_with_a_value_each() -> None:
    demand, generation = Point((Meter(100, 101),)), Point((Meter(50, 59),))

    assert cells([demand, generation]) == [(1, "actual", 1_000), (1, "actual", 9_000)]


def test_an_operator_s_register_counts_from_its_decision_on() -> None:
    point = Point((Meter(100, 105),))
    before = ends([point])
    other = (np.array([0], np.uint32), np.array([1], np.uint8), np.array([108], np.uint32))
    energies = []
    for decided_ms in (LATER, LATER + 1):
        after = Ends(*before[:4], *other, np.array([decided_ms], np.int64))
        ((_, _, energy),) = computed([point], SLOT, after)
        energies.append(energy)

    assert energies == [8_000, 5_000]


@given(st.integers(0, 999_999), st.integers(0, 999_999), st.integers(1, 2_000_000), st.integers(1, 1000))
def test_the_difference_is_that_of_plain_integers(start: int, end: int, cap: int, factor: int) -> None:
    energy = (end - start) % 1_000_000 * factor
    quality = "actual" if end >= start else "rollover"
    if energy > cap:
        quality, energy = ("spike", energy) if end >= start else ("backward", 0)

    found = difference(start, end, 1_000_000, factor, cap)

    assert (QUALITIES[found[0]], found[1]) == (quality, energy)


def test_the_largest_register_and_coefficient_stay_in_range() -> None:
    meter = Meter(99_999_999, 99_999_998, digits=8, unit_exponent=2, coefficient=46_116)
    factor = meter.coefficient * 10 ** (meter.unit_exponent + 4)

    assert 10**meter.digits * factor <= 2**62
    assert value(meter, cap_dwh=2**62) == ("rollover", 99_999_999 * factor)


def test_a_register_beyond_its_digits_counts_modulo_them_and_is_flagged() -> None:
    assert value(Meter(5, 2_000_006)) == ("digits", 1_000)
    assert value(Meter(1_999_998, 3)) == ("digits", 5_000)
    assert value(Meter(0, 1_900_000)) == ("spike", 900_000_000)
    assert value(Meter(1_000_003, 1_000_001)) == ("backward", 0)
