# SPDX-License-Identifier: Apache-2.0
"""Writing one W41120 file: the slots of a day for some points, slot after slot, as zip and as Parquet.

A file may hold 48 rows for each of 100,000 points: rows come slot by slot, and no more than a file's points of one
slot are text at a time. What grows with the file is the deflated text alone.
"""

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import DeliveryError
from koma.ids import parse_retailer_code
from koma.limits import REVISIONS_MAX, ROWS_PER_FILE_MAX, SPLITS_MAX
from koma.slots import slot_date, slot_start_ms
from pipeline.delivery import kernels
from pipeline.delivery.archive import Deflater
from pipeline.delivery.file import ManifestEntry, plain
from pipeline.delivery.layout import DailyLayout, read_daily_layout
from pipeline.delivery.parquet import ARROW_SCHEMA, OFFSETS, OPTIONS, WORDS, WRITTEN
from pipeline.quality import has_value

PREFIX: Final = "W41120"
TEXT_BYTES: Final = 1024 * 1024
"""Text rendered before it is deflated, as for W41110. Another number gives other bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class DailyFile:
    """One file: a retailer, a day, and the tables that its rows refer into (see `DeliveryFile`)."""

    retailer_code: str
    day: int
    """First slot of the JST day."""
    revision: int
    split: int
    issued_ms: int
    point_id: NDArray[np.uint8]
    ref_off: NDArray[np.int64]
    ref_bytes: NDArray[np.uint8]

    @property
    def stem(self) -> str:
        """Name without ending."""
        return f"{PREFIX}{slot_date(self.day):%Y%m%d}0000{self.revision:02d}{self.split:04d}"


@dataclass(frozen=True, slots=True, eq=False)
class DailySlot:
    """The rows of one slot in a file: columns of equal length, ascending by point id (see `DeliveryFile`)."""

    slot_id: int
    positions: NDArray[np.uint32]
    ref_row: NDArray[np.uint32]
    energy_dwh: NDArray[np.int64]
    quality: NDArray[np.uint8]


class _Scratch(threading.local):
    """Room of a thread, used for one file after the other."""

    def __init__(self) -> None:
        self.text = np.empty(TEXT_BYTES, np.uint8)


_scratch: Final = _Scratch()


class _Xml:
    """The zip of a file, in the making."""

    def __init__(self, file: DailyFile, layout: DailyLayout) -> None:
        self._file, self._layout = file, layout
        self._deflater = Deflater()
        self._text, self._end = _scratch.text, 0
        self._put(layout.opening(file.retailer_code, file.issued_ms, file.day))

    def add(self, slot: DailySlot, points: NDArray[np.uint8]) -> None:
        """Add a slot with its rows."""
        self._put(self._layout.slot_opening(slot.slot_id))
        form, row, rows = self._layout.rows, 0, slot.positions.size
        columns = (
            points,
            plain(self._file.ref_off, np.int64),
            plain(self._file.ref_bytes, np.uint8),
            plain(slot.ref_row, np.uint32),
            plain(slot.energy_dwh, np.int64),
            plain(has_value(slot.quality), np.bool_).view(np.uint8),
            form.blocks,
            form.steps,
            form.room,
        )
        while row < rows:
            end, row = kernels.render_rows(self._text, self._end, row, *columns)
            if end <= 0:
                raise self._bad_row(points, end, row)
            self._end = end
            if row < rows:
                self._flush()
        self._put(self._layout.slot_foot)

    def archive(self) -> bytes:
        """Give the finished zip."""
        self._put(self._layout.foot)
        self._flush()
        return self._deflater.archive(f"{self._file.stem}.xml", self._file.issued_ms)

    def _put(self, raw: bytes) -> None:
        if self._end + len(raw) > self._text.size:
            self._flush()
        self._text[self._end : self._end + len(raw)] = np.frombuffer(raw, np.uint8)
        self._end += len(raw)

    def _flush(self) -> None:
        self._deflater.add(self._text[: self._end].data)
        self._end = 0

    def _bad_row(self, points: NDArray[np.uint8], found: int, row: int) -> DeliveryError:
        start = row * kernels.POINT_ID_CHARS
        point = points[start : start + kernels.POINT_ID_CHARS].tobytes().decode("ascii", "replace")
        if found == kernels.BAD_ENERGY:
            return _refused(self._file, f"point {point}: negative energy", "Energy is never negative")
        return _refused(self._file, f"point {point}: XML cannot carry its customer_ref", "Correct supply.csv")


class _Twin:
    """The Parquet of a file, in the making: slots fill row groups of up to `ROWS_PER_FILE_MAX` rows."""

    def __init__(self, file: DailyFile, path: str) -> None:
        self._file = file
        self._writer = pq.ParquetWriter(path, WRITTEN, **OPTIONS)
        self._waiting: list[tuple[DailySlot, NDArray[np.uint8]]] = []
        self._rows = 0

    def add(self, slot: DailySlot, points: NDArray[np.uint8]) -> None:
        """Add the rows of a slot."""
        if self._rows + slot.positions.size > ROWS_PER_FILE_MAX:
            self._write()
        self._waiting.append((slot, points))
        self._rows += slot.positions.size

    def close(self) -> None:
        """Finish the file."""
        if self._waiting:
            self._write()
            self._writer.add_key_value_metadata(ARROW_SCHEMA)
        self._writer.close()

    def _write(self) -> None:
        slots, rows = [slot for slot, _ in self._waiting], self._rows
        start_ms = np.repeat([slot_start_ms(slot.slot_id) for slot in slots], [slot.positions.size for slot in slots])
        energy, quality = (
            np.concatenate([getattr(each, name) for each in slots]) for name in ("energy_dwh", "quality")
        )
        there = has_value(quality)
        bits = pa.py_buffer(np.packbits(there, bitorder="little"))
        missing = rows - int(np.count_nonzero(there))
        constants = {"revision": self._file.revision, "recorded_at": self._file.issued_ms}
        made = {
            "point_id": pa.StringArray.from_buffers(
                rows, OFFSETS, pa.py_buffer(np.concatenate([points for _, points in self._waiting])), null_count=0
            ),
            "slot_start": pa.array(start_ms, pa.int64()).cast(WRITTEN.field("slot_start").type),
            "energy_dwh": pa.Array.from_buffers(
                pa.int64(), rows, [bits if missing else None, pa.py_buffer(energy)], null_count=missing
            ),
            "available": pa.Array.from_buffers(pa.bool_(), rows, [None, bits], null_count=0),
            "quality": pa.DictionaryArray.from_arrays(pa.array(quality), WORDS, safe=False),
        } | {name: _constant(name, value, rows) for name, value in constants.items()}
        table = pa.Table.from_arrays([made[name] for name in WRITTEN.names], schema=WRITTEN)
        self._writer.write_table(table, row_group_size=ROWS_PER_FILE_MAX)
        self._waiting, self._rows = [], 0


def _constant(column: str, value: int, rows: int) -> pa.Array:
    kind = WRITTEN.field(column).type
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(np.full(rows, value, f"i{kind.bit_width // 8}"))])


def write_daily(
    file: DailyFile, slots: Iterable[DailySlot], directory: Path, *, xml: bool = True, layout: DailyLayout | None = None
) -> ManifestEntry:
    """Write `<directory>/<retailer>-<name>.zip` and `.parquet`; `placed` tells where they belong.

    Nothing is synced to disk.

    Args:
        file: what is common to the rows.
        slots: ascending; none without rows.
        directory: where to write.
        xml: False leaves the zip out; the entry's `file`, `bytes` and `sha256` are then empty.
        layout: form of the XML, by default that of the package.

    Raises:
        DeliveryError: as for `write_delivery`.
        OSError: the files cannot be written.

    """
    if not (0 <= file.revision <= REVISIONS_MAX and 1 <= file.split <= SPLITS_MAX):
        raise _refused(file, "the name has two digits for the revision and four for the split", "Split from 1 on")
    start = f"{directory}/{parse_retailer_code(file.retailer_code)}-{file.stem}"
    text = _Xml(file, layout or read_daily_layout()) if xml else None
    twin = _Twin(file, f"{start}.parquet")
    rows, available = 0, 0
    try:
        for slot in slots:
            points = _points(file, slot)
            if text is not None:
                text.add(slot, points)
            twin.add(slot, points)
            rows += slot.positions.size
            available += int(np.count_nonzero(has_value(slot.quality)))
    finally:
        twin.close()
    if not rows:
        raise _refused(file, "no rows", "A file holds at least one")
    archive = text.archive() if text is not None else b""
    if text is not None:
        Path(f"{start}.zip").write_bytes(archive)
    return ManifestEntry(
        retailer_code=file.retailer_code,
        slot_id=file.day,
        revision=file.revision,
        split=file.split,
        rows=rows,
        available=available,
        file=f"{file.stem}.zip" if xml else "",
        bytes=len(archive),
        sha256=hashlib.sha256(archive).hexdigest() if xml else "",
        issued_ms=file.issued_ms,
        parquet_bytes=Path(f"{start}.parquet").stat().st_size,
    )


def _points(file: DailyFile, slot: DailySlot) -> NDArray[np.uint8]:
    """Give the ids of a slot's rows, one behind the other."""
    if not 0 < slot.positions.size <= ROWS_PER_FILE_MAX:
        raise _refused(file, f"{slot.positions.size} rows in a slot", f"It holds 1 to {ROWS_PER_FILE_MAX}")
    points = np.empty(slot.positions.size * kernels.POINT_ID_CHARS, np.uint8)
    row = kernels.gather_points(plain(file.point_id, np.uint8).reshape(-1), plain(slot.positions, np.uint32), points)
    if row >= 0:
        raise _refused(file, f"row {row}: not above the point id before it, or outside the table", "Sort the rows")
    return points


def _refused(file: DailyFile, what: str, hint: str) -> DeliveryError:
    return DeliveryError(f"daily file to {file.retailer_code} of {slot_date(file.day)}: {what}", hint=hint)
