# SPDX-License-Identifier: Apache-2.0
"""Arrow IPC files and Parquet files, cut into chunks of rows.

The plain batches of an Arrow file are read straight from where planning found their columns. Other uncompressed ones
are mapped, never copied: opening costs microseconds, so each chunk opens its file anew. What has to be unpacked as a
whole (a Parquet row group, a compressed record batch) and is larger than a chunk is kept until its last row was
decoded.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import HandoverError
from pipeline.handover.batch import Chunk, Decoded
from pipeline.handover.columns import (
    COLUMNS,
    RECEIVED_AT,
    UNREADABLE,
    check_names,
    check_nulls,
    check_types,
    damaged,
    decode_columns,
)
from pipeline.handover.straight import decode_straight, lay_out

_KEPT_MAX: Final = 2
_LONG_WAY: Final = 3
"""Numbers of a layout that say how to decode in any case; behind them, a plain record batch says where it stands."""


def plan_arrow(path: Path, rows_max: int) -> list[Chunk]:
    """Cut an Arrow IPC file: `part` is the first record batch, `layout` its row to start at, and how many batches.

    Raises:
        HandoverError: not an Arrow IPC file, or not with our columns.
    """
    try:
        with pa.memory_map(str(path)) as mapped:
            reader = pa.ipc.open_file(mapped)
            ignored = check_names(reader.schema.names, path.name)
            check_types(reader.schema, path.name)
            stat = path.stat()
            sizes, packed, layouts = _batch_rows(reader, mapped, rows_max)
    except UNREADABLE as error:
        hint = "Hand it over again as an Arrow IPC file (not a stream), whole"
        raise HandoverError(f"{path.name}: not a readable Arrow file: {error}", hint=hint) from error
    stamp = stat.st_size, stat.st_mtime_ns
    whole = {first: (*stamp, *layout) for first, layout in layouts.items()}
    return _cut(path, sizes, rows_max, ignored, packed=packed, whole=whole)


def decode_arrow(chunk: Chunk) -> Decoded:
    """Decode the rows of a chunk of `plan_arrow`.

    Raises:
        HandoverError: the file is damaged.
    """

    def load() -> pa.Table:
        with pa.memory_map(chunk.path) as mapped:
            reader = pa.ipc.open_file(mapped)
            batches = [reader.get_batch(chunk.part + index) for index in range(chunk.layout[1])]
            for batch in batches:
                check_nulls(batch)
            return pa.Table.from_batches(batches, reader.schema)

    if len(chunk.layout) > _LONG_WAY:
        size, modified_ns, *layout = chunk.layout[_LONG_WAY:]
        decoded = decode_straight(chunk, (size, modified_ns), tuple(layout))
        if decoded is not None:
            return decoded
    return _decode(chunk, load)


def plan_parquet(path: Path, rows_max: int) -> list[Chunk]:
    """Cut a Parquet file: `part` is the first row group, `layout` its row to start at, and how many groups.

    Raises:
        HandoverError: not a Parquet file, or not with our columns.
    """
    try:
        with pq.ParquetFile(path) as file:
            ignored = check_names(file.schema_arrow.names, path.name)
            check_types(file.schema_arrow, path.name)
            sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    except UNREADABLE as error:
        hint = "Hand it over again, whole"
        raise HandoverError(f"{path.name}: not a readable Parquet file: {error}", hint=hint) from error
    return _cut(path, sizes, rows_max, ignored)


def decode_parquet(chunk: Chunk) -> Decoded:
    """Decode the rows of a chunk of `plan_parquet`.

    Raises:
        HandoverError: the file is damaged.
    """

    def load() -> pa.Table:
        with pq.ParquetFile(chunk.path, memory_map=True) as file:
            ours = [name for name in file.schema_arrow.names if name in COLUMNS]
            groups = list(range(chunk.part, chunk.part + chunk.layout[1]))
            return file.read_row_groups(groups, columns=ours, use_threads=False)

    return _decode(chunk, load)


class _Part:
    """A record batch or row group that was unpacked, until its rows are used up."""

    __slots__ = ("left", "lock", "table")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.table: pa.Table | None = None
        self.left = 0


_parts: OrderedDict[tuple[str, int, int, int], _Part] = OrderedDict()
_parts_lock = threading.Lock()


def _cut(
    path: Path,
    sizes: list[int],
    rows_max: int,
    ignored: tuple[str, ...],
    *,
    packed: bool = True,
    whole: Mapping[int, tuple[int, ...]] = MappingProxyType({}),
) -> list[Chunk]:
    """Cut parts of these sizes into chunks: small parts go together, large ones apart.

    Layout: row of the first part to start at, number of parts, and whether the part is worth keeping for its other
    chunks; then that of `whole` where a chunk is one part, whole.
    """
    chunks: list[Chunk] = []
    first, start = 0, 0
    while first < len(sizes):
        parts, rows = 1, sizes[first]
        while first + parts < len(sizes) and rows + sizes[first + parts] <= rows_max:
            rows += sizes[first + parts]
            parts += 1
        keep = int(packed and rows > rows_max)
        for offset in range(0, rows, rows_max):
            layout = (offset, parts, keep, *(whole.get(first, ()) if parts == 1 and rows <= rows_max else ()))
            length = min(rows_max, rows - offset)
            chunks.append(Chunk(str(path), path.name, start + offset, length, first, layout, ignored))
        first += parts
        start += rows
    return chunks


def _batch_rows(
    reader: pa.RecordBatchFileReader, mapped: pa.MemoryMappedFile, rows_max: int
) -> tuple[list[int], bool, dict[int, tuple[int, ...]]]:
    """Rows of each record batch, whether batches have to be unpacked, and where the plain ones stand in the file."""
    count = reader.num_record_batches
    if count == 0:
        return [], False, {}
    mapped.seek(0)
    whole = mapped.read_buffer(mapped.size())
    held = [buffer for column in reader.get_batch(0).columns for buffer in column.buffers() if buffer is not None]
    if all(whole.address <= buffer.address <= whole.address + whole.size for buffer in held):
        sizes, layouts = [], {}
        for index in range(count):
            batch = reader.get_batch(index)
            sizes.append(batch.num_rows)
            layout = lay_out(batch, whole.address, whole.size) if batch.num_rows <= rows_max else ()
            if layout:
                layouts[index] = layout
        return sizes, False, layouts
    # one small column tells how long a batch is
    options = pa.ipc.IpcReadOptions(included_fields=[reader.schema.get_field_index(RECEIVED_AT)])
    narrow = pa.ipc.open_file(mapped, options=options)
    return [narrow.get_batch(index).num_rows for index in range(count)], True, {}


def _decode(chunk: Chunk, load: Callable[[], pa.Table]) -> Decoded:
    offset, _, keep = chunk.layout[:_LONG_WAY]
    try:
        table = _shared(chunk, load) if keep else load()
        rows = table.slice(offset, chunk.length)
        ours = rows.select([name for name in COLUMNS if name in rows.schema.names])
        batches = ours.combine_chunks().to_batches()
    except UNREADABLE as error:
        raise damaged(chunk.source, f"rows from {chunk.start} on: {error}") from error
    if len(batches) != 1 or batches[0].num_rows != chunk.length:
        raise damaged(chunk.source, f"rows from {chunk.start} on are not those that were announced")
    return decode_columns(batches[0], chunk.source, chunk.start, chunk.ignored)


def _shared(chunk: Chunk, load: Callable[[], pa.Table]) -> pa.Table:
    """Unpacked part of a chunk: unpacked by the first that asks, dropped by the last."""
    state = Path(chunk.path).stat()
    key = (chunk.path, state.st_mtime_ns, state.st_size, chunk.part)
    with _parts_lock:
        part = _parts.setdefault(key, _Part())
        _parts.move_to_end(key)
        while len(_parts) > _KEPT_MAX:
            _parts.popitem(last=False)
    with part.lock:
        if part.table is None:
            part.table = load()
            part.left = part.table.num_rows
        table = part.table
        part.left -= chunk.length
        if part.left <= 0:
            with _parts_lock:
                _parts.pop(key, None)
    return table
