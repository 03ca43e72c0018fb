# SPDX-License-Identifier: Apache-2.0
"""Plain record batches are read straight from the file, and that gives what the long way gives, to the last row."""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.errors import HandoverError
from koma.limits import METER_ID_BYTES, NO_DATA
from pipeline.handover import Chunk, Decoded, decode_chunk, plan_chunks
from pipeline.handover.column_kernels import SOUND, pack_ids
from pipeline.handover.columnar import decode_arrow
from pipeline.handover.plain import frozen, pack_plain
from pipeline.handover.straight import decode_straight

MS = 1_790_000_000_000
UTC = pa.timestamp("ms", "UTC")
PLAIN_IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=METER_ID_BYTES)
ANY_IDS = st.one_of(PLAIN_IDS, st.text(max_size=METER_ID_BYTES + 2))
REGISTERS = st.one_of(st.integers(0, 99_999_999), st.just(NO_DATA))
COLUMNS = ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place")


def table_of(ids: list[str], kind: Any, read_at: list[int], registers: list[Any]) -> pa.Table:
    rows = len(ids)
    return pa.table(
        {
            "meter_id": pa.array(ids, pa.string()).cast(kind),
            "read_at": pa.array(read_at, UTC),
            "import_register": pa.array(registers, pa.uint32()),
            "export_register": pa.nulls(rows, pa.uint32()),
            "received_at": pa.array([MS + row for row in range(rows)], UTC),
        }
    )


