# SPDX-License-Identifier: Apache-2.0
"""Files of days and months on the retailer's side: read slot by slot, refused where they are not as announced."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gateway import pull_whole
from gateway.errors import PullFormatError, PullMismatchError
from gateway.names import ObjectName, parse_object
from gateway.pull_ledger import Agreement, compared
from gateway.pull_read import Rows
from gateway.pull_whole import read_day, read_month
from koma.errors import PullError
from koma.slots import first_slot_of_day, parse_jst, slot_at_ms, slot_date
from pipeline.delivery.daily import DailyFile, DailySlot, write_daily
from tests.gateway_deliveries import Deliveries, Row, points, slot_start, xml_of_day, xml_of_month
from tests.unit.pipeline.delivery.rows import Wanted, delivery

DAY = slot_start("2026-08-22T00:00")
NAME, MONTH = "W41120202608220000000001.zip", "W51220202608220000001.zip"
SLOTS: dict[int, list[Row]] = {
    code: [(point, None if (code + index) % 7 == 0 else code * 100 + index) for index, point in enumerate(points(9))]
    for code in (1, 2, 34, 48)
}
GOOD = xml_of_day(DAY, "10013", SLOTS).decode()


def named(name: str = NAME) -> ObjectName:
    found = parse_object("10013", name)
    assert found is not None
    return found


def write(folder: Path, xml: str, name: str = NAME) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name.replace(".zip", ".xml"), xml)
    file = folder / name
    file.write_bytes(buffer.getvalue())
    return file


def held(rows: Rows) -> list[Row]:
    columns = zip(rows.point_id.tolist(), rows.available.tolist(), rows.energy_dwh.tolist(), strict=True)
    return [(point.decode(), energy if there else None) for point, there, energy in columns]


def by_code(path: Path, one: ObjectName) -> dict[int, list[Row]]:
    first = first_slot_of_day(DAY.date())
    return {slot - first + 1: held(rows) for slot, rows in read_day(path, one)}


@pytest.mark.parametrize("suffix", ["zip", "parquet"])
@pytest.mark.parametrize("block", [1 << 20, 7])
def test_both_forms_of_a_day_hold_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, block: int
) -> None:
    """However the text is cut when it is unpacked."""
    monkeypatch.setattr(pull_whole, "_BLOCK_BYTES", block)
    Deliveries(tmp_path).issue_day("10013", DAY, SLOTS)
    one = named(NAME.replace("zip", suffix))
    assert by_code(tmp_path / one.place, one) == SLOTS


@pytest.mark.parametrize("suffix", ["zip", "parquet"])
def test_what_the_pipeline_writes_of_a_day_is_read(tmp_path: Path, suffix: str) -> None:
    first = first_slot_of_day(slot_date(slot_at_ms(parse_jst("2026-08-22"))))
    rows = [Wanted(point, energy_dwh=index) for index, point in enumerate(points(5))]
    table = delivery(rows)
    facts = DailyFile("10013", first, 0, 1, 1_787_433_300_000, table.point_id, table.ref_off, table.ref_bytes)
    slots = [
        DailySlot(first + number, table.positions, table.ref_row, table.energy_dwh, table.quality)
        for number in range(48)
    ]
    write_daily(facts, slots, tmp_path)
    path = tmp_path / NAME.replace("zip", suffix)
    (tmp_path / f"10013-{path.name}").rename(path)
    found = by_code(path, named(path.name))
    assert list(found) == list(range(1, 49))
    assert all(each == [(point, index) for index, point in enumerate(points(5))] for each in found.values())


@pytest.mark.parametrize("suffix", ["zip", "parquet"])
def test_both_forms_of_a_month_hold_the_same(tmp_path: Path, suffix: str) -> None:
    rows: list[Row] = [(point, None if index == 3 else index * 37) for index, point in enumerate(points(20))]
    Deliveries(tmp_path).issue_month("10013", DAY, rows)
    one = named(MONTH.replace("zip", suffix))
    assert held(read_month(tmp_path / one.place, one)) == rows


SLOT = GOOD[GOOD.index("<JPMR00010>") : GOOD.index("</JPMR00010>") + len("</JPMR00010>")]
CUT: dict[str, Callable[[str], str]] = {
    "another day": lambda text: text.replace("<JP06116>20260822", "<JP06116>20260823"),
    "a slot twice": lambda text: text.replace(SLOT, SLOT + SLOT),
    "slots out of order": lambda text: text.replace(SLOT, "").replace(
        "</JPM00010></JPTRM>", SLOT + "</JPM00010></JPTRM>"
    ),
    "no time code": lambda text: text.replace("<JP06219>01</JP06219>", ""),
    "a time code of another day": lambda text: text.replace("<JP06219>48</JP06219>", "<JP06219>49</JP06219>"),
    "a point twice": lambda text: text.replace(points(2)[1], points(1)[0], 1),
    "a document type": lambda text: text.replace("?><SBD", "?><!DOCTYPE a><SBD"),
    "an entity": lambda text: text.replace("<JP06122>0<", "<JP06122>&nought;<", 1),
    "a slot that does not end": lambda text: text.replace("</JPMR00010>", "", 1),
    "an end without a slot": lambda text: text.replace("<JPMR00010>", "", 1),
    "a slot in another": lambda text: text.replace("<JPM00011>", "<JPM00011>" + SLOT, 1),
    "points outside": lambda text: text.replace("<JPM00010>", "<JPM00010><JPMR00011><JP06400>1</JP06400></JPMR00011>"),
    "slots with attributes": lambda text: text.replace("<JPMR00010>", '<JPMR00010 a="1">', 1),
    "energy where there is none": lambda text: text.replace("<JP06122>0<", "<JP06122>1<", 1),
    "an id that is none": lambda text: text.replace(points(1)[0], "0" * 21 + "x", 1),
    "no message": lambda text: text.replace("JPTRM", "JPTRX"),
    "a cut": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("what", CUT)
def test_a_day_that_is_not_as_it_must_be_is_refused(tmp_path: Path, what: str) -> None:
    xml = CUT[what](GOOD)
    assert xml != GOOD
    with pytest.raises(PullError):
        list(read_day(write(tmp_path, xml), named()))


def test_a_day_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_whole, "SLOT_BYTES_MAX", 3_000_000)
    monkeypatch.setattr(pull_whole, "SKELETON_BYTES_MAX", 10_000)
    for xml in (GOOD.replace("<JPM00011>", "<JPM00011>" + " " * 5_000_000, 1), " " * 5_000_000 + GOOD):
        with pytest.raises(PullFormatError, match="bytes"):
            list(read_day(write(tmp_path, xml), named()))
    monkeypatch.setattr(pull_whole, "DAY_BYTES_MAX", 1_000)
    with pytest.raises(PullFormatError, match="unpacks"):
        list(read_day(write(tmp_path, GOOD), named()))


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("slot_start", [DAY.timestamp() * 1000 + 1]),
        ("slot_start", [DAY.timestamp() * 1000 + 86_400_000]),
        ("slot_start", [DAY.timestamp() * 1000 - 1_800_000]),
        ("revision", [1]),
        ("point_id", ["x"]),
    ],
)
def test_a_parquet_of_another_day_or_revision_is_refused(tmp_path: Path, column: str, values: list[object]) -> None:
    Deliveries(tmp_path).issue_day("10013", DAY, {1: SLOTS[1][1:2]})
    one = named(NAME.replace("zip", "parquet"))
    path = tmp_path / one.place
    table = pq.read_table(path, partitioning=None)
    field = table.schema.field(column)
    array = pa.array(values).cast(pa.int64()) if column != "point_id" else pa.array(values)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, array.cast(field.type)), path)
    with pytest.raises(PullError):
        list(read_day(path, one))


def test_a_month_that_ends_on_another_day_is_refused(tmp_path: Path) -> None:
    xml = xml_of_month(DAY, "10013", [(points(1)[0], 1)]).decode()
    for wrong in (xml.replace(">202608<", ">202607<"), xml.replace(">20260822<", ">20260823<")):
        with pytest.raises(PullMismatchError):
            read_month(write(tmp_path, wrong, MONTH), named(MONTH))


def test_days_and_slots_are_compared_cell_by_cell(tmp_path: Path) -> None:
    Deliveries(tmp_path).issue_day("10013", DAY, {1: [(point, 5) for point in points(4)]})
    Deliveries(tmp_path).issue_day(
        "10021", DAY, {1: [(points(1)[0], 5), (points(2)[1], 6), (points(3)[2], None), (points(9)[8], 1)]}
    )
    day, slot = (next(read_day(tmp_path / code / "20260822" / NAME, named()))[1] for code in ("10013", "10021"))
    assert compared(day, slot) == Agreement(agree=1, differ=2, alone=1)
    assert compared(day, None) == Agreement(alone=4)
