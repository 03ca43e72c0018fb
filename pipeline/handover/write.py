# SPDX-License-Identifier: Apache-2.0
"""The other direction: reads to hand-over files, for the simulated head-end and for tests.

Files are written where they are asked for. To hand one over, write it under a name with a leading dot and rename it.
`place` is not written: it is where a row stands.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.limits import NO_READ
from pipeline.handover.batch import ReadBatch
from pipeline.handover.write_kernels import (
    GET_RES,
    INF,
    LINE_BYTES_MAX,
    RECORD_BYTES_MAX,
    id_bytes,
    id_lengths,
    put_lines,
    put_records,
)

SCHEMA: Final = pa.schema(
    [
        ("meter_id", pa.string()),
        ("read_at", pa.timestamp("ms", "UTC")),
        ("import_register", pa.uint32()),
        ("export_register", pa.uint32()),
        ("received_at", pa.timestamp("ms", "UTC")),
    ]
)
"""What `write_arrow` and `write_parquet` write: types that the decoder takes where they lie."""

_BLOCK_ROWS: Final = 65_536
_CSV_HEADER: Final = b"meter_id,read_at,import_register,export_register,received_at\n"
_COMPRESSIONS: Final = {"": None, "gz": "gzip", "zst": "zstd"}


class _Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


def to_arrow(batch: ReadBatch) -> pa.RecordBatch:
    """Arrow record batch of `SCHEMA`; `NO_READ` becomes null.

    Raises:
        ValueError: the ids need more than 2 GiB.
    """
    offsets = np.empty(len(batch) + 1, np.int64)
    id_lengths(batch.keys, offsets)
    if offsets[-1] >= 2**31:
        raise ValueError("more than 2 GiB of meter ids in one record batch")
    text = np.empty(offsets[-1], np.uint8)
    id_bytes(batch.keys, offsets, text)
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(text)]
    columns = [
        pa.StringArray.from_buffers(len(batch), buffers[1], buffers[2]),
        _column(batch.read_at_ms, SCHEMA.field(1).type),
        _column(batch.import_register, SCHEMA.field(2).type, batch.import_register == NO_READ),
        _column(batch.export_register, SCHEMA.field(3).type, batch.export_register == NO_READ),
        _column(batch.received_ms, SCHEMA.field(4).type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def write_arrow(path: Path, batch: ReadBatch, *, rows_per_batch: int = _BLOCK_ROWS) -> None:
    """Write an Arrow IPC file: meter_id string, timestamps in ms with zone UTC, registers uint32 with nulls."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for part in blocks(batch, rows_per_batch):
            writer.write_batch(to_arrow(part))


def write_parquet(path: Path, batch: ReadBatch, *, rows_per_group: int = _BLOCK_ROWS) -> None:
    """Write a Parquet file with the columns of `write_arrow`."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for part in blocks(batch, rows_per_group):
            writer.write_batch(to_arrow(part), row_group_size=rows_per_group)


def write_csv(path: Path, batch: ReadBatch, compression: Literal["", "gz", "zst"] = "") -> None:
    """Write CSV with header; times in ISO 8601, `read_at` in JST with offset, `received_at` in UTC with Z."""
    with pa.output_stream(str(path), compression=_COMPRESSIONS[compression]) as sink:
        sink.write(_CSV_HEADER)
        out = np.empty(min(len(batch), _BLOCK_ROWS) * LINE_BYTES_MAX, np.uint8)
        for part in blocks(batch, _BLOCK_ROWS):
            size = put_lines(
                part.keys, part.read_at_ms, part.received_ms, part.import_register, part.export_register, out
            )
            _write(sink, out[:size])


def write_echonet(path: Path, batch: ReadBatch, *, announce: bool = False) -> int:
    """Write a telegram container: one frame a row with EA, EB beside it where the row has an export register.

    Get_Res, or INF with `announce`. A row without both registers is left out; stamps are cut to whole seconds.

    Returns:
        the number of frames written.
    """
    frames = 0
    with path.open("wb") as sink:
        out = np.empty(min(len(batch), _BLOCK_ROWS) * RECORD_BYTES_MAX, np.uint8)
        for part in blocks(batch, _BLOCK_ROWS):
            size, written = put_records(
                part.keys,
                part.read_at_ms,
                part.received_ms,
                part.import_register,
                part.export_register,
                INF if announce else GET_RES,
                out,
            )
            _write(sink, out[:size])
            frames += written
    return frames


def blocks(batch: ReadBatch, rows: int) -> Iterator[ReadBatch]:
    """Batches of at most `rows` rows that lie over the columns of a larger one."""
    for start in range(0, len(batch), rows):
        part = slice(start, start + rows)
        yield ReadBatch(
            batch.source,
            batch.keys[part],
            batch.read_at_ms[part],
            batch.received_ms[part],
            batch.import_register[part],
            batch.export_register[part],
            batch.place[part],
        )


def _column(values: NDArray[np.generic], kind: pa.DataType, nulls: NDArray[np.bool_] | None = None) -> pa.Array:
    if nulls is None or not nulls.any():
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
    valid = pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(values)])


def _write(sink: _Sink, data: NDArray[np.uint8]) -> None:
    sink.write(data.tobytes())
