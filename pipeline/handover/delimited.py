# SPDX-License-Identifier: Apache-2.0
"""CSV files, plain or compressed, cut at line ends.

A plain file is read where a chunk lies. A compressed one has to be read from its start: a reader that stands where the
last chunk ended is kept, so that chunks taken in order unpack the file once, and memory stays that of one chunk.
"""

import csv
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from koma.errors import HandoverError
from pipeline.handover.batch import Chunk, Decoded, ReadBatch, Rejected
from pipeline.handover.column_kernels import count_no_data
from pipeline.handover.columns import COLUMNS, check_names, damaged
from pipeline.handover.reasons import ROW_REASONS
from pipeline.handover.text_kernels import count_lines, parse_lines

HEADER_BYTES_MAX: Final = 65_536
LINE_BYTES_MAX: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 22
_READERS_MAX: Final = 4
_BOM: Final = b"\xef\xbb\xbf"
_COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd"}


class ByteReader(Protocol):
    """What reading needs of a stream."""

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; fewer or none at the end only."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


def plan_csv(path: Path, rows_max: int) -> list[Chunk]:
    """Cut a CSV file: `start` and `length` are bytes of the unpacked text, `part` the first line's number.

    Layout: whether it is the last chunk, number of lines, fields of a line, and the field number of each of our columns
    (-1 for none).

    Raises:
        HandoverError: unreadable, damaged compression, or not with our columns.
    """
    try:
        source = open_text(path)
        try:
            head = _read(source, HEADER_BYTES_MAX)
            layout, ignored, start = _header(head, path.name)
            ends = _line_ends(_blocks(source, head[start:]), start, rows_max, path.name)
            return _cut(path, ends, start, layout, ignored)
        finally:
            source.close()
    except (pa.ArrowException, OSError) as error:
        raise HandoverError(f"{path.name}: not readable: {error}", hint="Hand it over again, whole") from error


def decode_csv(chunk: Chunk) -> Decoded:
    """Decode the lines of a chunk of `plan_csv`.

    Raises:
        HandoverError: the file is not the one that was planned.
    """
    try:
        text = _text(chunk)
    except (pa.ArrowException, OSError) as error:
        raise damaged(chunk.source, f"behind line {chunk.part}: {error}") from error
    if len(text) != chunk.length:
        raise damaged(chunk.source, f"it ends behind line {chunk.part}, and was longer before")
    data = np.frombuffer(text, np.uint8)
    _, lines, fields, *columns = chunk.layout
    keys = np.empty((lines, 2), np.uint64)
    read_at, received, place = (np.empty(lines, np.int64) for _ in range(3))
    imports, exports = (np.empty(lines, np.uint32) for _ in range(2))
    refused = np.empty((lines, 5), np.int64)
    if count_lines(data, 0, lines + 1)[1] + (not text.endswith(b"\n")) != lines:
        raise damaged(chunk.source, f"its lines from {chunk.part} on are not those that were counted")
    rows, bad = parse_lines(
        data, fields, np.array(columns), chunk.part, keys, read_at, received, imports, exports, place, refused
    )
    batch = ReadBatch(
        chunk.source, keys[:rows], read_at[:rows], received[:rows], imports[:rows], exports[:rows], place[:rows]
    )
    no_data = count_no_data(batch.import_register, batch.export_register)
    return Decoded(batch, _reject(text, refused[:bad], chunk.source), {}, no_data, chunk.ignored)


def _reject(text: bytes, refused: NDArray[np.int64], source: str) -> tuple[Rejected, ...]:
    return tuple(
        Rejected(source, line, *ROW_REASONS[reason], text[start:end], reads)
        for start, end, line, reason, reads in refused.tolist()
    )


def open_text(path: Path) -> ByteReader:
    """Open a CSV file, unpacking it where it is packed."""
    compression = _COMPRESSIONS.get(path.suffix.lower())
    if compression is None:
        return path.open("rb")
    stream: ByteReader = pa.input_stream(str(path), compression=compression)
    return stream


