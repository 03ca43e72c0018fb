# SPDX-License-Identifier: Apache-2.0
"""Read delivery files on the retailer's side into columns, and refuse what is not as announced.

The XML is parsed by the standard library's C parser and taken apart as columns: no Python statement runs per point.
Energy goes from decimal text to whole dWh without a float.
"""

import re
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress, repeat
from operator import attrgetter
from pathlib import Path

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
_TAGS = {"JPMR00010": _ROW, "JP06400": _ID, "JP06122": _FLAG, "JP06125": _ENERGY}
_DTD = re.compile(rb"<!DOCTYPE", re.IGNORECASE)
_text = attrgetter("text")
_tag = attrgetter("tag")

_COLUMNS = ("point_id", "energy_dwh", "available", "quality")
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
    if len(np.unique(rows.point_id)) != len(rows):
        raise PullMismatchError(f"{path.name} holds a point twice")
    return rows


def _read_zip(path: Path, named: ObjectName) -> Rows:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if [each.filename for each in members] != [f"{named.stem}.xml"]:
                raise PullMismatchError(f"{path.name} does not hold exactly {named.stem}.xml")
            if members[0].file_size > XML_BYTES_MAX:
                raise PullFormatError(f"{path.name} unpacks to {members[0].file_size} bytes")
            data = archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError) as error:
        raise PullFormatError(f"{path.name} is no readable zip: {error}") from error
    if _DTD.search(data):
        raise PullFormatError(f"{path.name} holds a document type")
    try:
        root = ET.fromstring(data)  # noqa: S314  no document type, so no entities
    except ET.ParseError as error:
        raise PullFormatError(f"{path.name} is not well-formed XML: {error}") from error
    message = root.find("JPMGRP/JPTRM")
    group = message.find("JPM00010") if message is not None else None
    if message is None or group is None:
        raise PullFormatError(f"{path.name} holds no JPTRM with JPM00010")
    told = (message.findtext("JP06116"), message.findtext("JP06219"))
    if told != (named.day, f"{slot_code(named.slot_id):02d}"):
        raise PullMismatchError(f"{path.name} holds the slot {told[0]} {told[1]}")
    return _columns(group, path.name, named.revision)


def _columns(group: ET.Element, name: str, revision: int) -> Rows:
    """Columns of the points below a group; each point has one id, one flag, and energy if and only if the flag is 0."""
    elements = list(group.iter())
    tags = np.fromiter(map(_TAGS.get, map(_tag, elements), repeat(0)), np.int8, len(elements))
    owner = np.cumsum(tags == _ROW) - 1
    count = int(np.count_nonzero(tags == _ROW))
    every = np.arange(count)
    if not (np.array_equal(owner[tags == _ID], every) and np.array_equal(owner[tags == _FLAG], every)):
        raise PullFormatError(f"{name} holds a point without, or with several, JP06400 or JP06122")
    ids = _texts(elements, tags == _ID, _POINT, name, "JP06400")
    available = np.asarray(
        pc.equal(_texts(elements, tags == _FLAG, "^[01]$", name, "JP06122"), "0").to_numpy(zero_copy_only=False), bool
    )
    if not np.array_equal(owner[tags == _ENERGY], every[available]):
        raise PullFormatError(f"{name} holds JP06125 elsewhere than with JP06122 = 0")
    energy = np.zeros(count, np.int64)
    energy[available] = whole_dwh(_texts(elements, tags == _ENERGY, _KWH, name, "JP06125"))
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
        table = pq.read_table(path, columns=[*_COLUMNS, "slot_start", "revision"], partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise PullFormatError(f"{path.name} is no readable Parquet file: {error}") from error
    starts = pc.unique(table["slot_start"].cast(pa.int64())).to_pylist()
    if any(each != named.slot_id * 1_800_000 for each in starts):
        raise PullMismatchError(f"{path.name} holds another slot")
    if pc.unique(table["revision"]).to_pylist() not in ([named.revision], []):
        raise PullMismatchError(f"{path.name} holds another revision")
    ids, energy, available, quality = (table[name].combine_chunks() for name in _COLUMNS)
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
