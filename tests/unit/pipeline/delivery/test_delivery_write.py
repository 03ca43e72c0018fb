# SPDX-License-Identifier: Apache-2.0
"""One file from end to end: names, bytes, the entry, and what is refused."""

import hashlib
import struct
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koma.errors import DeliveryError, KomaError
from koma.limits import ROWS_PER_FILE_MAX
from koma.slots import parse_jst, slot_at_ms, slot_start_ms
from pipeline.delivery import NO_REF, DeliveryFile, ManifestEntry, write_delivery
from pipeline.delivery.parquet import SCHEMA
from pipeline.quality import QUALITIES
from tests.independent_reader import Row, read_parquet, read_zip
from tests.unit.pipeline.delivery.rows import ISSUED_MS, SLOT, Wanted, delivery, point

texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=40)
wanted = st.builds(
    Wanted,
    st.integers(0, 10**20 - 1).map(point),
    st.none() | st.integers(0, 10**6) | st.integers(0, 2**62),
    texts,
    st.sampled_from(QUALITIES),
)


def numbered(count: int, seed: int = 0) -> DeliveryFile:
    """Build a file of many plausible rows."""
    random = np.random.default_rng(seed)
    energies = random.integers(0, 20_000, count).tolist()
    rows = [Wanted(point(3 * i), None if e % 97 == 0 else e, f"C-{i:08d}") for i, e in enumerate(energies)]
    return delivery(rows)


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def read_back(entry: ManifestEntry, directory: Path) -> tuple[list[Row], list[Row]]:
    path = directory / entry.retailer_code / entry.file[6:14] / entry.file
    return read_zip(path).rows, read_parquet(path.with_suffix(".parquet")).rows


@given(rows=st.lists(wanted, min_size=1, max_size=60, unique_by=lambda row: row.point_id))
@settings(max_examples=60, deadline=None)
def test_what_goes_in_comes_out_of_both_files(rows: list[Wanted], tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = sorted(rows, key=lambda row: row.point_id)
    directory = tmp_path_factory.mktemp("tree")
    entry = write_delivery(delivery(rows), directory)
    xml, parquet = read_back(entry, directory)
    assert [(r.point_id, r.energy_dwh, r.customer_ref) for r in xml] == [
        (r.point_id, r.energy_dwh, r.customer_ref) for r in rows
    ]
    assert [(r.point_id, r.energy_dwh, r.quality) for r in parquet] == [
        (r.point_id, r.energy_dwh, r.quality) for r in rows
    ]
    assert entry.available == sum(row.energy_dwh is not None for row in rows)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 3_999, 4_000, 25_000, 100_000])
def test_files_of_any_size_hold_their_rows(count: int, tmp_path: Path) -> None:
    file = numbered(count)
    xml, parquet = read_back(write_delivery(file, tmp_path), tmp_path)
    energies = [int(e) if a else None for e, a in zip(file.energy_dwh, file.available, strict=True)]
    assert [row.energy_dwh for row in xml] == energies
    assert [row.energy_dwh for row in parquet] == energies
    assert [row.point_id for row in xml] == [row.point_id for row in parquet] == [point(3 * i) for i in range(count)]
    assert xml[-1].customer_ref == f"C-{count - 1:08d}"


@pytest.mark.parametrize(
    ("start", "issued", "name"),
    [
        ("2026-08-22T16:30", "2026-08-22T17:10", "12345/20260822/W41110202608221630030042"),
        ("2026-08-23T00:00", "2026-08-23T00:40", "12345/20260823/W41110202608230000030042"),
        ("2026-08-22T23:30", "2026-08-23T00:10", "12345/20260822/W41110202608222330030042"),
    ],
)
def test_name_and_folder_are_those_of_the_slots_start_in_jst(
    start: str, issued: str, name: str, tmp_path: Path
) -> None:
    file = delivery([Wanted(point(1))], slot_id=slot_at_ms(parse_jst(start)), issued_ms=parse_jst(issued))
    entry = write_delivery(replace(file, revision=3, split=42), tmp_path)
    assert sorted(tree(tmp_path)) == [f"{name}.parquet", f"{name}.zip"]
    assert entry.file == f"{name[15:]}.zip"


