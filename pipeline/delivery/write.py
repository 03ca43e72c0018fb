# SPDX-License-Identifier: Apache-2.0
"""Writing one delivery file: the zip, and the Parquet beside it."""

import hashlib
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.errors import DeliveryError
from koma.ids import parse_retailer_code
from koma.limits import REVISIONS_MAX, ROWS_PER_FILE_MAX, SPLITS_MAX
from pipeline.columns import start_writing
from pipeline.delivery import kernels
from pipeline.delivery.archive import Deflater
from pipeline.delivery.file import SLOT_FILE_PREFIX, DeliveryFile, ManifestEntry, plain, slot_file_stem
from pipeline.delivery.layout import Layout, read_layout
from pipeline.delivery.parquet import encode_parquet
from pipeline.quality import QUALITIES

TEXT_BYTES: Final = 1024 * 1024
"""Text rendered before it is deflated, so that it stays in the core's cache. Another number gives other bytes."""


_LARGE_BYTES: Final = 256 * 1024
"""A few files are most of the bytes; the disk begins with those while the others are computed."""
_REPLACE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_MODE: Final = 0o666
"""What the umask leaves of it, as for any file."""


class _Scratch(threading.local):
    """Buffers of a thread, used for one file after the other."""

    def __init__(self) -> None:
        self.points = np.empty(ROWS_PER_FILE_MAX * kernels.POINT_ID_CHARS, np.uint8)
        self.text = np.empty(TEXT_BYTES, np.uint8)


_scratch: Final = _Scratch()


def write_delivery(
    file: DeliveryFile, directory: Path, *, xml: bool = True, layout: Layout | None = None, flat: bool = False
) -> ManifestEntry:
    """Write `<directory>/<retailer>/<YYYYMMDD>/<name>.zip` and `.parquet`, replacing them where they stand.

    Nothing is synced to disk; the caller does that and moves the tree into place. May run in several threads at once.

    Args:
        file: the rows, ascending by point id.
        directory: root of the delivery tree to write into.
        xml: False leaves the zip out; the entry's `file`, `bytes` and `sha256` are then empty.
        layout: form of the XML, by default that of the package.
        flat: write `<directory>/<retailer>-<name>` instead: a folder made and removed for each retailer costs more than
            its files. `placed` tells where such a file belongs.

    Raises:
        DeliveryError: no rows, too many, not ascending; a number that does not fit the name; a customer_ref that XML
            cannot carry; a negative energy. Nothing has been written then.
        OSError: the files cannot be written.

    """
    file = _checked(file)
    points = _scratch.points[: file.positions.size * kernels.POINT_ID_CHARS]
    _gather(file, points)
    stem = slot_file_stem(file.slot_id, file.revision, file.split)
    archive = _encode_archive(file, points, stem, layout or read_layout()) if xml else b""
    parquet = encode_parquet(file, points)
    day = stem[len(SLOT_FILE_PREFIX) : len(SLOT_FILE_PREFIX) + 8]
    start = f"{directory}/{file.retailer_code}-" if flat else f"{directory}/{file.retailer_code}/{day}/"
    if xml:
        _put(f"{start}{stem}.zip", memoryview(archive))
    _put(f"{start}{stem}.parquet", parquet)
    return ManifestEntry(
        retailer_code=file.retailer_code,
        slot_id=file.slot_id,
        revision=file.revision,
        split=file.split,
        rows=file.positions.size,
        available=int(np.count_nonzero(file.available)),
        file=f"{stem}.zip" if xml else "",
        bytes=len(archive),
        sha256=hashlib.sha256(archive).hexdigest() if xml else "",
        issued_ms=file.issued_ms,
        parquet_bytes=len(parquet),
    )


def placed(name: str) -> Path:
    """Return where a file that was written flat belongs below the deliveries.

    >>> placed("90013-W41110202610070000000001.zip").as_posix()
    '90013/20261007/W41110202610070000000001.zip'
    """
    retailer, _, rest = name.partition("-")
    return Path(retailer, rest[len(SLOT_FILE_PREFIX) : len(SLOT_FILE_PREFIX) + 8], rest)


