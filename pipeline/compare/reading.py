# SPDX-License-Identifier: Apache-2.0
"""Reading a W41110 file into cells: the incumbent's zip of one XML, or our Parquet."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import IO, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import CompareError
from koma.slots import JST, MS_PER_SLOT, slot_at_ms, slot_code, slot_start_ms
from pipeline.compare import text_kernels as kernels
from pipeline.compare.cells import NO_QUALITY, Cells
from pipeline.delivery.layout import read_tags
from pipeline.quality import QUALITIES

XML_BYTES_MAX: Final = 512 << 20
"""Largest XML that is unpacked; a file of 100,000 points has some 25 MB."""
_NAME: Final = re.compile(r"W41110([0-9]{12})([0-9]{2})([0-9]{4})\.(?:zip|parquet)", re.ASCII)
_HEAD_BYTES: Final = 16 * 1024
"""Retailer, date and time code stand before the first point."""
_RETAILER: Final = re.compile(r"[0-9]{5}", re.ASCII)
_WORDS: Final = pa.array(QUALITIES, pa.string())
_WRONG: Final = {
    kernels.BAD_TAG: "a tag that does not end",
    kernels.BAD_ID: "a point without exactly one id of 22 digits",
    kernels.BAD_AVAILABILITY: "a point without exactly one availability, 0 or 1",
    kernels.BAD_ENERGY: "a point whose energy is no decimal of at most four places, or is missing though available",
    kernels.BAD_NESTING: "points that are not closed one after the other",
}


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """What the name of a file says."""

    slot: int
    revision: int
    split: int

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Read a name; None for one that is not of a W41110 file.

        >>> Name.of("W41110202610070030010002.zip")
        Name(slot=995167, revision=1, split=2)
        """
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        try:
            start = datetime.strptime(match[1], "%Y%m%d%H%M").replace(tzinfo=JST)
        except ValueError:
            return None
        start_ms = int(start.timestamp()) * 1000
        return None if start_ms % MS_PER_SLOT else cls(slot_at_ms(start_ms), int(match[2]), int(match[3]))


def read_receiver(path: Path, name: Name) -> str:
    """Return whom a zip is for.

    Raises:
        CompareError: it cannot be read, or holds another slot than its name says.

    """
    with _opened(path) as stream:
        head = stream.read(_HEAD_BYTES)
    retailer, day, code = (_text_of(head, read_tags()[value]) for value in ("receiver_code", "date", "time_code"))
    if not _RETAILER.fullmatch(retailer):
        raise CompareError(f"{path}: {read_tags()['receiver_code']} names no retailer of five digits")
    start = datetime.fromtimestamp(slot_start_ms(name.slot) // 1000, JST)
    if (day, code) != (f"{start:%Y%m%d}", f"{slot_code(name.slot):02d}"):
        raise CompareError(f"{path}: holds the slot {day} {code}, not that of its name")
    return retailer


def read_cells(path: Path, name: Name) -> Cells:
    """Read the cells of a file.

    Raises:
        CompareError: it cannot be read; with its path and place.

    """
    return _read_zip(path, name) if path.suffix == ".zip" else _read_parquet(path, name)


def _read_zip(path: Path, name: Name) -> Cells:
    with _opened(path) as stream:
        data = stream.read()
    if b"<!" in data:
        raise CompareError(f"{path}: holds a document type, a comment or CDATA, which hide what they hold")
    text, (tags, lengths) = np.frombuffer(data, np.uint8), _row_tags()
    room = kernels.count_rows(text, tags, lengths)
    out = kernels.Points(
        np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.int64), np.zeros(room, np.uint8)
    )
    rows, wrong, offset = kernels.read_points(text, tags, lengths, out)
    if wrong != kernels.FINE:
        raise CompareError(f"{path}: byte {offset} of the XML, after {rows} points: {_WRONG[wrong]}")
    available = out.available[:rows].astype(np.bool_)
    return Cells(
        out.high[:rows],
        out.low[:rows],
        np.where(available, out.energy[:rows], 0),
        available,
        np.full(rows, NO_QUALITY, np.uint8),
        np.full(rows, name.revision, np.uint8),
    )


def _read_parquet(path: Path, name: Name) -> Cells:
    try:
        table = pq.read_table(path, columns=["point_id", "energy_dwh", "available", "quality"], partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise CompareError(f"{path}: is no readable Parquet file: {error}") from error
    rows = table.num_rows
    ids = pc.cast(table["point_id"].combine_chunks(), pa.binary())
    if rows and pc.min_max(pc.binary_length(ids)).as_py() != {"min": kernels.ID_CHARS, "max": kernels.ID_CHARS}:
        raise CompareError(f"{path}: holds a point_id that has not 22 digits")
    data = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, rows], pa.int32()), ids), b"")
    high, low = np.empty(rows, np.uint64), np.empty(rows, np.uint64)
    bad = kernels.read_ids(np.frombuffer(data[0].as_buffer(), np.uint8), high, low)
    if bad >= 0:
        raise CompareError(f"{path}: the point_id of row {bad} has not 22 digits")
    quality = pc.fill_null(pc.index_in(table["quality"], _WORDS), NO_QUALITY)
    return Cells(
        high,
        low,
        pc.fill_null(table["energy_dwh"], 0).to_numpy(),
        table["available"].to_numpy(),
        quality.to_numpy().astype(np.uint8),
        np.full(rows, name.revision, np.uint8),
    )


@cache
def _row_tags() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Give the tags the kernel looks for, in its order."""
    names = [read_tags()[value] for value in ("row", "point_id", "availability", "energy_kwh")]
    tags = np.frombuffer(b"".join(name.encode().ljust(kernels.TAG_CHARS_MAX) for name in names), np.uint8)
    return tags, np.array([len(name.encode()) for name in names], np.int64)


def _text_of(head: bytes, tag: str) -> str:
    match = re.search(rb"<(?:[^<>:/]+:)?" + re.escape(tag.encode()) + rb"(?:\s[^>]*)?>\s*([^<]*?)\s*<", head)
    return match[1].decode("ascii", "replace") if match else ""


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open the one member of a zip.

    Raises:
        CompareError: it cannot be unpacked, also while the member is read.

    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise CompareError(f"{path}: holds {len(members)} members, not one XML")
            if members[0].file_size > XML_BYTES_MAX:
                raise CompareError(f"{path}: unpacks to {members[0].file_size} bytes")
            with archive.open(members[0]) as stream:
                yield stream
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise CompareError(f"{path}: is no readable zip: {error}") from error
