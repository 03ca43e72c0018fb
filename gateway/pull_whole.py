# SPDX-License-Identifier: Apache-2.0
"""Read the files of days and months on the retailer's side, and refuse what is not as announced.

A file of a day may unpack to a gigabyte: it is taken apart slot by slot, and no more than one slot of it is in memory.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gateway.errors import PullFormatError, PullMismatchError
from gateway.names import ObjectName
from gateway.pull_read import (
    COLUMNS,
    XML_BYTES_MAX,
    Rows,
    columns_of,
    opened_xml,
    parsed_xml,
    refuse_twice,
    rows_of_arrow,
    told_of,
)
from koma.slots import SLOTS_PER_DAY, slot_start_ms

DAY_BYTES_MAX = 2 << 30
"""Largest XML of a day that is unpacked; one of 100,000 points has some 700 MB."""
SLOT_BYTES_MAX = 64 << 20
SKELETON_BYTES_MAX = 1 << 20
"""What stands around the slots of a day."""

_OPEN, _CLOSE = b"<JPMR00010>", b"</JPMR00010>"
_DAY_TAGS = {"row": "JPMR00011", "id": "JP06400", "flag": "JP06122", "energy": "JP06125"}
_MONTH_TAGS = {"row": "JPMR00010", "id": "JP06400", "flag": "JP06405", "energy": "JP06426"}
_BLOCK_BYTES = 1 << 20
_SLOT_MS = slot_start_ms(1) - slot_start_ms(0)


def read_day(path: Path, named: ObjectName) -> Iterator[tuple[int, Rows]]:
    """Give the slots of a zip or Parquet file of a day, ascending, each with its rows.

    Raises:
        PullFormatError: it cannot be read.
        PullMismatchError: it holds another day than its name says, a slot or a point of one twice.

    """
    last = named.slot_id - 1
    for slot_id, rows in (_zip_slots if named.suffix == "zip" else _parquet_slots)(path, named):
        if not last < slot_id < named.slot_id + SLOTS_PER_DAY:
            raise PullMismatchError(f"{path.name} holds a slot twice, out of order, or of another day")
        last = slot_id
        refuse_twice(rows, path)
        yield slot_id, rows


def read_month(path: Path, named: ObjectName) -> Rows:
    """Read a zip or Parquet file of a meter-reading day: one row for each point.

    Raises:
        PullFormatError: it cannot be read.
        PullMismatchError: it ends on another day than its name says, or holds a point twice.

    """
    if named.suffix == "zip":
        with opened_xml(path, named, XML_BYTES_MAX) as stream:
            message, group = told_of(parsed_xml(stream.read(), path), path)
        if (message.findtext("JP06116"), message.findtext("JP06401")) != (named.day, named.day[:6]):
            raise PullMismatchError(f"{path.name} holds another meter-reading day")
        rows = columns_of(group, path.name, named.revision, _MONTH_TAGS)
    else:
        table = _table(path, ["period_start", "period_end"])
        start, end = (table[name].cast(pa.int64()).to_numpy() for name in ("period_start", "period_end"))
        if np.any(start >= end) or np.any(end > slot_start_ms(named.slot_id)):
            raise PullMismatchError(f"{path.name} holds another period")
        rows = rows_of_arrow(table, path, named)
    refuse_twice(rows, path)
    return rows


def _zip_slots(path: Path, named: ObjectName) -> Iterator[tuple[int, Rows]]:
    around = bytearray()
    with opened_xml(path, named, DAY_BYTES_MAX) as stream:
        for text in _slot_texts(stream, around, path):
            element = parsed_xml(text, path)
            code = element.findtext("JP06219") or ""
            if len(code) != 2 or not code.isascii() or not code.isdigit() or not 1 <= int(code) <= SLOTS_PER_DAY:
                raise PullFormatError(f"{path.name} holds a slot without a time code")
            yield named.slot_id + int(code) - 1, columns_of(element, path.name, named.revision, _DAY_TAGS)
    message, group = told_of(parsed_xml(bytes(around), path), path)
    if message.findtext("JP06116") != named.day:
        raise PullMismatchError(f"{path.name} holds the day {message.findtext('JP06116')}")
    if len(group) or b"JP06400" in around:
        raise PullFormatError(f"{path.name} holds points outside its slots")


def _slot_texts(stream: IO[bytes], around: bytearray, path: Path) -> Iterator[bytes]:
    """Cut the elements of slots out of a text; `around` gets the rest."""
    held, searched, start = bytearray(), 0, -1
    while block := stream.read(_BLOCK_BYTES):
        held += block
        while True:
            mark = _OPEN if start < 0 else _CLOSE
            found = held.find(mark, searched)
            if found < 0:
                searched = max(0, len(held) - len(mark))
                break
            if start < 0:
                start, searched = found, found
                continue
            end = found + len(_CLOSE)
            around += held[:start]
            yield bytes(held[start:end])
            del held[:end]
            searched, start = 0, -1
        if len(held) > SLOT_BYTES_MAX or len(around) > SKELETON_BYTES_MAX:
            raise PullFormatError(f"{path.name} holds a slot of more than {SLOT_BYTES_MAX} bytes, or too much around")
    around += held


def _parquet_slots(path: Path, named: ObjectName) -> Iterator[tuple[int, Rows]]:
    """Each slot stands in one row group."""
    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, columns=[*COLUMNS, "slot_start", "revision"])
                starts = table["slot_start"].cast(pa.int64()).to_numpy()
                if np.any(starts % _SLOT_MS):
                    raise PullMismatchError(f"{path.name} holds what is no slot")
                bounds = [0, *(np.flatnonzero(np.diff(starts)) + 1).tolist(), len(starts)]
                for first, end in pairwise(bounds):
                    rows = rows_of_arrow(table.slice(first, end - first), path, named)
                    yield int(starts[first] // _SLOT_MS), rows
    except (pa.ArrowException, OSError, KeyError, IndexError) as error:
        raise PullFormatError(f"{path.name} is no readable Parquet file: {error}") from error


def _table(path: Path, more: list[str]) -> Any:
    try:
        return pq.read_table(path, columns=[*COLUMNS, "revision", *more], partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise PullFormatError(f"{path.name} is no readable Parquet file: {error}") from error