def test_entry_describes_both_files(tmp_path: Path) -> None:
    rows = [Wanted(point(1), 5), Wanted(point(2), None, "", "missing")]
    entry = write_delivery(delivery(rows), tmp_path)
    written = tree(tmp_path)
    archive = written[f"12345/20260822/{entry.file}"]
    parquet = written[f"12345/20260822/{entry.file}".replace(".zip", ".parquet")]
    assert (entry.bytes, entry.sha256) == (len(archive), hashlib.sha256(archive).hexdigest())
    assert entry.parquet_bytes == len(parquet)
    assert (entry.rows, entry.available, entry.slot_id, entry.issued_ms) == (2, 1, SLOT, ISSUED_MS)


def test_zip_has_one_plain_member_dated_at_the_issue(tmp_path: Path) -> None:
    entry = write_delivery(numbered(100), tmp_path)
    path = tmp_path / "12345" / "20260822" / entry.file
    with zipfile.ZipFile(path) as archive:
        (info,) = archive.infolist()
        assert archive.testzip() is None
    assert info.filename == entry.file.replace(".zip", ".xml")
    assert info.date_time == (2026, 8, 22, 17, 45, 0)
    assert (info.compress_type, info.flag_bits, info.extra, archive.comment) == (zipfile.ZIP_DEFLATED, 0, b"", b"")
    assert struct.unpack("<4s2H", path.read_bytes()[:8]) == (b"PK\3\4", 20, 0)


def test_parquet_has_the_published_schema_and_nothing_that_depends_on_the_run(tmp_path: Path) -> None:
    entry = write_delivery(numbered(50), tmp_path)
    with pq.ParquetFile(tmp_path / "12345" / "20260822" / entry.file.replace(".zip", ".parquet")) as file:
        assert file.schema_arrow.equals(SCHEMA, check_metadata=False)
        assert list(file.metadata.metadata) == [b"ARROW:schema"]
        statistics = file.metadata.row_group(0).column(0).statistics
        assert (statistics.min, statistics.max) == (point(0), point(147))


def test_parquet_asks_no_more_of_a_reader_than_snappy_and_common_encodings(tmp_path: Path) -> None:
    entry = write_delivery(numbered(50_000), tmp_path)
    with pq.ParquetFile(tmp_path / "12345" / "20260822" / entry.file.replace(".zip", ".parquet")) as file:
        group = file.metadata.row_group(0)
        columns = [group.column(index) for index in range(group.num_columns)]
    assert {column.compression for column in columns} == {"SNAPPY", "UNCOMPRESSED"}
    encodings = {encoding for column in columns for encoding in column.encodings}
    assert encodings <= {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED"}
    assert entry.parquet_bytes < 10 * entry.rows


def test_parquet_of_many_slots_and_revisions_in_any_order_says_its_own(tmp_path: Path) -> None:
    file = numbered(5)
    issued = [(SLOT + 7 * k % 40, k % 4, ISSUED_MS + 60_000 * (k % 5)) for k in range(40)]
    for slot, revision, issued_ms in issued:
        entry = write_delivery(replace(file, slot_id=slot, revision=revision, issued_ms=issued_ms), tmp_path)
        stem = entry.file.removesuffix(".zip")
        table = pq.read_table(tmp_path / "12345" / stem[6:14] / f"{stem}.parquet")
        assert table["slot_start"].cast(pa.int64()).to_pylist() == [slot_start_ms(slot)] * 5
        assert table["revision"].to_pylist() == [revision] * 5
        assert table["recorded_at"].cast(pa.int64()).to_pylist() == [issued_ms] * 5


def test_parquet_of_rows_that_hardly_fold_finds_room(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    rows = ROWS_PER_FILE_MAX
    ids = np.sort(random.integers(48, 58, (rows, 22), np.uint8).view("S22").reshape(-1))
    energies = random.integers(0, 2**62, rows)
    available = random.random(rows) < 0.5
    file = replace(
        delivery([Wanted(point(1))]),
        point_id=ids.view(np.uint8).reshape(-1, 22),
        positions=np.arange(rows, dtype=np.uint32),
        ref_row=np.full(rows, NO_REF, np.uint32),
        energy_dwh=energies,
        available=available,
        quality=random.integers(0, len(QUALITIES), rows).astype(np.uint8),
    )
    write_delivery(file, tmp_path, xml=False)
    (path,) = tmp_path.rglob("*.parquet")
    table = pq.read_table(path)
    assert table["point_id"].cast(pa.binary()).to_numpy().astype("S22").tobytes() == ids.tobytes()
    assert table["available"].to_numpy().tobytes() == available.tobytes()
    assert table["energy_dwh"].drop_null().to_numpy().tobytes() == energies[available].tobytes()


def test_parquet_alone_is_the_same_parquet(tmp_path: Path) -> None:
    file = numbered(500)
    whole = write_delivery(file, tmp_path / "whole")
    alone = write_delivery(file, tmp_path / "alone", xml=False)
    name = whole.file.replace(".zip", ".parquet")
    assert tree(tmp_path / "alone") == {f"12345/20260822/{name}": tree(tmp_path / "whole")[f"12345/20260822/{name}"]}
    assert (alone.file, alone.bytes, alone.sha256) == ("", 0, "")
    assert (alone.parquet_bytes, alone.rows, alone.available) == (whole.parquet_bytes, whole.rows, whole.available)


def test_bytes_are_the_same_again_over_an_old_file_and_in_another_process(tmp_path: Path) -> None:
    first = write_delivery(numbered(9_000), tmp_path / "one")
    write_delivery(numbered(12_000, seed=5), tmp_path / "two")
    write_delivery(numbered(9_000), tmp_path / "two")
    script = (
        "import sys; from pathlib import Path; from pipeline.delivery import write_delivery;"
        "from tests.unit.pipeline.delivery.test_delivery_write import numbered;"
        "write_delivery(numbered(9_000), Path(sys.argv[1]))"
    )
    root = Path(__file__).parents[4]
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "three")], check=True, cwd=root)
    assert tree(tmp_path / "one") == tree(tmp_path / "two") == tree(tmp_path / "three")
    assert len(tree(tmp_path / "one")[f"12345/20260822/{first.file}"]) == first.bytes


