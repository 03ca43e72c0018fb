# SPDX-License-Identifier: Apache-2.0
"""A file of named columns: how registers and held reads lie in the home.

One JSON line names the columns, their types, lengths and offsets; the raw arrays follow, each on a 64-byte boundary,
so a reader maps the file and copies nothing. The bytes are a function of the columns alone.
"""

import ctypes
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koma.errors import HomeError

MAGIC = b"KOMACOL1"
_ALIGN = 64
_MAPPED_FROM = 1 << 18

_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None)
_WRITE = 2  # SYNC_FILE_RANGE_WRITE of Linux

Columns = dict[str, NDArray[Any]]


def _aligned(position: int) -> int:
    return -(-position // _ALIGN) * _ALIGN


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]], meta: Mapping[str, object] | None = None) -> int:
    """Write one-dimensional arrays to `path` and return the bytes written. The caller syncs and renames."""
    entries: list[list[object]] = []
    position = 0
    for name, column in columns.items():
        entries.append([name, column.dtype.str, len(column), position])
        position = _aligned(position + column.nbytes)
    header = json.dumps({"meta": dict(meta or {}), "columns": entries}, separators=(",", ":")).encode()
    start = _aligned(len(MAGIC) + 8 + len(header))
    with path.open("wb", buffering=0) as file:
        file.write((MAGIC + len(header).to_bytes(8, "little") + header).ljust(start, b"\0"))
        for (_, _, _, offset), column in zip(entries, columns.values(), strict=True):
            assert isinstance(offset, int)
            file.seek(start + offset)
            view = np.ascontiguousarray(column).view(np.uint8).data if column.nbytes else memoryview(b"")
            while view:
                view = view[file.write(view) :]
        file.truncate(start + position)
        start_writing(file.fileno())
    return start + position


def start_writing(descriptor: int) -> None:
    """Let the disk begin with a file now, where the system can: the caller's sync has less to wait for."""
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), _WRITE)


def read_columns(path: Path) -> tuple[Columns, dict[str, Any]]:
    """Map the file at `path`, or read it if it is small: its columns (read-only, not copied) and its meta data.

    What is mapped holds one of the process's open files; thousands of small ones would be more than it may have.

    Raises:
        HomeError: the file is not a column file or is cut short.

    """
    size = path.stat().st_size
    if size < len(MAGIC) + 8:
        raise HomeError(f"{path} is too short for a column file", hint="restore it from a copy of the home")
    raw = _read_aligned(path, size) if size < _MAPPED_FROM else np.memmap(path, dtype=np.uint8, mode="r")
    if raw[: len(MAGIC)].tobytes() != MAGIC:
        raise HomeError(f"{path} is not a column file", hint="restore it from a copy of the home")
    length = int.from_bytes(raw[len(MAGIC) : len(MAGIC) + 8].tobytes(), "little")
    header = json.loads(raw[len(MAGIC) + 8 : len(MAGIC) + 8 + length].tobytes())
    start = _aligned(len(MAGIC) + 8 + length)
    columns: Columns = {}
    for name, dtype, count, offset in header["columns"]:
        end = start + offset + count * np.dtype(dtype).itemsize
        if end > size:
            raise HomeError(f"{path} is cut short in column {name}", hint="restore it from a copy of the home")
        columns[name] = raw[start + offset : end].view(dtype)
    return columns, header["meta"]


def _read_aligned(path: Path, size: int) -> NDArray[np.uint8]:
    room = np.empty(size + _ALIGN, np.uint8)
    start = -room.__array_interface__["data"][0] % _ALIGN
    raw = room[start : start + size]
    with path.open("rb", buffering=0) as file:
        count = file.readinto(raw.data)
    if count != size:
        raise HomeError(f"{path} is cut short", hint="restore it from a copy of the home")
    raw.flags.writeable = False
    return raw


def replace_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a crash leaves either the old or the new file, durable on return."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
