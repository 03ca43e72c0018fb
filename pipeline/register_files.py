# SPDX-License-Identifier: Apache-2.0
"""A register file: the reads that one element of an intake brought, in sections of one stamp and shard each.

It holds reads as they came, duplicates too: which of them counts is elected when a column is formed, whatever the order
of the files. `pipeline.prefilter.cut` makes its columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns, read_columns

_SHARD_BITS = 16
_NARROW_MS, _WIDE_MS = 1 << 16, 1 << 32


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads of one installation and stamp or of many installations and one stamp; columns of equal length.

    Attributes:
        local: installation within its shard.
        value: register.
        later_ms: arrival, counted from `first_ms`; of 16, 32 or 64 bits.
        first_ms: ms UTC.
        counted: False where the reads were counted at another installation, which shares them.
    """

    local: NDArray[np.uint32]
    value: NDArray[np.uint32]
    later_ms: NDArray[Any]
    first_ms: int
    counted: bool = True

    def __len__(self) -> int:
        """Count them."""
        return len(self.local)

    def arrivals(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the arrivals of some of them, ms UTC."""
        return self.first_ms + self.later_ms[rows].astype(np.int64)


class RegisterFile:
    """The sections of a register file; its columns stay where they lie."""

    def __init__(self, columns: Columns) -> None:
        """Index the sections."""
        self._columns = columns
        self._first_ms = int(columns["first_ms"][0])
        self._key = _key(columns["stamp"].astype(np.int64), columns["shard"])

    @classmethod
    def open(cls, path: Path) -> "RegisterFile":
        """Map a file.

        Raises:
            HomeError: it is no register file, or cut short.

        """
        return cls(read_columns(path)[0])

    def sections(self, stamp: int, shard: int) -> tuple[int, int]:
        """Return the first and last number of the sections of a stamp and shard."""
        key = int(_key(np.int64(stamp), np.int64(shard)))
        first, last = np.searchsorted(self._key, [key, key + 1])
        return int(first), int(last)

    def stamps(self, shard: int) -> list[int]:
        """Return the stamps at which the file holds reads of a shard, ascending."""
        columns = self._columns
        return sorted(set(columns["stamp"][columns["shard"] == shard].tolist()))

    def shards(self, stamp: int) -> list[int]:
        """Return the shards of which the file holds reads at a stamp, ascending."""
        columns = self._columns
        return sorted(set(columns["shard"][columns["stamp"] == stamp].tolist()))

    def count(self, stamp: int) -> int:
        """Count the reads at a stamp."""
        columns = self._columns
        return int(np.diff(columns["offset"])[columns["stamp"] == stamp].sum())

    def reads(self, first: int, last: int) -> Iterator[Reads]:
        """Yield the reads of some sections."""
        columns = self._columns
        for number in range(first, last):
            span = slice(int(columns["offset"][number]), int(columns["offset"][number + 1]))
            yield Reads(
                columns["local"][span],
                columns["value"][span],
                columns["later_ms"][span],
                self._first_ms,
                bool(columns["counted"][number]),
            )


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Reads of one stamp for one shard, to be written; columns of equal length, arrivals in ms UTC."""

    stamp: int
    shard: int
    local: NDArray[np.uint32]
    value: NDArray[np.uint32]
    arrival: NDArray[np.int64]


def section_columns(sections: Sequence[Section], *, counted: bool) -> dict[str, NDArray[Any]]:
    """Return the columns of a register file of some sections, in their order.

    Args:
        sections: by stamp and shard.
        counted: False where the reads were counted at another installation, which shares them.

    """
    arrivals = np.concatenate([each.arrival for each in sections])
    first_ms = int(arrivals.min()) if len(arrivals) else 0
    later_ms = arrivals - first_ms
    return {
        "first_ms": np.array([first_ms], np.int64),
        "stamp": np.array([each.stamp for each in sections], np.int32),
        "shard": np.array([each.shard for each in sections], np.int32),
        "counted": np.full(len(sections), counted, np.uint8),
        "offset": np.cumsum([0, *(len(each.local) for each in sections)], dtype=np.int64),
        "local": np.concatenate([each.local for each in sections]),
        "value": np.concatenate([each.value for each in sections]),
        "later_ms": later_ms.astype(offset_type(int(later_ms.max(initial=0)))),
    }


def offset_type(span_ms: int) -> type[np.unsignedinteger[Any] | np.signedinteger[Any]]:
    """Return the type that counts so many ms: what comes in a minute takes two bytes."""
    if span_ms < _NARROW_MS:
        return np.uint16
    return np.uint32 if span_ms < _WIDE_MS else np.int64


def _key(stamp: Any, shard: Any) -> Any:
    return (stamp << _SHARD_BITS) + shard
