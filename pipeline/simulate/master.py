# SPDX-License-Identifier: Apache-2.0
"""The master files of a simulation: points, meters, supply, retailers, as `koma master import` takes them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.slots import MS_PER_DAY, MS_PER_MINUTE
from pipeline.simulate.fleet import Fleet
from pipeline.simulate.identities import (
    customer_refs,
    jst_texts,
    meter_ids,
    point_ids,
    retailer_codes,
    ten_digits,
    text_array,
)
from pipeline.simulate.installations import installations
from pipeline.simulate.options import Options
from pipeline.simulate.population import (
    BALANCING_GROUPS,
    NEVER,
    NO_TELEMETRY,
    UNASSIGNED,
    Block,
)

RECORDED_DAYS_BEFORE: Final = 30
_KANA: Final = "ミホン"
_NAME: Final = "見本 "
_ADDRESS: Final = "見本県架空市"


class _Sink(Protocol):
    """A file that takes record batches."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""


class MasterWriter:
    """Writes the dated master of a simulation block by block; use as a context.

    Meters come last, when the window is over: only then are the registers of old meters known.
    """

    __slots__ = ("_codes", "_directory", "_options", "_recorded", "_sinks", "_stack")

    def __init__(self, options: Options, directory: Path) -> None:
        """Write into `directory`, which is made."""
        directory.mkdir(parents=True, exist_ok=True)
        self._options = options
        self._directory = directory
        self._codes = np.array(retailer_codes(options.areas, options.retailers))
        self._recorded = jst_texts(np.array([options.start_ms - RECORDED_DAYS_BEFORE * MS_PER_DAY]))
        self._stack = ExitStack()
        self._sinks: dict[str, _Sink] = {}

    def __enter__(self) -> Self:
        """Write the retailers, and be ready for blocks."""
        self._write_retailers()
        return self

    def __exit__(self, *error: object) -> None:
        """Finish the files."""
        self._stack.close()

    def add_points(self, block: Block) -> None:
        """Write the block's rows of points and supply."""
        self._put("points", _points(self._options, block, self._recorded))
        self._put("supply", _supply(self._options, block, self._codes, self._recorded))

    def add_meters(self, block: Block, fleet: Fleet) -> None:
        """Write the block's rows of meters."""
        self._put("meters", _meters(self._options, block, fleet, self._recorded))

    def _write_retailers(self) -> None:
        areas = self._options.areas
        codes = [str(code) for code in self._codes]
        self._put(
            "retailers",
            pa.record_batch(
                {
                    "retailer_code": pa.array(codes),
                    "name": pa.array([f"Sample Retailer {code[:4]}" for code in codes]),
                    "area": pa.array([areas[place % len(areas)] for place in range(len(codes))]),
                    "operator_code": pa.array([code[:4] for code in codes]),
                }
            ),
        )

    def _put(self, name: str, batch: pa.RecordBatch) -> None:
        if name not in self._sinks:
            path = self._directory / f"{name}.{self._options.master_format}"
            if self._options.master_format == "csv":
                style = pa_csv.WriteOptions(quoting_style="none", quoting_header="none")
                sink = pa_csv.CSVWriter(path, batch.schema, write_options=style)
            else:
                sink = pq.ParquetWriter(path, batch.schema, compression="zstd", compression_level=1)
            self._sinks[name] = self._stack.enter_context(sink)
        self._sinks[name].write_batch(batch)


def _numbers(block: Block) -> NDArray[np.int64]:
    return np.arange(block.first, block.first + block.count, dtype=np.int64)


def _ids(options: Options, block: Block) -> NDArray[np.uint8]:
    return point_ids(options.areas, block.area, _numbers(block), options.seed)


