# SPDX-License-Identifier: Apache-2.0
"""A reader of delivery trees that shares no code with the writer: only the standard library and pyarrow.

What a retailer's system would do, and a suspicious auditor beside it. Lowest level first:

- `read_zip(path)` and `read_parquet(path)` give one file with all its fields as a `DeliveredFile`, and refuse what
  breaks the format (`AssertionError` naming file and field).
- `read_manifest(folder)` gives the lines of one `manifest.jsonl` as dicts.
- `files(deliveries)` walks `<deliveries>/<retailer>/<YYYYMMDD>/`, holds every file against its manifest line (bytes,
  sha256, rows, available, instant), every Parquet against its zip, order and numbering of the manifest, and yields
  the files in manifest order.
- `closings(deliveries)` gives the closed lines: `{(retailer, slot_start): Closing}`.
- `read_tree(deliveries)` applies the revisions: `{(retailer, slot_start, point_id): Cell}`, the last issue of each.

Times are ISO 8601 texts in JST as the manifest prints them ('2026-08-22T16:30:00+09:00'), energies whole dWh.

>>> cells = read_tree(home / "deliveries")                                              # doctest: +SKIP
>>> cells["12345", "2026-08-22T16:30:00+09:00", "0300000000000000000017"].energy_dwh    # doctest: +SKIP
1234
"""

import gc
import hashlib
import json
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

JST = timezone(timedelta(hours=9))

_NAME = re.compile(r"W41110(\d{8})(\d{2})(\d{2})(\d{2})(\d{4})", re.ASCII)
_KWH = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{0,3}[1-9])?", re.ASCII)
_POINT = re.compile(r"[0-9]{22}", re.ASCII)
_FORMS = {
    ("JP06400", "JP06122"): (False, False),
    ("JP06400", "JP06119", "JP06122"): (True, False),
    ("JP06400", "JP06122", "JP06125"): (False, True),
    ("JP06400", "JP06119", "JP06122", "JP06125"): (True, True),
}
"""Elements a point may have: with customer_ref, with energy."""
_FILE_KEYS = ["file", "slot_start", "revision", "split", "rows", "available", "bytes", "sha256", "issued_at"]
_CLOSED_KEYS = ["slot_start", "closed", "expected", "available", "missing", "issued_at"]
_COLUMNS = {
    "point_id": pa.string(),
    "slot_start": pa.timestamp("ms", "Asia/Tokyo"),
    "energy_dwh": pa.int64(),
    "available": pa.bool_(),
    "quality": pa.string(),
    "revision": pa.int16(),
    "recorded_at": pa.timestamp("ms", "UTC"),
}


class Row(NamedTuple):
    """One point in one file. `energy_dwh` is None where not available."""

    point_id: str
    energy_dwh: int | None
    available: bool
    customer_ref: str = ""  # not in Parquet
    quality: str = ""  # not in XML


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """One file; from `files` with customer_ref and quality both in the rows."""

    retailer: str
    slot_start: str
    time_code: int
    revision: int
    split: int
    issued_at: str
    rows: list[Row]
    path: Path


@dataclass(frozen=True, slots=True)
class Closing:
    """The line that says that every expected cell of a slot has been issued."""

    expected: int
    available: int
    missing: int
    issued_at: str


class Cell(NamedTuple):
    """What a retailer knows of a point in a slot after applying all revisions."""

    energy_dwh: int | None
    available: bool
    quality: str
    revision: int
    customer_ref: str
    issued_at: str


def iso(moment: datetime) -> str:
    """Print an instant as the manifest does."""
    return moment.astimezone(JST).isoformat(timespec="seconds")


def dwh_of(kwh: str) -> int:
    """Energy of a decimal text in kWh, exact; refuses a text that is not the shortest one."""
    assert _KWH.fullmatch(kwh), f"{kwh!r} is no shortest decimal"
    return int(Decimal(kwh) * 10_000)


