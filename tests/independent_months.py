# SPDX-License-Identifier: Apache-2.0
"""A reader of monthly files that shares no code with the writer, beside `tests.independent_reader`.

- `monthly_files(deliveries)` holds every file against its manifest line and its Parquet, and yields them in order.
- `read_months(deliveries)` applies the revisions: `{(retailer, reading_day, point_id): (revision, Month)}`.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tests.independent_reader import JST, MONTHS, POINT, as_said, document, dwh_of, iso, named

_MONTHLY_NAME = re.compile(r"W51220(\d{8})(\d{2})(\d{5})", re.ASCII)
_MONTH_ELEMENTS = ["JP06400", "JP06119", "JP06405", "JP06426", "JP06446"]
_MONTH_COLUMNS = {
    "point_id": pa.string(),
    "customer_ref": pa.string(),
    "period_start": pa.timestamp("ms", "Asia/Tokyo"),
    "period_end": pa.timestamp("ms", "Asia/Tokyo"),
    "energy_dwh": pa.int64(),
    "available": pa.bool_(),
    "quality": pa.string(),
    "slots": pa.int32(),
    "missing_slots": pa.int32(),
    "revision": pa.int16(),
    "recorded_at": pa.timestamp("ms", "UTC"),
}


class Month(NamedTuple):
    """A retailer's part of a point's month."""

    point_id: str
    customer_ref: str
    start: str
    end: str
    energy_dwh: int | None
    quality: str
    slots: int
    missing: int
    next_reading: str


@dataclass(frozen=True, slots=True)
class MonthlyFile:
    """One file of a meter-reading day."""

    retailer: str
    reading: str
    revision: int
    split: int
    issued_at: str
    rows: list[Month]
    path: Path


def monthly_files(deliveries: Path) -> Iterator[MonthlyFile]:
    """Give every monthly file of the tree, checked against manifest and its Parquet twin."""
    for folder, line in named(deliveries, MONTHS):
        yield _checked_monthly(folder, line)


def read_months(deliveries: Path) -> dict[tuple[str, str, str], tuple[int, Month]]:
    """Apply all monthly files: the last revision of each (retailer, reading day, point), with its number."""
    latest: dict[tuple[str, str, str], tuple[int, Month]] = {}
    for file in monthly_files(deliveries):
        for row in file.rows:
            key = (file.retailer, file.reading, row.point_id)
            assert key not in latest or latest[key][0] < file.revision, f"{file.path}: {key} twice in a revision"
            latest[key] = (file.revision, row)
    return latest


def _checked_monthly(folder: Path, line: dict[str, Any]) -> MonthlyFile:
    path = as_said(folder, line)
    match = _MONTHLY_NAME.fullmatch(path.stem)
    assert match, f"{path}: not a name of {MONTHS}"
    day = datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=JST)
    assert folder.name == match[1], f"{path}: in the folder of another day"
    revision, split = int(match[2]), int(match[3])
    root, head, created = document(path, "1220", day)
    assert head["JP06401"] == match[1][:6], f"{path}: month {head['JP06401']}"
    assert head["JP06112"] == folder.parent.name, f"{path}: receiver {head['JP06112']}"
    told = [_month_told(element, path) for element in root.iterfind("JPMGRP/JPTRM/JPM00010/*")]
    rows, issued_at = _months(path.with_suffix(".parquet"), revision, told)
    ids = [row.point_id for row in rows]
    assert rows, f"{path}: no rows"
    assert all(a < b for a, b in pairwise(ids)), f"{path}: points do not ascend"
    available = sum(row.energy_dwh is not None for row in rows)
    said = (line["slot_start"], line["revision"], line["split"], line["issued_at"], line["rows"], line["available"])
    assert said == (iso(day), revision, split, iso(created), len(rows), available), path
    assert issued_at == iso(created), path
    return MonthlyFile(head["JP06112"], iso(day), revision, split, issued_at, rows, path)


def _month_told(element: ET.Element, path: Path) -> dict[str, str]:
    """Read the elements of a month in a zip."""
    assert element.tag == "JPMR00010", f"{path}: {element.tag}"
    found = {child.tag: child.text or "" for child in element}
    assert list(found) == [tag for tag in _MONTH_ELEMENTS if tag in found], f"{path}: elements {list(found)}"
    assert all(found.values()), f"{path}: empty element in {found}"
    assert POINT.fullmatch(found["JP06400"]), f"{path}: point {found['JP06400']!r}"
    assert found["JP06405"] == ("0" if "JP06426" in found else "1"), f"{path}: {found}"
    return found


def _months(path: Path, revision: int, told: list[dict[str, str]]) -> tuple[list[Month], str]:
    """Read a Parquet file of months and hold it against what its zip tells."""
    table = pq.read_table(path)
    assert {field.name: field.type for field in table.schema} == _MONTH_COLUMNS, f"{path}: {table.schema}"
    assert table.schema.names == list(_MONTH_COLUMNS), f"{path}: order {table.schema.names}"
    assert set(table["revision"].to_pylist()) == {revision}, f"{path}: revision"
    issued = set(table["recorded_at"].cast(pa.int64()).to_pylist())
    assert len(issued) == 1, f"{path}: recorded_at {issued}"
    rows = []
    for row, other in zip(table.to_pylist(), told, strict=True):
        energy = row["energy_dwh"]
        assert row["available"] == (energy is not None), f"{path}: energy without availability"
        assert other["JP06400"] == row["point_id"], f"{path}: {other}"
        assert other.get("JP06119") == row["customer_ref"], f"{path}: {other}"
        assert energy == (dwh_of(other["JP06426"]) if "JP06426" in other else None), f"{path}: {other}"
        rows.append(
            Month(
                row["point_id"],
                row["customer_ref"] or "",
                iso(row["period_start"]),
                iso(row["period_end"]),
                energy,
                row["quality"],
                row["slots"],
                row["missing_slots"],
                other.get("JP06446", ""),
            )
        )
    return rows, iso(datetime.fromtimestamp(issued.pop() // 1000, JST))
