# SPDX-License-Identifier: Apache-2.0
"""Read delivery files on the retailer's side into columns, and refuse what is not as announced.

The XML is parsed by the standard library's C parser and taken apart as columns: no Python statement runs per point.
Energy goes from decimal text to whole dWh without a float.
"""

import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress, repeat
from operator import attrgetter
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gateway.errors import PullFormatError, PullMismatchError
from gateway.names import ObjectName
from koma.slots import slot_code

XML_BYTES_MAX = 512 << 20
"""Largest XML that is unpacked; a file of 100,000 points has some 25 MB."""

_POINT = r"^[0-9]{22}$"
_KWH = r"^-?[0-9]{1,18}(\.[0-9]{1,4})?$"
_POINT_BYTES = 22
_ROW, _ID, _FLAG, _ENERGY = 1, 2, 3, 4
_KINDS = {"row": _ROW, "id": _ID, "flag": _FLAG, "energy": _ENERGY}
_TAGS = {"row": "JPMR00010", "id": "JP06400", "flag": "JP06122", "energy": "JP06125"}
_DTD = re.compile(rb"<!DOCTYPE", re.IGNORECASE)
_text = attrgetter("text")
_tag = attrgetter("tag")

COLUMNS = ("point_id", "energy_dwh", "available", "quality")
"""Of the Parquet files of all products."""
_NUMBER = pa.decimal128(28, 4)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one delivery file: columns of equal length n, one row per point."""

    point_id: NDArray[np.bytes_]
    """(n,) 22 ASCII digits."""
    energy_dwh: NDArray[np.int64]
    """(n,) 0 where not available."""
    available: NDArray[np.bool_]
    quality: pa.Array
    """(n,) text; null where the file does not tell (zip)."""
    revision: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.point_id)


def read_delivery(path: Path, named: ObjectName) -> Rows:
    """Read a zip or Parquet file by its name.

    Raises:
        PullFormatError: it cannot be read.
        PullMismatchError: it holds another slot than its name says, or a point twice.

    """
    rows = _read_zip(path, named) if named.suffix == "zip" else _read_parquet(path, named)
    refuse_twice(rows, path)
    return rows


def refuse_twice(rows: Rows, path: Path) -> None:
    """Refuse rows that hold a point twice.

    Raises:
        PullMismatchError: they do.

    """
    if len(np.unique(rows.point_id)) != len(rows):
        raise PullMismatchError(f"{path.name} holds a point twice")


@contextmanager
def opened_xml(path: Path, named: ObjectName, bytes_max: int) -> Iterator[IO[bytes]]:
    """Open the one member of a zip.

    Raises:
        PullFormatError: it cannot be unpacked, also while the member is read.
        PullMismatchError: it does not hold what its name says.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if [each.filename for each in members] != [f"{named.stem}.xml"]:
                raise PullMismatchError(f"{path.name} does not hold exactly {named.stem}.xml")
            if members[0].file_size > bytes_max:
                raise PullFormatError(f"{path.name} unpacks to {members[0].file_size} bytes")
            with archive.open(members[0]) as stream:
                yield stream
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError) as error:
        raise PullFormatError(f"{path.name} is no readable zip: {error}") from error


def parsed_xml(data: bytes, path: Path) -> ET.Element:
    """Parse XML that has no document type.

    Raises:
        PullFormatError: it has one, or is not well-formed.

    """
    if _DTD.search(data):
        raise PullFormatError(f"{path.name} holds a document type")
    try:
        return ET.fromstring(data)  # noqa: S314  no document type, so no entities
    except ET.ParseError as error:
        raise PullFormatError(f"{path.name} is not well-formed XML: {error}") from error


def told_of(root: ET.Element, path: Path) -> tuple[ET.Element, ET.Element]:
    """Return the message of a delivery and the group of its rows.

    Raises:
        PullFormatError: there are none.

    """
    message = root.find("JPMGRP/JPTRM")
    group = message.find("JPM00010") if message is not None else None
    if message is None or group is None:
        raise PullFormatError(f"{path.name} holds no JPTRM with JPM00010")
    return message, group


def _read_zip(path: Path, named: ObjectName) -> Rows:
    with opened_xml(path, named, XML_BYTES_MAX) as stream:
        message, group = told_of(parsed_xml(stream.read(), path), path)
    told = (message.findtext("JP06116"), message.findtext("JP06219"))
    if told != (named.day, f"{slot_code(named.slot_id):02d}"):
        raise PullMismatchError(f"{path.name} holds the slot {told[0]} {told[1]}")
    return columns_of(group, path.name, named.revision)


