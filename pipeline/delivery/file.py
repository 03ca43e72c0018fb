# SPDX-License-Identifier: Apache-2.0
"""What goes into one delivery file, and what the manifest says about it."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import JST, slot_start_ms

SLOT_FILE_PREFIX: Final = "W41110"
_STARTS_KEPT: Final = 64
NO_REF: Final = 0xFFFFFFFF
"""`DeliveryFile.ref_row` of a point without customer_ref."""


@dataclass(frozen=True, slots=True, eq=False)
class DeliveryFile:
    """The rows of one file of one retailer: columns of equal length n, ascending by point id.

    The id and customer_ref tables may be those of the whole master, memory-mapped; rows refer into them. Arrays are
    only read, and only while the file is being written.
    """

    retailer_code: str
    slot_id: int
    revision: int
    split: int
    issued_ms: int
    point_id: NDArray[np.uint8]
    """(N, 22) ASCII digits."""
    positions: NDArray[np.uint32]
    """(n,) row of `point_id` for each row of the file."""
    ref_off: NDArray[np.int64]
    ref_bytes: NDArray[np.uint8]
    """UTF-8; reference k is `ref_bytes[ref_off[k]:ref_off[k + 1]]`."""
    ref_row: NDArray[np.uint32]
    """(n,) reference of each row, `NO_REF` for none."""
    energy_dwh: NDArray[np.int64]
    """(n,) 0.1 Wh; not read where not available."""
    available: NDArray[np.bool_] | NDArray[np.uint8]
    """(n,) whether the row carries energy."""
    quality: NDArray[np.uint8]
    """(n,) index into `pipeline.quality.QUALITIES`."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One file as issued. `file`, `bytes` and `sha256` are those of the zip (empty text and 0 where none was made)."""

    retailer_code: str
    slot_id: int
    revision: int
    split: int
    rows: int
    available: int
    file: str
    bytes: int
    sha256: str
    issued_ms: int
    parquet_bytes: int
    """Size of the Parquet file beside the zip; not in the manifest line."""


def slot_file_stem(slot_id: int, revision: int, split: int) -> str:
    """Give the name of a slot's file without its ending.

    >>> slot_file_stem(995167, 1, 2)
    'W41110202610070030010002'
    """
    return f"{SLOT_FILE_PREFIX}{_start(slot_id)}{revision:02d}{split:04d}"


@lru_cache(maxsize=_STARTS_KEPT)
def _start(slot_id: int) -> str:
    """Give the start of a slot as names have it; the hundreds of files of a slot share it."""
    return f"{datetime.fromtimestamp(slot_start_ms(slot_id) // 1000, JST):%Y%m%d%H%M}"


def plain(array: NDArray[Any], kind: type[np.generic]) -> NDArray[Any]:
    """Give a column as the kernels take it: contiguous and read-only, so that each kernel compiles once."""
    column = np.asarray(array, kind, order="C")[...]
    column.flags.writeable = False
    return column
