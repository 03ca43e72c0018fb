# SPDX-License-Identifier: Apache-2.0
"""A bounded look at a hand-over file: about how many rows it has, and which times its stamps lie at.

Enough to decide what is taken in first, and never what a read is: a file that is misjudged goes in too early or too
late. The cost does not grow with the file: rows far apart of a few record batches or row groups, 64 KiB at the
beginning, the middle and the end of a text, the first telegrams of a container.
"""

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import HandoverError
from pipeline.handover import delimited
from pipeline.handover.batch import Chunk
from pipeline.handover.columns import READ_AT, UNREADABLE, check_names, check_types, stamps_of
from pipeline.handover.formats import extension_of
from pipeline.handover.telegram_kernels import count_records
from pipeline.handover.telegrams import decode_echonet
from pipeline.handover.text_kernels import count_lines, parse_lines

STAMPS_KEPT: Final = 9
"""Stamps that stand for a file: the ends of the sample and seven between."""
_PARTS: Final = 8
_ROWS_OF_A_PART: Final = 64
_BLOCK_BYTES: Final = 1 << 16
_TELEGRAM_ROWS: Final = 1024
_GROUP_ROWS_MAX: Final = 1 << 22
_PACKED_RATIO: Final = 8
"""What compression does to the text of a CSV, roughly."""
_OF_THE_SYSTEM: Final = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""Errors that say nothing of the file: another look may succeed."""


@dataclass(frozen=True, slots=True)
class Peek:
    """What a look at a file told.

    Attributes:
        rows: about how many rows it has.
        stamps: up to `STAMPS_KEPT` times of its stamps, UTC ms, ascending, at even ranks of the sample.
    """

    rows: int
    stamps: tuple[int, ...]


def peek(path: Path) -> Peek:
    """Look at a file.

    Raises:
        OSError: it cannot be opened, or the system cannot read it now.
        HandoverError: what it holds cannot be read, as far as was looked.

    """
    with path.open("rb"):
        pass  # what cannot be opened is another case than what cannot be read
    extension = extension_of(path)
    try:
        if extension == ".arrow":
            return _arrow(path)
        if extension == ".parquet":
            return _parquet(path)
        if extension == ".echonet":
            return _telegrams(path)
        return _text(path, packed=extension != ".csv")
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            raise
        raise HandoverError(f"{path.name}: not readable: {error}", hint="Hand it over again, whole") from error


def _summed(rows: int, stamps: Iterable[NDArray[np.int64]]) -> Peek:
    parts = [each for each in stamps if len(each)]
    if not parts:
        return Peek(rows, ())
    every = np.sort(np.concatenate(parts))
    return Peek(rows, tuple(every[_spread(len(every), STAMPS_KEPT)].tolist()))


def _spread(count: int, wanted: int) -> NDArray[np.int64]:
    """Return up to `wanted` numbers below `count`, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))


def _arrow(path: Path) -> Peek:
    with pa.memory_map(str(path)) as mapped:
        schema = pa.ipc.open_file(mapped).schema
        check_names(schema.names, path.name)
        check_types(schema, path.name)
        options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(READ_AT)])
        reader = pa.ipc.open_file(mapped, options=options)
        count = reader.num_record_batches
        if count == 0:
            return Peek(0, ())
        batches = [reader.get_batch(number) for number in _spread(count, _PARTS).tolist()]
        rows = sum(batch.num_rows for batch in batches) * count // len(batches)
        return _summed(rows, [_sampled(batch) for batch in batches])


def _sampled(batch: pa.RecordBatch) -> NDArray[np.int64]:
    return stamps_of(batch, _spread(batch.num_rows, _ROWS_OF_A_PART)) if batch.num_rows else np.empty(0, np.int64)


def _parquet(path: Path) -> Peek:
    with pq.ParquetFile(path) as file:
        check_names(file.schema_arrow.names, path.name)
        check_types(file.schema_arrow, path.name)
        stamps = []
        for number in _spread(file.num_row_groups, _PARTS // 2).tolist() if file.num_row_groups else []:
            if 0 < file.metadata.row_group(number).num_rows <= _GROUP_ROWS_MAX:
                table = file.read_row_group(number, columns=[READ_AT], use_threads=False)
                stamps += [_sampled(batch) for batch in table.combine_chunks().to_batches()]
        return _summed(file.metadata.num_rows, stamps)


def _text(path: Path, *, packed: bool) -> Peek:
    size = path.stat().st_size
    source = delimited.open_text(path)
    try:
        head = source.read(_BLOCK_BYTES)
    finally:
        source.close()
    layout, start = delimited.header_of(head, path.name)
    blocks = [_whole_lines(head[start:], ends=len(head) < _BLOCK_BYTES)]
    if not packed and size > _BLOCK_BYTES:
        with path.open("rb") as file:
            for at in (size // 2, max(_BLOCK_BYTES, size - _BLOCK_BYTES)):
                file.seek(at)
                block = file.read(_BLOCK_BYTES)
                blocks.append(_whole_lines(block[block.find(b"\n") + 1 :], ends=at + len(block) >= size))
    parsed = [_parsed(block, layout) for block in blocks]
    lines, length = sum(each[0] for each in parsed), sum(map(len, blocks))
    ratio = _PACKED_RATIO if packed and size > _BLOCK_BYTES // _PACKED_RATIO else 1
    rows = lines if not packed and size <= _BLOCK_BYTES else size * ratio * lines // max(1, length)
    return _summed(rows, [stamps[_spread(len(stamps), _ROWS_OF_A_PART)] for _, stamps in parsed if len(stamps)])


def _whole_lines(block: bytes, *, ends: bool) -> bytes:
    return block if ends else block[: block.rfind(b"\n") + 1]


def _parsed(block: bytes, layout: tuple[int, ...]) -> tuple[int, NDArray[np.int64]]:
    """Return the number of lines of a block and the stamps of its good rows."""
    if not block:
        return 0, np.empty(0, np.int64)
    data = np.frombuffer(block, np.uint8)
    lines = count_lines(data, 0, len(block))[1] + (not block.endswith(b"\n"))
    keys, refused = np.empty((lines, 2), np.uint64), np.empty((lines, 5), np.int64)
    read_at, received, place = (np.empty(lines, np.int64) for _ in range(3))
    imports, exports = (np.empty(lines, np.uint32) for _ in range(2))
    columns = np.array(layout[1:])
    rows, _ = parse_lines(data, layout[0], columns, 2, keys, read_at, received, imports, exports, place, refused)
    return lines, read_at[:rows]


def _telegrams(path: Path) -> Peek:
    size = path.stat().st_size
    if size == 0:
        return Peek(0, ())
    data = np.memmap(path, np.uint8, "r").view(np.ndarray)
    data.flags.writeable = False
    end, rows, refused = count_records(data, 0, _TELEGRAM_ROWS)
    batch = decode_echonet(Chunk(str(path), path.name, 0, end, 0, (rows, refused))).batch
    return _summed(len(batch) * size // max(1, end), [batch.read_at_ms])
