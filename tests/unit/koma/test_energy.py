# SPDX-License-Identifier: Apache-2.0
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.energy import DWH_PER_KWH, format_kwh, parse_kwh
from koma.errors import EnergyError

any_dwh = st.integers(-(2**63) + 1, 2**63 - 1)


@given(any_dwh)
def test_every_energy_survives_its_text(dwh: int) -> None:
    assert parse_kwh(format_kwh(dwh)) == dwh


@given(any_dwh)
def test_the_text_is_exact_and_the_shortest(dwh: int) -> None:
    text = format_kwh(dwh)
    assert Decimal(text) * DWH_PER_KWH == dwh
    assert text == "0" or "." not in text or text[-1] != "0"
    assert not text.endswith(".")
    assert text.lstrip("-").split(".")[0] == str(abs(dwh) // DWH_PER_KWH)


@given(st.integers(0, 10**12), st.integers(0, 9999), st.integers(0, 5), st.integers(0, 5))
def test_zeros_around_a_number_change_nothing(whole: int, rest: int, before: int, after: int) -> None:
    assert parse_kwh(f"{'0' * before}{whole}.{rest:04d}{'0' * after}") == whole * DWH_PER_KWH + rest


def test_the_largest_energy_fits_and_one_more_does_not() -> None:
    assert parse_kwh("922337203685477.5807") == 2**63 - 1
    with pytest.raises(EnergyError, match="64 bits"):
        parse_kwh("922337203685477.5808")
    with pytest.raises(EnergyError, match="64 bits"):
        parse_kwh("9" * 5000)


def test_minus_zero_is_zero() -> None:
    assert parse_kwh("-0.0000") == 0
    assert format_kwh(0) == "0"


@pytest.mark.parametrize(
    "text", ["", "-", ".5", "5.", "1e3", "1,000", " 1", "1 ", "+1", "NaN", "inf", "１", "1\n", "0x1"]
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(EnergyError, match="plain decimal"):
        parse_kwh(text)


def test_a_fifth_decimal_is_refused_not_rounded() -> None:
    with pytest.raises(EnergyError, match="finer than"):
        parse_kwh("0.00001")
