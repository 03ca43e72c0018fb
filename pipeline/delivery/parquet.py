# SPDX-License-Identifier: Apache-2.0
"""The rows of a delivery file as Parquet, built from buffers, its bytes a function of the rows.

Encodings follow what each column is. Ids ascend and share most digits: snappy takes them down to a quarter, and every
reader knows it. Energies are small numbers: delta binary packed. Of quality there are few words: a dictionary. In a
column of one value a dictionary would look each row up; snappy folds the plain values for a third of that.
"""

import base64
import threading
from functools import lru_cache
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

WRITTEN: Final = SCHEMA.set(4, pa.field("quality", pa.dictionary(pa.uint8(), pa.string()), nullable=False))
"""Quality is handed over as index and words, so that no word is looked at per row."""
ARROW_SCHEMA: Final = {"ARROW:schema": base64.b64encode(SCHEMA.serialize().to_pybytes()).decode("ascii")}
"""Zone and narrow integers for readers that know Arrow; written by hand because readers are to see `SCHEMA`."""
OPTIONS: Final = {
    "store_schema": False,
    "use_dictionary": ["quality"],
    "column_encoding": {"energy_dwh": "DELTA_BINARY_PACKED"},
    "compression": dict.fromkeys(("point_id", "slot_start", "revision", "recorded_at"), "snappy"),
    "write_statistics": ["point_id"],
    "write_batch_size": 4_096,
    "data_page_size": 64 * 1024,
}
"""What is not named is plain and as it is. The least and the greatest id take a tenth of the time and let a reader who
looks for a point pass over all files but one. A batch of ids is a page, and small: for pages of a megabyte Arrow's
allocator takes fresh memory, which at the start of a run costs as much as the encoding.
"""
_ROW_BYTES_MAX: Final = 64
"""31 of an id that does not fold, 9 of an energy, 20 of the rest, and what heads the pages."""
_HEAD_BYTES_MAX: Final = 64 * 1024
_CONSTANTS_KEPT: Final = 12
"""Of at most 800 kB: slots, revisions and instants of what threads write at a time."""
WORDS: Final = pa.array(QUALITIES, pa.string())
OFFSETS: Final = pa.py_buffer(np.arange(0, (ROWS_PER_FILE_MAX + 1) * POINT_ID_CHARS, POINT_ID_CHARS, dtype=np.int32))
"""Offsets of texts of equal length: every file takes as many as it has rows."""


class _Scratch(threading.local):
    """Where a thread's files take shape, one after the other; only what is written to becomes memory."""

    def __init__(self) -> None:
        self.file = np.empty(ROWS_PER_FILE_MAX * _ROW_BYTES_MAX + _HEAD_BYTES_MAX, np.uint8)
        self.sink = pa.py_buffer(self.file)


_scratch: Final = _Scratch()


def encode_parquet(file: DeliveryFile, points: NDArray[np.uint8]) -> memoryview:
    """Encode the rows of a file whose ids are `points`, one behind the other; valid until the thread's next file."""
    rows = file.positions.size
    bits = pa.py_buffer(np.packbits(file.available, bitorder="little"))
    missing = rows - int(np.count_nonzero(file.available))
    quality = pa.Array.from_buffers(pa.uint8(), rows, [None, pa.py_buffer(file.quality)], null_count=0)
    columns = [
        pa.StringArray.from_buffers(rows, OFFSETS, pa.py_buffer(points), null_count=0),
        _constant("slot_start", slot_start_ms(file.slot_id)).slice(0, rows),
        pa.Array.from_buffers(
            pa.int64(), rows, [bits if missing else None, pa.py_buffer(file.energy_dwh)], null_count=missing
        ),
        pa.Array.from_buffers(pa.bool_(), rows, [None, bits], null_count=0),
        pa.DictionaryArray.from_arrays(quality, WORDS, safe=False),
        _constant("revision", file.revision).slice(0, rows),
        _constant("recorded_at", file.issued_ms).slice(0, rows),
    ]
    sink = pa.FixedSizeBufferWriter(_scratch.sink)
    with pq.ParquetWriter(sink, WRITTEN, **OPTIONS) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=WRITTEN), row_group_size=ROWS_PER_FILE_MAX)
        writer.add_key_value_metadata(ARROW_SCHEMA)
    return _scratch.file[: sink.tell()].data


@lru_cache(maxsize=_CONSTANTS_KEPT)
def _constant(column: str, value: int) -> pa.Array:
    """Give a column of one value, as long as a file may be: the files of an issue share it."""
    kind = SCHEMA.field(column).type
    values = np.full(ROWS_PER_FILE_MAX, value, f"i{kind.bit_width // 8}")
    return pa.Array.from_buffers(kind, ROWS_PER_FILE_MAX, [None, pa.py_buffer(values)], null_count=0)
