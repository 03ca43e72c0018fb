# SPDX-License-Identifier: Apache-2.0
"""The rows of a delivery file as Parquet, built from buffers, its bytes a function of the rows.

Encodings follow what each column is: ids ascend and share most digits (snappy takes them down to a quarter, and every
reader knows it), energies are small numbers (delta binary packed), the rest is one value or nearly one (dictionary).
"""

import base64
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.limits import ROWS_PER_FILE_MAX
from koma.slots import slot_start_ms
from pipeline.delivery.file import DeliveryFile
from pipeline.delivery.kernels import POINT_ID_CHARS
from pipeline.quality import QUALITIES

SCHEMA: Final = pa.schema(
    [
        pa.field("point_id", pa.string(), nullable=False),
        pa.field("slot_start", pa.timestamp("ms", "Asia/Tokyo"), nullable=False),
        pa.field("energy_dwh", pa.int64(), nullable=True),
        pa.field("available", pa.bool_(), nullable=False),
        pa.field("quality", pa.string(), nullable=False),
        pa.field("revision", pa.int16(), nullable=False),
        pa.field("recorded_at", pa.timestamp("ms", "UTC"), nullable=False),
    ]
)
"""What a reader of the file sees."""

_WRITTEN: Final = SCHEMA.set(4, pa.field("quality", pa.dictionary(pa.uint8(), pa.string()), nullable=False))
"""Quality is handed over as index and words, so that no word is looked at per row."""
_ARROW_SCHEMA: Final = {"ARROW:schema": base64.b64encode(SCHEMA.serialize().to_pybytes()).decode("ascii")}
"""Zone and narrow integers for readers that know Arrow; written by hand because readers are to see `SCHEMA`."""
_OPTIONS: Final = {
    "store_schema": False,
    "use_dictionary": ["slot_start", "quality", "revision", "recorded_at"],
    "column_encoding": {"point_id": "PLAIN", "energy_dwh": "DELTA_BINARY_PACKED", "available": "RLE"},
    "compression": dict.fromkeys(SCHEMA.names, "none") | {"point_id": "snappy"},
    "write_statistics": ["point_id"],
}
_WORDS: Final = pa.array(QUALITIES, pa.string())
_OFFSETS: Final = pa.py_buffer(np.arange(0, (ROWS_PER_FILE_MAX + 1) * POINT_ID_CHARS, POINT_ID_CHARS, dtype=np.int32))
"""Offsets of texts of equal length: every file takes as many as it has rows."""


def encode_parquet(file: DeliveryFile, points: NDArray[np.uint8]) -> pa.Buffer:
    """Encode the rows of a file whose ids are `points`, one behind the other."""
    rows = file.positions.size
    bits = pa.py_buffer(np.packbits(file.available, bitorder="little"))
    missing = rows - int(np.count_nonzero(file.available))
    quality = pa.Array.from_buffers(pa.uint8(), rows, [None, pa.py_buffer(file.quality)], null_count=0)
    columns = [
        pa.StringArray.from_buffers(rows, _OFFSETS, pa.py_buffer(points), null_count=0),
        _constant(rows, slot_start_ms(file.slot_id), SCHEMA.field("slot_start").type, np.int64),
        pa.Array.from_buffers(
            pa.int64(), rows, [bits if missing else None, pa.py_buffer(file.energy_dwh)], null_count=missing
        ),
        pa.Array.from_buffers(pa.bool_(), rows, [None, bits], null_count=0),
        pa.DictionaryArray.from_arrays(quality, _WORDS, safe=False),
        _constant(rows, file.revision, pa.int16(), np.int16),
        _constant(rows, file.issued_ms, SCHEMA.field("recorded_at").type, np.int64),
    ]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, _WRITTEN, **_OPTIONS) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=_WRITTEN), row_group_size=ROWS_PER_FILE_MAX)
        writer.add_key_value_metadata(_ARROW_SCHEMA)
    return sink.getvalue()


def _constant(rows: int, value: int, kind: pa.DataType, width: type[np.int64 | np.int16]) -> pa.Array:
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(np.full(rows, value, width))], null_count=0)