def written(path: Path, table: pa.Table, rows: int = 65_536, **options: Any) -> list[Chunk]:
    with pa.ipc.new_file(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return plan_chunks(path, 65_536)


def straight(chunk: Chunk) -> Decoded | None:
    size, modified_ns, *layout = chunk.layout[3:] or (0, 0)
    return decode_straight(chunk, (size, modified_ns), tuple(layout)) if layout else None


def the_long_way(chunk: Chunk) -> Decoded:
    return decode_arrow(replace(chunk, layout=chunk.layout[:3]))


def expect_same(found: Decoded, wanted: Decoded) -> None:
    for name in COLUMNS:
        assert np.array_equal(getattr(found.batch, name), getattr(wanted.batch, name)), name
    assert replace(found, batch=wanted.batch) == wanted


@given(
    st.lists(PLAIN_IDS, min_size=1, max_size=40),
    st.sampled_from([pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]),
    st.data(),
)
def test_a_plain_file_is_read_straight(ids: list[str], kind: Any, data: st.DataObject) -> None:
    rows = len(ids)
    read_at = data.draw(st.lists(st.integers(0, 2**41), min_size=rows, max_size=rows))
    registers = data.draw(st.lists(REGISTERS, min_size=rows, max_size=rows))
    with TemporaryDirectory() as folder:
        (chunk,) = written(Path(folder, "a.arrow"), table_of(ids, kind, read_at, registers))

        found = straight(chunk)

        assert found is not None
        expect_same(found, the_long_way(chunk))
        expect_same(decode_chunk(chunk), found)
    assert found.no_data == registers.count(NO_DATA)


@given(st.lists(ANY_IDS, min_size=1, max_size=20), st.data())
def test_any_file_gives_what_the_long_way_gives(ids: list[str], data: st.DataObject) -> None:
    rows = len(ids)
    read_at = data.draw(st.lists(st.one_of(st.integers(0, 2**41), st.integers(-(2**63), 2**63 - 1)),
                                 min_size=rows, max_size=rows))  # fmt: skip
    values = st.one_of(REGISTERS, st.none(), st.integers(0, 2**32 - 1))
    registers = data.draw(st.lists(values, min_size=rows, max_size=rows))
    with TemporaryDirectory() as folder:
        (chunk,) = written(Path(folder, "a.arrow"), table_of(ids, pa.string(), read_at, registers))

        expect_same(decode_chunk(chunk), the_long_way(chunk))


@given(st.lists(st.one_of(PLAIN_IDS, ANY_IDS), max_size=20), st.sampled_from([np.int32, np.int64]), st.integers(0, 20))
def test_ids_packed_together_are_those_packed_one_by_one(ids: list[str], kind: Any, slack: int) -> None:
    texts = [each.encode() for each in ids]
    data = frozen(np.frombuffer(b"".join(texts) + b"\xff" * slack, np.uint8))
    offsets = frozen(np.cumsum([0, *(len(each) for each in texts)]).astype(kind))
    wanted, verdict = np.zeros((len(ids), 2), np.uint64), np.zeros(len(ids), np.uint8)
    assert pack_ids(offsets, data, frozen(np.empty(0, np.uint8)), 0, wanted, verdict) == SOUND
    keys = np.zeros((len(ids), 2), np.uint64)

    rows = pack_plain(offsets, data, keys, slack)

    if rows:
        assert np.array_equal(keys[:rows], wanted[:rows])
        assert not verdict[:rows].any()
    plain = all(1 <= len(each) <= METER_ID_BYTES and min(each) > 0x20 and max(each) < 0x7F for each in texts)
    if plain and ids and slack >= METER_ID_BYTES:
        assert rows == len(ids)


@pytest.mark.parametrize(
    "offsets", [[-1, 4, 8], [0, 4, 99], [0, 99, 8], [4, 0, 8], [0, -(2**31), 8], [2**31 - 1, 4, 8]]
)
def test_ids_outside_the_data_are_never_packed_together(offsets: list[int]) -> None:
    data = frozen(np.full(40, 0x41, np.uint8))

    assert pack_plain(frozen(np.array(offsets, np.int32)), data, np.empty((2, 2), np.uint64), 20) == 0


def test_every_batch_of_a_file_is_read_where_it_stands(tmp_path: Path) -> None:
    table = table_of([f"M{row:011d}" for row in range(1000)], pa.string(), [MS] * 1000, list(range(1000)))
    table = table.append_column("note", pa.array(["other"] * 1000))
    chunks = plan_chunks(tmp_path / "a.arrow", 300) if written(tmp_path / "a.arrow", table, 300) else []

    found = [straight(chunk) for chunk in chunks]

    assert [len(each.batch) for each in found if each] == [300, 300, 300, 100]
    for each, chunk in zip(found, chunks, strict=True):
        assert each is not None
        expect_same(each, the_long_way(chunk))
        assert each.ignored_columns == ("note",)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("meter_id", pa.array(["A", None])),
        ("meter_id", pa.array(["A", "B"], pa.string_view())),
        ("meter_id", pa.array(["A", "B"]).dictionary_encode()),
        ("read_at", pa.array([MS, MS], pa.timestamp("ms"))),
        ("read_at", pa.array([MS, MS], pa.timestamp("us", "UTC"))),
        ("received_at", pa.array([MS, None], UTC)),
        ("import_register", pa.array([1, None], pa.uint32())),
        ("import_register", pa.array([1, 2], pa.int64())),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.type).replace(" ", ""),
)
def test_other_columns_go_the_long_way(tmp_path: Path, name: str, column: pa.Array) -> None:
    table = table_of(["A", "B"], pa.string(), [MS, MS], [1, 2])
    (chunk,) = written(tmp_path / "a.arrow", table.set_column(table.column_names.index(name), name, column))

    assert straight(chunk) is None
    expect_same(decode_chunk(chunk), the_long_way(chunk))


def test_a_compressed_file_goes_the_long_way(tmp_path: Path) -> None:
    table = table_of(["A", "B"] * 500, pa.string(), [MS, MS] * 500, [1, 2] * 500)
    (chunk,) = written(tmp_path / "a.arrow", table, compression="zstd")

    assert straight(chunk) is None
    assert len(decode_chunk(chunk).batch) == 1000


def test_a_file_that_is_no_longer_what_it_was_is_not_read_straight(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    (chunk,) = written(path, table_of(["A", "B"], pa.string(), [MS, MS], [1, 2]))
    written(path, table_of(["C", "D"], pa.string(), [MS, MS], [3, 4]))
    os.utime(path, ns=(0, 0))

    assert straight(chunk) is None
    assert decode_chunk(chunk).batch.import_register.tolist() == [3, 4]
    path.unlink()
    with pytest.raises(HandoverError):
        decode_chunk(chunk)
