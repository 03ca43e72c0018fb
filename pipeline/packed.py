# SPDX-License-Identifier: Apache-2.0
"""The one element that crosses Beam's stages with payload: a few plain facts and named columns.

Its coder writes the columns' raw bytes and reads them back without a copy, so that an element of a million rows costs
two passes over memory and no pickling of arrays.
"""

import pickle
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

_ALIGN = 64


@dataclass(frozen=True, slots=True)
class Packed:
    """`meta`: small picklable facts; `columns`: one-dimensional arrays (read-only once they crossed a stage)."""

    meta: tuple[Any, ...]
    columns: dict[str, NDArray[Any]]


class PackedCoder(beam.coders.Coder):  # type: ignore[misc]  # Beam has no types
    """Encodes `Packed`: a pickled header, then the raw columns on 64-byte boundaries."""

    def encode(self, value: Packed) -> bytes:
        """Return the bytes of an element."""
        layout = [(name, column.dtype.str, len(column)) for name, column in value.columns.items()]
        header = pickle.dumps((value.meta, layout), protocol=5)
        parts: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header]
        size = 8 + len(header)
        for column in value.columns.values():
            pad = -size % _ALIGN
            raw = np.ascontiguousarray(column).view(np.uint8).data if len(column) else b""
            parts += (bytes(pad), raw)
            size += pad + column.nbytes
        return b"".join(parts)

    def decode(self, encoded: bytes) -> Packed:
        """Return the element; its columns lie over `encoded`."""
        length = int.from_bytes(encoded[:8], "little")
        meta, layout = pickle.loads(encoded[8 : 8 + length])  # noqa: S301  written by `encode` of this run
        position = 8 + length
        columns: dict[str, NDArray[Any]] = {}
        for name, dtype, count in layout:
            position += -position % _ALIGN
            columns[name] = np.frombuffer(encoded, dtype=dtype, count=count, offset=position)
            position += columns[name].nbytes
        return Packed(meta, columns)

    def is_deterministic(self) -> bool:
        """Say that equal elements have equal bytes."""
        return True


beam.coders.registry.register_coder(Packed, PackedCoder)


def joined(parts: list[Packed], name: str) -> NDArray[Any]:
    """Concatenate one column of several elements into a new array."""
    return np.concatenate([part.columns[name] for part in parts])
