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
- `tests.independent_months` does it for the monthly files (W51220).
- `daily_files` and `read_days` do for the daily files (W41120) what `files` and `read_tree` do for those of slots; the
  cells of both have the same keys.

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

SLOTS, DAYS, MONTHS = "W41110", "W41120", "W51220"
MANIFESTS = {SLOTS: "manifest.jsonl", DAYS: "manifest-W41120.jsonl", MONTHS: "manifest-W51220.jsonl"}
_NAME = re.compile(r"W41110(\d{8})(\d{2})(\d{2})(\d{2})(\d{4})", re.ASCII)
_DAILY_NAME = re.compile(r"W41120(\d{8})(00)(00)(\d{2})(\d{4})", re.ASCII)
_KWH = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{0,3}[1-9])?", re.ASCII)
POINT = re.compile(r"[0-9]{22}", re.ASCII)
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
class DailyFile:
    """One file of a day: rows by start of slot, ascending."""

    retailer: str
    day_start: str
    revision: int
    split: int
    issued_at: str
    slots: dict[str, list[Row]]
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
    root, head, created = document(path, "1110", slot)
    time_code = slot.hour * 2 + slot.minute // 30 + 1
    assert head["JP06219"] == f"{time_code:02d}", f"{path}: time code {head['JP06219']}"
    with _uncollected():
        rows = [_row(element, path) for element in root.iterfind("JPMGRP/JPTRM/JPM00010/*")]
    _ascending(rows, path)
    return DeliveredFile(head["JP06112"], iso(slot), time_code, revision, split, iso(created), rows, path)


def read_daily_zip(path: Path) -> DailyFile:
    """Read one zip of a day, as `read_zip` does; slots and the points of each must ascend."""
    day, revision, split = _name(path, _DAILY_NAME)
    root, head, created = document(path, "1120", day)
    assert "JP06219" not in head, f"{path}: a time code over all slots"
    slots: dict[str, list[Row]] = {}
    with _uncollected():
        for element in root.iterfind("JPMGRP/JPTRM/JPM00010/*"):
            assert [child.tag for child in element] == ["JP06219", "JPM00011"], f"{path}: elements of a slot"
            assert element.tag == "JPMR00010", f"{path}: {element.tag}"
            time_code = element[0].text or ""
            assert re.fullmatch("0[1-9]|[1-3][0-9]|4[0-8]", time_code), f"{path}: time code {time_code!r}"
            start = iso(day + timedelta(minutes=30 * (int(time_code) - 1)))
            assert start not in slots, f"{path}: {start} twice"
            slots[start] = [_row(row, path, "JPMR00011") for row in element[1]]
            _ascending(slots[start], path)
    assert slots, f"{path}: no rows"
    assert list(slots) == sorted(slots), f"{path}: slots do not ascend"
    return DailyFile(head["JP06112"], iso(day), revision, split, iso(created), slots, path)


