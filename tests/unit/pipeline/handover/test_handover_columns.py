# SPDX-License-Identifier: Apache-2.0
"""Arrow and Parquet files: every type that serves, every row that does not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from koma.errors import HandoverError
from koma.limits import NO_DATA
from pipeline.handover import decode_chunk, plan_chunks
from pipeline.handover.write import to_arrow, write_arrow, write_parquet
from tests.hand_over import LATER_MS, MS, Outcome, Read, batch_of, outcome_of

JST_MS = 9 * 3_600_000
READS = [
    Read("M1", MS, 234174, None, LATER_MS),
    Read("0123456789ABCDEF", MS + 1_800_000, None, 22, LATER_MS + 1),
    Read("A", MS - 250, 0, 99_999_999, LATER_MS - 999),
    Read("12345678", MS, NO_DATA, 5, LATER_MS),
    Read("123456789", MS, 7, None, LATER_MS),
]
IDS = [each.meter_id for each in READS]


def write(path: Path, table: pa.Table, **options: Any) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(table, path, **options)
    else:
        with pa.ipc.new_file(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(table)
    return path


def table_of(reads: list[Read] | None = None) -> pa.Table:
    return pa.Table.from_batches([to_arrow(batch_of(READS if reads is None else reads))])


def changed(name: str, column: pa.Array, table: pa.Table | None = None) -> pa.Table:
    table = table_of() if table is None else table
    return table.set_column(table.schema.get_field_index(name), name, column)


def expect_reads(found: Outcome) -> None:
    assert found.reads == READS
    assert found.places == list(range(len(READS)))
    assert found.rejected == []
    assert found.filtered == {}
    assert found.no_data == 1


@pytest.mark.parametrize("write_batch", [write_arrow, write_parquet])
def test_what_is_written_is_read(tmp_path: Path, write_batch: Any) -> None:
    path = tmp_path / f"reads.{write_batch.__name__.removeprefix('write_')}"
    write_batch(path, batch_of(READS))
    expect_reads(outcome_of(path))
    write_batch(path, batch_of([]))
    assert outcome_of(path).reads == []


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array(IDS, pa.string()),
        pa.array(IDS, pa.large_string()),
        pa.array(IDS, pa.string_view()),
        pa.array(IDS, pa.binary()),
        pa.array(IDS, pa.large_binary()),
        pa.array(IDS, pa.binary_view()),
        pa.array(IDS).dictionary_encode(),
        pa.array(IDS, pa.dictionary(pa.int8(), pa.large_string())),
        pa.array(IDS, pa.dictionary(pa.uint16(), pa.string())),
        pa.array(["cut off", *IDS, "cut off"]).slice(1, len(IDS)),
    ],
    ids=lambda column: str(column.type).replace(" ", ""),
)
def test_any_string_type_serves(tmp_path: Path, column: pa.Array, suffix: str) -> None:
    expect_reads(outcome_of(write(tmp_path / f"reads.{suffix}", changed("meter_id", column))))


def test_run_end_encoded_columns_serve(tmp_path: Path) -> None:
    table = table_of()
    for name, column in (("meter_id", pa.array(IDS)), ("export_register", table["export_register"].combine_chunks())):
        table = changed(name, pa.compute.run_end_encode(column), table)
    expect_reads(outcome_of(write(tmp_path / "reads.arrow", table)))


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("nulls", [False, True])
def test_any_integer_type_serves(tmp_path: Path, kind: str, suffix: str, nulls: bool) -> None:  # noqa: FBT001
    values = [1, 2, None if nulls else 3, 4, 127]
    table = changed("import_register", pa.array(values, kind))
    found = outcome_of(write(tmp_path / f"reads.{suffix}", table))
    assert [each.import_register for each in found.reads] == values
    assert found.no_data == 0


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize("kind", ["int64", "uint32", "uint64"])
def test_the_no_data_value_is_counted_in_any_wide_integer(tmp_path: Path, kind: str, suffix: str) -> None:
    table = changed("import_register", pa.array([NO_DATA, None, 0, NO_DATA, 99_999_999], kind))
    found = outcome_of(write(tmp_path / f"reads.{suffix}", table))
    assert [each.import_register for each in found.reads] == [NO_DATA, None, 0, NO_DATA, 99_999_999]
    assert found.no_data == 2


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo", "+09:00", "America/New_York"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_any_timestamp_type_serves(tmp_path: Path, unit: str, zone: str | None, suffix: str) -> None:
    per_ms = {"ms": 1, "us": 1_000, "ns": 1_000_000}
    seconds = [MS // 1000, MS // 1000 + 1, MS // 1000 - 1, 0, -1]
    # parts of a millisecond are cut off downwards, before 1970 too
    values = seconds if unit == "s" else [each * 1000 * per_ms[unit] + (per_ms[unit] - 1) for each in seconds]
    table = changed("read_at", pa.array(values, pa.timestamp(unit, zone)))
    table = changed("received_at", pa.array(values, pa.timestamp(unit, zone)), table)
    found = outcome_of(write(tmp_path / f"reads.{suffix}", table))
    instants = [each * 1000 for each in seconds]
    assert [each.received_ms for each in found.reads] == instants
    assert [each.read_at_ms for each in found.reads] == [each - (0 if zone else JST_MS) for each in instants]


def test_old_timestamps_of_parquet_serve(tmp_path: Path) -> None:
    table = changed("read_at", pa.array([MS * 1_000_000] * 5, pa.timestamp("ns")))
    found = outcome_of(write(tmp_path / "reads.parquet", table, use_deprecated_int96_timestamps=True))
    assert {each.read_at_ms for each in found.reads} == {MS - JST_MS}


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_one_register_may_be_missing_or_without_type(tmp_path: Path, suffix: str) -> None:
    without = table_of().drop_columns("export_register")
    found = outcome_of(write(tmp_path / f"reads.{suffix}", without))
    assert [each.export_register for each in found.reads] == [None] * 5
    nulls = changed("export_register", pa.nulls(5))
    assert outcome_of(write(tmp_path / f"nulls.{suffix}", nulls)).reads == found.reads


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_other_columns_are_left_out_and_named(tmp_path: Path, suffix: str) -> None:
    table = table_of().append_column("status", pa.array([[1]] * 5)).append_column("note", pa.array(["x"] * 5))
    found = outcome_of(write(tmp_path / f"reads.{suffix}", table.select(sorted(table.column_names))))
    expect_reads(found._replace(ignored=()))
    assert found.ignored == ("note", "status")


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize(
    ("name", "value", "code", "reads"),
    [
        ("meter_id", None, "meter_id", 2),
        ("meter_id", "", "meter_id", 2),
        ("meter_id", "0123456789ABCDEFG", "meter_id", 2),
        ("meter_id", "計器", "meter_id", 2),
        ("meter_id", "M\x00", "meter_id", 2),
        ("meter_id", "M\x1f1", "meter_id", 2),
        ("meter_id", "12345678\x7f", "meter_id", 2),
        ("meter_id", " M1", "meter_id", 2),
        ("meter_id", "12345678 ", "meter_id", 2),
        ("read_at", None, "read_at", 2),
        ("received_at", None, "received_at", 2),
        ("import_register", -1, "register_range", 2),
        ("import_register", 100_000_000, "register_range", 2),
        ("import_register", 0xFFFFFFFF, "register_range", 2),
        ("import_register", 2**40, "register_range", 2),
        ("export_register", -(2**63), "register_range", 2),
        ("export_register", 0xFFFFFFFD, "register_range", 2),
    ],
)
def test_a_bad_value_costs_its_row_only(
    tmp_path: Path, name: str, value: Any, code: str, reads: int, suffix: str
) -> None:
    rows = [Read("M1", MS, 1, 2), Read("M2", MS, 3, 4), Read("M3", MS, 5, 6)]
    table = table_of(rows)
    kind = pa.int64() if "register" in name else table.schema.field(name).type
    values = table[name].cast(kind).to_pylist() if kind != table.schema.field("read_at").type else [MS, MS, MS]
    table = changed(name, pa.array([values[0], value, values[2]], kind), table)
    found = outcome_of(write(tmp_path / f"reads.{suffix}", table))
    (refused,) = found.rejected
    assert (refused.source, refused.place, refused.code) == (f"reads.{suffix}", 1, code)
    assert refused.reads == reads
    assert name in refused.detail
    assert name in json.loads(refused.raw)
    assert [each.meter_id for each in found.reads] == ["M1", "M3"]
    assert found.places == [0, 2]


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 253_402_300_800, -62_135_596_801])
def test_a_time_outside_the_calendar_is_refused(tmp_path: Path, unit: str, value: int) -> None:
    scaled = value if abs(value) > 2**60 else value * {"s": 1, "ms": 1_000, "us": 1_000_000}[unit]
    column = pa.array([scaled] * 5, pa.timestamp(unit))
    assert outcome_of(write(tmp_path / "a.arrow", changed("read_at", column))).codes == ["read_at"] * 5
    assert outcome_of(write(tmp_path / "b.arrow", changed("received_at", column))).codes == ["received_at"] * 5


def test_the_first_hours_of_the_calendar_in_japan_are_before_it(tmp_path: Path) -> None:
    first = -62_135_596_800
    column = pa.array([first, first + 9 * 3600 - 1, first + 9 * 3600, None, None], pa.timestamp("s"))
    found = outcome_of(write(tmp_path / "a.arrow", changed("read_at", column)))
    assert found.places == [2]
    assert found.reads[0].read_at_ms == first * 1000


def test_a_zone_whose_name_is_no_text_is_an_error(tmp_path: Path) -> None:
    """Also where it is needed only to show a refused row."""
    column = pa.array([2**62, 0, 0, 0, 0], pa.timestamp("ms", "Zone-Name"))
    path = write(tmp_path / "a.arrow", changed("received_at", column))
    path.write_bytes(path.read_bytes().replace(b"Zone-Name", b"Zone\xff\xffame"))
    with pytest.raises(HandoverError, match="not a readable Arrow file"):
        outcome_of(path)


@pytest.mark.parametrize("rows_max", [2, 5, 100])
@pytest.mark.parametrize("values", [[1, None, None, None, None], [None] * 5])
def test_null_counts_that_contradict_the_bits_are_an_error_however_it_is_cut(
    tmp_path: Path, rows_max: int, values: list[int | None]
) -> None:
    """Else a read that is there would be taken for none, or what lies where none is for a read."""
    column = pa.array(values, pa.uint32())
    wrong = pa.Array.from_buffers(pa.uint32(), 5, [pa.py_buffer(b"\x03"), column.buffers()[1]], 5 - values.count(1))
    table = changed("import_register", wrong)
    path = write(tmp_path / "a.arrow", pa.concat_tables([table, table]))
    with pytest.raises(HandoverError, match="nulls that are announced"):
        outcome_of(path, rows_max)


def test_a_refused_row_shows_its_values(tmp_path: Path) -> None:
    table = changed("read_at", pa.array([None, MS, MS, MS, MS], pa.timestamp("ms", "UTC")))
    table = changed("meter_id", pa.array([None, *IDS[1:]], pa.string_view()), table)
    (refused,) = outcome_of(write(tmp_path / "reads.arrow", table)).rejected
    assert json.loads(refused.raw) == {
        "meter_id": None,
        "read_at": None,
        "import_register": 234174,
        "export_register": None,
        "received_at": "2026-08-22T08:02:05.250Z",
    }
    assert (refused.code, refused.reads) == ("meter_id", 1)


def test_the_no_data_value_of_a_refused_row_is_not_counted_twice(tmp_path: Path) -> None:
    found = outcome_of(write(tmp_path / "reads.arrow", table_of([Read("M1", MS, NO_DATA, 100_000_000)])))
    assert found.no_data == 0
    assert [each.reads for each in found.rejected] == [2]


def test_a_row_without_registers_carries_no_read_and_is_no_error(tmp_path: Path) -> None:
    found = outcome_of(write(tmp_path / "reads.arrow", table_of([Read("M1", MS, None, None)])))
    assert found.reads == [Read("M1", MS, None, None)]
    assert (found.rejected, found.no_data) == ([], 0)


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (["meter_id"], "no column meter_id"),
        (["read_at", "received_at"], "no column read_at, received_at"),
        (["import_register", "export_register"], r"no column import_register \(or export_register\)"),
    ],
)
def test_a_missing_column_is_an_error_that_names_it(tmp_path: Path, suffix: str, drop: list[str], message: str) -> None:
    path = write(tmp_path / f"reads.{suffix}", table_of().drop_columns(drop))
    with pytest.raises(HandoverError, match=rf"reads\.{suffix}: {message}"):
        plan_chunks(path, 100)


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("meter_id", pa.array([1, 2, 3, 4, 5])),
        ("read_at", pa.array(["2026-08-22"] * 5)),
        ("read_at", pa.array([MS] * 5)),
        ("received_at", pa.array([1] * 5, pa.date32())),
        ("import_register", pa.array([1.0] * 5)),
        ("export_register", pa.array(["1"] * 5)),
        ("import_register", pa.array([True] * 5)),
    ],
)
def test_a_column_of_a_wrong_type_is_an_error_that_names_it(
    tmp_path: Path, suffix: str, name: str, column: pa.Array
) -> None:
    path = write(tmp_path / f"reads.{suffix}", changed(name, column))
    with pytest.raises(HandoverError, match=rf"reads\.{suffix}: column {name} is .*cast it"):
        plan_chunks(path, 100)


def test_a_column_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    table = table_of().append_column("meter_id", pa.array(IDS))
    with pytest.raises(HandoverError, match="column meter_id stands twice"):
        plan_chunks(write(tmp_path / "reads.arrow", table), 100)


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_a_truncated_file_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"reads.{suffix}", table_of())
    whole = path.read_bytes()
    for size in [0, 1, 8, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(HandoverError, match=rf"reads\.{suffix}: not a readable .*Hand it over again"):
            plan_chunks(path, 100)


def test_a_stream_is_not_an_arrow_file(tmp_path: Path) -> None:
    path = tmp_path / "reads.arrow"
    with pa.ipc.new_stream(str(path), table_of().schema) as writer:
        writer.write_table(table_of())
    with pytest.raises(HandoverError, match="not a stream"):
        plan_chunks(path, 100)


def test_offsets_that_point_outside_are_an_error_not_a_crash(tmp_path: Path) -> None:
    path = write(tmp_path / "reads.arrow", table_of())
    whole = path.read_bytes()
    good = np.array([0, 2, 18, 19, 27, 36], np.int32).tobytes()
    assert whole.count(good) == 1
    for offsets in ([0, 2, 18, 19, 10_000, 36], [0, 2, 1, 19, 27, 36], [-5, 2, 18, 19, 27, 36], [0, 2, 18, 19, 27, 99]):
        path.write_bytes(whole.replace(good, np.array(offsets, np.int32).tobytes()))
        with pytest.raises(HandoverError, match=r"reads\.arrow: the file is damaged"):
            [decode_chunk(each) for each in plan_chunks(path, 100)]


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("rows_max", [1, 3, 7, 10, 1000])
def test_cutting_changes_nothing(tmp_path: Path, suffix: str, packed: bool, rows_max: int) -> None:  # noqa: FBT001
    reads = [Read(f"M{index}", MS + index, index, None if index % 3 else index) for index in range(40)]
    reads[17] = Read("M17", MS, 100_000_000, 1)
    path = tmp_path / f"reads.{suffix}"
    table = table_of(reads)
    if suffix == "parquet":
        pq.write_table(table, path, row_group_size=8)
    else:
        options = pa.ipc.IpcWriteOptions(compression="lz4" if packed else None)
        with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
            for start, rows in ((0, 25), (25, 2), (27, 0), (27, 3), (30, 10)):
                writer.write_table(table.slice(start, rows))
    found = outcome_of(path, rows_max)
    assert found.reads == [*reads[:17], *reads[18:]]
    assert found.places == [*range(17), *range(18, 40)]
    assert [(each.place, each.code) for each in found.rejected] == [(17, "register_range")]
    assert all(each.length <= rows_max for each in plan_chunks(path, rows_max))


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_chunks_can_be_decoded_in_any_order_and_again(tmp_path: Path, suffix: str) -> None:
    reads = [Read(f"M{index}", MS + index, index) for index in range(40)]
    path = tmp_path / f"reads.{suffix}"
    table = table_of(reads)
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        write(path, table, compression="zstd")
    chunks = plan_chunks(path, 7)
    for order in (chunks[::-1], chunks[::2] + chunks[1::2], [chunks[2]] * 9, chunks):
        for chunk in order:
            batch = decode_chunk(chunk).batch
            assert batch.place.tolist() == list(range(chunk.start, chunk.start + chunk.length))
            assert batch.import_register.tolist() == batch.place.tolist()


def test_columns_of_the_right_type_are_taken_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "reads.arrow"
    write_arrow(path, batch_of([Read("M1", MS, 5, 6)] * 1000))
    (chunk,) = plan_chunks(path, 1000)
    before = pa.total_allocated_bytes()
    batch = decode_chunk(chunk).batch
    assert pa.total_allocated_bytes() - before < 1000
    for column in (batch.read_at_ms, batch.received_ms, batch.import_register, batch.export_register):
        assert not column.flags.owndata
