# SPDX-License-Identifier: Apache-2.0
"""CSV files, plain and compressed: what is read, what is refused with its line, where files are cut."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from koma.errors import HandoverError
from koma.limits import NO_DATA
from koma.slots import parse_jst, parse_utc
from pipeline.handover import decode_chunk, plan_chunks
from pipeline.handover.write import to_arrow, write_csv
from tests.hand_over import LATER_MS, MS, Outcome, Read, batch_of, outcome_of

HEADER = "meter_id,read_at,import_register,export_register,received_at\n"
READ_AT = "2026-08-22T17:00:00+09:00"
RECEIVED_AT = "2026-08-22T08:02:05.250Z"
READS = [
    Read("M1", MS, 234174, None, LATER_MS),
    Read('A,"B"', MS + 1_800_001, None, 22, LATER_MS - 250),
    Read("0123456789ABCDEF", 0, NO_DATA, 99_999_999, -1),
]


def decoded(folder: Path, text: str | bytes, name: str = "reads.csv", rows_max: int = 65_536) -> Outcome:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return outcome_of(path, rows_max)


def line(
    meter_id: str = "M1",
    read_at: str = READ_AT,
    forward: str = "5",
    reverse: str = "",
    received_at: str = RECEIVED_AT,
) -> str:
    return f"{meter_id},{read_at},{forward},{reverse},{received_at}\n"


@pytest.mark.parametrize("compression", ["", "gz", "zst"])
def test_what_is_written_is_read(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"reads.csv{'.' if compression else ''}{compression}"
    write_csv(path, batch_of(READS), compression)  # type: ignore[arg-type]
    assert outcome_of(path) == Outcome(READS, [2, 3, 4], [], {}, 1, ())
    write_csv(path, batch_of([]), compression)  # type: ignore[arg-type]
    assert outcome_of(path) == Outcome([], [], [], {}, 0, ())


def test_what_arrow_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "reads.csv"
    pa.csv.write_csv(to_arrow(batch_of(READS)), path)
    assert outcome_of(path).reads == READS


@pytest.mark.parametrize(
    "text",
    [
        HEADER + line(),
        HEADER + line().rstrip("\n"),
        (HEADER + line()).replace("\n", "\r\n"),
        "\ufeff" + HEADER + line(),
        HEADER + line(f'"{"M1"}"', f'"{READ_AT}"', '"5"', '""', f'"{RECEIVED_AT}"'),
        HEADER + line(forward=" 5 ", reverse="  ", received_at=f" {RECEIVED_AT}"),
        HEADER + line(forward="0005", reverse="null"),
        HEADER + "\n\r\n" + line() + "\n",
        '"meter_id", read_at ,import_register,export_register,received_at\n' + line(),
        f"received_at,import_register,meter_id,read_at\n{RECEIVED_AT},5,M1,{READ_AT}\n",
    ],
)
def test_a_row_may_be_written_in_many_ways(tmp_path: Path, text: str) -> None:
    found = decoded(tmp_path, text)
    assert found.reads == [Read("M1", MS, 5, None, LATER_MS)]
    assert found.rejected == []


@pytest.mark.parametrize(
    "text",
    [
        "2026-08-22T17:00:00+09:00",
        "2026-08-22 17:00:00+09:00",
        "2026-08-22t17:00:00+0900",
        "2026-08-22T17:00+09",
        "2026-08-22T17:00:00 +09:00",
        "2026-08-22T08:00:00Z",
        "2026-08-22T08:00:00z",
        "2026-08-22T04:00:00.000-04:00",
        "2026-08-22T17:00:00.0009999+09:00",
    ],
)
def test_a_time_with_a_zone_is_an_instant(tmp_path: Path, text: str) -> None:
    found = decoded(tmp_path, HEADER + line(read_at=text, received_at=text))
    assert found.reads == [Read("M1", MS, 5, None, MS)]


@pytest.mark.parametrize(
    "text", ["2026-08-22T17:00", "2026-08-22 17:00:00", "2026-08-22T17:00:00.123456789", "2026-08-22"]
)
def test_a_time_without_zone_is_jst_when_read_and_utc_when_received(tmp_path: Path, text: str) -> None:
    found = decoded(tmp_path, HEADER + line(read_at=text, received_at=text))
    assert found.reads == [Read("M1", parse_jst(text), 5, None, parse_utc(text))]


@pytest.mark.parametrize(
    "text",
    [
        "17:00",
        "yesterday",
        "2026-13-01T00:00:00",
        "2026-02-29T00:00:00",
        "2026-08-22T24:00:00",
        "2026-08-22T17",
        "2026-08-22T17:0",
        "2026-08-22T17:00:",
        "2026-08-22T17:00:60",
        "2026-08-22T17:00:00.",
        "2026-08-22T17:00:00,5",
        "2026-08-22T17:00:00x",
        "2026-08-22T17:00:00+",
        "2026-08-22T17:00:00+9",
        "2026-08-22T17:00:00+24:00",
        "2026-08-22T17:00:00+09:60",
        "2026-08-22T17:00:00+09:00:00",
        "2026/08/22 17:00",
        "20260822T170000",
        "0000-01-01T00:00:00",
        "10000-01-01T00:00:00",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "1787385600000",
        "-026-08-22",
        "２０２６-08-22",
    ],
)
def test_what_is_no_time_is_refused(tmp_path: Path, text: str) -> None:
    text = f'"{text}"' if "," in text else text
    found = decoded(tmp_path, HEADER + line(read_at=text) + line() + line(received_at=text))
    assert [(each.place, each.code) for each in found.rejected] == [(2, "read_at"), (4, "received_at")]
    assert found.places == [3]


@pytest.mark.parametrize(
    ("bad", "code", "reads"),
    [
        (line(forward="12x"), "register_range", 1),
        (line(forward="1.5", reverse="7"), "register_range", 2),
        (line(forward="1e3"), "register_range", 1),
        (line(forward="-1"), "register_range", 1),
        (line(forward="-"), "register_range", 1),
        (line(forward="+5"), "register_range", 1),
        (line(forward="0x5"), "register_range", 1),
        (line(forward="NaN"), "register_range", 1),
        (line(forward="100000000"), "register_range", 1),
        (line(forward="4294967295"), "register_range", 1),
        (line(forward="4294967301"), "register_range", 1),
        (line(forward="99999999999999999999999999999999"), "register_range", 1),
        (line(forward="", reverse="x"), "register_range", 1),
        (line(meter_id=""), "meter_id", 1),
        (line(meter_id="0123456789ABCDEFG", reverse="1"), "meter_id", 2),
        (line(meter_id="計器"), "meter_id", 1),
        (line(meter_id=" M1"), "meter_id", 1),
        (line(meter_id="M\x001"), "meter_id", 1),
        (line(read_at=""), "read_at", 1),
        (line(received_at=""), "received_at", 1),
        (line().replace(",5,", ","), "row", 1),
        (line().replace(",5,", ",5,6,"), "row", 1),
        ("x\n", "row", 1),
        (line(meter_id='"M1'), "row", 1),
        (line(meter_id='"M1"2'), "row", 1),
        (",,,,\n", "meter_id", 1),
    ],
)
def test_a_bad_row_is_refused_with_its_line_and_text_and_the_rest_read(
    tmp_path: Path, bad: str, code: str, reads: int
) -> None:
    found = decoded(tmp_path, HEADER + line() + bad + line("M2"))
    (refused,) = found.rejected
    assert (refused.source, refused.place, refused.code, refused.reads) == ("reads.csv", 3, code, reads)
    assert refused.raw == bad.rstrip("\n").encode()
    assert refused.detail
    assert [each.meter_id for each in found.reads] == ["M1", "M2"]
    assert found.places == [2, 4]


def test_a_quoted_field_ends_with_its_line(tmp_path: Path) -> None:
    found = decoded(tmp_path, HEADER + line('"M\n1"') + line("M2"))
    assert found.codes == ["row", "row"]
    assert [each.meter_id for each in found.reads] == ["M2"]


def test_a_row_without_registers_carries_no_read_and_is_no_error(tmp_path: Path) -> None:
    found = decoded(tmp_path, HEADER + line(forward=""))
    assert found == Outcome([Read("M1", MS, None, None, LATER_MS)], [2], [], {}, 0, ())


def test_other_columns_are_left_out_and_named(tmp_path: Path) -> None:
    found = decoded(tmp_path, f'x,{HEADER.strip()},"y,z"\n1,{line().strip()},"2,3"\n')
    assert found == Outcome([Read("M1", MS, 5, None, LATER_MS)], [2], [], {}, 0, ("x", "y,z"))


def test_bytes_that_are_no_utf8_do_no_harm(tmp_path: Path) -> None:
    found = decoded(tmp_path, HEADER.encode() + b"M\xff," + line().encode()[3:] + line().encode())
    assert [(each.place, each.code) for each in found.rejected] == [(2, "meter_id")]
    assert len(found.reads) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no column meter_id, read_at, received_at, import_register \(or export_register\)"),
        ("\n", "no column meter_id"),
        ("meter,read_at,import_register,received_at\n", "no column meter_id"),
        ("meter_id,read_at,received_at\n", r"no column import_register \(or export_register\)"),
        (HEADER.replace("export", "import"), "column import_register stands twice"),
        ("x" * 70_000, "the first line is longer than 65536 bytes"),
        (HEADER + "x" * (6 << 20), "a line is longer than 1048576 bytes"),
    ],
)
def test_a_file_that_is_none_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "reads.csv"
    path.write_text(text)
    with pytest.raises(HandoverError, match=rf"reads\.csv: {message}"):
        plan_chunks(path, 100)


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_a_truncated_or_foreign_compressed_file_is_an_error(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"reads.csv.{compression}"
    write_csv(path, batch_of(READS * 1000), compression)  # type: ignore[arg-type]
    whole = path.read_bytes()
    for text in (whole[:-1], whole[: len(whole) // 2], b"", HEADER.encode()):
        path.write_bytes(text)
        with pytest.raises(HandoverError, match=rf"reads\.csv\.{compression}: "):
            plan_chunks(path, 100)


def test_gzip_members_one_behind_the_other_are_one_file(tmp_path: Path) -> None:
    text = gzip.compress(HEADER.encode()) + gzip.compress(line().encode()) + gzip.compress(line("M2").encode())
    assert [each.meter_id for each in decoded(tmp_path, text, "reads.csv.gz").reads] == ["M1", "M2"]


@pytest.mark.parametrize("name", ["reads.csv", "reads.csv.gz", "reads.csv.zst"])
@pytest.mark.parametrize("rows_max", [1, 3, 7, 1000])
def test_cutting_changes_nothing(tmp_path: Path, name: str, rows_max: int) -> None:
    lines = [line(f"M{index}", forward=str(index)) for index in range(25)]
    lines[3], lines[11] = "bad\n", "\n"
    path = tmp_path / name
    with pa.output_stream(str(path), compression="detect") as sink:
        sink.write((HEADER + "".join(lines)).rstrip("\n").encode())
    found = outcome_of(path, rows_max)
    good = [index for index in range(25) if index not in {3, 11}]
    assert [each.import_register for each in found.reads] == good
    assert found.places == [index + 2 for index in good]
    assert [(each.place, each.code) for each in found.rejected] == [(5, "row")]
    chunks = plan_chunks(path, rows_max)
    for order in (chunks[::-1], chunks[::2] + chunks[1::2], [*chunks[:1], *chunks[:1]]):
        for chunk in order:
            part = decode_chunk(chunk)
            assert len(part.batch) + len(part.rejected) <= rows_max


def test_a_file_larger_than_a_block_is_cut_at_line_ends(tmp_path: Path) -> None:
    count = 100_000
    text = HEADER + "".join(line(f"M{index}", forward=str(index)) for index in range(count))
    assert len(text) > 1 << 22
    for name in ("reads.csv", "reads.csv.zst"):
        path = tmp_path / name
        with pa.output_stream(str(path), compression="detect") as sink:
            sink.write(text.encode())
        chunks = plan_chunks(path, 30_000)
        assert [len(decode_chunk(each).batch) for each in chunks] == [30_000, 30_000, 30_000, 10_000]
        registers = [each for chunk in chunks for each in decode_chunk(chunk).batch.import_register.tolist()]
        assert registers == list(range(count))


def test_a_file_that_changed_since_it_was_planned_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "reads.csv"
    path.write_text(HEADER + line() * 3)
    (chunk,) = plan_chunks(path, 10)
    path.write_text(HEADER + line())
    with pytest.raises(HandoverError, match="was longer before"):
        decode_chunk(chunk)
    path.write_text(HEADER + line().replace("M1", "\n1") * 3)
    with pytest.raises(HandoverError, match="are not those that were counted"):
        decode_chunk(chunk)
