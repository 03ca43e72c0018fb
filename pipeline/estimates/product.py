# SPDX-License-Identifier: Apache-2.0
"""The files of estimates: one a day and version, beside the earlier ones, each row with its method and its inputs.

A version is written only where a row differs from the latest one, so that making a day again changes no byte.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import EstimateError
from koma.limits import POINT_ID_DIGITS, REVISIONS_MAX
from koma.slots import MS_PER_SLOT, slot_date
from pipeline.columns import sync_directory, sync_file
from pipeline.estimates.estimate_kernels import LEFT, NONE, Estimates
from pipeline.estimates.statuses import STATUSES, nem12_of
from pipeline.home import Home
from pipeline.master import MasterView
from pipeline.quality import QUALITIES

RULES_VERSION: Final = 1
"""Of the rules of this package; a change that gives other values for the same inputs has the next number."""
_JST: Final = pa.timestamp("ms", "Asia/Tokyo")
CONTENT: Final = pa.schema(
    [
        pa.field("point_id", pa.string(), nullable=False),
        pa.field("slot_start", _JST, nullable=False),
        pa.field("retailer_code", pa.string(), nullable=False),
        pa.field("energy_dwh", pa.int64(), nullable=True),
        pa.field("method", pa.string(), nullable=False),
        pa.field("measured", pa.string(), nullable=False),
        pa.field("availability", pa.uint8(), nullable=False),
        pa.field("nem12", pa.string(), nullable=False),
        pa.field("espi", pa.uint8(), nullable=True),
        pa.field("gap_start", _JST, nullable=True),
        pa.field("gap_end", _JST, nullable=True),
        pa.field("gap_dwh", pa.int64(), nullable=True),
        pa.field("before_dwh", pa.int64(), nullable=True),
        pa.field("after_dwh", pa.int64(), nullable=True),
        pa.field("reference_days", pa.list_(pa.field("element", pa.date32(), nullable=False)), nullable=False),
        pa.field("agreement", pa.int64(), nullable=True),
        pa.field("contradicts", pa.bool_(), nullable=False),
        pa.field("rules", pa.int16(), nullable=False),
    ]
)
"""What a row says; two versions with the same rows are one."""
SCHEMA: Final = pa.schema(
    [
        *CONTENT,
        pa.field("made_at", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("version", pa.int16(), nullable=False),
    ]
)
DIGEST: Final = "koma.content"
"""Where a file says what its rows come to."""
ROW_GROUP: Final = 1_000_000


def rows_of(rows: Estimates, view: MasterView) -> pa.Table:
    """Return estimates as they are told, ascending by point id and slot."""
    order = np.lexsort((rows.slot, view.rank[rows.position]))
    rows = Estimates._make(column[order] for column in rows)
    counts = np.count_nonzero(rows.days != NONE, axis=1)
    kinds = _kinds(rows.status, counts)
    columns = {
        "point_id": _ids(view.point_id[rows.position]),
        "slot_start": _stamps(rows.slot),
        "retailer_code": pa.array(view.retailers).take(pa.array(rows.owner)),
        "energy_dwh": pa.array(rows.energy, mask=rows.status == LEFT),
        "method": pa.array([each.name for each in STATUSES]).take(pa.array(rows.status)),
        "measured": pa.array(QUALITIES).take(pa.array(rows.quality)),
        "availability": pa.array([each.later for each in STATUSES], pa.uint8()).take(pa.array(rows.status)),
        "nem12": kinds,
        "espi": pa.array([each.espi for each in STATUSES], pa.uint8()).take(pa.array(rows.status)),
        "gap_start": _stamps(rows.first),
        "gap_end": _stamps(rows.end),
        "gap_dwh": _or_null(rows.total),
        "before_dwh": _or_null(rows.before),
        "after_dwh": _or_null(rows.after),
        "reference_days": _dates(rows.days, counts),
        "agreement": _or_null(rows.agreement),
        "contradicts": pa.array(rows.contradicts),
        "rules": pa.array(np.full(len(order), RULES_VERSION, np.int16)),
    }
    return pa.Table.from_arrays([columns[name] for name in CONTENT.names], schema=CONTENT)


def _ids(points: NDArray[np.uint8]) -> pa.Array:
    offsets = np.arange(0, (len(points) + 1) * POINT_ID_DIGITS, POINT_ID_DIGITS, dtype=np.int64)
    large = pa.LargeStringArray.from_buffers(len(points), pa.py_buffer(offsets), pa.py_buffer(points.tobytes()))
    return pc.cast(large, pa.string())


def _stamps(slots: NDArray[np.int32]) -> pa.Array:
    return pa.array(slots.astype(np.int64) * MS_PER_SLOT, mask=slots == NONE).cast(_JST)


def _or_null(values: NDArray[np.int64]) -> pa.Array:
    return pa.array(values, mask=values == NONE)


def _kinds(status: NDArray[np.uint8], counts: NDArray[np.int64]) -> pa.Array:
    """Return the NEM12 words: a status has one for a single day and one for several."""
    words = pa.array([nem12_of(each, days) for each in STATUSES for days in (1, 2)])
    return words.take(pa.array(2 * status.astype(np.int64) + (counts > 1)))


def _dates(days: NDArray[np.int32], counts: NDArray[np.int64]) -> pa.Array:
    """Return the reference days of each row, the latest first, as lists of dates."""
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    found = days[days != NONE]  # row after row
    known, number = np.unique(found, return_inverse=True)
    values = pa.array([slot_date(int(each)) for each in known], pa.date32()).take(pa.array(number))
    return pa.ListArray.from_arrays(offsets, values, type=CONTENT.field("reference_days").type)


def folder_of(home: Home, day: date) -> Path:
    """Return where the files of a day lie."""
    return home.path("estimates") / f"{day:%Y%m%d}"


def name_of(day: date, version: int) -> str:
    """Return the name of a version of a day.

    >>> name_of(date(2026, 10, 7), 0)
    'estimates-20261007-00.parquet'
    """
    return f"estimates-{day:%Y%m%d}-{version:02d}.parquet"


def latest_version(home: Home, day: date) -> Path | None:
    """Return the latest file of a day, None where there is none."""
    found = sorted(folder_of(home, day).glob(name_of(day, 0).replace("-00.", "-[0-9][0-9].")))
    return found[-1] if found else None


def digest_in(path: Path) -> str:
    """Return what a file says its rows come to.

    Raises:
        EstimateError: it is no file of estimates, or damaged.

    """
    try:
        return json.loads(pq.read_schema(path).metadata[DIGEST.encode()])["sha256"]  # type: ignore[no-any-return]
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        hint = "move it out of the home, then run: koma estimate run"
        raise EstimateError(f"{path} cannot be read: {error}", hint=hint) from error


def is_version(path: Path) -> bool:
    """Say whether a file is named as a version of its folder's day."""
    return re.fullmatch(rf"estimates-{re.escape(path.parent.name)}-\d\d\.parquet", path.name) is not None