def read_zip(path: Path) -> DeliveredFile:
    """Read one zip: name, container, XML and every field of every row; rows must ascend by point id."""
    slot, revision, split = _name(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{path.stem}.xml"], f"{path}: members {archive.namelist()}"
        info = archive.getinfo(f"{path.stem}.xml")
        text = archive.read(info)  # checks the CRC
    assert text.startswith(b'<?xml version="1.0" encoding="UTF-8"?>'), path
    with _uncollected():
        root = ET.fromstring(text)  # noqa: S314  files that this project made
    assert root.tag == "SBD-MSG", f"{path}: {root.tag}"  # a namespace would stand in the tag
    head = {child.tag: child.text or "" for child in root.iterfind("JPMGRP/JPTRM/*") if child.tag != "JPM00010"}
    created = datetime.strptime(root.findtext("JPMGRP/JPMGH/JPC19", ""), "%Y%m%d%H%M%S").replace(tzinfo=JST)
    time_code = slot.hour * 2 + slot.minute // 30 + 1
    assert head["JP00002"] == "1110", f"{path}: information code {head['JP00002']}"
    assert head["JP06116"] == f"{slot:%Y%m%d}", f"{path}: date {head['JP06116']}"
    assert head["JP06219"] == f"{time_code:02d}", f"{path}: time code {head['JP06219']}"
    made = datetime(*info.date_time, tzinfo=JST)
    assert made == created.replace(second=created.second // 2 * 2), f"{path}: made {made}, created {created}"
    with _uncollected():
        rows = [_row(element, path) for element in root.iterfind("JPMGRP/JPTRM/JPM00010/*")]
    _ascending(rows, path)
    return DeliveredFile(head["JP06112"], iso(slot), time_code, revision, split, iso(created), rows, path)


def read_parquet(path: Path) -> DeliveredFile:
    """Read one Parquet file: schema and every row; the retailer is taken from the folder."""
    slot, revision, split = _name(path)
    with pq.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    assert {field.name: field.type for field in table.schema} == _COLUMNS, f"{path}: {table.schema}"
    assert table.schema.names == list(_COLUMNS), f"{path}: order {table.schema.names}"
    columns = {name: table.column(name) for name in _COLUMNS}
    slot_ms = int(slot.timestamp() * 1000)
    assert columns["slot_start"].cast(pa.int64()).unique().to_pylist() == [slot_ms], f"{path}: slot_start"
    assert columns["revision"].unique().to_pylist() == [revision], f"{path}: revision"
    issued = columns["recorded_at"].cast(pa.int64()).unique().to_pylist()
    assert len(issued) == 1, f"{path}: recorded_at {issued}"
    values = (columns[name].to_pylist() for name in ("point_id", "energy_dwh", "available", "quality"))
    rows = [Row(point, energy, there, quality=quality) for point, energy, there, quality in zip(*values, strict=True)]
    assert all(row.available == (row.energy_dwh is not None) for row in rows), f"{path}: energy without availability"
    _ascending(rows, path)
    issued_at = iso(datetime.fromtimestamp(issued[0] // 1000, JST))
    time_code = slot.hour * 2 + slot.minute // 30 + 1
    return DeliveredFile(path.parts[-3], iso(slot), time_code, revision, split, issued_at, rows, path)


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Give the lines of a folder's manifest; each must be compact JSON with the keys in their order."""
    lines = []
    for line in (folder / "manifest.jsonl").read_bytes().splitlines():
        fields = json.loads(line)
        assert json.dumps(fields, separators=(",", ":")).encode() == line, f"{folder}: not compact: {line!r}"
        expected = _CLOSED_KEYS if "closed" in fields else _FILE_KEYS
        assert list(fields) == expected, f"{folder}: keys {list(fields)}"
        lines.append(fields)
    return lines


def folders(deliveries: Path) -> list[Path]:
    """Give the folders of retailers and days, sorted."""
    return sorted(folder for folder in deliveries.glob("[0-9]" * 5 + "/" + "[0-9]" * 8) if folder.is_dir())


def files(deliveries: Path, *, parquet: bool = True) -> Iterator[DeliveredFile]:
    """Give every file of the tree, checked against manifest and (unless told not to) its Parquet twin."""
    for folder in folders(deliveries):
        lines = read_manifest(folder)
        _check_order(folder, lines)
        named = [line["file"] for line in lines if "file" in line]
        there = sorted(path.name for path in folder.iterdir() if path.suffix in {".zip", ".parquet"})
        twins = sorted([*named, *(name.removesuffix(".zip") + ".parquet" for name in named)])
        assert there == twins, f"{folder}: files and manifest differ: {set(there) ^ set(twins)}"
        for line in lines:
            if "file" in line:
                yield _checked(folder, line, parquet=parquet)


def closings(deliveries: Path) -> dict[tuple[str, str], Closing]:
    """Give the closed lines by retailer and slot; a slot closes once."""
    found: dict[tuple[str, str], Closing] = {}
    for folder in folders(deliveries):
        for line in read_manifest(folder):
            if "closed" in line:
                key = (folder.parent.name, line["slot_start"])
                assert key not in found, f"{folder}: {key} closed twice"
                assert line["closed"] is True, f"{folder}: {line}"
                assert line["expected"] == line["available"] + line["missing"], f"{folder}: {line}"
                found[key] = Closing(line["expected"], line["available"], line["missing"], line["issued_at"])
    return found


def read_tree(deliveries: Path, *, parquet: bool = True) -> dict[tuple[str, str, str], Cell]:
    """Apply all files of the tree and give the latest cell by (retailer, slot_start, point_id).

    Checks everything `files` checks, and that no point stands twice in one revision of a slot. Without `parquet`,
    which is faster, the Parquet files are not read and every quality is "".
    """
    latest: dict[tuple[str, str, str], Cell] = {}
    for file in files(deliveries, parquet=parquet):
        for row in file.rows:
            key = (file.retailer, file.slot_start, row.point_id)
            before = latest.get(key)
            if before is not None:
                assert file.revision != before.revision, f"{file.path}: {row.point_id} twice in a revision"
                if file.revision < before.revision:
                    continue
            latest[key] = Cell(
                row.energy_dwh, row.available, row.quality, file.revision, row.customer_ref, file.issued_at
            )
    return latest


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the cycle collector from walking a growing tree over and over: half the time of a large file."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _name(path: Path) -> tuple[datetime, int, int]:
    match = _NAME.fullmatch(path.stem)
    assert match, f"{path}: not a W41110 name"
    day, hour, minute, revision, split = match.groups()
    slot = datetime.strptime(f"{day}{hour}{minute}", "%Y%m%d%H%M").replace(tzinfo=JST)
    assert slot.minute in {0, 30}, f"{path}: not a slot"
    assert int(split) > 0, f"{path}: split 0000"
    assert path.parent.name == day, f"{path}: in the folder of another day"
    return slot, int(revision), int(split)


def _row(element: ET.Element, path: Path) -> Row:
    assert element.tag == "JPMR00010", f"{path}: {element.tag}"
    tags = tuple([child.tag for child in element])
    values = [child.text for child in element]
    assert tags in _FORMS, f"{path}: elements {tags}"
    assert all(values), f"{path}: empty element in {values}"
    has_ref, has_energy = _FORMS[tags]
    point, availability = values[0] or "", values[1 + has_ref]
    assert _POINT.fullmatch(point), f"{path}: point {point!r}"
    assert availability == ("0" if has_energy else "1"), f"{path}: {point}: {availability}, elements {tags}"
    energy = dwh_of(values[-1] or "") if has_energy else None
    return Row(point, energy, has_energy, customer_ref=(values[1] or "") if has_ref else "")


def _ascending(rows: list[Row], path: Path) -> None:
    assert rows, f"{path}: no rows"
    ids = [row.point_id for row in rows]
    assert all(a < b for a, b in pairwise(ids)), f"{path}: points do not ascend"


def _checked(folder: Path, line: dict[str, Any], *, parquet: bool) -> DeliveredFile:
    path = folder / line["file"]
    content = path.read_bytes()
    assert len(content) == line["bytes"], f"{path}: {len(content)} bytes, manifest says {line['bytes']}"
    assert hashlib.sha256(content).hexdigest() == line["sha256"], f"{path}: digest differs from the manifest's"
    file = read_zip(path)
    assert file.retailer == folder.parent.name, f"{path}: receiver {file.retailer}"
    said = (line["slot_start"], line["revision"], line["split"], line["issued_at"], line["rows"], line["available"])
    available = sum(row.available for row in file.rows)
    found = (file.slot_start, file.revision, file.split, file.issued_at, len(file.rows), available)
    assert said == found, f"{path}: manifest says {said}, file is {found}"
    if not parquet:
        return file
    twin = read_parquet(path.with_suffix(".parquet"))
    assert (twin.slot_start, twin.issued_at) == (file.slot_start, file.issued_at), f"{twin.path}: differs from its zip"
    rows = [
        Row(own.point_id, own.energy_dwh, own.available, other.customer_ref, own.quality)
        for own, other in zip(twin.rows, file.rows, strict=True)
        if (own.point_id, own.energy_dwh) == (other.point_id, other.energy_dwh)
    ]
    assert len(rows) == len(file.rows), f"{twin.path}: rows differ from those of its zip"
    return DeliveredFile(
        file.retailer, file.slot_start, file.time_code, file.revision, file.split, file.issued_at, rows, path
    )


def _check_order(folder: Path, lines: list[dict[str, Any]]) -> None:
    order = [
        (line["issued_at"], line["slot_start"], line.get("revision", 0), line.get("split", 10_000)) for line in lines
    ]
    assert order == sorted(order), f"{folder}: manifest not sorted by instant, slot, revision, split"
    last: dict[tuple[str, int], int] = {}
    for line in lines:
        if "file" in line:
            slot = (line["slot_start"], line["revision"])
            assert line["split"] == last.get(slot, 0) + 1, f"{folder}: {line['file']} leaves a gap in the splits"
            last[slot] = line["split"]
