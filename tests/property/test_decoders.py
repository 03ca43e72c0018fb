# SPDX-License-Identifier: Apache-2.0
"""Decoders against any input: what is written is read, two decoders agree, and no bytes crash, hang or vanish."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import assume, example, given
from hypothesis import strategies as st

from koma.errors import HandoverError
from koma.limits import NO_DATA, REGISTER_MAX
from koma.slots import parse_jst
from pipeline.handover import EXTENSIONS
from pipeline.handover.write import to_arrow, write_csv, write_echonet
from pipeline.telegram import explain
from tests.frame_encoder import Property, fixed_time, frame, history, pairs, record
from tests.hand_over import MS, Outcome, Read, batch_of, outcome_of

SLOT_MS = 1_800_000
RECEIVED_MS = parse_jst("2026-08-22T17:02:05")

meter_ids = st.from_regex(r"[!-~]([ -~]{0,14}[!-~])?", fullmatch=True)
registers = st.one_of(st.integers(0, REGISTER_MAX), st.just(NO_DATA))
seconds = st.integers(-30_000_000_000, 200_000_000_000)
"""From 1019 to 8307: what all of the formats can write."""


@st.composite
def some_reads(draw: st.DrawFn) -> Read:
    forward, reverse = draw(st.none() | registers), draw(st.none() | registers)
    received_ms = draw(seconds) * 1000 + draw(st.integers(0, 999))
    return Read(draw(meter_ids), draw(seconds) * 1000, forward, reverse, received_ms)


@contextmanager
def landed(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / name


def in_arrow_types(reads: list[Read], text: pa.DataType, integer: pa.DataType, unit: str, zone: str | None) -> pa.Table:
    """Arrow table of these types; a time without zone is JST when read and UTC when received."""
    table = pa.Table.from_batches([to_arrow(batch_of(reads))])
    kind = pa.timestamp(unit, zone)
    ahead = 0 if zone else 9 * 3_600_000
    read_at = pa.array([each.read_at_ms + ahead for each in reads], pa.int64()).cast(pa.timestamp("ms", zone))
    columns = {
        "meter_id": table["meter_id"].cast(text),
        "read_at": read_at.cast(kind, safe=False),
        "import_register": table["import_register"].cast(integer),
        "export_register": table["export_register"].cast(integer),
        "received_at": table["received_at"].cast(pa.int64()).cast(pa.timestamp("ms", zone)).cast(kind, safe=False),
    }
    return pa.table(columns)


@given(
    st.lists(some_reads(), max_size=12),
    st.sampled_from([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int16(), pa.string())]),
    st.sampled_from([pa.uint32(), pa.int64(), pa.uint64()]),
    st.sampled_from(["ms", "us", "s"]),
    st.sampled_from([None, "UTC", "Asia/Tokyo"]),
    st.sampled_from(["arrow", "parquet"]),
    st.integers(1, 15),
)
def test_any_arrow_types_bring_the_same_reads(
    reads: list[Read],
    text: pa.DataType,
    integer: pa.DataType,
    unit: str,
    zone: str | None,
    extension: str,
    rows_max: int,
) -> None:
    if unit == "s":
        reads = [each._replace(received_ms=each.received_ms // 1000 * 1000) for each in reads]
    table = in_arrow_types(reads, text, integer, unit, zone)
    with landed(f"reads.{extension}") as path:
        if extension == "parquet":
            pq.write_table(table, path, row_group_size=5)
        else:
            with pa.ipc.new_file(str(path), table.schema) as writer:
                writer.write_table(table, max_chunksize=5)
        found = outcome_of(path, rows_max)
    assert found.reads == reads
    assert found.places == list(range(len(reads)))
    assert found.no_data == sum((each.import_register, each.export_register).count(NO_DATA) for each in reads)


@given(st.lists(some_reads(), max_size=12), st.sampled_from(["", "gz", "zst"]), st.integers(1, 15))
def test_csv_brings_back_what_was_written(reads: list[Read], compression: Any, rows_max: int) -> None:
    with landed("reads.csv" + ("." if compression else "") + compression) as path:
        write_csv(path, batch_of(reads), compression)
        assert outcome_of(path, rows_max).reads == reads


@given(st.lists(some_reads(), max_size=12), st.booleans(), st.integers(1, 15))
def test_telegrams_bring_back_what_was_written(reads: list[Read], announce: bool, rows_max: int) -> None:  # noqa: FBT001
    sent = [each for each in reads if each[2:4] != (None, None)]
    with landed("reads.echonet") as path:
        assert write_echonet(path, batch_of(reads), announce=announce) == len(sent)
        assert outcome_of(path, rows_max).reads == sent


stamps = st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat())
any_register = st.one_of(registers, st.sampled_from([REGISTER_MAX + 1, 0xFFFFFFFF, 0xFFFFFFFD]))
few_days = st.one_of(st.integers(0, 99), st.sampled_from([0x00FF, 100, 0x0100, 0xFFFF]))
repeated = any_register.flatmap(lambda odd: st.sampled_from([[odd] * 48, [*range(30), odd, *range(17)]]))
some_properties: st.SearchStrategy[Property] = st.one_of(
    st.builds(fixed_time, st.sampled_from([0xEA, 0xEB]), stamps, any_register),
    st.builds(history, st.sampled_from([0xE2, 0xE4]), few_days, repeated),
    st.builds(pairs, stamps, st.lists(st.tuples(any_register, any_register), max_size=13)),
    st.tuples(st.sampled_from([0x80, 0x88, 0xD7, 0xE7, 0xEA, 0xEC, 0xE2]), st.binary(max_size=12)),
)
some_frames = st.builds(
    frame,
    st.lists(some_properties, max_size=4),
    service=st.sampled_from([0x72, 0x72, 0x73, 0x74, 0x52, 0x71, 0x7E, 0x00]),
    source=st.sampled_from(["028801", "02887F", "028801", "028A01", "0EF001"]),
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Take bytes and change, cut, drop or add some."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        assume(data)
        at = draw(st.integers(0, len(data) - 1))
        way = draw(st.integers(0, 3))
        if way == 0:
            data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1]))
        elif way == 1:
            del data[at:]
        elif way == 2:
            del data[at : at + draw(st.integers(1, 4))]
        else:
            data[at:at] = draw(st.binary(max_size=4))
    return bytes(data)


VALUES = ("EPC D7", "EPC 97", "EPC 98")
"""Judged in words only: the value of a property that the pipeline has no use for."""


def rows_by_words(answer: dict[str, Any]) -> tuple[list[tuple[int, int | None, int | None]], int, Counter[str]]:
    """Rows, no-data values and filtered properties of a frame as `koma decode --hex` shows it."""
    rows: list[tuple[int, int | None, int | None]] = []
    filtered: Counter[str] = Counter()
    first = [each for each in answer["properties"] if each["epc"] in {"EA", "EB"}][:1]
    base = parse_jst(first[0]["read_at"][:10]) if first else parse_jst("2026-08-22")
    ea_row = -1

    def value(register: int | None) -> int:
        return NO_DATA if register is None else register

    for each in answer["properties"]:
        epc = each["epc"]
        if epc == "EA":
            ea_row = len(rows)
            rows.append((parse_jst(each["read_at"]), value(each["register"]), None))
        elif epc == "EB":
            stamp = parse_jst(each["read_at"])
            if ea_row >= 0 and rows[ea_row][0] == stamp and rows[ea_row][2] is None:
                rows[ea_row] = (*rows[ea_row][:2], value(each["register"]))
            else:
                rows.append((stamp, None, value(each["register"])))
        elif epc in {"E2", "E4"} and each["day"] is not None:
            midnight = base - each["day"] * 48 * SLOT_MS
            for index, register in enumerate(each["registers"]):
                found = value(register)
                rows.append((midnight + index * SLOT_MS, *((found, None) if epc == "E2" else (None, found))))
        elif epc == "EC" and each["read_at"] is not None:
            newest = parse_jst(each["read_at"])
            for index, (forward, reverse) in enumerate(each["registers"]):
                rows.append((newest - index * SLOT_MS, value(forward), value(reverse)))
        else:
            filtered["not_set" if epc in {"E2", "E4", "EC"} else "property"] += 1
    no_data = sum((forward, reverse).count(NO_DATA) for _, forward, reverse in rows)
    return rows, no_data, filtered


@given(damaged(some_frames))
@example(bytes.fromhex("1081000102880105ff017202d70100ea0b07d0010100000005f5e100"))
def test_the_decoder_of_millions_and_that_of_one_agree(telegram: bytes) -> None:
    with landed("reads.echonet") as path:
        path.write_bytes(record(b"M1", RECEIVED_MS, telegram))
        found = outcome_of(path)
    answer: dict[str, Any] = explain(telegram)
    if found.codes == ["frame"]:
        error = answer["error"]
        # what is filtered anyway is judged by its structure only, and no value of it
        by_structure = telegram[4:6] == b"\x02\x88" and telegram[10:11] not in {b"\x72", b"\x73", b"\x74"}
        by_value = error["reason"].startswith(VALUES) or "register" in error["reason"]
        assert by_structure or by_value or f"(byte {error['offset']} of the frame)" in found.rejected[0].detail
    elif set(found.filtered) & {"class", "esv"}:
        assert found._replace(filtered={}) == Outcome([], [], [], {}, 0, ())
        assert sum(found.filtered.values()) == 1
        assert found.filtered.get("class", 0) == (telegram[4:6] != b"\x02\x88")
    elif "register_range" in found.codes:
        reason = answer["error"]["reason"]  # the first thing that is wrong, which may stand before the register
        assert "is not in 0 to 99999999" in reason or reason.startswith(VALUES)
    elif "error" in answer:
        assert answer["error"]["reason"].startswith(VALUES)
    else:
        rows, no_data, filtered = rows_by_words(answer)
        assert [(each.read_at_ms, each.import_register, each.export_register) for each in found.reads] == rows
        assert (found.no_data, found.filtered, found.rejected) == (no_data, dict(filtered), [])


def walk(data: bytes) -> Iterator[tuple[int, int]]:
    """Places and ends of records by their length prefix; a run of zero lengths, and a tail, are one each."""
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if data[at : at + 2] == b"\0\0":
            while data[end : end + 2] == b"\0\0":
                end += 2
        end = min(end, len(data))
        yield at, end
        at = end


@given(
    damaged(
        st.lists(
            st.builds(
                record,
                st.sampled_from([b"M1", b"0123456789ABCDEF", b"", b" x", b"\xff"]),
                st.sampled_from([RECEIVED_MS, 0, 2**62, -(2**63)]),
                damaged(some_frames),
            ),
            max_size=5,
        ).map(b"".join)
    ),
    st.sampled_from([1, 3, 60, 10_000]),
)
def test_every_record_of_any_bytes_is_accounted_for(data: bytes, rows_max: int) -> None:
    with landed("reads.echonet") as path:
        path.write_bytes(data)
        found = outcome_of(path, rows_max)
        alone = []
        for start, end in walk(data):
            path.write_bytes(data[start:end])
            alone.append((start, outcome_of(path)))
    assert all(each.reads or each.rejected or each.filtered for _, each in alone)
    assert found.reads == [read for _, each in alone for read in each.reads]
    assert found.places == [start for start, each in alone for _ in each.reads]
    assert found.codes == [code for _, each in alone for code in each.codes]
    assert [each.raw for each in found.rejected] == [each.raw for _, part in alone for each in part.rejected]
    assert found.filtered == dict(sum((Counter(each.filtered) for _, each in alone), Counter()))
    assert found.no_data == sum(each.no_data for _, each in alone)
    assert all(each.reads >= 1 for each in found.rejected)


READS = [Read(f"M{index}", MS + index * SLOT_MS, index, None if index % 3 else 7) for index in range(20)]


def whole_files() -> dict[str, bytes]:
    """One good file of each format."""
    batch, files = batch_of(READS), {}
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda path: write_csv(path, batch),
        ".csv.gz": lambda path: write_csv(path, batch, "gz"),
        ".csv.zst": lambda path: write_csv(path, batch, "zst"),
        ".echonet": lambda path: write_echonet(path, batch),
    }
    table = pa.Table.from_batches([to_arrow(batch)])
    writers[".parquet"] = lambda path: pq.write_table(table, path, row_group_size=7)

    def arrow(path: Path) -> None:
        ids = table["meter_id"].cast(pa.string_view())
        with pa.ipc.new_file(str(path), table.set_column(0, "meter_id", ids).schema) as writer:
            writer.write_table(table.set_column(0, "meter_id", ids), max_chunksize=7)

    writers[".arrow"] = arrow
    for extension, write in writers.items():
        with landed("reads" + extension) as path:
            write(path)
            files[extension] = path.read_bytes()
    return files


FILES = whole_files()


def read_or_refused(extension: str, data: bytes) -> bool:
    with landed("reads" + extension) as path:
        path.write_bytes(data)
        try:
            found = outcome_of(path, 6)
        except HandoverError as error:
            return path.name in error.message and error.hint != ""
        return all(each.reads >= 1 and each.raw and each.detail for each in found.rejected)


@given(st.sampled_from(EXTENSIONS).flatmap(lambda each: st.tuples(st.just(each), damaged(st.just(FILES[each])))))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(landing: tuple[str, bytes]) -> None:
    assert read_or_refused(*landing)


@given(st.sampled_from(EXTENSIONS), st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_and_nothing_else(extension: str, data: bytes) -> None:
    assert read_or_refused(extension, data)


@given(st.text(alphabet='M1,"\n\r2026-08T:Z+ 09x', max_size=200))
def test_every_line_of_any_csv_is_accounted_for(body: str) -> None:
    header = "meter_id,read_at,import_register,export_register,received_at\n"
    with landed("reads.csv") as path:
        path.write_text(header + body, newline="")
        found = outcome_of(path, 3)
    lines = [line.removesuffix("\r") for line in body.split("\n")]
    wanted = [number for number, line in enumerate(lines, 2) if line]
    assert sorted(found.places + [each.place for each in found.rejected]) == wanted
    assert all(each.raw.decode() == lines[each.place - 2] for each in found.rejected)
