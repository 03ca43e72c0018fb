# SPDX-License-Identifier: Apache-2.0
"""The one element that crosses Beam's stages with payload: a few plain facts and named columns.

Small columns ride on the element. Large ones are written once to a file of the run's folder and read where they are
needed: between two stages the runner copies an element's bytes a dozen times, and every cluster that sees the home
sees the file. Nothing rides on memory, so stages may run in any process.
"""

import mmap
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

from pipeline.columns import Columns

INLINE_BYTES_MAX: Final = 1 << 16
_ALIGN: Final = 64

Layout = tuple[tuple[str, str, int, int], ...]
"""Name, type, length and place of each column."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One element.

    Attributes:
        meta: small picklable facts.
        columns: one-dimensional arrays (read-only once they crossed a stage); empty where they stand in a file.
        path: that file; empty where columns ride along.
        layout: what of the file is ours.
    """

    meta: tuple[Any, ...]
    columns: Columns = field(default_factory=dict)
    path: str = ""
    layout: Layout = ()

    def opened(self) -> Columns:
        """Return the columns, mapped where they stand in a file."""
        if not self.path:
            return self.columns
        with open(self.path, "rb") as file:  # noqa: PTH123  hundreds of elements: no Path each
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return {
            name: np.frombuffer(mapped if count else b"", dtype, count, place if count else 0)
            for name, dtype, count, place in self.layout
        }


def spilled(parts: Sequence[Packed], path: Path, *, inline_max: int = INLINE_BYTES_MAX) -> list[Packed]:
    """Move the columns of elements to the file `path`, in one go; up to `inline_max` bytes stay where they are.

    The bytes are a function of the columns, and the file appears whole: two attempts at one element do no harm.
    """
    if sum(column.nbytes for part in parts for column in part.columns.values()) <= inline_max:
        return list(parts)
    moved: list[Packed] = []
    position = 0
    path.parent.mkdir(exist_ok=True)
    attempt = path.with_name(f".{path.name}.{os.getpid()}")
    with attempt.open("wb", buffering=0) as file:
        for part in parts:
            layout = []
            for name, column in part.columns.items():
                position += -position % _ALIGN
                layout.append((name, column.dtype.str, len(column), position))
                file.seek(position)
                position += _written(file, column)
            moved.append(Packed(part.meta, path=str(path), layout=tuple(layout)))
    attempt.rename(path)
    return moved


def _written(file: Any, column: NDArray[Any]) -> int:
    raw = np.ascontiguousarray(column).view(np.uint8).data if column.nbytes else memoryview(b"")
    while raw:
        raw = raw[file.write(raw) :]
    return column.nbytes


class PackedCoder(beam.coders.Coder):  # type: ignore[misc]  # Beam has no types
    """Encodes `Packed`: a pickled header, then the raw columns on 64-byte boundaries."""

    def encode(self, value: Packed) -> bytes:
        """Return the bytes of an element."""
        inline = [(name, column.dtype.str, len(column)) for name, column in value.columns.items()]
        header = pickle.dumps((value.meta, inline, value.path, value.layout), protocol=5)
        parts: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header]
        size = 8 + len(header)
        for column in value.columns.values():
            pad = -size % _ALIGN
            raw = np.ascontiguousarray(column).view(np.uint8).data if len(column) else b""
            parts += (bytes(pad), raw)
            size += pad + column.nbytes
        return b"".join(parts)

    def decode(self, encoded: bytes) -> Packed:
        """Return the element; columns that rode along lie over `encoded`."""
        length = int.from_bytes(encoded[:8], "little")
        meta, inline, path, layout = pickle.loads(encoded[8 : 8 + length])  # noqa: S301  written by `encode` of this run
        position = 8 + length
        columns: Columns = {}
        for name, dtype, count in inline:
            position += -position % _ALIGN
            columns[name] = np.frombuffer(encoded, dtype=dtype, count=count, offset=position)
            position += columns[name].nbytes
        return Packed(meta, columns, path, layout)

    def is_deterministic(self) -> bool:
        """Say that equal elements have equal bytes."""
        return True


beam.coders.registry.register_coder(Packed, PackedCoder)
