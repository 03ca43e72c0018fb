# SPDX-License-Identifier: Apache-2.0
"""Telegram containers: what becomes a row, what is left out, what is refused and where decoding goes on."""

from pathlib import Path

import pytest

from koma.errors import HandoverError
from koma.limits import NO_DATA
from koma.slots import parse_jst, parse_utc
from pipeline.handover import decode_chunk, plan_chunks
from tests.frame_encoder import (
    GET_SNA,
    INF,
    INFC,
    Property,
    date_time,
    fixed_time,
    frame,
    history,
    pairs,
    record,
    words,
)
from tests.hand_over import Outcome, Read, outcome_of

SLOT_MS = 1_800_000
STAMP = "2026-08-22T17:00"
STAMP_MS = parse_jst(STAMP)
RECEIVED_MS = parse_jst("2026-08-22T17:02:05")
REGISTERS = list(range(5000, 5048))


def decoded(folder: Path, *records: bytes, rows_max: int = 65_536) -> Outcome:
    path = folder / "reads.echonet"
    path.write_bytes(b"".join(records))
    return outcome_of(path, rows_max)


def one(*properties: Property, meter_id: bytes = b"M1", service: int = 0x72, source: str = "028801") -> bytes:
    return record(meter_id, RECEIVED_MS, frame(properties, service=service, source=source))


def row(stamp_ms: int, forward: int | None, reverse: int | None = None, received_ms: int = RECEIVED_MS) -> Read:
    return Read("M1", stamp_ms, forward, reverse, received_ms)


@pytest.mark.parametrize("service", [0x72, INF, INFC])
def test_ea_is_an_import_register_at_its_stamp(tmp_path: Path, service: int) -> None:
    found = decoded(tmp_path, one(fixed_time(0xEA, STAMP, 234174), service=service))
    assert found == Outcome([row(STAMP_MS, 234174)], [0], [], {}, 0, ())


def test_eb_alone_is_an_export_register(tmp_path: Path) -> None:
    assert decoded(tmp_path, one(fixed_time(0xEB, STAMP, 22))).reads == [row(STAMP_MS, None, 22)]


def test_ea_and_eb_of_one_stamp_share_a_row(tmp_path: Path) -> None:
    both = decoded(tmp_path, one(fixed_time(0xEA, STAMP, 7), fixed_time(0xEB, STAMP, 8)))
    assert both.reads == [row(STAMP_MS, 7, 8)]
    apart = decoded(tmp_path, one(fixed_time(0xEA, STAMP, 7), fixed_time(0xEB, "2026-08-22T16:30", 8)))
    assert apart.reads == [row(STAMP_MS, 7), row(STAMP_MS - SLOT_MS, None, 8)]


def test_each_ea_of_a_frame_counts(tmp_path: Path) -> None:
    twice = decoded(tmp_path, one(fixed_time(0xEA, STAMP, 7), fixed_time(0xEA, "2026-08-22T17:30", 9)))
    assert twice.reads == [row(STAMP_MS, 7), row(STAMP_MS + SLOT_MS, 9)]


def test_rows_know_their_record(tmp_path: Path) -> None:
    first, second = one(fixed_time(0xEA, STAMP, 1)), one(pairs(STAMP, [(1, 2), (3, 4)]), meter_id=b"0123456789ABCDEF")
    found = decoded(tmp_path, first, second)
    assert found.places == [0, len(first), len(first)]
    assert [each.meter_id for each in found.reads] == ["M1", "0123456789ABCDEF", "0123456789ABCDEF"]


def test_seconds_of_a_stamp_are_kept(tmp_path: Path) -> None:
    assert decoded(tmp_path, one(fixed_time(0xEA, STAMP + ":59", 1))).reads == [row(STAMP_MS + 59_000, 1)]


@pytest.mark.parametrize(("epc", "place"), [(0xE2, 2), (0xE4, 3)])
def test_a_history_has_a_register_at_each_half_hour_of_its_day(tmp_path: Path, epc: int, place: int) -> None:
    found = decoded(tmp_path, one(history(epc, 11, REGISTERS)))
    midnight = parse_jst("2026-08-11")
    assert [each.read_at_ms for each in found.reads] == [midnight + SLOT_MS * index for index in range(48)]
    assert [each[place] for each in found.reads] == REGISTERS
    assert {each[5 - place] for each in found.reads} == {None}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("epc", [0xEA, 0xEB])
def test_a_history_counts_back_from_the_stamp_in_its_frame_wherever_that_stands(
    tmp_path: Path, epc: int, order: int
) -> None:
    both = [fixed_time(epc, "2026-08-20T00:00", 1), history(0xE2, 2, REGISTERS)][::order]
    stamps = {each.read_at_ms for each in decoded(tmp_path, one(*both)).reads}
    assert stamps == {parse_jst("2026-08-18") + SLOT_MS * index for index in range(48)} | {parse_jst("2026-08-20")}


