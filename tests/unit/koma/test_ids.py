# SPDX-License-Identifier: Apache-2.0
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma import ids
from koma.errors import IdentifierError

points = st.builds(lambda area, rest: f"{area:02d}{rest:020d}", st.integers(1, 10), st.integers(0, 10**20 - 1))
printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=16)


@given(points)
def test_a_supply_point_is_read_as_written_and_as_bills_print_it(point: str) -> None:
    assert ids.parse_point_id(point) == point
    assert ids.parse_point_id(ids.format_point_id(point)) == point
    assert ids.point_area(point).code == point[:2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "03" + "0" * 19,
        "03" + "0" * 21,
        "03" + "0" * 19 + "x",
        "０３" + "0" * 20,
        "03-0011-0000-0000-0000-123",
        "030-011-0000-0000-0000-1234",
        " 0300110000000000001234",
        "0300110000000000001234\n",
    ],
)
def test_what_is_no_supply_point_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError, match="22 digits"):
        ids.parse_point_id(text)


@pytest.mark.parametrize("prefix", ["00", "11", "99"])
def test_a_supply_point_lies_in_one_of_ten_areas(prefix: str) -> None:
    with pytest.raises(IdentifierError, match="does not exist"):
        ids.parse_point_id(prefix + "0" * 20)


@given(printable)
def test_a_meter_id_survives_its_two_words(meter: str) -> None:
    assert ids.parse_meter_id(meter) == meter
    low, high = ids.meter_key(meter)
    assert struct.pack("<QQ", low, high) == meter.encode().ljust(16, b"\0")
    assert ids.meter_id_of_key(low, high) == meter


@pytest.mark.parametrize("text", ["", "A" * 17, "メータ", "A\0", "A\t", " A", "A ", "A\n"])
def test_what_is_no_meter_id_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError, match="1 to 16"):
        ids.parse_meter_id(text)


@given(st.integers(1, 99_999))
def test_a_retailer_code_is_five_digits(number: int) -> None:
    assert ids.parse_retailer_code(f"{number:05d}") == f"{number:05d}"


@pytest.mark.parametrize("text", ["", "1234", "123456", "1234a", "１２３４５", "12 45", "00000"])
def test_what_is_no_retailer_code_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError):
        ids.parse_retailer_code(text)


def test_a_balancing_group_is_a_short_printable_text() -> None:
    assert ids.parse_balancing_group("BG-01") == "BG-01"
    for text in ("", "B" * 17, "組"):
        with pytest.raises(IdentifierError, match="balancing group"):
            ids.parse_balancing_group(text)


def test_areas_are_numbered_without_gaps_and_found_by_code() -> None:
    assert [each.number for each in ids.AREAS] == list(range(1, 11))
    assert all(ids.parse_area(each.code) is each for each in ids.AREAS)
    assert ids.parse_area("3").name_ja == "東京"


@pytest.mark.parametrize("text", ["", "0", "11", "003", "x", "-1", "３"])
def test_what_is_no_area_is_refused(text: str) -> None:
    with pytest.raises(IdentifierError):
        ids.parse_area(text)


def test_a_long_wrong_text_is_shown_short() -> None:
    with pytest.raises(IdentifierError) as caught:
        ids.parse_point_id("9" * 10_000)
    assert len(str(caught.value)) < 200