def _read(source: ByteReader, size: int) -> bytes:
    """Read exactly `size` bytes, or to the end."""
    pieces = []
    while size > 0 and (piece := source.read(min(size, _BLOCK_BYTES))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _blocks(source: ByteReader, first: bytes) -> Iterator[bytes]:
    yield first
    while block := source.read(_BLOCK_BYTES):
        yield block


def header_of(head: bytes, source: str) -> tuple[tuple[int, ...], int]:
    """Return the fields of a line with the field numbers of our columns, and the offset behind the header.

    Raises:
        HandoverError: no CSV, or not with our columns.
    """
    layout, _, start = _header(head, source)
    return layout, start


def _header(head: bytes, source: str) -> tuple[tuple[int, ...], tuple[str, ...], int]:
    """Fields of a line and field numbers of our columns; names of the others; offset behind the header."""
    end = head.find(b"\n")
    if end < 0 and len(head) >= HEADER_BYTES_MAX:
        raise HandoverError(f"{source}: the first line is longer than {HEADER_BYTES_MAX} bytes", hint="It is no CSV")
    line = head[: end if end >= 0 else len(head)].removeprefix(_BOM).decode("utf-8", "replace").rstrip("\r")
    try:
        names = [name.strip() for row in csv.reader([line]) for name in row]
    except csv.Error as error:
        raise HandoverError(f"{source}: line 1: {error}", hint="The first line names the columns") from error
    ignored = check_names(names, source)
    numbers = tuple(names.index(name) if name in names else -1 for name in COLUMNS)
    return (len(names), *numbers), ignored, end + 1 if end >= 0 else len(head)


def _line_ends(blocks: Iterator[bytes], start: int, rows_max: int, source: str) -> Iterator[tuple[int, int]]:
    """Offset behind each `rows_max`-th line and behind the last one, and how many lines that are."""
    base, behind_last, lines = start, start, 0
    for block in blocks:
        data = np.frombuffer(block, np.uint8)
        used = 0
        while used < len(block):
            behind, found = count_lines(data, used, rows_max - lines)
            lines += found
            behind_last = base + behind if found else behind_last
            if lines < rows_max:
                break
            yield behind_last, lines
            used, lines = behind, 0
        base += len(block)
        if base - behind_last > LINE_BYTES_MAX:
            hint = "It is no CSV, or its line ends are missing"
            raise HandoverError(f"{source}: a line is longer than {LINE_BYTES_MAX} bytes", hint=hint)
    if lines or base > behind_last:
        yield base, lines + (base > behind_last)


def _cut(
    path: Path, ends: Iterator[tuple[int, int]], start: int, layout: tuple[int, ...], ignored: tuple[str, ...]
) -> list[Chunk]:
    chunks: list[Chunk] = []
    line = 2
    for end, lines in ends:
        chunks.append(Chunk(str(path), path.name, start, end - start, line, (0, lines, *layout), ignored))
        start, line = end, line + lines
    if chunks:
        chunks[-1] = replace(chunks[-1], layout=(1, *chunks[-1].layout[1:]))
    return chunks


_readers: list[tuple[tuple[str, int, int], int, ByteReader]] = []
_readers_lock = threading.Lock()


def _text(chunk: Chunk) -> bytes:
    path = Path(chunk.path)
    if path.suffix.lower() not in _COMPRESSIONS:
        with path.open("rb") as file:
            file.seek(chunk.start)
            return file.read(chunk.length)
    state = path.stat()
    key = (chunk.path, state.st_mtime_ns, state.st_size)
    position, source = _take_reader(key, chunk.start)
    text = b""
    try:
        while position < chunk.start and (skipped := source.read(min(_BLOCK_BYTES, chunk.start - position))):
            position += len(skipped)
        text = _read(source, chunk.length)
    finally:
        if len(text) == chunk.length and not chunk.layout[0]:
            _keep_reader(key, chunk.start + chunk.length, source)
        else:
            source.close()
    return text


def _take_reader(key: tuple[str, int, int], start: int) -> tuple[int, ByteReader]:
    """Reader of a compressed file that stands at `start` or before it: the nearest kept one, or a new one."""
    with _readers_lock:
        near = [index for index, (of, position, _) in enumerate(_readers) if of == key and position <= start]
        if near:
            _, position, source = _readers.pop(max(near, key=lambda index: _readers[index][1]))
            return position, source
    return 0, open_text(Path(key[0]))


def _keep_reader(key: tuple[str, int, int], position: int, source: ByteReader) -> None:
    with _readers_lock:
        _readers.append((key, position, source))
        dropped = _readers.pop(0)[2] if len(_readers) > _READERS_MAX else None
    if dropped is not None:
        dropped.close()
