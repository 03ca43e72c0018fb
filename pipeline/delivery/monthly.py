# SPDX-License-Identifier: Apache-2.0
"""Writing one W51220 file: what some points used from one meter-reading day to the next, as zip and as Parquet.

A thousandth of the rows that slots have: the text is put together column by column with Arrow's functions on texts.
"""

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import DeliveryError
from koma.ids import parse_retailer_code
from koma.limits import MONTHLY_SPLITS_MAX, POINT_ID_DIGITS, READ_DAY_MAX, REVISIONS_MAX, ROWS_PER_FILE_MAX
from koma.slots import slot_date, slot_start_ms
from pipeline.delivery.archive import Deflater
from pipeline.delivery.file import ManifestEntry
from pipeline.delivery.layout import MonthlyLayout, read_monthly_layout
from pipeline.quality import QUALITIES, WITHDRAWN, has_value

PREFIX: Final = "W51220"
ROWS_AT_ONCE: Final = 10_000
"""Rows whose text is put together and deflated at a time. Another number gives other bytes."""
SCHEMA: Final = pa.schema(
    [
        pa.field("point_id", pa.string(), nullable=False),
        pa.field("customer_ref", pa.string(), nullable=True),
        pa.field("period_start", pa.timestamp("ms", "Asia/Tokyo"), nullable=False),
        pa.field("period_end", pa.timestamp("ms", "Asia/Tokyo"), nullable=False),
        pa.field("energy_dwh", pa.int64(), nullable=True),
        pa.field("available", pa.bool_(), nullable=False),
        pa.field("quality", pa.string(), nullable=False),
        pa.field("slots", pa.int32(), nullable=False),
        pa.field("missing_slots", pa.int32(), nullable=False),
        pa.field("revision", pa.int16(), nullable=False),
        pa.field("recorded_at", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)
_DWH_PER_KWH: Final = 10_000
_DECIMALS: Final = 4
_NO_XML: Final = r"[\x{0}-\x{1f}\x{7f}-\x{9f}\x{fffe}\x{ffff}]"
"""Characters that XML 1.0 refuses or discourages."""
_ENTITIES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


@dataclass(frozen=True, slots=True)
class MonthlyFile:
    """One file: a retailer and a meter-reading day."""

    retailer_code: str
    reading: int
    """First slot of the day."""
    revision: int
    split: int
    issued_ms: int

    @property
    def stem(self) -> str:
        """Name without ending."""
        return f"{PREFIX}{slot_date(self.reading):%Y%m%d}{self.revision:02d}{self.split:05d}"


@dataclass(frozen=True, slots=True, eq=False)
class MonthRows:
    """The rows of a file: columns of equal length n, ascending by point id."""

    point_id: NDArray[np.uint8]
    """(n, 22) ASCII digits."""
    customer_ref: Any
    """(n,) Arrow texts, null for none."""
    first: NDArray[np.int32]
    """(n,) first slot of the retailer's part of the period."""
    end: NDArray[np.int32]
    """(n,) slot after its last."""
    energy_dwh: NDArray[np.int64]
    """(n,) 0.1 Wh; not read where the quality has no value."""
    quality: NDArray[np.uint8]
    """(n,) index into `pipeline.quality.QUALITIES`."""
    slots: NDArray[np.int32]
    """(n,) slots that are the retailer's."""
    missing: NDArray[np.int32]
    """(n,) those of them without a value of their own."""
    read_day: NDArray[np.uint8]
    """(n,) day of the month on which the meter is to be read next, 0 for none."""

    @property
    def available(self) -> NDArray[np.bool_]:
        """(n,) whether the row has a value."""
        return has_value(self.quality)


def next_reading(reading: date, read_day: int) -> date:
    """Return the first date after `reading` on which a meter with that reading day is read.

    >>> next_reading(date(2026, 1, 31), 30).isoformat()
    '2026-02-28'
    """
    year, month = reading.year, reading.month
    while True:
        ends = date(year + month // 12, month % 12 + 1, 1).toordinal() - 1
        found = date.fromordinal(min(ends, date(year, month, 1).toordinal() + read_day - 1))
        if found > reading:
            return found
        year, month = year + month // 12, month % 12 + 1


def write_monthly(
    file: MonthlyFile, rows: MonthRows, directory: Path, *, xml: bool = True, layout: MonthlyLayout | None = None
) -> ManifestEntry:
    """Write `<directory>/<retailer>-<name>.zip` and `.parquet`; `placed` tells where they belong.

    Nothing is synced to disk.

    Args:
        file: what is common to the rows.
        rows: ascending by point id.
        directory: where to write.
        xml: False leaves the zip out; the entry's `file`, `bytes` and `sha256` are then empty.
        layout: form of the XML, by default that of the package.

    Raises:
        DeliveryError: as for `write_delivery`.
        OSError: the files cannot be written.

    """
    points = _checked(file, rows)
    start = f"{directory}/{parse_retailer_code(file.retailer_code)}-{file.stem}"
    archive = _archive(file, rows, points, layout or read_monthly_layout()) if xml else b""
    _write_parquet(file, rows, points, Path(f"{start}.parquet"))
    if xml:
        Path(f"{start}.zip").write_bytes(archive)
    return ManifestEntry(
        retailer_code=file.retailer_code,
        slot_id=file.reading,
        revision=file.revision,
        split=file.split,
        rows=len(rows.quality),
        available=int(np.count_nonzero(rows.available)),
        file=f"{file.stem}.zip" if xml else "",
        bytes=len(archive),
        sha256=hashlib.sha256(archive).hexdigest() if xml else "",
        issued_ms=file.issued_ms,
        parquet_bytes=Path(f"{start}.parquet").stat().st_size,
    )


def _checked(file: MonthlyFile, rows: MonthRows) -> Any:
    """Give the ids as texts."""
    count = len(rows.quality)
    if not 0 < count <= ROWS_PER_FILE_MAX:
        raise _refused(file, f"{count} rows", f"A file holds 1 to {ROWS_PER_FILE_MAX}")
    if not (0 <= file.revision <= REVISIONS_MAX and 1 <= file.split <= MONTHLY_SPLITS_MAX):
        raise _refused(file, "the name has two digits for the revision and five for the split", "Split from 1 on")
    ids = np.ascontiguousarray(rows.point_id).view(f"S{POINT_ID_DIGITS}").ravel()
    if not bool(np.all(ids[:-1] < ids[1:])):
        raise _refused(file, "points do not ascend", "Sort the rows")
    if bool(np.any(rows.energy_dwh[rows.available] < 0)):
        raise _refused(file, "negative energy", "Energy is never negative")
    offsets = np.arange(0, (count + 1) * POINT_ID_DIGITS, POINT_ID_DIGITS, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(ids.tobytes()), null_count=0)


def _archive(file: MonthlyFile, rows: MonthRows, points: Any, layout: MonthlyLayout) -> bytes:
    reference = pc.if_else(pc.equal(rows.customer_ref, ""), None, rows.customer_ref)
    if pc.any(pc.match_substring_regex(reference, _NO_XML)).as_py():
        raise _refused(file, "XML cannot carry a customer_ref", "Correct supply.csv")
    for letter, entity in _ENTITIES:
        reference = pc.replace_substring(reference, letter, entity)
    values = {
        "point_id": points,
        "customer_ref": reference,
        "availability": pc.if_else(pa.array(rows.available), "0", "1"),
        "energy_kwh": pc.if_else(pa.array(rows.available), _kwh(rows.energy_dwh), None),
        "next_reading": _next_readings(file, rows),
    }
    parts: list[Any] = [f"<{layout.row_tag}>"]
    for element in layout.elements:
        if element.value:
            found = values[element.value]
            text = pc.binary_join_element_wise(f"<{element.tag}>", found, f"</{element.tag}>", "")
            parts.append(pc.fill_null(text, ""))
        else:
            parts.append(element.constant(element.text))
    whole = pc.binary_join_element_wise(*parts, f"</{layout.row_tag}>", "")
    deflater = Deflater()
    deflater.add(memoryview(layout.opening(file.retailer_code, file.issued_ms, file.reading)))
    _, offsets, texts = whole.buffers()
    bounds = np.frombuffer(offsets, np.int32)[: len(whole) + 1]
    for first in range(0, len(whole), ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, len(whole))
        deflater.add(memoryview(texts)[int(bounds[first]) : int(bounds[last])])
    deflater.add(memoryview(layout.foot))
    return deflater.archive(f"{file.stem}.xml", file.issued_ms)


def _kwh(energy_dwh: NDArray[np.int64]) -> Any:
    """Give kWh as the shortest decimals."""
    whole, rest = np.divmod(energy_dwh, _DWH_PER_KWH)
    decimals = pc.utf8_rtrim(pc.utf8_lpad(pa.array(rest).cast(pa.string()), _DECIMALS, "0"), "0")
    point = pc.if_else(pc.equal(decimals, ""), "", ".")
    return pc.binary_join_element_wise(pa.array(whole).cast(pa.string()), point, decimals, "")


def _next_readings(file: MonthlyFile, rows: MonthRows) -> Any:
    """Give the dates of the next reading, null for none; what is withdrawn has none."""
    reading = slot_date(file.reading)
    dates = [None, *(f"{next_reading(reading, day):%Y%m%d}" for day in range(1, READ_DAY_MAX + 1))]
    return pa.array(dates, pa.string()).take(pa.array(np.where(rows.quality == WITHDRAWN, 0, rows.read_day)))


def _write_parquet(file: MonthlyFile, rows: MonthRows, points: Any, path: Path) -> None:
    count = len(rows.quality)
    start_ms, end_ms = (
        pa.array(slot_start_ms(0) + column.astype(np.int64) * (slot_start_ms(1) - slot_start_ms(0)))
        for column in (rows.first, rows.end)
    )
    made = {
        "point_id": points,
        "customer_ref": pc.if_else(pc.equal(rows.customer_ref, ""), None, rows.customer_ref),
        "period_start": start_ms.cast(SCHEMA.field("period_start").type),
        "period_end": end_ms.cast(SCHEMA.field("period_end").type),
        "energy_dwh": pa.array(rows.energy_dwh, mask=~rows.available),
        "available": pa.array(rows.available),
        "quality": pa.array(QUALITIES).take(pa.array(rows.quality)),
        "slots": pa.array(rows.slots),
        "missing_slots": pa.array(rows.missing),
        "revision": pa.array(np.full(count, file.revision, np.int16)),
        "recorded_at": pa.array(np.full(count, file.issued_ms)).cast(SCHEMA.field("recorded_at").type),
    }
    table = pa.Table.from_arrays([made[name] for name in SCHEMA.names], schema=SCHEMA)
    pq.write_table(table, path, compression="snappy", write_statistics=["point_id"])


def _refused(file: MonthlyFile, what: str, hint: str) -> DeliveryError:
    return DeliveryError(f"monthly file to {file.retailer_code} of {slot_date(file.reading)}: {what}", hint=hint)
