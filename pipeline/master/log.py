# SPDX-License-Identifier: Apache-2.0
"""The append-only log of facts: one folder of Parquet files an import, from which any version can be made again.

Positions, local indexes, retailer and balancing group numbers in it are those of the versions; they never change.
`recorded_ms` is when a fact was recorded, `rec_from` from when it counts. A row with `state` 1 was older than what was
known of its key: it is kept as evidence and takes no part. A folder with `settled.json` in place of tables says that
the rows of all folders before it count from its `now_ms` at the latest.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.limits import READ_DAY_MAX, SLOT_MINUTES
from pipeline.master.source import text_buffers
from pipeline.master.text_kernels import read_whole

APPLIED = 0
PUT_ASIDE = 1

NUMBERS: dict[str, dict[str, str]] = {
    "points": {
        "position": "u4", "shard": "u2", "area": "u1", "voltage": "u1", "contract": "i8", "telemetry": "u1",
        "cap_dwh": "i8", "read_day": "u1", "main_high": "u2", "main_low": "u8",
        "recorded_ms": "i8", "rec_from": "i8", "content": "u8",
    },
    "meters": {
        "position": "u4", "k0": "u8", "k1": "u8", "register": "u1", "from_ms": "i8", "to_ms": "i8", "digits": "u1",
        "unit_exponent": "i1", "coefficient": "i4", "first": "i4", "last": "i4", "interval": "u1", "local": "u4",
        "recorded_ms": "i8", "rec_from": "i8", "content": "u8",
    },
    "supply": {
        "position": "u4", "from_slot": "i4", "to_slot": "i4", "retailer": "u2", "bg": "u2",
        "recorded_ms": "i8", "rec_from": "i8", "content": "u8",
    },
    "retailers": {"retailer": "u4", "content": "u8"},
}  # fmt: skip
"""Columns of numbers of each table's log."""

_ROW_GROUP = 1_000_000
_SETTLED = "settled.json"


def write_log(
    folder: Path, table: str, numbers: Mapping[str, NDArray[Any]], texts: Mapping[str, Any], state: NDArray[np.uint8]
) -> None:
    """Write one table's rows of an import; nothing where there are none."""
    if len(state) == 0:
        return
    columns: dict[str, Any] = {
        name: pa.array(numbers[name].astype(kind, copy=False)) for name, kind in NUMBERS[table].items()
    }
    columns["state"] = pa.array(state)
    columns.update(texts)
    folder.mkdir(exist_ok=True)
    pq.write_table(
        pa.table(columns),
        folder / f"{table}.parquet",
        compression="lz4",
        row_group_size=_ROW_GROUP,
        use_dictionary=[*texts],
        write_statistics=False,
    )


def write_settled(folder: Path, now_ms: int) -> None:
    """Say that all rows logged so far count from `now_ms` at the latest."""
    folder.mkdir()
    (folder / _SETTLED).write_text(json.dumps({"now_ms": now_ms}) + "\n", encoding="ascii")


def read_log(folders: list[Path], table: str) -> dict[str, NDArray[Any]]:
    """Numbers of all rows that took part in the imports of `folders`, in order."""
    parts: dict[str, list[NDArray[Any]]] = {name: [np.zeros(0, kind)] for name, kind in NUMBERS[table].items()}
    for folder in folders:
        if (folder / _SETTLED).exists() and "rec_from" in parts:
            now_ms = json.loads((folder / _SETTLED).read_text(encoding="ascii"))["now_ms"]
            parts["rec_from"] = [np.minimum(each, now_ms) for each in parts["rec_from"]]
        path = folder / f"{table}.parquet"
        if not path.exists():
            continue
        with pq.ParquetFile(path) as file:
            took_part = file.read(["state"])["state"].to_numpy() == APPLIED
            there = file.schema_arrow.names
            whole = file.read([each for each in parts if each in there]) if len(took_part) < _ROW_GROUP else None
            for name, columns in parts.items():
                if name in there:  # large files column by column: half the memory
                    column = (file.read([name]) if whole is None else whole)[name].to_numpy()
                else:
                    column = _OF_OLDER[name](file)
                columns.append(column if took_part.all() else column[took_part])
    return {name: np.concatenate(parts.pop(name)) for name in list(parts)}


def read_texts(folders: list[Path], table: str, name: str) -> pa.ChunkedArray:
    """Return a text column of the rows that `read_log` gives; empty where a file had none."""
    chunks: list[Any] = []
    for path in _files(folders, table):
        with pq.ParquetFile(path) as file:
            took_part = file.read(["state"])["state"].to_numpy() == APPLIED
            if name in file.schema_arrow.names:
                chunks += file.read([name])[name].filter(pa.array(took_part)).chunks
            else:
                chunks.append(empty_texts(int(took_part.sum())))
    return pa.chunked_array(chunks, pa.string())


def empty_texts(count: int) -> pa.StringArray:
    """Return that many empty texts."""
    return pa.array([""]).take(pa.array(np.zeros(count, np.int32)))


def _read_days(file: pq.ParquetFile) -> NDArray[np.uint8]:
    """Return the reading days of a log from before they had a column: a text that is no day, or none, means 0."""
    count = file.metadata.num_rows
    value, status = np.zeros(count, np.int64), np.zeros(count, np.uint8)
    if "meter_read_day" in file.schema_arrow.names:
        texts = file.read(["meter_read_day"])["meter_read_day"].combine_chunks()
        read_whole(*text_buffers(texts), 1, READ_DAY_MAX, value, status)
    return value.astype(np.uint8)


def _all(value: int, kind: type[np.unsignedinteger[Any]]) -> Callable[[pq.ParquetFile], NDArray[Any]]:
    return lambda file: np.full(file.metadata.num_rows, value, kind)


_OF_OLDER = {
    "read_day": _read_days,
    "interval": _all(SLOT_MINUTES, np.uint8),
    "main_high": _all(0, np.uint16),
    "main_low": _all(0, np.uint64),
}
"""Columns of numbers that logs of older Komas have as texts, or not at all."""


def _files(folders: list[Path], table: str) -> list[Path]:
    paths = [folder / f"{table}.parquet" for folder in folders]
    return [each for each in paths if each.exists()]