def test_a_history_alone_counts_back_from_the_jst_date_of_its_arrival(tmp_path: Path) -> None:
    telegram = frame([history(0xE2, 0, REGISTERS)])
    before, after = parse_utc("2026-08-22T14:59:59"), parse_utc("2026-08-22T15:00:00")
    found = decoded(tmp_path, record(b"M1", before, telegram), record(b"M1", after, telegram))
    assert found.reads[0].read_at_ms == parse_jst("2026-08-22T00:00")
    assert found.reads[48].read_at_ms == parse_jst("2026-08-23T00:00")


def test_pairs_go_back_half_an_hour_each(tmp_path: Path) -> None:
    found = decoded(tmp_path, one(pairs("2026-08-22T00:30", [(30, 3), (20, 2), (10, 1)])))
    newest = parse_jst("2026-08-22T00:30")
    assert found.reads == [row(newest - SLOT_MS * back, 30 - 10 * back, 3 - back) for back in range(3)]


@pytest.mark.parametrize("epc", [0xEA, 0xEB])
def test_no_data_at_a_fixed_time_is_counted(tmp_path: Path, epc: int) -> None:
    found = decoded(tmp_path, one(fixed_time(epc, STAMP, NO_DATA)))
    assert found.no_data == 1
    assert found.reads == [row(STAMP_MS, NO_DATA) if epc == 0xEA else row(STAMP_MS, None, NO_DATA)]


@pytest.mark.parametrize("epc", [0xE2, 0xE4])
def test_no_data_in_each_position_of_a_history_is_counted(tmp_path: Path, epc: int) -> None:
    sent = [[NO_DATA if index == position else index for index in range(48)] for position in range(48)]
    found = decoded(tmp_path, *(one(history(epc, 1, each)) for each in sent))
    assert found.no_data == 48
    assert [each[2 if epc == 0xE2 else 3] for each in found.reads] == [each for day in sent for each in day]


def test_no_data_in_each_position_of_the_pairs_is_counted(tmp_path: Path) -> None:
    sent = []
    for position in range(24):
        flat = [NO_DATA if index == position else index for index in range(24)]
        sent.append(list(zip(flat[::2], flat[1::2], strict=True)))
    found = decoded(tmp_path, *(one(pairs(STAMP, each)) for each in sent))
    assert found.no_data == 24
    assert [each[2:4] for each in found.reads] == [pair for pairs_sent in sent for pair in pairs_sent]


def test_other_properties_are_filtered_one_by_one(tmp_path: Path) -> None:
    found = decoded(tmp_path, one((0xD7, b"\x06"), fixed_time(0xEA, STAMP, 1), (0xE7, bytes(4)), (0x80, b"\x30")))
    assert found.filtered == {"property": 3}
    assert found.reads == [row(STAMP_MS, 1)]


def test_a_history_that_is_not_set_is_filtered(tmp_path: Path) -> None:
    not_set = (0xEC, b"\xff" * 6 + b"\x01" + words([NO_DATA, NO_DATA]))
    found = decoded(tmp_path, one(history(0xE2, 0x00FF, [NO_DATA] * 48), history(0xE4, 0x00FF, REGISTERS), not_set))
    assert found == Outcome([], [], [], {"not_set": 3}, 0, ())


def test_other_classes_and_services_are_filtered_frame_by_frame(tmp_path: Path) -> None:
    found = decoded(
        tmp_path,
        one(fixed_time(0xEA, STAMP, 1), fixed_time(0xEB, STAMP, 2), source="028A01"),
        one((0xD5, bytes(4)), service=INF, source="0EF001"),
        one((0xEA, b""), (0xEB, b""), service=GET_SNA),
        one(fixed_time(0xEA, STAMP, 3), service=0x71),
    )
    assert found == Outcome([], [], [], {"class": 2, "esv": 2}, 0, ())