def is_whole(path: Path, *, deep: bool) -> bool:
    """Say whether a file holds the rows it says it does; without `deep` it is only opened.

    Raises:
        EstimateError: it is no file of estimates, or damaged.

    """
    digest = digest_in(path)
    if not deep:
        return True
    try:
        return digest_of(pq.read_table(path, columns=CONTENT.names).cast(CONTENT)) == digest
    except (pa.ArrowException, ValueError, OSError):
        return False


def digest_of(rows: pa.Table) -> str:
    """Return the digest of what rows say, however Arrow keeps them."""
    digest = hashlib.sha256()
    for name in CONTENT.names:
        for part in _bytes_of(pa.concat_arrays(rows[name].chunks or [pa.array([], CONTENT.field(name).type)])):
            digest.update(part)
    return digest.hexdigest()


def _bytes_of(column: pa.Array) -> Iterator[bytes]:
    yield np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).tobytes()
    if pa.types.is_list(column.type):
        yield pc.list_value_length(column).to_numpy().tobytes()
        column = pc.list_flatten(column)
    if pa.types.is_string(column.type):
        texts = column.cast(pa.large_string())
        yield pc.binary_length(texts).to_numpy().tobytes()
        offsets = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
        yield texts.buffers()[2].to_pybytes()[offsets[0] : offsets[-1]] if len(texts) else b""
        return
    number = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
    yield pc.fill_null(number.cast(pa.int64()), 0).to_numpy().tobytes()


def keep(home: Home, day: date, rows: pa.Table, made_ms: int, facts: Mapping[str, object]) -> tuple[Path, bool]:
    """Write the next version of a day, durable on return, unless the latest one says the same.

    Returns the file that holds the rows, and whether it is new.

    Raises:
        EstimateError: the latest version is damaged, or there are too many.

    """
    digest, before = digest_of(rows), latest_version(home, day)
    if before is not None and digest_in(before) == digest:
        return before, False
    version = 0 if before is None else int(before.stem[-2:]) + 1
    if version > REVISIONS_MAX:
        raise EstimateError(f"{day} was estimated {version} times", hint="move old versions out of the home")
    folder = folder_of(home, day)
    path = folder / name_of(day, version)
    meta = {DIGEST: json.dumps({"sha256": digest} | dict(facts), separators=(",", ":"))}
    columns: list[Any] = [
        *rows.columns,
        pa.array(np.full(len(rows), made_ms)).cast(SCHEMA.field("made_at").type),
        pa.array(np.full(len(rows), version, np.int16)),
    ]
    fresh = home.fresh_tmp("estimates") / path.name
    pq.write_table(
        pa.Table.from_arrays(columns, schema=SCHEMA.with_metadata(meta)), fresh, compression="zstd",
        row_group_size=ROW_GROUP,
    )  # fmt: skip
    sync_file(fresh)
    folder.mkdir(exist_ok=True)
    fresh.replace(path)
    sync_directory(folder)
    sync_directory(folder.parent)
    return path, True
