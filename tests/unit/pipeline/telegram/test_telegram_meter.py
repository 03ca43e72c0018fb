# SPDX-License-Identifier: Apache-2.0
"""Telegrams in words: golden vectors, the no-data value, refusals."""

from itertools import pairwise
from typing import Any

import pytest

from pipeline.telegram import explain
from tests.frame_encoder import GET_SNA, INF, INFC, NO_DATA, date_time, fixed_time, frame, history, pairs, words

REGISTERS = list(range(1000, 1048))


def properties(telegram: bytes) -> list[dict[str, Any]]:
    answer: dict[str, Any] = explain(telegram)
    assert "error" not in answer, answer
    found: list[dict[str, Any]] = answer["properties"]
    return found


def only(telegram: bytes) -> dict[str, Any]:
    (found,) = properties(telegram)
    return {name: value for name, value in found.items() if name not in {"epc", "edt"}}


def refusal(telegram: bytes) -> tuple[int, str]:
    answer: dict[str, Any] = explain(telegram)
    assert "properties" not in answer
    return answer["error"]["offset"], answer["error"]["reason"]


def test_the_golden_vector_of_ea_is_the_stamp_and_the_register() -> None:
    edt = bytes.fromhex("07EA08161100 00 000392BE")
    assert only(frame([(0xEA, edt)])) == {"read_at": "2026-08-22T17:00:00+09:00", "register": 234174}


def test_numbers_are_big_endian() -> None:
    assert only(frame([(0xE0, b"\x00\x01\x02\x03")])) == {"register": 66051}


def test_frame_sizes_are_those_of_the_standard() -> None:
    ea, eb = fixed_time(0xEA, "2026-08-22T17:00", 1), fixed_time(0xEB, "2026-08-22T17:00", 2)
    e2 = history(0xE2, 1, REGISTERS)
    assert [len(frame(each)) for each in ([ea], [ea, eb], [e2])] == [25, 38, 208]
    assert [each["register"] for each in properties(frame([ea, eb]))] == [1, 2]


def test_header_fields_are_named() -> None:
    answer = explain(bytes.fromhex("1081000102880105FF017201D70106"))
    assert answer["esv"] == "72"
    assert answer["service"] == "Get_Res"
    assert answer["seoj"] == "028801"
    assert answer["deoj"] == "05FF01"
    assert answer["tid"] == 1
    assert answer["properties"] == [{"epc": "D7", "edt": "06", "digits": 6}]


@pytest.mark.parametrize(
    ("epc", "edt", "meaning"),
    [
        (0xD3, "00000001", {"coefficient": 1}),
        (0xD3, "000F423F", {"coefficient": 999_999}),
        (0xD7, "08", {"digits": 8}),
        (0xE0, "05F5E0FF", {"register": 99_999_999}),
        (0xE3, "00000000", {"register": 0}),
        (0xE5, "63", {"day": 99}),
        (0xE5, "FF", {"day": None}),
        (0xE7, "00000278", {"watt": 632}),
        (0xE7, "FFFFFF38", {"watt": -200}),
        (0xE8, "001E0032", {"ampere_r": 3.0, "ampere_t": 5.0}),
        (0xE8, "FFE20003", {"ampere_r": -3.0, "ampere_t": 0.3}),
        (0xED, "07EA0816111E0C", {"read_at": "2026-08-22T17:30:00+09:00", "count": 12}),
        (0xED, "FFFFFFFFFFFF01", {"read_at": None, "count": 1}),
        (0x97, "0E1A", {"time": "14:26"}),
        (0x98, "07EA0514", {"date": "2026-05-20"}),
        (0x80, "30", {}),
        (
            0xD0,
            "07EA081611000000000001FFFFFFFE",
            {"read_at": "2026-08-22T17:00:00+09:00", "import_register": 1, "export_register": None},
        ),
    ],
)
def test_each_property_has_its_meaning(epc: int, edt: str, meaning: dict[str, object]) -> None:
    assert only(frame([(epc, bytes.fromhex(edt))])) == meaning


@pytest.mark.parametrize(
    ("code", "exponent"),
    [(0, 0), (1, -1), (2, -2), (3, -3), (4, -4), (0x0A, 1), (0x0B, 2), (0x0C, 3), (0x0D, 4)],
)
def test_units_are_powers_of_ten(code: int, exponent: int) -> None:
    assert only(frame([(0xE1, bytes([code]))])) == {"unit_exponent": exponent}


@pytest.mark.parametrize("epc", [0xE0, 0xE3])
def test_no_data_in_a_cumulative_register_is_null(epc: int) -> None:
    assert only(frame([(epc, words([NO_DATA]))])) == {"register": None}


@pytest.mark.parametrize("epc", [0xEA, 0xEB])
def test_no_data_at_a_fixed_time_is_null(epc: int) -> None:
    meaning = only(frame([fixed_time(epc, "2026-08-22T17:00", NO_DATA)]))
    assert meaning == {"read_at": "2026-08-22T17:00:00+09:00", "register": None}


@pytest.mark.parametrize("epc", [0xE2, 0xE4])
@pytest.mark.parametrize("position", range(48))
def test_no_data_in_each_position_of_a_history_is_null(epc: int, position: int) -> None:
    registers: list[int | None] = list(REGISTERS)
    sent = list(REGISTERS)
    sent[position], registers[position] = NO_DATA, None
    assert only(frame([history(epc, 11, sent)])) == {"day": 11, "registers": registers}


