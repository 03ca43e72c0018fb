# SPDX-License-Identifier: Apache-2.0
"""The retailer's own ledger: for each point and slot the value of the highest revision, in Parquet files.

One file per retailer and slot, `ledger/<code>/<YYYYMMDD>/<HHMM>.parquet`, so that a revision rewrites one slot and no
more. Applying the same delivery again changes nothing, in whatever order deliveries come.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gateway.errors import PullMismatchError, PullStateError
from gateway.pull_read import Rows
from koma.slots import format_jst, slot_start_ms

SCHEMA = pa.schema(
    [
        ("point_id", pa.string()),
        ("slot_start", pa.timestamp("ms", "Asia/Tokyo")),
        ("energy_dwh", pa.int64()),
        ("available", pa.bool_()),
        ("quality", pa.string()),
        ("revision", pa.int16()),
    ]
)
_SUMS = ("cells", "available", "sum_dwh")
_POINT_BYTES = 22
_HALF = 11


@dataclass(frozen=True, slots=True)
class Sums:
    """What a part of the ledger holds."""

    slots: int = 0
    cells: int = 0
    available: int = 0
    sum_dwh: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        """Add two parts."""
        return Sums(
            self.slots + other.slots,
            self.cells + other.cells,
            self.available + other.available,
            self.sum_dwh + other.sum_dwh,
        )

    def as_dict(self) -> dict[str, int]:
        """Form for JSON."""
        return {
            "slots": self.slots,
            "cells": self.cells,
            "available": self.available,
            "missing": self.cells - self.available,
            "sum_dwh": self.sum_dwh,
        }


class Ledger:
    """The ledger below a folder.

    Args:
        root: `ledger/`.

    """

    def __init__(self, root: Path) -> None:
        """Keep the folder."""
        self._root = root

    def apply(self, retailer: str, slot_id: int, pieces: Sequence[Rows]) -> Sums:
        """Let deliveries of one slot count; durable when this returns.

        Raises:
            PullMismatchError: two deliveries of one revision say different things of one point.
            PullStateError: the ledger cannot be read or written.

        """
        path = self._path(retailer, slot_id)
        try:
            old = [_read(path)] if path.exists() else []
            merged, revision = merge([*old, *((piece, np.full(len(piece), piece.revision)) for piece in pieces)])
            sums = _sums(merged)
            _write(path, _table(merged, revision, slot_id), sums)
        except (OSError, pa.ArrowException) as error:
            raise PullStateError(f"{path} cannot be read or written: {error}") from error
        return sums

    def cells(self, retailer: str, slot_id: int) -> Rows | None:
        """Present values of one slot of one retailer; None where there are none.

        Raises:
            PullStateError: the slot's file cannot be read.

        """
        path = self._path(retailer, slot_id)
        try:
            return _read(path)[0] if path.exists() else None
        except (OSError, pa.ArrowException) as error:
            raise PullStateError(f"{path} cannot be read: {error}") from error

    def sums(self, retailer: str) -> Sums:
        """What the ledger holds of one retailer, from the files' own counts.

        Raises:
            PullStateError: a file is not one of the ledger's.

        """
        return sum(map(_held, sorted((self._root / retailer).glob("*/*.parquet"))), Sums())

    def slot_sums(self, retailer: str, slot_id: int) -> Sums:
        """What the ledger holds of one slot of one retailer.

        Raises:
            PullStateError: the slot's file is not one of the ledger's.

        """
        path = self._path(retailer, slot_id)
        return _held(path) if path.exists() else Sums()

    def _path(self, retailer: str, slot_id: int) -> Path:
        start = format_jst(slot_start_ms(slot_id))
        return self._root / retailer / start[:10].replace("-", "") / f"{start[11:13]}{start[14:16]}.parquet"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the values of days compare with those of the slots: what both know, equal or not, and what only days know."""

    agree: int = 0
    differ: int = 0
    alone: int = 0

    def __add__(self, other: "Agreement") -> "Agreement":
        """Add two parts."""
        return Agreement(self.agree + other.agree, self.differ + other.differ, self.alone + other.alone)


