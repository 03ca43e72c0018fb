# SPDX-License-Identifier: Apache-2.0
"""Exact arithmetic: fractions until the edge, one rounding there, a missing rate as a state."""

from collections.abc import Mapping
from fractions import Fraction

import pytest

from koma.errors import TotalsError
from koma.slots import slot_at_ms
from pipeline.directions import DEMAND, GENERATION, MIXED, UNKNOWN
from pipeline.totals.cells import BY, Key, SlotSums, Sum
from pipeline.totals.declared import RATES, ROUNDING, Declared, Row
from pipeline.totals.exact import DOWN, HALF_EVEN, HALF_UP, UP, Rounding, at_generation_end, parse_rate, whole_dwh
from pipeline.totals.rates import Rates
from pipeline.totals.rows import ALL, Period, Total, slot_totals
from tests.homes import at

SLOT = slot_at_ms(at("2026-10-06T23:30"))
KWH = 10_000


def rates(*rows: tuple[str, str, int, str | None], rounding: tuple[Row, ...] = ()) -> Rates:
    named = [dict(zip(("area", "voltage", "slot", "rate"), row, strict=True)) for row in rows]
    return Rates.of(Declared({RATES: named, ROUNDING: rounding}))


MADE_UP = rates(("03", "LV", 0, "0.069"), ("03", "HV", 0, "0.037"))


def sums(slot: int, cells: Mapping[Key, Sum]) -> SlotSums:
    """Give sums whose codes are the same whatever they are added up by."""
    by = {name: dict(cells) for name in BY}
    points = Sum(*(sum(each) for each in zip(*cells.values(), strict=True)))
    return SlotSums(slot, by, points, {})


def key(voltage: str = "LV", direction: str = DEMAND, code: str = "G") -> Key:
    return Key(code, "03", voltage, direction)


def whole(rows: list[Total], code: str = "G", direction: str = DEMAND) -> Total:
    (found,) = [row for row in rows if row.by == BY[0] and row.key == key(ALL, direction, code)]
    return found


def test_low_and_high_voltage_add_up_exactly_before_they_are_rounded() -> None:
    """The worked example of a balancing group: 1,000 kWh at a loss of 6.9 % and 500 kWh at 3.7 %."""
    cells = {key("LV"): Sum(3, 3, 1_000 * KWH), key("HV"): Sum(1, 1, 500 * KWH)}
    row = whole(list(slot_totals(sums(SLOT, cells), MADE_UP)))

    assert row.exact_dwh == Fraction(10_000_000_000, 931) + Fraction(5_000_000_000, 963)
    assert whole_dwh(row.exact_dwh) == 15_933_247
    assert row.settlement_kwh == 1593
    assert row.rates == {"0.069", "0.037"}


def test_what_is_settled_over_a_period_is_the_exact_sum_rounded_once_and_its_parts_stand_beside_it() -> None:
    none = rates(("03", "LV", 0, "0"))
    period = Period(SLOT, SLOT + 3)
    for slot in range(SLOT, SLOT + 3):
        period.add(slot_totals(sums(slot, {key(): Sum(1, 1, 4_000), key(code="H"): Sum(1, 1, 6_000)}), none))
    rows = period.totals()

    assert (whole(rows).settlement_kwh, whole(rows).parts_kwh) == (1, 0)  # 1.2 kWh; three times 0.4
    assert (whole(rows, "H").settlement_kwh, whole(rows, "H").parts_kwh) == (2, 3)  # 1.8 kWh; three times 0.6
    assert (whole(rows, ALL).settlement_kwh, whole(rows, ALL).parts_kwh) == (3, 3)
    assert whole(rows, ALL).exact_dwh == 30_000


