# SPDX-License-Identifier: Apache-2.0
"""What a hand-over file becomes: columns of reads, what was refused, and what was left out.

The shapes here are the seam between the decoders and everything behind them. All arrays are read-only, so that a batch
that lies over a memory-mapped file and one that was built in memory are one type to the kernels.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import NO_DATA, NO_READ

__all__ = [
    "NO_DATA",
    "NO_READ",
    "REJECTED_CODES",
    "Chunk",
    "Decoded",
    "ReadBatch",
    "Rejected",
    "empty_batch",
]

REJECTED_CODES: Final = (
    "meter_id",
    "register_range",
    "read_at",
    "received_at",
    "row",
    "frame",
    "container",
    "file",
)
"""Why a row, a frame or a file was refused."""

_DTYPES: Final = {
    "keys": np.uint64,
    "read_at_ms": np.int64,
    "received_ms": np.int64,
    "import_register": np.uint32,
    "export_register": np.uint32,
    "place": np.int64,
}


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """Reads of one hand-over file, or of a part of it, one row a meter and stamp.

    Attributes:
        source: name of the file in landing.
        keys: (n, 2) meter id as 16 NUL-padded ASCII bytes seen as two little-endian u64.
        read_at_ms: (n,) the meter's stamp (the end of the slot it closes), UTC ms since the epoch, floored.
        received_ms: (n,) when the head-end had it, UTC ms since the epoch, floored.
        import_register: (n,) register in the meter's own unit; `NO_READ` is null: nothing is counted; `NO_DATA` is
            the meter's own no-data value: no read either, counted in `Decoded.no_data`.
        export_register: (n,) the same for the reverse direction.
        place: (n,) row number from 0; CSV: line number, the header is line 1; `.echonet`: byte offset of the record.

    Raises:
        TypeError: a column of another dtype or shape.
    """

    source: str
    keys: NDArray[np.uint64]
    read_at_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    import_register: NDArray[np.uint32]
    export_register: NDArray[np.uint32]
    place: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Make every column read-only, so that kernels see one type whatever the column lies over."""
        rows = len(self.place)
        for name, dtype in _DTYPES.items():
            column: NDArray[np.generic] = getattr(self, name)
            shape = (rows, 2) if name == "keys" else (rows,)
            if column.dtype != dtype or column.shape != shape:
                message = f"{name} must be {np.dtype(dtype)} of shape {shape}, not {column.dtype} of {column.shape}"
                raise TypeError(message)
            frozen = np.ascontiguousarray(column).view()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.place)

    def __reduce__(self) -> tuple[type["ReadBatch"], tuple[object, ...]]:
        """Pickle through the constructor: columns are read-only on the other side too."""
        return ReadBatch, tuple(getattr(self, each.name) for each in fields(self))


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row, frame or tail of a file that could not be read, with everything an operator needs to repair it.

    Attributes:
        source: name of the file in landing.
        place: as in `ReadBatch`.
        code: one of `REJECTED_CODES`.
        detail: what is wrong, in words.
        raw: the row's text or the record's bytes.
        reads: how many reads it counts for, at least 1.
    """

    source: str
    place: int
    code: str
    detail: str
    raw: bytes
    reads: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded chunk.

    Attributes:
        batch: the readable rows.
        rejected: the unreadable ones.
        filtered: what is not ours, by reason (`property`, `not_set`, `esv`, `class`): one for each property of a frame
            of a low-voltage meter, one for each frame of another class or service.
        no_data: registers of `batch` that hold the no-data value.
        ignored_columns: names of columns that are not part of the hand-over format.
    """

    batch: ReadBatch
    rejected: tuple[Rejected, ...]
    filtered: dict[str, int]
    no_data: int
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file that can be decoded by itself, in any process that sees the file. Opaque to callers.

    Attributes:
        path: the file.
        source: its name in landing.
        start: first row (columnar) or byte (text, telegrams; of the decompressed stream).
        length: rows or bytes.
        part: record batch, row group, or first line number.
        layout: what the decoder of the format needs to find its way.
        ignored: names of columns that are not ours.
    """

    path: str
    source: str
    start: int
    length: int
    part: int
    layout: tuple[int, ...] = ()
    ignored: tuple[str, ...] = ()


def empty_batch(source: str) -> ReadBatch:
    """Return a batch of no rows."""
    return ReadBatch(
        source=source,
        keys=np.empty((0, 2), np.uint64),
        read_at_ms=np.empty(0, np.int64),
        received_ms=np.empty(0, np.int64),
        import_register=np.empty(0, np.uint32),
        export_register=np.empty(0, np.uint32),
        place=np.empty(0, np.int64),
    )