def read_daily_parquet(path: Path) -> DailyFile:
    """Read one Parquet file of a day, as `read_parquet` does."""
    day, revision, split = _name(path, _DAILY_NAME)
    starts, rows, issued_at = _columns(path, revision)
    slots: dict[str, list[Row]] = {}
    for start_ms, row in zip(starts, rows, strict=True):
        slots.setdefault(iso(datetime.fromtimestamp(start_ms // 1000, JST)), []).append(row)
    assert starts == sorted(starts), f"{path}: slots do not ascend"
    for each in slots.values():
        _ascending(each, path)
    return DailyFile(path.parts[-3], iso(day), revision, split, issued_at, slots, path)


def read_parquet(path: Path) -> DeliveredFile:
    """Read one Parquet file: schema and every row; the retailer is taken from the folder."""
    slot, revision, split = _name(path)
    starts, rows, issued_at = _columns(path, revision)
    assert set(starts) == {int(slot.timestamp() * 1000)}, f"{path}: slot_start"
    _ascending(rows, path)
    time_code = slot.hour * 2 + slot.minute // 30 + 1
    return DeliveredFile(path.parts[-3], iso(slot), time_code, revision, split, issued_at, rows, path)


def read_manifest(folder: Path, product: str = SLOTS) -> list[dict[str, Any]]:
    """Give the lines of a folder's manifest of a product, if it has one.

    Each must be compact JSON with the keys in their order.
    """
    lines = []
    path = folder / MANIFESTS[product]
    for line in path.read_bytes().splitlines() if path.exists() else []:
        fields = json.loads(line)
        assert json.dumps(fields, separators=(",", ":")).encode() == line, f"{folder}: not compact: {line!r}"
        expected = _CLOSED_KEYS if "closed" in fields and product == SLOTS else _FILE_KEYS
        assert list(fields) == expected, f"{folder}: keys {list(fields)}"
        lines.append(fields)
    return lines


def folders(deliveries: Path) -> list[Path]:
    """Give the folders of retailers and days, sorted."""
    return sorted(folder for folder in deliveries.glob("[0-9]" * 5 + "/" + "[0-9]" * 8) if folder.is_dir())


def named(deliveries: Path, product: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give every file of a product that a manifest names, in its order; all there is must be named."""
    for folder in folders(deliveries):
        strange = [path.name for path in folder.iterdir() if not path.name.startswith((*MANIFESTS, "manifest"))]
        assert strange == [], f"{folder}: files and manifest differ: {strange}"
        lines = read_manifest(folder, product)
        _check_order(folder, lines)
        named = [line["file"] for line in lines if "file" in line]
        there = sorted(path.name for path in folder.iterdir() if path.name.startswith(product))
        twins = sorted([*named, *(name.removesuffix(".zip") + ".parquet" for name in named)])
        assert there == twins, f"{folder}: files and manifest differ: {set(there) ^ set(twins)}"
        for line in lines:
            if "file" in line:
                yield folder, line


def files(deliveries: Path, *, parquet: bool = True) -> Iterator[DeliveredFile]:
    """Give every file of a slot of the tree, checked against manifest and (unless told not to) its Parquet twin."""
    for folder, line in named(deliveries, SLOTS):
        yield _checked(folder, line, parquet=parquet)


def daily_files(deliveries: Path) -> Iterator[DailyFile]:
    """Give every file of a day of the tree, checked against manifest and its Parquet twin."""
    for folder, line in named(deliveries, DAYS):
        yield _checked_daily(folder, line)


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


def read_days(deliveries: Path) -> dict[tuple[str, str, str], Cell]:
    """Apply all daily files of the tree; checks what `read_tree` checks."""
    latest: dict[tuple[str, str, str], Cell] = {}
    for file in daily_files(deliveries):
        for start, rows in file.slots.items():
            for row in rows:
                key = (file.retailer, start, row.point_id)
                before = latest.get(key)
                assert before is None or before.revision < file.revision, f"{file.path}: {key} twice in a revision"
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


def document(path: Path, code: str, start: datetime) -> tuple[ET.Element, dict[str, str], datetime]:
    """Read the XML in a zip: root, elements of the message, time of creation."""
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
    assert head["JP00002"] == code, f"{path}: information code {head['JP00002']}"
    assert head["JP06116"] == f"{start:%Y%m%d}", f"{path}: date {head['JP06116']}"
    made = datetime(*info.date_time, tzinfo=JST)
    assert made == created.replace(second=created.second // 2 * 2), f"{path}: made {made}, created {created}"
    return root, head, created


def _columns(path: Path, revision: int) -> tuple[list[int], list[Row], str]:
    """Read a Parquet file: starts of slots in ms, rows, instant."""
    with pq.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    assert {field.name: field.type for field in table.schema} == _COLUMNS, f"{path}: {table.schema}"
    assert table.schema.names == list(_COLUMNS), f"{path}: order {table.schema.names}"
    columns = {name: table.column(name) for name in _COLUMNS}
    assert columns["revision"].unique().to_pylist() == [revision], f"{path}: revision"
    issued = columns["recorded_at"].cast(pa.int64()).unique().to_pylist()
    assert len(issued) == 1, f"{path}: recorded_at {issued}"
    values = (columns[name].to_pylist() for name in ("point_id", "energy_dwh", "available", "quality"))
    rows = [Row(point, energy, there, quality=quality) for point, energy, there, quality in zip(*values, strict=True)]
    assert all(row.available == (row.energy_dwh is not None) for row in rows), f"{path}: energy without availability"
    starts = columns["slot_start"].cast(pa.int64()).to_pylist()
    return starts, rows, iso(datetime.fromtimestamp(issued[0] // 1000, JST))


def _name(path: Path, form: re.Pattern[str] = _NAME) -> tuple[datetime, int, int]:
    match = form.fullmatch(path.stem)
    assert match, f"{path}: not a name of {form.pattern[:6]}"
    day, hour, minute, revision, split = match.groups()
    slot = datetime.strptime(f"{day}{hour}{minute}", "%Y%m%d%H%M").replace(tzinfo=JST)
    assert slot.minute in {0, 30}, f"{path}: not a slot"
    assert int(split) > 0, f"{path}: split 0000"
    assert path.parent.name == day, f"{path}: in the folder of another day"
    return slot, int(revision), int(split)


def _row(element: ET.Element, path: Path, tag: str = "JPMR00010") -> Row:
    assert element.tag == tag, f"{path}: {element.tag}"
    tags = tuple([child.tag for child in element])
    values = [child.text for child in element]
    assert tags in _FORMS, f"{path}: elements {tags}"
    assert all(values), f"{path}: empty element in {values}"
    has_ref, has_energy = _FORMS[tags]
    point, availability = values[0] or "", values[1 + has_ref]
    assert POINT.fullmatch(point), f"{path}: point {point!r}"
    assert availability == ("0" if has_energy else "1"), f"{path}: {point}: {availability}, elements {tags}"
    energy = dwh_of(values[-1] or "") if has_energy else None
    return Row(point, energy, has_energy, customer_ref=(values[1] or "") if has_ref else "")


def _ascending(rows: list[Row], path: Path) -> None:
    assert rows, f"{path}: no rows"
    ids = [row.point_id for row in rows]
    assert all(a < b for a, b in pairwise(ids)), f"{path}: points do not ascend"


def _checked(folder: Path, line: dict[str, Any], *, parquet: bool) -> DeliveredFile:
    path = as_said(folder, line)
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


def as_said(folder: Path, line: dict[str, Any]) -> Path:
    """Hold the bytes of a file against its line."""
    path: Path = folder / line["file"]
    content = path.read_bytes()
    assert len(content) == line["bytes"], f"{path}: {len(content)} bytes, manifest says {line['bytes']}"
    assert hashlib.sha256(content).hexdigest() == line["sha256"], f"{path}: digest differs from the manifest's"
    return path


def _checked_daily(folder: Path, line: dict[str, Any]) -> DailyFile:
    path = as_said(folder, line)
    file, twin = read_daily_zip(path), read_daily_parquet(path.with_suffix(".parquet"))
    rows = [row for each in file.slots.values() for row in each]
    assert file.retailer == folder.parent.name == twin.retailer, f"{path}: receiver {file.retailer}"
    said = (line["slot_start"], line["revision"], line["split"], line["issued_at"], line["rows"], line["available"])
    available = sum(row.available for row in rows)
    assert said == (file.day_start, file.revision, file.split, file.issued_at, len(rows), available), path
    assert twin.issued_at == file.issued_at, path
    own, others = (
        [(start, row.point_id, row.energy_dwh) for start, each in one.slots.items() for row in each]
        for one in (file, twin)
    )
    assert own == others, f"{twin.path}: rows differ from those of its zip"
    slots = {
        start: [row._replace(quality=other.quality) for row, other in zip(each, twin.slots[start], strict=True)]
        for start, each in file.slots.items()
    }
    return DailyFile(file.retailer, file.day_start, file.revision, file.split, file.issued_at, slots, path)


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