def _whole(values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(values.astype(np.int64), mask=None if valid is None else ~valid)


def _constant(text: NDArray[np.uint8], count: int) -> pa.Array:
    return text_array(np.broadcast_to(text, (count, text.shape[1])))


def _words(words: tuple[str, ...], index: NDArray[Any]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(index.astype(np.int32)), pa.array(words)).cast(pa.string())


def _labelled(options: Options, prefix: str, block: Block) -> pa.Array:
    if not options.names:
        return pa.nulls(block.count, pa.string())
    head = np.frombuffer(prefix.encode(), np.uint8)
    text = np.empty((block.count, len(head) + 10), np.uint8)
    text[:, : len(head)] = head
    text[:, len(head) :] = ten_digits(_numbers(block))
    return text_array(text)


def _points(options: Options, block: Block, recorded: NDArray[np.uint8]) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "point_id": text_array(_ids(options, block)),
            "area": _words(options.areas, block.area),
            "voltage": _words(("HV", "LV"), block.low_voltage()),
            "contract_kw": _whole(block.contract_kw, block.contract_kw > 0),
            "telemetry": _whole(block.fate != NO_TELEMETRY),
            "meter_read_day": _whole(block.read_day),
            "name_kana": _labelled(options, _KANA, block),
            "name": _labelled(options, _NAME, block),
            "address": _labelled(options, _ADDRESS, block),
            "recorded_at": _constant(recorded, block.count),
        }
    )


def _supply(options: Options, block: Block, codes: NDArray[np.str_], recorded: NDArray[np.uint8]) -> pa.RecordBatch:
    """Return supply contracts: one a point, two where it changes in the window."""
    switched = block.switch_at != NEVER
    switch_ms = options.start_ms + block.switch_at.astype(np.int64) * (options.stamp_ms(1) - options.start_ms)
    first = np.flatnonzero(block.retailer != UNASSIGNED)
    second = np.flatnonzero(switched & (block.new_retailer != UNASSIGNED))
    point = np.concatenate([first, second])
    operator = np.concatenate([block.retailer[first], block.new_retailer[second]])
    midnight = options.start_ms - (options.start_ms + 9 * 60 * MS_PER_MINUTE) % MS_PER_DAY
    since = midnight - block.supplied_day.astype(np.int64) * MS_PER_DAY
    start = np.concatenate([since[first], switch_ms[second]])
    ends = np.concatenate([switched[first], np.zeros(len(second), np.bool_)])
    order = np.lexsort((start, point))
    point, operator, start, ends = point[order], operator[order], start[order], ends[order]
    place = operator.astype(np.int64) * len(options.areas) + block.area[point]
    words = tuple(str(code) for code in codes)
    groups = tuple(f"{code[:4]}{letter}" for code in words for letter in "ABC"[:BALANCING_GROUPS])
    end_ms = np.where(ends, switch_ms[point], options.start_ms)
    return pa.record_batch(
        {
            "point_id": text_array(_ids(options, block)[point]),
            "retailer_code": _words(words, place),
            "bg_code": _words(groups, place * BALANCING_GROUPS + block.bg[point]),
            "customer_ref": text_array(customer_refs(operator, block.first + point), block.referenced[point]),
            "valid_from": text_array(jst_texts(start)),
            "valid_to": text_array(jst_texts(end_ms), ends),
            "recorded_at": _constant(recorded, len(point)),
        }
    )


def _meters(options: Options, block: Block, fleet: Fleet, recorded: NDArray[np.uint8]) -> pa.RecordBatch:
    """Return installations: one a metered point, two where the meter is exchanged in the window."""
    rows = installations(options, block, fleet)
    point = rows.point
    return pa.record_batch(
        {
            "point_id": text_array(_ids(options, block)[point]),
            "meter_id": text_array(meter_ids(rows.meter, options.seed)),
            "register": _words(("import", "export"), block.generation[point]),
            "installed_at": text_array(jst_texts(rows.installed_ms)),
            "removed_at": text_array(jst_texts(rows.removed_ms), rows.removed),
            "digits": _whole(rows.digits),
            "unit_exponent": _whole(rows.unit_exponent),
            "coefficient": _whole(rows.coefficient),
            "install_register": _whole(rows.install_register, rows.install_given),
            "removal_register": _whole(rows.removal_register, rows.removal_given),
            "recorded_at": _constant(recorded, len(point)),
        }
    )