def compared(day: Rows, slot: Rows | None) -> Agreement:
    """Compare the cells of one slot: what a day's files say, and what the slot's own files say."""
    if slot is None:
        return Agreement(alone=len(day))
    _, mine, others = np.intersect1d(day.point_id, slot.point_id, assume_unique=True, return_indices=True)
    same = (day.available[mine] == slot.available[others]) & (day.energy_dwh[mine] == slot.energy_dwh[others])
    agree = int(np.count_nonzero(same))
    return Agreement(agree, len(mine) - agree, len(day) - len(mine))


def merge(parts: Sequence[tuple[Rows, NDArray[np.integer]]]) -> tuple[Rows, NDArray[np.int16]]:
    """Rows of the highest revision of each point, ascending by point, and that revision.

    Raises:
        PullMismatchError: one revision of a point stands with different values.

    """
    ids = np.concatenate([rows.point_id for rows, _ in parts])
    energy = np.concatenate([rows.energy_dwh for rows, _ in parts])
    available = np.concatenate([rows.available for rows, _ in parts])
    revision = np.concatenate([each.astype(np.int16) for _, each in parts])
    quality = pa.concat_arrays([rows.quality for rows, _ in parts])
    high, low = _halves(ids)
    order = np.lexsort((revision, low, high))
    same_point = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
    again = same_point & (revision[order][1:] == revision[order][:-1])
    differs = (energy[order][1:] != energy[order][:-1]) | (available[order][1:] != available[order][:-1])
    if bool(np.any(again & differs)):
        point = ids[order][1:][again & differs][0].decode()
        raise PullMismatchError(f"one revision says different things of point {point}")
    kept = order[np.append(~same_point, np.ones(min(len(ids), 1), bool))]
    merged = Rows(ids[kept], energy[kept], available[kept], quality.take(pa.array(kept)), 0)
    return merged, revision[kept]


def _halves(ids: NDArray[np.bytes_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids of 22 digits as two numbers of 11: they order as the texts do."""
    digits = np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), _POINT_BYTES).astype(np.int64) - ord("0")
    weights = 10 ** np.arange(_HALF - 1, -1, -1, dtype=np.int64)
    return digits[:, :_HALF] @ weights, digits[:, _HALF:] @ weights


def _held(path: Path) -> Sums:
    try:
        held = pq.read_schema(path).metadata or {}
        return Sums(1, *(int(held[f"koma.{name}".encode()]) for name in _SUMS))
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise PullStateError(f"{path} is not a file of this ledger: {error}") from error


def _sums(rows: Rows) -> Sums:
    return Sums(1, len(rows), int(np.count_nonzero(rows.available)), int(rows.energy_dwh[rows.available].sum()))


def _table(rows: Rows, revision: NDArray[np.int16], slot_id: int) -> pa.Table:
    starts = np.full(len(rows), slot_start_ms(slot_id), np.int64)
    columns = [
        pa.array(rows.point_id, pa.binary()).cast(pa.string()),
        pa.array(starts).cast(pa.timestamp("ms", "UTC")).cast(SCHEMA.field("slot_start").type),
        pa.array(rows.energy_dwh, mask=~rows.available),
        pa.array(rows.available),
        rows.quality,
        pa.array(revision),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _read(path: Path) -> tuple[Rows, NDArray[np.integer]]:
    table = pq.read_table(path, schema=SCHEMA, partitioning=None).combine_chunks()
    energy, available = (table[name].combine_chunks() for name in ("energy_dwh", "available"))
    rows = Rows(
        np.asarray(table["point_id"].to_numpy(), f"S{_POINT_BYTES}"),
        np.asarray(energy.fill_null(0).to_numpy(zero_copy_only=False), np.int64),
        np.asarray(available.to_numpy(zero_copy_only=False), bool),
        table["quality"].combine_chunks(),
        0,
    )
    return rows, table["revision"].to_numpy()


def _write(path: Path, table: pa.Table, sums: Sums) -> None:
    """Write a file whole or not at all, and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = dict(zip(_SUMS, (sums.cells, sums.available, sums.sum_dwh), strict=True))
    named = table.replace_schema_metadata({f"koma.{name}": str(value) for name, value in values.items()})
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(named, temporary, compression="zstd")
    sync([temporary])
    temporary.replace(path)
    sync([path.parent])


def sync(paths: Iterable[Path]) -> None:
    """Make files or folders durable."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
