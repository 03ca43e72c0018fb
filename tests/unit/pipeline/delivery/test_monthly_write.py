# SPDX-License-Identifier: Apache-2.0
"""W51220 files: what stands in them, in which order, and what is refused."""

import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xmlschema
from lxml import etree

from koma.errors import DeliveryError
from koma.slots import first_slot_of_day
from pipeline.delivery import MonthlyFile, MonthRows, monthly, placed, write_monthly
from pipeline.delivery.layout import MONTHLY_SCHEMA_PATH, TAGS_PATH, read_monthly_layout
from pipeline.delivery.monthly import next_reading
from pipeline.quality import QUALITIES, WITH_VALUE
from tests.independent_reader import dwh_of

READING = first_slot_of_day(date(2026, 10, 31))
FILE = MonthlyFile("12345", READING, 0, 1, 1_794_000_000_000)
ENERGIES = [0, 1, 10, 12_000, 10_000, 123_456_789, 10**15 + 1_000]
REFS = ["", None, "C-001", "a & b < c > d", "需要者１２３", "]]>"]


def rows_of(count: int = 40) -> MonthRows:
    """Rows of every kind."""
    number = np.arange(count)
    return MonthRows(
        point_id=np.frombuffer(b"".join(f"03{7 * n:020d}".encode() for n in range(count)), np.uint8).reshape(-1, 22),
        customer_ref=pa.array([REFS[n % len(REFS)] for n in range(count)], pa.string()),
        first=(READING - 1440 + number % 3).astype(np.int32),
        end=np.full(count, READING, np.int32),
        energy_dwh=np.array([ENERGIES[n % len(ENERGIES)] for n in range(count)], np.int64),
        quality=(number % len(QUALITIES)).astype(np.uint8),
        slots=(1440 - number % 3).astype(np.int32),
        missing=(number % 4).astype(np.int32),
        read_day=np.array([(0, 1, 30, 31)[n % 4] for n in range(count)], np.uint8),
    )


def xml_of(directory: Path, rows: MonthRows, **changes: Any) -> etree._Element:
    directory.mkdir(exist_ok=True)
    entry = write_monthly(FILE, rows, directory, **changes)
    with zipfile.ZipFile(directory / f"12345-{entry.file}") as archive:
        return etree.fromstring(archive.read(f"{entry.file.removesuffix('.zip')}.xml"))


def test_a_file_is_named_after_the_reading_day_and_lies_in_its_folder(tmp_path: Path) -> None:
    entry = write_monthly(replace(FILE, revision=3, split=12_345), rows_of(), tmp_path)
    assert entry.file == "W51220202610310312345.zip"
    assert placed(f"12345-{entry.file}").as_posix() == f"12345/20261031/{entry.file}"
    assert (entry.rows, entry.available, entry.slot_id) == (40, 16, READING)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"12345-W51220202610310312345.{ending}" for ending in ("parquet", "zip")
    ]


def test_files_validate_with_two_schema_validators(tmp_path: Path) -> None:
    root = xml_of(tmp_path, rows_of())
    etree.XMLSchema(etree.parse(MONTHLY_SCHEMA_PATH)).assertValid(root)
    xmlschema.XMLSchema10(MONTHLY_SCHEMA_PATH).validate(etree.tostring(root).decode())
    assert root.findtext("JPMGRP/JPTRM/JP06401") == "202610"
    assert root.findtext("JPMGRP/JPTRM/JP06116") == "20261031"


def test_every_element_says_what_its_column_holds(tmp_path: Path) -> None:
    rows = rows_of()
    found = [{e.tag: e.text for e in row} for row in xml_of(tmp_path, rows).iter("JPMR00010")]
    assert len(found) == 40
    for n, row in enumerate(found):
        assert row["JP06400"] == f"03{7 * n:020d}"
        assert row.get("JP06119") == (REFS[n % len(REFS)] or None)
        assert row["JP06405"] == ("0" if n % len(QUALITIES) in WITH_VALUE else "1")
        energy = ENERGIES[n % len(ENERGIES)] if n % len(QUALITIES) in WITH_VALUE else None
        assert (dwh_of(row["JP06426"]) if "JP06426" in row else None) == energy
        ahead = (None, "20261101", "20261130", "20261130")[n % 4]
        assert row.get("JP06446") == (None if QUALITIES[n % len(QUALITIES)] == "withdrawn" else ahead)


def test_a_file_is_the_same_however_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = etree.tostring(xml_of(tmp_path / "whole", rows_of()))
    monkeypatch.setattr(monthly, "ROWS_AT_ONCE", 7)
    assert etree.tostring(xml_of(tmp_path / "cut", rows_of())) == whole


def test_without_xml_there_is_a_parquet_file_alone(tmp_path: Path) -> None:
    entry = write_monthly(FILE, rows_of(), tmp_path, xml=False)
    assert (entry.file, entry.bytes, entry.sha256) == ("", 0, "")
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"point_id": rows_of().point_id[::-1]}, "points do not ascend"),
        ({"energy_dwh": np.full(40, -1, np.int64)}, "negative energy"),
        ({"customer_ref": pa.array(["\x07"] * 40)}, "cannot carry a customer_ref"),
        ({"quality": np.zeros(0, np.uint8)}, "0 rows"),
    ],
)
def test_what_cannot_go_out_is_refused_by_name(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=said):
        write_monthly(FILE, replace(rows_of(), **change), tmp_path)


@pytest.mark.parametrize("change", [{"revision": 100}, {"split": 0}, {"split": 100_000}])
def test_numbers_that_do_not_fit_the_name_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="two digits for the revision and five for the split"):
        write_monthly(replace(FILE, **change), rows_of(), tmp_path)


def test_tags_of_a_row_come_from_the_file_of_tags(tmp_path: Path) -> None:
    path = tmp_path / "tags.toml"
    text = TAGS_PATH.read_text("utf-8").replace('tag = "JP06446"', 'tag = "JP09999"')
    path.write_text(
        text.replace('{ tag = "JP06405"', '{ tag = "JP06403", text = "9", length = 4 },\n{ tag = "JP06405"')
    )
    (row, *_) = xml_of(tmp_path / "out", rows_of(), layout=read_monthly_layout(path)).iter("JPMR00010")
    assert [each.tag for each in row] == ["JP06400", "JP06403", "JP06405", "JP06426"]
    path = tmp_path / "old.toml"  # from before there were monthly files
    path.write_text(TAGS_PATH.read_text("utf-8").partition("[monthly]")[0], encoding="utf-8")
    with pytest.raises(DeliveryError, match="monthly"):
        read_monthly_layout(path)


@pytest.mark.parametrize(
    ("reading", "day", "ahead"),
    [
        (date(2026, 1, 31), 31, date(2026, 2, 28)),
        (date(2026, 2, 28), 31, date(2026, 3, 31)),
        (date(2026, 12, 10), 10, date(2027, 1, 10)),
        (date(2026, 3, 10), 25, date(2026, 3, 25)),
        (date(2026, 3, 25), 10, date(2026, 4, 10)),
        (date(2028, 1, 31), 30, date(2028, 2, 29)),
    ],
)
def test_the_next_reading_is_the_first_date_of_the_reading_day(reading: date, day: int, ahead: date) -> None:
    assert next_reading(reading, day) == ahead
