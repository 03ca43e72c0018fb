# SPDX-License-Identifier: Apache-2.0
"""Parts as Parquet files: rows by point, in groups small enough that one point costs one of them.

A group holds whole points, about a hundred thousand rows: sixty points of a month, two thousand of a day. Its least and
greatest id stand in the file's footer. A file holds up to 128 groups, so that its footer stays a few dozen kilobytes.
"""

import json
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import HistoryError
from koma.limits import POINT_ID_DIGITS, RETAILER_CODE_DIGITS
from koma.slots import MS_PER_SLOT
from pipeline.history.catalogue import PARTS, Part
from pipeline.history.files import Files
from pipeline.history.rows import ID_TYPE, STEP_MINUTES, Rows, joined
from pipeline.quality import QUALITIES, has_value

ROWS_PER_GROUP: Final = 96 * 1024
GROUPS_PER_FILE: Final = 128
SCHEMA: Final = pa.schema(
    [
        pa.field("point_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("slot_start", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("retailer_code", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("energy_dwh", pa.int64(), nullable=True),
        pa.field("quality", pa.dictionary(pa.uint8(), pa.string()), nullable=False),
        pa.field("revision", pa.int16(), nullable=False),
        pa.field("issued_after_min", pa.int32(), nullable=False),
    ]
)
"""`issued_after_min`: minutes from the slot's end to the issue: it repeats where the instant would not."""
_WRITING: Final = {
    "store_schema": False,
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": [each.name for each in SCHEMA if each.name != "slot_start"],
    "column_encoding": {"slot_start": "DELTA_BINARY_PACKED"},
    "write_statistics": ["point_id"],
    "write_batch_size": 8_192,
    "write_page_checksum": True,
}
_WORDS: Final = ["point_id", "retailer_code", "quality"]
_QUALITIES: Final = pa.array(QUALITIES, pa.string())
_INDEX: Final = "part.json"
_BOUNDS: Final = "part.bounds"
_CHECKSUM_BYTES: Final = 4
_RECORD_BYTES: Final = 2 * POINT_ID_DIGITS + 8


@dataclass(frozen=True, slots=True)
class Index:
    """What is to be known of a part's files before they can be believed."""

    rows: tuple[int, ...]
    bytes: tuple[int, ...]
    crc32: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first and the last point of each of a part's files, which follow each other by point, and its footer's sum.

    They stay the bytes that they are in the file: of thousands a look-up needs a dozen.
    """

    content: bytes

    def __len__(self) -> int:
        return len(self.content) // _RECORD_BYTES

    def _field(self, number: int, start: int, length: int) -> bytes:
        at = number * _RECORD_BYTES + start
        return self.content[at : at + length]

    def first(self, number: int) -> str:
        """Return the first point of a file."""
        return self._field(number, 0, POINT_ID_DIGITS).decode()

    def last(self, number: int) -> str:
        """Return the last point of a file."""
        return self._field(number, POINT_ID_DIGITS, POINT_ID_DIGITS).decode()

    def footer(self, number: int) -> tuple[int, int]:
        """Return how many bytes at the end of a file are its footer, and their CRC-32."""
        words = self._field(number, 2 * POINT_ID_DIGITS, 8)
        return int.from_bytes(words[:4], "little"), int.from_bytes(words[4:], "little")

    def holding(self, point_id: str) -> Iterator[int]:
        """Yield the files in which a point may stand."""
        return self.between(point_id, point_id)

    def between(self, first: str, last: str) -> Iterator[int]:
        """Yield the files in which points from the first to the last, included, may stand."""
        number = bisect_left(range(len(self)), first, key=self.last)
        while number < len(self) and self.first(number) <= last:
            yield number
            number += 1


def _record(first: bytes, last: bytes, content: bytes) -> bytes:
    """Return what bounds say of a file."""
    length = int.from_bytes(content[-8:-4], "little") + 8
    return first + last + length.to_bytes(4, "little") + zlib.crc32(content[-length:]).to_bytes(4, "little")


def file_name(part: str, number: int) -> str:
    """Return the name of a part's file."""
    return f"{PARTS}/{part}/{number:05d}.parquet"


def index_of(files: Files, part: str) -> Index:
    """Return a part's index.

    Raises:
        FileNotFoundError: the part is gone.
        HistoryError: it is damaged.

    """
    name = f"{PARTS}/{part}/{_INDEX}"
    with _sound(files, name):
        facts = json.loads(files.read(name))
        return Index(*(tuple(facts[column]) for column in Index.__slots__))


def bounds_of(files: Files, part: str) -> Bounds:
    """Return the bounds of a part's files; a bit that fell would hide points, so they carry their own checksum.

    Raises:
        FileNotFoundError: the part is gone.
        HistoryError: they are damaged.

    """
    name = f"{PARTS}/{part}/{_BOUNDS}"
    content = files.read(name)
    bounds, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if zlib.crc32(bounds).to_bytes(_CHECKSUM_BYTES, "little") != checksum:
        raise _damaged(files, name, "its checksum does not hold")
    return Bounds(bounds)


@contextmanager
def _sound(files: Files, name: str) -> Iterator[None]:
    """Name the file that cannot be read as what it should be."""
    try:
        yield
    except (FileNotFoundError, HistoryError):
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged(files, name, str(error)) from None


def _damaged(files: Files, name: str, why: str) -> HistoryError:
    return HistoryError(
        f"{files.address}/{name} is damaged: {why}", hint="koma history verify names all such files; then rebuild"
    )


@dataclass(slots=True)
class PartWriter:
    """Writes a part from rows that come in order, block by block, each block of whole points."""

    files: Files
    name: str
    level: int
    _rest: list[Rows] = field(default_factory=list)
    _groups: int = 0
    _bounds: bytearray = field(default_factory=bytearray)
    _ends: tuple[bytes, bytes] = (b"", b"")
    _sink: Any = None
    _writer: Any = None
    _facts: dict[str, list[Any]] = field(default_factory=lambda: {each: [] for each in Index.__slots__})
    _first_slot: int = 1 << 31
    _last_slot: int = -(1 << 31)
    _latest_ms: int = -(1 << 62)

    def add(self, rows: Rows) -> None:
        """Take the rows of further points, which follow those taken so far."""
        if not len(rows):
            return
        self._first_slot = min(self._first_slot, int(rows.slot.min()))
        self._last_slot = max(self._last_slot, int(rows.slot.max()))
        self._latest_ms = max(self._latest_ms, int(rows.issued_ms().max()))
        self._rest.append(rows)
        if sum(map(len, self._rest)) >= ROWS_PER_GROUP:
            self._cut(joined(self._rest))

    def _cut(self, rows: Rows, *, last: bool = False) -> None:
        """Write whole points in groups; keep what is too little for one, unless it is the last."""
        ends = np.append(np.flatnonzero(np.diff(rows.rank)) + 1, len(rows))
        start = 0
        while start < len(rows):
            enough = int(np.searchsorted(ends, start + ROWS_PER_GROUP))
            if enough == len(ends) and not last:
                break
            end = int(ends[min(enough, len(ends) - 1)])
            self._write(rows.between(start, end))
            start = end
        self._rest = [rows.between(start, len(rows))] if start < len(rows) else []

    def _write(self, group: Rows) -> None:
        if self._writer is None:
            self._sink = pa.BufferOutputStream()
            self._writer = pq.ParquetWriter(self._sink, SCHEMA, **_WRITING)
            self._ends = (bytes(group.ids[0]), b"")
            self._facts["rows"].append(0)
        self._writer.write_table(table_of(group), row_group_size=len(group))
        self._facts["rows"][-1] += len(group)
        self._ends = (self._ends[0], bytes(group.ids[-1]))
        self._groups += 1
        if self._groups == GROUPS_PER_FILE:
            self._close_file()

    def _close_file(self) -> None:
        self._writer.close()
        content = self._sink.getvalue()
        self._bounds += _record(*self._ends, memoryview(content).tobytes())
        self._facts["bytes"].append(content.size)
        number = len(self._facts["crc32"])
        self._facts["crc32"].append(self.files.write(file_name(self.name, number), memoryview(content)))
        self._writer, self._sink, self._groups = None, None, 0

    def close(self) -> Part | None:
        """Finish the part; None where it has no rows."""
        if self._rest:
            self._cut(joined(self._rest), last=True)
        if self._writer is not None:
            self._close_file()
        if not self._facts["rows"]:
            return None
        content = json.dumps(self._facts, separators=(",", ":")).encode()
        self.files.write(f"{PARTS}/{self.name}/{_INDEX}", content)
        checksum = zlib.crc32(self._bounds).to_bytes(_CHECKSUM_BYTES, "little")
        self.files.write(f"{PARTS}/{self.name}/{_BOUNDS}", bytes(self._bounds) + checksum)
        rows, size = sum(self._facts["rows"]), sum(self._facts["bytes"])
        return Part(self.name, self.level, self._first_slot, self._last_slot, self._latest_ms, rows, size)


def table_of(rows: Rows) -> Any:
    """Return rows as a table of `SCHEMA`."""
    retailer = pa.array(rows.retailer).dictionary_encode()
    codes = [f"{code:0{RETAILER_CODE_DIGITS}d}" for code in retailer.dictionary.to_pylist()]
    ids = rows.ids.tobytes()
    offsets = np.arange(len(rows.ids) + 1, dtype=np.int32) * POINT_ID_DIGITS
    points = pa.StringArray.from_buffers(len(rows.ids), pa.py_buffer(offsets), pa.py_buffer(ids))
    columns = [
        pa.DictionaryArray.from_arrays(rows.rank, points, safe=False),
        pa.array(rows.slot.astype(np.int64) * MS_PER_SLOT).view(SCHEMA.field("slot_start").type),
        pa.DictionaryArray.from_arrays(retailer.indices, codes, safe=False),
        pa.array(rows.energy, mask=~has_value(rows.quality)),
        pa.DictionaryArray.from_arrays(rows.quality, _QUALITIES, safe=False),
        pa.array(rows.revision),
        pa.array(rows.step * np.int32(STEP_MINUTES)),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


@dataclass(slots=True)
class PartFile:
    """An open file of a part; every page is held against its checksum when it is read."""

    parquet: Any
    files: Files
    name: str

    @classmethod
    def open(cls, files: Files, part: str, number: int, bounds: Bounds) -> "PartFile":
        """Open a file. Its footer says where a point may stand: one that is not what was written would hide points.

        Raises:
            FileNotFoundError: the part is gone.
            HistoryError: the file is damaged.

        """
        name = file_name(part, number)
        length, checksum = bounds.footer(number)
        with _sound(files, name):
            source = files.opened(name)
            size = source.size()
            if size < length or zlib.crc32(source.read_at(length, size - length)) != checksum:
                raise _damaged(files, name, "the checksum of its footer does not hold")
            reading = {"pre_buffer": True, "read_dictionary": _WORDS, "page_checksum_verification": True}
            return cls(pq.ParquetFile(source, **reading), files, name)

    @property
    def groups(self) -> int:
        """How many groups it has."""
        count: int = self.parquet.metadata.num_row_groups
        return count

    def bounds(self, group: int) -> tuple[str, str]:
        """Return the least and the greatest point id of a group."""
        with _sound(self.files, self.name):
            found = self.parquet.metadata.row_group(group).column(0).statistics
            return str(found.min), str(found.max)

    def holding(self, point_id: str) -> Iterator[int]:
        """Yield the groups in which a point may stand; groups ascend."""
        low, high = 0, self.groups
        while low < high:
            middle = (low + high) // 2
            if self.bounds(middle)[1] < point_id:
                low = middle + 1
            else:
                high = middle
        while low < self.groups and self.bounds(low)[0] <= point_id:
            yield low
            low += 1

    def rows(self, group: int) -> Rows:
        """Read a group."""
        with _sound(self.files, self.name):
            return rows_of(self.parquet.read_row_group(group, use_threads=False))

    def rows_of_point(self, group: int, point_id: str) -> Rows:
        """Read the rows of one point out of a group."""
        with _sound(self.files, self.name):
            table = self.parquet.read_row_group(group, use_threads=False)
            ids = table.column("point_id").combine_chunks()
            place = ids.dictionary.index(point_id).as_py()
            rank = np.asarray(ids.indices)
            if place < 0:
                return Rows.empty()
            first, end = np.searchsorted(rank, (place, place + 1))
            return rows_of(table.slice(first, end - first))


def rows_of(table: Any) -> Rows:
    """Return the rows of a table of `SCHEMA` whose points ascend."""
    point, retailer, quality = (_indexed(table.column(name)) for name in _WORDS)
    ids = np.array(point[1], ID_TYPE)
    rank = point[0].astype(np.int32)
    if len(rank) and (rank[0] != 0 or rank[-1] != len(ids) - 1):  # a slice
        low, high = int(rank[0]), int(rank[-1]) + 1
        ids, rank = ids[low:high], rank - np.int32(low)
    codes = np.array([int(code) for code in retailer[1]], np.int32)
    kinds = np.array([QUALITIES.index(word) for word in quality[1]], np.uint8)
    energy = table.column("energy_dwh").combine_chunks()
    return Rows(
        ids=ids,
        rank=rank,
        slot=(_plain(table.column("slot_start").cast(pa.int64())) // MS_PER_SLOT).astype(np.int32),
        retailer=codes[retailer[0]],
        energy=_plain(energy.fill_null(0) if energy.null_count else energy),
        quality=kinds[quality[0]],
        revision=_plain(table.column("revision")),
        step=_plain(table.column("issued_after_min")) // np.int32(STEP_MINUTES),
    )


def _indexed(column: Any) -> tuple[NDArray[np.int32], list[str]]:
    array = column.combine_chunks()
    return np.asarray(array.indices), array.dictionary.to_pylist()


def _plain(column: Any) -> NDArray[Any]:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values