@pytest.mark.parametrize(
    ("telegram", "detail"),
    [
        (b"", "(byte 0 of the frame)"),
        (frame([(0xEA, bytes(11))])[:11], "(byte 11 of the frame)"),
        (b"\x10\x82" + frame([(0xEA, bytes(11))])[2:], "1081"),
        (frame([]), "no property"),
        (frame([fixed_time(0xEA, STAMP, 1)])[:-1], "inside a property (byte 12 of the frame)"),
        (frame([(0xD7, b"\x06"), fixed_time(0xEA, STAMP, 1)])[:-4], "inside a property (byte 15 of the frame)"),
        (frame([fixed_time(0xEA, STAMP, 1)]) + b"\x00", "behind its last property (byte 25 of the frame)"),
        (frame([fixed_time(0xEA, STAMP, 1), (0xE7, b"\xff\x38")]), "not that of its EPC (byte 26 of the frame)"),
        (frame([(0xEA, bytes(10))]), "not that of its EPC"),
        (frame([(0xE2, bytes(190))]), "not that of its EPC"),
        (frame([(0xEA, b"")]), "not that of its EPC"),
        (frame([(0xEA, bytes.fromhex("07EA0D16110000") + words([1]))]), "no such date and time (byte 14"),
        (frame([(0xEA, bytes.fromhex("27100101000000") + words([1]))]), "no such date and time"),
        (frame([history(0xE2, 100, REGISTERS)]), "not in 0 to 99"),
        (frame([(0xEC, date_time(STAMP, seconds=False) + b"\x0d" + bytes(104))]), "not in 1 to 12"),
        (frame([(0xEC, date_time(STAMP, seconds=False) + b"\x02" + bytes(8))]), "not that of its EPC"),
    ],
)
def test_a_malformed_frame_is_refused_whole_and_the_next_record_decoded(
    tmp_path: Path, telegram: bytes, detail: str
) -> None:
    before, bad, after = one(fixed_time(0xEA, STAMP, 1)), record(b"M1", RECEIVED_MS, telegram), one((0xD7, b"\x06"))
    found = decoded(tmp_path, before, bad, after, before)
    (refused,) = found.rejected
    assert (refused.source, refused.place, refused.code, refused.reads) == ("reads.echonet", len(before), "frame", 1)
    assert detail in refused.detail
    assert refused.raw == bad
    assert found.reads == [row(STAMP_MS, 1)] * 2
    assert found.filtered == {"property": 1}


def test_a_frame_cut_in_any_place_is_refused(tmp_path: Path) -> None:
    whole = frame([fixed_time(0xEA, STAMP, 1), fixed_time(0xEB, STAMP, 2), (0xD7, b"\x06")])
    found = decoded(tmp_path, *(record(b"M1", RECEIVED_MS, whole[:size]) for size in range(len(whole))))
    assert found.codes == ["frame"] * len(whole)
    assert found.reads == []


def test_a_container_cut_in_any_place_loses_its_last_record_only(tmp_path: Path) -> None:
    first, second = one(fixed_time(0xEA, STAMP, 1)), one(fixed_time(0xEA, STAMP, 2))
    for size in range(1, len(second)):
        found = decoded(tmp_path, first, second[:size])
        assert found.reads == [row(STAMP_MS, 1)]
        (refused,) = found.rejected
        assert (refused.code, refused.place, refused.raw) == ("container", len(first), second[:size])


def test_a_record_too_short_for_its_head_is_refused_and_the_next_decoded(tmp_path: Path) -> None:
    found = decoded(tmp_path, b"\x00\x05ABCDE", one(fixed_time(0xEA, STAMP, 1)))
    assert found.codes == ["frame"]
    assert found.reads == [row(STAMP_MS, 1)]


def test_zeros_between_records_are_one_refusal(tmp_path: Path) -> None:
    good = one(fixed_time(0xEA, STAMP, 1))
    found = decoded(tmp_path, good, bytes(1000), good, bytes(7))
    assert found.reads == [row(STAMP_MS, 1)] * 2
    assert [(each.code, each.place, len(each.raw)) for each in found.rejected] == [
        ("container", len(good), 1000),
        ("container", 2 * len(good) + 1000, 6),
        ("container", 2 * len(good) + 1006, 1),
    ]


@pytest.mark.parametrize(
    "meter_id",
    [bytes(16), b"\0M1", b"M\x001", b"M\xc3\xa9", b"M\x1f", b"M\x7f", b" M1", b"M1 ", b"0123456789ABCDE "],
)
def test_a_meter_id_that_is_no_printable_ascii_is_refused_with_all_its_reads(tmp_path: Path, meter_id: bytes) -> None:
    found = decoded(tmp_path, one(pairs(STAMP, [(1, 2), (3, 4)]), fixed_time(0xEA, STAMP, 1), meter_id=meter_id))
    assert [(each.code, each.reads) for each in found.rejected] == [("meter_id", 5)]
    assert found.reads == []


@pytest.mark.parametrize("received_ms", [-(2**63), 2**63 - 1, 253_402_300_800_000, -62_135_596_800_001])
def test_an_arrival_outside_the_calendar_is_refused(tmp_path: Path, received_ms: int) -> None:
    found = decoded(tmp_path, record(b"M1", received_ms, frame([fixed_time(0xEA, STAMP, 1)])))
    assert [(each.code, each.reads) for each in found.rejected] == [("received_at", 1)]