def test_threads_write_the_same_bytes_as_one_thread(tmp_path: Path) -> None:
    files = [replace(numbered(6_000, seed=k), split=k + 1) for k in range(12)]
    for file in files:
        write_delivery(file, tmp_path / "one")
    threads = [
        threading.Thread(target=lambda part: [write_delivery(file, tmp_path / "many") for file in part], args=(part,))
        for part in (files[::3], files[1::3], files[2::3])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree(tmp_path / "one") == tree(tmp_path / "many")


def test_columns_may_be_memory_mapped_and_read_only(tmp_path: Path) -> None:
    file = numbered(40)
    np.save(tmp_path / "ids.npy", file.point_id)
    np.save(tmp_path / "refs.npy", file.ref_bytes)
    mapped = replace(
        file,
        point_id=np.load(tmp_path / "ids.npy", mmap_mode="r"),
        ref_bytes=np.load(tmp_path / "refs.npy", mmap_mode="r"),
        available=file.available.astype(np.uint8),
    )
    write_delivery(file, tmp_path / "plain")
    write_delivery(mapped, tmp_path / "mapped")
    assert tree(tmp_path / "plain") == tree(tmp_path / "mapped")
    assert file.energy_dwh.flags.writeable


def test_what_cannot_be_a_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    file = numbered(3)
    bad = {
        "0 rows": delivery([]),
        "split": replace(file, split=0),
        "four for": replace(file, split=10_000),
        "revision": replace(file, revision=100),
        "not a retailer code": replace(file, retailer_code="../etc"),
        "stands for no retailer": replace(file, retailer_code="00000"),
        "columns of": replace(file, energy_dwh=file.energy_dwh[:2]),
        "quality 10": replace(file, quality=np.full(3, 10, np.uint8)),
        "dated 2200": replace(file, issued_ms=parse_jst("2200-01-01")),
    }
    for what, each in bad.items():
        with pytest.raises(KomaError, match=what):
            write_delivery(each, tmp_path)
    assert not list(tmp_path.iterdir())


def test_more_rows_than_a_file_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="100001 rows"):
        write_delivery(numbered(100_001), tmp_path)