@pytest.mark.parametrize("position", range(24))
def test_no_data_in_each_position_of_the_pairs_is_null(position: int) -> None:
    flat = list(range(24))
    flat[position] = NO_DATA
    meaning = only(frame([pairs("2026-08-22T17:00", list(zip(flat[::2], flat[1::2], strict=True)))]))
    expected = [None if each == NO_DATA else each for each in flat]
    assert meaning["read_at"] == "2026-08-22T17:00:00+09:00"
    assert [each for pair in meaning["registers"] for each in pair] == expected


def test_no_data_of_power_and_current_is_null() -> None:
    assert only(frame([(0xE7, bytes.fromhex("7FFFFFFE"))])) == {"watt": None}
    assert only(frame([(0xE8, bytes.fromhex("00147FFE"))])) == {"ampere_r": 2.0, "ampere_t": None}


def test_a_history_that_is_not_set_has_no_day_and_no_registers() -> None:
    assert only(frame([history(0xE2, 0x00FF, [NO_DATA] * 48)])) == {"day": None, "registers": None}
    not_set = (0xEC, b"\xff" * 6 + b"\x01" + words([NO_DATA, NO_DATA]))
    assert only(frame([not_set])) == {"read_at": None, "registers": None}


@pytest.mark.parametrize("service", [INF, INFC])
def test_announcements_mean_the_same(service: int) -> None:
    assert only(frame([(0xD7, b"\x06")], service=service)) == {"digits": 6}


def test_what_the_meter_refused_has_no_data_and_no_meaning() -> None:
    assert only(frame([(0xEA, b"")], service=GET_SNA)) == {}
    partly = properties(frame([(0xEA, b""), (0xD7, b"\x06")], service=GET_SNA))
    assert partly == [{"epc": "EA", "edt": ""}, {"epc": "D7", "edt": "06", "digits": 6}]


def test_a_high_voltage_meter_gives_the_same_epc_another_meaning_so_none_is_told() -> None:
    assert only(frame([(0xE1, b"\x05")], source="028A01")) == {}


def test_set_and_get_in_one_frame_are_two_lists() -> None:
    one = frame([(0xE5, b"\x00")], service=0x7E)
    assert [each["epc"] for each in properties(one + b"\x01\xd7\x01\x06")] == ["E5", "D7"]


@pytest.mark.parametrize(
    ("telegram", "offset", "reason"),
    [
        (b"", 0, "inside its header"),
        (frame([(0xD7, b"\x06")])[:11], 11, "inside its header"),
        (b"\x10\x82" + frame([(0xD7, b"\x06")])[2:], 1, "1082, not 1081"),
        (b"\x11\x81" + frame([(0xD7, b"\x06")])[2:], 0, "1181, not 1081"),
        (frame([]), 11, "no property"),
        (frame([(0xD7, b"\x06")])[:-1], 12, "inside a property"),
        (frame([(0xD7, b"\x06")])[:-2], 12, "inside a property"),
        (frame([(0xD7, b"\x06"), (0xEA, bytes(11))])[:-5], 15, "data of 6 bytes, not 11"),
        (frame([(0xD7, b"\x06")]) + b"\0", 15, "1 bytes behind its last property"),
        (frame([(0xE7, b"\xff\x38")]), 13, "EPC E7: PDC 2: it has 4 bytes"),
        (frame([(0xD7, b"\x06"), (0xEA, bytes(10))]), 16, "EPC EA: PDC 10: it has 11 bytes"),
        (frame([(0xD7, b"\x00")]), 14, "0 digits"),
        (frame([(0xD7, b"\x09")]), 14, "9 digits"),
        (frame([(0xE1, b"\x05")]), 14, "05 is no code of a unit"),
        (frame([(0xD3, words([1_000_000]))]), 14, "coefficient 1000000 is above 999999"),
        (frame([(0xE0, words([100_000_000]))]), 14, "register 100000000 is not in 0 to 99999999"),
        (frame([(0xE0, words([0xFFFFFFFF]))]), 14, "register 4294967295 is not in 0 to 99999999"),
        (frame([history(0xE2, 100, REGISTERS)]), 14, "day 100 is not in 0 to 99"),
        (frame([(0xEA, bytes.fromhex("07EA0D16110000") + words([1]))]), 14, "there is no 2026-13-22"),
        (frame([(0xEA, bytes.fromhex("07EA021D110000") + words([1]))]), 14, "there is no 2026-02-29"),
        (frame([(0xEA, bytes.fromhex("07EA0216180000") + words([1]))]), 14, "there is no 2026-02-22 24:00"),
        (frame([(0xEA, bytes(7) + words([1]))]), 14, "there is no 0000-00-00"),
        (frame([(0xEC, b"\x07")]), 13, "at least 7"),
        (frame([(0xEC, date_time("2026-08-22T17:00", seconds=False) + b"\x0d" + bytes(104))]), 20, "13 pairs"),
        (frame([(0xEC, date_time("2026-08-22T17:00", seconds=False) + b"\x02" + bytes(8))]), 13, "2 pairs have 23"),
        (frame([(0xED, date_time("2026-08-22T17:00", seconds=False) + b"\x00")]), 20, "0 pairs"),
        (frame([(0x97, b"\x18\x00")]), 14, "there is no 24:00"),
    ],
)
def test_a_malformed_frame_is_refused_where_and_why(telegram: bytes, offset: int, reason: str) -> None:
    where, why = refusal(telegram)
    assert where == offset
    assert reason in why


def test_an_extreme_year_is_a_year() -> None:
    edt = bytes.fromhex("270F0C01173B1E05F5E0FF")
    assert only(frame([(0xEA, edt)])) == {"read_at": "9999-12-01T23:59:30+09:00", "register": 99_999_999}


def test_a_day_of_48_registers_has_47_differences() -> None:
    registers = only(frame([history(0xE2, 1, REGISTERS)]))["registers"]
    assert [later - earlier for earlier, later in pairwise(registers)] == [1] * 47
