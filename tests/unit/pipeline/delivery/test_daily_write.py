# SPDX-License-Identifier: Apache-2.0
"""W41120 files: what stands in them, in which order, and what is refused."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from koma.errors import DeliveryError
from koma.slots import first_slot_of_day, slot_date
from pipeline.delivery import DailyFile, DailySlot, daily, placed, write_daily
from pipeline.delivery.layout import DAILY_SCHEMA_PATH, TAGS_PATH, read_daily_layout
from tests.independent_reader import dwh_of, read_daily_parquet, read_daily_zip
from tests.unit.pipeline.delivery.rows import ISSUED_MS, SLOT, Wanted, delivery, point

DAY = first_slot_of_day(slot_date(SLOT))


def written(
    directory: Path, slots: dict[int, Sequence[Wanted]], revision: int = 0, retailer: str = "12345"
) -> tuple[Path, dict[int, Sequence[Wanted]]]:
    """Write a file of the slots numbered in the day from 0; gives the path of its zip where it belongs."""
    table = delivery(sorted({row.point_id: row for rows in slots.values() for row in rows}.values(), key=by_id))
    facts = DailyFile(retailer, DAY, revision, 1, ISSUED_MS, table.point_id, table.ref_off, table.ref_bytes)
    place = {bytes(row).decode(): k for k, row in enumerate(table.point_id)}
    made = []
    for number, rows in slots.items():
        one = delivery(rows)
        at = np.array([place[row.point_id] for row in rows], np.uint32)
        ref = np.array([place[row.point_id] if row.customer_ref else 0xFFFFFFFF for row in rows], np.uint32)
        made.append(DailySlot(DAY + number, at, ref, one.energy_dwh, one.quality))
    directory.mkdir(exist_ok=True)
    entry = write_daily(facts, made, directory)
    assert entry.rows == sum(map(len, slots.values()))
    for ending in (".zip", ".parquet"):
        flat = directory / f"{retailer}-{entry.file.removesuffix('.zip')}{ending}"
        (directory / placed(flat.name)).parent.mkdir(parents=True, exist_ok=True)
        flat.rename(directory / placed(flat.name))
    return directory / retailer / "20260822" / entry.file, slots


def by_id(row: Wanted) -> str:
    return row.point_id


def some_day(points: int = 40) -> dict[int, Sequence[Wanted]]:
    """Rows of every kind in some slots of a day."""
    kinds = [(12_000, "actual"), (0, "rollover"), (None, "missing"), (10**9 + 1, "spike"), (None, "withdrawn")]
    refs = ["", "C-001", "a & b < c", "需要者", "x" * 30]
    return {
        number: [
            Wanted(point(n), kinds[(n + number) % 5][0], refs[n % 5], kinds[(n + number) % 5][1])
            for n in range(number % 3, points, 1 + number % 2)
        ]
        for number in (0, 1, 17, 46, 47)
    }


def test_zip_and_parquet_hold_the_rows_slot_by_slot(tmp_path: Path) -> None:
    path, slots = written(tmp_path, some_day())
    file, twin = read_daily_zip(path), read_daily_parquet(path.with_suffix(".parquet"))
    assert path.name == "W41120202608220000000001.zip"
    wanted = [[(row.point_id, row.energy_dwh, row.customer_ref) for row in rows] for rows in slots.values()]
    assert [[(r.point_id, r.energy_dwh, r.customer_ref) for r in rows] for rows in file.slots.values()] == wanted
    kinds = [[(row.point_id, row.energy_dwh, row.quality) for row in rows] for rows in slots.values()]
    assert [[(r.point_id, r.energy_dwh, r.quality) for r in rows] for rows in twin.slots.values()] == kinds
    assert list(file.slots)[2] == "2026-08-22T08:30:00+09:00"


def test_a_file_validates_against_its_schema(tmp_path: Path) -> None:
    schema = etree.XMLSchema(etree.parse(DAILY_SCHEMA_PATH))
    path, _ = written(tmp_path, some_day())
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0])
    schema.assertValid(etree.fromstring(text))
    for old, new in ((b"1120<", b"1110<"), (b">18</JP06219>", b">49</JP06219>"), (b">48</JP06219>", b">47</JP06219>")):
        assert old in text
        assert not schema.validate(etree.fromstring(text.replace(old, new, 1)))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a", some_day())[0], written(tmp_path / "b", some_day())[0]
    for ending in (".zip", ".parquet"):
        assert one.with_suffix(ending).read_bytes() == other.with_suffix(ending).read_bytes()


def test_text_larger_than_its_room_is_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deflated in small portions reads as what is deflated at once."""
    day = some_day(300)
    monkeypatch.setattr(daily._scratch, "text", np.empty(1500, np.uint8))
    path, _ = written(tmp_path, day)
    assert [len(rows) for rows in read_daily_zip(path).slots.values()] == [len(rows) for rows in day.values()]


def test_rows_fill_row_groups_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    day = some_day()
    monkeypatch.setattr(daily, "ROWS_PER_FILE_MAX", 60)
    path, _ = written(tmp_path, day)
    twin = read_daily_parquet(path.with_suffix(".parquet"))
    assert [len(rows) for rows in twin.slots.values()] == [len(rows) for rows in day.values()]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([Wanted(point(2), 1), Wanted(point(1), 1)], "row 1"),
        ([Wanted(point(1), -5)], "negative"),
        ([Wanted(point(1), 1, "\x01")], "customer_ref"),
        ([], "0 rows"),
    ],
)
def test_rows_that_make_no_sense_are_refused(rows: list[Wanted], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=reason):
        written(tmp_path, {3: rows})


def test_a_file_without_slots_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="no rows"):
        written(tmp_path, {})


def test_an_operator_can_correct_the_tags_of_a_day(tmp_path: Path) -> None:
    path = tmp_path / "tags.toml"
    path.write_text(TAGS_PATH.read_text("utf-8").replace('"JPMR00011"', '"JPMR99"'), encoding="utf-8")
    assert read_daily_layout(path).slot_foot == b"</JPM00011></JPMR00010>"
    path = tmp_path / "old.toml"  # from before there were daily files
    path.write_text(TAGS_PATH.read_text("utf-8").partition("[daily]")[0], encoding="utf-8")
    with pytest.raises(DeliveryError, match="daily"):
        read_daily_layout(path)


def test_the_reader_reads_decimals_as_they_are() -> None:
    assert dwh_of("100000.0001") == 10**9 + 1
