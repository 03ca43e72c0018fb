# SPDX-License-Identifier: Apache-2.0
"""What columns of the plainest kind share: whole columns judged at once, and arrays that many batches can use."""

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import BATCH_READS_MAX, METER_ID_BYTES, NO_READ
from pipeline.handover.column_kernels import id_lengths, pack_marks

_PLACES_KEPT: Final = 1 << 20


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Make an array read-only and aligned, so that kernels see one type."""
    array = np.require(array, requirements=("A", "C"))
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def pack_plain(offsets: NDArray[Any], data: NDArray[np.uint8], keys: NDArray[np.uint64], slack: int = 0) -> int:
    """Pack the ids that have 16 bytes of data behind their start into `keys`, if nothing is the matter with any.

    Args:
        offsets: (n + 1,) where each id begins in `data`, and where the last one ends.
        data: the ids, one behind the other; no bytes but for the `slack` at its end.
        keys: (n, 2) filled as far as is returned.
        slack: bytes at the end of `data` that belong to no id.

    Returns how many; 0 where the ids have to be packed and judged one by one.
    """
    end = len(data) - slack
    if len(keys) == 0 or len(data) < METER_ID_BYTES or offsets[0] < 0 or offsets[-1] > end:
        return 0
    shortest, longest = id_lengths(offsets)
    if shortest < 1 or longest > METER_ID_BYTES:
        return 0
    last = min(len(data) - METER_ID_BYTES, offsets[-1])
    rows = int(np.searchsorted(offsets[:-1], last, side="right"))
    words = np.ndarray((len(data) - 7,), np.uint64, data, strides=(1,))
    return rows if pack_marks(offsets, words, keys[:rows]) else 0


def no_reads(rows: int) -> NDArray[np.uint32]:
    """Return the register column of a register that was not read."""
    return _NO_READS[:rows] if rows <= len(_NO_READS) else np.full(rows, NO_READ, np.uint32)


def places(first_row: int, rows: int) -> NDArray[np.int64]:
    """Return row numbers from `first_row` on."""
    if first_row + rows > _PLACES_KEPT:
        return np.arange(first_row, first_row + rows, dtype=np.int64)
    return _first_places()[first_row : first_row + rows]


@lru_cache(maxsize=1)
def _first_places() -> NDArray[np.int64]:
    return frozen(np.arange(_PLACES_KEPT, dtype=np.int64))


_NO_READS: Final = frozen(np.full(BATCH_READS_MAX, NO_READ, np.uint32))