def test_generation_is_not_taken_to_another_end_and_nothing_is_netted() -> None:
    cells = {key(): Sum(1, 1, 931), key(direction=GENERATION): Sum(1, 1, 5_000)}
    rows = list(slot_totals(sums(SLOT, cells), MADE_UP))

    assert whole(rows).exact_dwh == 1_000
    assert whole(rows, direction=GENERATION).exact_dwh == 5_000


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (rates(), "no_rate"),
        (rates(("03", "HV", 0, "0.05")), "no_rate"),
        (rates(("04", "LV", 0, "0.05")), "no_rate"),
        (rates(("03", "LV", SLOT + 1, "0.05")), "no_rate"),
        (rates(("03", "LV", 0, "0.05"), ("03", "LV", SLOT, None)), "no_rate"),
        (rates(("03", "LV", SLOT, "0.05")), "adjusted"),
    ],
)
def test_a_rate_that_nobody_declared_is_a_state_and_no_number(known: Rates, state: str) -> None:
    (row,) = [each for each in slot_totals(sums(SLOT, {key(): Sum(1, 1, 950)}), known) if each.key == key()][:1]
    told = row.as_json()

    assert told["state"] == state
    assert (told["generation_end_dwh"], told["energy_dwh"]) == (1_000 if state == "adjusted" else None, 950)
    assert (told["settlement_kwh"] is None, told["parts_settlement_kwh"] is None) == (state == "no_rate",) * 2


def test_one_slot_without_a_rate_leaves_a_period_without_a_number() -> None:
    known = rates(("03", "LV", SLOT + 1, "0.05"))
    period = Period(SLOT, SLOT + 2)
    for slot in (SLOT, SLOT + 1):
        period.add(slot_totals(sums(slot, {key(): Sum(1, 1, 950)}), known))

    assert whole(period.totals()).generation_end_dwh is None
    assert whole(period.totals()).lacking == {"no_rate": 950}


@pytest.mark.parametrize("direction", [MIXED, UNKNOWN])
def test_energy_without_a_direction_is_neither_demand_nor_generation(direction: str) -> None:
    rows = list(slot_totals(sums(SLOT, {key(direction=direction): Sum(1, 1, 950)}), MADE_UP))
    assert (whole(rows, direction=direction).state, whole(rows, direction=direction).settlement_kwh) == (
        "no_direction",
        None,
    )


def test_a_point_without_a_meter_lacks_nothing_but_its_value() -> None:
    rows = list(slot_totals(sums(SLOT, {key(direction=UNKNOWN): Sum(1, 0, 0)}), MADE_UP))
    assert whole(rows, direction=UNKNOWN).state == "adjusted"


def test_an_old_total_has_the_rate_of_its_own_slot() -> None:
    known = rates(("03", "LV", 0, "0.05"), ("03", "LV", SLOT + 1, "0.5"))
    found = [whole(list(slot_totals(sums(slot, {key(): Sum(1, 1, 950)}), known))) for slot in (SLOT, SLOT + 1)]
    assert [row.exact_dwh for row in found] == [1_000, 1_900]


@pytest.mark.parametrize(
    ("mode", "halves"),
    [(HALF_UP, [1, 2, -1]), (HALF_EVEN, [0, 2, 0]), (UP, [1, 2, -1]), (DOWN, [0, 1, 0])],
)
def test_halves_are_rounded_as_declared(mode: str, halves: list[int]) -> None:
    assert [Rounding(1, mode).kwh(Fraction(each)) for each in (5_000, 15_000, -5_000)] == halves
    assert Rounding(1, mode).kwh(Fraction(20_000)) == 2


def test_the_unit_and_the_way_of_rounding_are_dated_rows_of_an_area() -> None:
    row = {"area": "03", "slot": SLOT, "unit_kwh": 10, "mode": DOWN, "source": ""}
    known = rates(("03", "LV", 0, "0"), ("04", "LV", 0, "0"), rounding=(row,))
    assert known.rounding("03", SLOT - 1) == known.rounding("04", SLOT) == Rounding(1, HALF_UP)
    (total,) = [r for r in slot_totals(sums(SLOT, {key(): Sum(1, 1, 199_999)}), known) if r.key == key()][:1]
    assert total.settlement_kwh == 10


@pytest.mark.parametrize("text", ["1", "6.9", "-0.1", "0,069", "1e-2", "", "0.", "0.0000000001", "５"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(TotalsError, match="loss rate"):
        parse_rate(text)


def test_a_fraction_is_not_lost_however_often_it_is_added() -> None:
    third = at_generation_end(1, parse_rate("0.7"))
    assert sum([third] * 3, Fraction(0)) == 10
