# SPDX-License-Identifier: Apache-2.0
"""The truth file of a simulation, and its totals: what a pipeline must have delivered when everything has arrived."""

import csv
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.ids import UNASSIGNED_RETAILER
from koma.slots import format_jst
from pipeline.quality import QUALITIES, has_value
from pipeline.simulate.cells import Cells
from pipeline.simulate.identities import point_ids, retailer_codes, text_array
from pipeline.simulate.options import Options
from pipeline.simulate.population import UNASSIGNED, Block

SCHEMA: Final = pa.schema(
    [
        ("point_id", pa.string()),
        ("slot_start", pa.timestamp("ms", "Asia/Tokyo")),
        ("retailer_code", pa.string()),
        ("expected", pa.bool_()),
        ("energy_dwh", pa.int64()),
        ("quality", pa.string()),
    ]
)
"""A row a cell. `expected`: a delivery to the retailer holds it (low voltage, supplied). Null energy: no value, and
`quality` says why."""


class Truth:
    """Collects cells into totals, and writes them where asked to; use as a context.

    Attributes:
        qualities: cells by quality, over all slots.
    """

    __slots__ = ("_available", "_codes", "_energy", "_expected", "_options", "_path", "_sink", "qualities")

    def __init__(self, options: Options, path: Path) -> None:
        """Write cells to `path` if the options ask for them."""
        self._options = options
        self._path = path
        self._codes = [*retailer_codes(options.areas, options.retailers), UNASSIGNED_RETAILER]
        shape = (options.slots, len(self._codes))
        self._expected = np.zeros(shape, np.int64)
        self._available = np.zeros(shape, np.int64)
        self._energy = np.zeros(shape, np.int64)
        self._sink: pq.ParquetWriter | None = None
        self.qualities = np.zeros(len(QUALITIES), np.int64)

    def __enter__(self) -> Self:
        """Open the file of cells."""
        if self._options.truth == "cells":
            self._sink = pq.ParquetWriter(self._path, SCHEMA, compression="zstd", compression_level=1)
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the file of cells."""
        if self._sink is not None:
            self._sink.close()

    def add(self, block: Block, slot: int, cells: Cells) -> None:
        """Take one slot of a block."""
        options = self._options
        nobody = len(self._codes) - 1
        place = cells.retailer.astype(np.int64) * len(options.areas) + block.area
        place = np.where(cells.retailer == UNASSIGNED, nobody, place)
        counted = block.low_voltage()
        available = counted & has_value(cells.quality)
        self._expected[slot] += np.bincount(place[counted], minlength=nobody + 1)
        self._available[slot] += np.bincount(place[available], minlength=nobody + 1)
        np.add.at(self._energy[slot], place[available], cells.energy_dwh[available])
        self.qualities += np.bincount(cells.quality, minlength=len(QUALITIES))
        if self._sink is not None:
            self._sink.write_batch(self._cells(block, slot, cells, place))

    def _cells(self, block: Block, slot: int, cells: Cells, place: NDArray[np.int64]) -> pa.RecordBatch:
        options = self._options
        number = np.arange(block.first, block.first + block.count, dtype=np.int64)
        start = pa.array(np.full(block.count, options.stamp_ms(slot), np.int64), pa.int64())
        expected = block.low_voltage() & (cells.retailer != UNASSIGNED)
        columns = [
            text_array(point_ids(options.areas, block.area, number, options.seed)),
            start.cast(SCHEMA.field("slot_start").type),
            pa.DictionaryArray.from_arrays(pa.array(place), pa.array(self._codes)).cast(pa.string()),
            pa.array(expected),
            pa.array(cells.energy_dwh, mask=~has_value(cells.quality)),
            pa.DictionaryArray.from_arrays(pa.array(cells.quality), pa.array(QUALITIES)).cast(pa.string()),
        ]
        return pa.record_batch(columns, schema=SCHEMA)

    def write_totals(self, path: Path) -> None:
        """Write low-voltage totals: a row per retailer (empty slot_start), then one per retailer and slot.

        Under `UNASSIGNED_RETAILER` stand the cells that nobody supplies: they are counted, and delivered to nobody.
        """
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["retailer_code", "slot_start", "expected", "available", "energy_dwh"])
            tables = (self._expected, self._available, self._energy)
            for place, code in enumerate(self._codes):
                rows.writerow([code, "", *(int(table[:, place].sum()) for table in tables)])
            for slot in range(self._options.slots):
                start = format_jst(self._options.stamp_ms(slot))
                for place, code in enumerate(self._codes):
                    rows.writerow([code, start, *(int(table[slot, place]) for table in tables)])

    def energy_dwh(self) -> int:
        """Return the sum of all low-voltage cells."""
        return int(self._energy.sum())