@pytest.mark.parametrize("register", [100_000_000, 0xFFFFFFFD, 0xFFFFFFFF])
def test_a_register_out_of_range_costs_its_read_only(tmp_path: Path, register: int) -> None:
    registers = [*REGISTERS[:7], register, *REGISTERS[8:]]
    found = decoded(
        tmp_path,
        one(history(0xE2, 1, registers)),
        one(pairs(STAMP, [(1, 2), (register, 4), (5, register)])),
        one(fixed_time(0xEA, STAMP, register), fixed_time(0xEB, STAMP, 6)),
        one(fixed_time(0xEA, STAMP, 7), fixed_time(0xEB, STAMP, register)),
    )
    assert found.codes == ["register_range"] * 5
    assert [each.reads for each in found.rejected] == [1, 2, 2, 1, 1]
    assert [each.import_register for each in found.reads[:47]] == REGISTERS[:7] + REGISTERS[8:]
    assert found.reads[47:] == [row(STAMP_MS, 1, 2), row(STAMP_MS, None, 6), row(STAMP_MS, 7)]


def test_an_extreme_stamp_is_a_stamp(tmp_path: Path) -> None:
    last, first = "9999-12-31T23:59:59", "0001-01-01T09:00:00"
    found = decoded(tmp_path, one(fixed_time(0xEA, last, 99_999_999), fixed_time(0xEA, first, 0)))
    assert [each.read_at_ms for each in found.reads] == [253_402_268_399_000, -62_135_596_800_000]


@pytest.mark.parametrize(
    ("received_ms", "properties"),
    [
        (RECEIVED_MS, [fixed_time(0xEA, "0001-01-01T08:59:59", 1)]),
        (RECEIVED_MS, [pairs("0001-01-01T08:59", [(1, 2)])]),
        (RECEIVED_MS, [pairs("0001-01-01T09:30", [(1, 2)] * 3)]),
        (RECEIVED_MS, [fixed_time(0xEA, "0001-01-02T00:00:00", 1), history(0xE2, 1, REGISTERS)]),
        (RECEIVED_MS, [history(0xE4, 99, REGISTERS), fixed_time(0xEA, "0001-04-10T00:00:00", 1)]),
        (253_402_300_799_999, [history(0xE2, 0, REGISTERS)]),
    ],
)
def test_a_stamp_before_or_behind_the_calendar_is_none(
    tmp_path: Path, received_ms: int, properties: list[tuple[int, bytes]]
) -> None:
    found = decoded(tmp_path, record(b"M1", received_ms, frame(properties)))
    assert (found.reads, found.codes) == ([], ["frame"])
    assert "no such date" in found.rejected[0].detail


def test_the_first_stamps_of_the_calendar_are_stamps(tmp_path: Path) -> None:
    found = decoded(tmp_path, one(pairs("0001-01-01T10:00", [(1, 2)] * 3)))
    assert [each.read_at_ms for each in found.reads][-1] == -62_135_596_800_000


@pytest.mark.parametrize("rows_max", [1, 2, 5, 50, 1000])
def test_cutting_changes_nothing(tmp_path: Path, rows_max: int) -> None:
    records = [
        one(fixed_time(0xEA, STAMP, 1)),
        one(history(0xE2, 1, REGISTERS)),
        one((0xD7, b"\x06")),
        record(b"M1", RECEIVED_MS, b"?"),
        one(pairs(STAMP, [(1, 2)] * 12), fixed_time(0xEA, STAMP, 100_000_000)),
        bytes(10),
        one(fixed_time(0xEA, STAMP, NO_DATA), fixed_time(0xEB, STAMP, 3), meter_id=b"M2"),
    ] * 3
    assert decoded(tmp_path, *records, b"\x01", rows_max=rows_max) == decoded(tmp_path, *records, b"\x01")
    for chunk in plan_chunks(tmp_path / "reads.echonet", rows_max):
        part = decode_chunk(chunk)
        assert len(part.batch) + len(part.rejected) <= max(rows_max, 48)


def test_an_empty_container_has_no_chunks(tmp_path: Path) -> None:
    assert decoded(tmp_path) == Outcome([], [], [], {}, 0, ())


def test_a_file_that_changed_since_it_was_planned_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "reads.echonet"
    path.write_bytes(one((0xD7, b"\x06"), (0xD7, b"\x06")) * 3)
    (chunk,) = plan_chunks(path, 10)
    path.write_bytes(one((0xD7, b"\x06"), (0xD7, b"\x06")))
    with pytest.raises(HandoverError, match=r"reads\.echonet: the file is damaged: it ends at byte"):
        decode_chunk(chunk)
    bytes_of_same_size = one(fixed_time(0xEA, STAMP, 1))
    path.write_bytes((bytes_of_same_size * 3)[: chunk.length].ljust(chunk.length, b"\0"))
    with pytest.raises(HandoverError, match="are not those that were counted"):
        decode_chunk(chunk)