def _checked(file: DeliveryFile) -> DeliveryFile:
    """Give the file with columns as the kernels take them: plain and read-only, so that each compiles once."""
    rows = file.positions.size
    if not 0 < rows <= ROWS_PER_FILE_MAX:
        raise _refused(file, f"{rows} rows", f"A file holds 1 to {ROWS_PER_FILE_MAX}")
    if not (0 <= file.revision <= REVISIONS_MAX and 1 <= file.split <= SPLITS_MAX):
        raise _refused(file, "the name has two digits for the revision and four for the split", "Split from 1 on")
    columns = (file.positions, file.ref_row, file.energy_dwh, file.available, file.quality)
    if any(column.shape != (rows,) for column in columns):
        raise _refused(file, f"columns of {[column.shape for column in columns]}", "All have one value a row")
    if int(file.quality.max()) >= len(QUALITIES):
        raise _refused(file, f"quality {int(file.quality.max())}", "The known ones stand in pipeline.quality")
    return replace(
        file,
        retailer_code=parse_retailer_code(file.retailer_code),
        point_id=plain(file.point_id, np.uint8).reshape(-1),
        positions=plain(file.positions, np.uint32),
        ref_off=plain(file.ref_off, np.int64),
        ref_bytes=plain(file.ref_bytes, np.uint8),
        ref_row=plain(file.ref_row, np.uint32),
        energy_dwh=plain(file.energy_dwh, np.int64),
        available=plain(file.available, np.bool_),
        quality=plain(file.quality, np.uint8),
    )


def _gather(file: DeliveryFile, points: NDArray[np.uint8]) -> None:
    row = kernels.gather_points(file.point_id, file.positions, points)
    if row >= 0:
        raise _refused(file, f"row {row}: not above the point id before it, or outside the table", "Sort the rows")


def _encode_archive(file: DeliveryFile, points: NDArray[np.uint8], stem: str, layout: Layout) -> bytes:
    """Render and deflate portion by portion, so that the text never leaves the core's cache."""
    text, form = _scratch.text, layout.rows
    opening = layout.opening(file)
    refs = (file.ref_off, file.ref_bytes, file.ref_row)
    columns = (points, *refs, file.energy_dwh, file.available.view(np.uint8), form.blocks, form.steps, form.room)
    deflater = Deflater()
    end, row, rows = len(opening), 0, file.positions.size
    text[:end] = np.frombuffer(opening, np.uint8)
    while True:
        end, row = kernels.render_rows(text, end, row, *columns)
        if end <= 0:
            raise _bad_row(file, points, end, row)
        if row == rows:
            break
        deflater.add(text[:end].data)
        end = 0
    deflater.add(text[:end].data)
    deflater.add(memoryview(layout.foot))
    return deflater.archive(f"{stem}.xml", file.issued_ms)


def _bad_row(file: DeliveryFile, points: NDArray[np.uint8], found: int, row: int) -> DeliveryError:
    start = row * kernels.POINT_ID_CHARS
    point = points[start : start + kernels.POINT_ID_CHARS].tobytes().decode("ascii", "replace")
    if found == kernels.BAD_ENERGY:
        return _refused(file, f"point {point}: negative energy {file.energy_dwh[row]} dWh", "Energy is never negative")
    if found == kernels.BAD_REF:
        return _refused(file, f"point {point}: its customer_ref is no text that XML can carry", "Correct supply.csv")
    return _refused(file, f"point {point}: its customer_ref is too long", "Correct supply.csv")


def _refused(file: DeliveryFile, what: str, hint: str) -> DeliveryError:
    return DeliveryError(f"delivery to {file.retailer_code} of slot {file.slot_id}: {what}", hint=hint)


def _put(path: str, content: memoryview) -> None:
    """Write a file with one call; its folder is made when it is missing, which is once a day and retailer."""
    try:
        file = os.open(path, _REPLACE, _MODE)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, _REPLACE, _MODE)
    large = len(content) >= _LARGE_BYTES
    try:
        while content:
            content = content[os.write(file, content) :]
        if large:
            start_writing(file)
    finally:
        os.close(file)