def columns_of(group: ET.Element, name: str, revision: int, named: Mapping[str, str] = _TAGS) -> Rows:
    """Columns of the points below a group; each point has one id, one flag, and energy if and only if the flag is 0.

    Args:
        group: of the rows.
        name: of the file.
        revision: of the file.
        named: tags of `row`, `id`, `flag` and `energy`.

    """
    elements = list(group.iter())
    kinds = {tag: _KINDS[what] for what, tag in named.items()}
    tags = np.fromiter(map(kinds.get, map(_tag, elements), repeat(0)), np.int8, len(elements))
    owner = np.cumsum(tags == _ROW) - 1
    count = int(np.count_nonzero(tags == _ROW))
    every = np.arange(count)
    if not (np.array_equal(owner[tags == _ID], every) and np.array_equal(owner[tags == _FLAG], every)):
        raise PullFormatError(f"{name} holds a point without, or with several, {named['id']} or {named['flag']}")
    ids = _texts(elements, tags == _ID, _POINT, name, named["id"])
    available = np.asarray(
        pc.equal(_texts(elements, tags == _FLAG, "^[01]$", name, named["flag"]), "0").to_numpy(zero_copy_only=False),
        bool,
    )
    if not np.array_equal(owner[tags == _ENERGY], every[available]):
        raise PullFormatError(f"{name} holds {named['energy']} elsewhere than with {named['flag']} = 0")
    energy = np.zeros(count, np.int64)
    energy[available] = whole_dwh(_texts(elements, tags == _ENERGY, _KWH, name, named["energy"]))
    return Rows(_fixed(ids), energy, available, pa.nulls(count, pa.string()), revision)


def _texts(elements: list[ET.Element], chosen: NDArray[np.bool_], form: str, name: str, tag: str) -> pa.Array:
    texts = pa.array(list(map(_text, compress(elements, chosen.tolist()))), pa.string())
    if texts.null_count or not pc.all(pc.match_substring_regex(texts, form), min_count=0).as_py():
        raise PullFormatError(f"{name} holds a {tag} that is not of its form")
    return texts


def whole_dwh(kwh: pa.Array) -> NDArray[np.int64]:
    """Whole dWh of decimal texts in kWh with at most four decimals; exact.

    Raises:
        PullFormatError: one does not fit 64 bits.

    >>> whole_dwh(pa.array(["0.1", "12", "-3.0405"])).tolist()
    [1000, 120000, -30405]
    """
    if not len(kwh):
        return np.zeros(0, np.int64)
    scaled = pc.cast(kwh, _NUMBER)
    words = np.frombuffer(scaled.buffers()[1], np.int64)[scaled.offset * 2 : (scaled.offset + len(scaled)) * 2]
    low, high = words[::2], words[1::2]
    if not np.array_equal(high, low >> 63):
        raise PullFormatError("an energy does not fit 64 bits")
    return low.copy()


def _read_parquet(path: Path, named: ObjectName) -> Rows:
    try:
        table = pq.read_table(path, columns=[*COLUMNS, "slot_start", "revision"], partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise PullFormatError(f"{path.name} is no readable Parquet file: {error}") from error
    starts = pc.unique(table["slot_start"].cast(pa.int64())).to_pylist()
    if any(each != named.slot_id * 1_800_000 for each in starts):
        raise PullMismatchError(f"{path.name} holds another slot")
    return rows_of_arrow(table, path, named)


def rows_of_arrow(table: pa.Table, path: Path, named: ObjectName) -> Rows:
    """Rows of a table with `COLUMNS` and `revision`.

    Raises:
        PullFormatError: a value is not of its form.
        PullMismatchError: a row is of another revision.

    """
    if pc.unique(table["revision"]).to_pylist() not in ([named.revision], []):
        raise PullMismatchError(f"{path.name} holds another revision")
    ids, energy, available, quality = (table[name].combine_chunks() for name in COLUMNS)
    if ids.null_count or not pc.all(pc.match_substring_regex(ids, _POINT), min_count=0).as_py():
        raise PullFormatError(f"{path.name} holds a point_id that is not of its form")
    if not pc.all(pc.equal(pc.is_valid(energy), available), min_count=0).as_py():
        raise PullFormatError(f"{path.name} holds energy elsewhere than where available")
    return Rows(
        _fixed(ids),
        np.asarray(pc.fill_null(energy, 0).to_numpy(zero_copy_only=False), np.int64),
        np.asarray(available.to_numpy(zero_copy_only=False), bool),
        quality.cast(pa.string()),
        named.revision,
    )


def _fixed(ids: pa.Array) -> NDArray[np.bytes_]:
    """Ids of 22 characters each, checked before, as fixed-width bytes."""
    fixed = pc.cast(ids, pa.binary(_POINT_BYTES))
    data = np.frombuffer(fixed.buffers()[1], f"S{_POINT_BYTES}") if len(fixed) else np.zeros(0, f"S{_POINT_BYTES}")
    return data[fixed.offset : fixed.offset + len(fixed)]


def total_rows(pieces: Iterable[Rows]) -> int:
    """Rows of several files."""
    return sum(map(len, pieces))
