# SPDX-License-Identifier: Apache-2.0
"""A generated area: one meter a point, the registers at both ends of one slot, and what has to come out.

Everything follows from the number of points and the seed. Ids of meters have nothing to do with ids of points, and each
hand-over file holds meters in random order, as they come from the field. One retailer has half of the points, 529 share
the rest, ever fewer. All reads have arrived ten minutes after the slot's end.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.slots import MS_PER_SLOT, format_jst, parse_jst, slot_at_ms, slot_start_ms

SLOT: Final = slot_at_ms(parse_jst("2026-08-22T16:30"))
SPLIT_MS: Final = slot_start_ms(SLOT + 1) + 10 * 60_000
"""When everything has arrived, and when it is issued."""
RETAILERS: Final = 530
DIGITS: Final = 6
ROWS_PER_FILE: Final = 1_000_000
ROWS_PER_BATCH: Final = 65_536
UNIT_EXPONENTS: Final = np.array([-1, -1, -2], np.int8)
"""Two meters of three count in 0.1 kWh, the third in 0.01 kWh."""

_METER_CHARS: Final = 12
_POINT_CHARS: Final = 22
_REF_CHARS: Final = 11
_BLOCK: Final = 1 << 20
_HANDOVER: Final = pa.schema(
    [
        ("meter_id", pa.string()),
        ("read_at", pa.timestamp("ms", "UTC")),
        ("import_register", pa.uint32()),
        ("export_register", pa.uint32()),
        ("received_at", pa.timestamp("ms", "UTC")),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """Columns by point, in the order of the point ids.

    Attributes:
        serial: number of the point's meter, 0..n-1 in random order.
        number: the last digits of the point id, ascending.
        retailer: index of the retailer.
        start: register at the slot's start, in the meter's own unit.
        end: register at its end; six digits, so some have rolled over.
        exponent: 10^exponent kWh is the meter's unit.
    """

    serial: NDArray[np.int64]
    number: NDArray[np.int64]
    retailer: NDArray[np.uint16]
    start: NDArray[np.uint32]
    end: NDArray[np.uint32]
    exponent: NDArray[np.int8]

    def __len__(self) -> int:
        """Count the points."""
        return len(self.serial)

    def factor(self) -> NDArray[np.int64]:
        """DWh for one unit of the register."""
        return 10 ** (self.exponent.astype(np.int64) + 4)

    def energy_dwh(self) -> NDArray[np.int64]:
        """What the slot's energy is."""
        units = (self.end.astype(np.int64) - self.start) % 10**DIGITS
        return units * self.factor()


def make_area(points: int, seed: int) -> Area:
    """Draw an area."""
    random = np.random.default_rng(seed)
    weight = 1.0 / np.arange(1, RETAILERS)
    share = np.concatenate([[0.5], 0.5 * weight / weight.sum()])
    retailer = np.searchsorted(np.cumsum(share)[:-1], random.random(points), side="right").astype(np.uint16)
    exponent = random.choice(UNIT_EXPONENTS, points)
    start = random.integers(0, 10**DIGITS, points, dtype=np.uint32)
    kwh = random.lognormal(-1.6, 0.9, points).clip(0, 20)
    units = np.rint(kwh * 10.0 ** -exponent.astype(np.float64)).astype(np.uint32)
    return Area(
        serial=random.permutation(points),
        number=np.cumsum(random.integers(1, 40, points)),
        retailer=retailer,
        start=start,
        end=(start + units) % np.uint32(10**DIGITS),
        exponent=exponent,
    )


def retailer_code(index: int) -> str:
    """Give the code of a retailer."""
    return f"{10_000 + 7 * index:05d}"


def meter_ids(serial: NDArray[np.int64]) -> pa.Array:
    """Give the ids of meters: a letter and eleven digits."""
    return _numbered(b"M", serial + 20_000_000_000, _METER_CHARS)


def point_ids(number: NDArray[np.int64]) -> pa.Array:
    """Give the ids of points: the area's two digits and twenty more."""
    return _numbered(b"03", number, _POINT_CHARS)


def _numbered(prefix: bytes, numbers: NDArray[np.int64], width: int) -> pa.Array:
    text = np.empty((len(numbers), width), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    rest = numbers.copy()
    for column in range(width - 1, len(prefix) - 1, -1):
        np.add(rest % 10, ord("0"), out=text[:, column], casting="unsafe")
        rest //= 10
    offsets = np.arange(0, (len(numbers) + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))


def write_master(folder: Path, area: Area, chosen: NDArray[np.bool_]) -> None:
    """Write the four files of a master import as Parquet, for some of the points."""
    folder.mkdir(parents=True)
    codes = pa.array([retailer_code(k) for k in range(RETAILERS)])
    groups = pa.array([f"B{k:04d}" for k in range(RETAILERS)])
    pq.write_table(
        pa.table({"retailer_code": codes, "name": [f"retailer {k}" for k in range(RETAILERS)]}),
        folder / "retailers.parquet",
    )
    text = pa.string()
    schemas = {
        "points": pa.schema([("point_id", text), ("contract_kw", pa.int64())]),
        "meters": pa.schema(
            [("point_id", text), ("meter_id", text), ("digits", pa.int64()), ("unit_exponent", pa.int64())]
        ),
        "supply": pa.schema([(name, text) for name in ("point_id", "retailer_code", "bg_code", "customer_ref")])
        .append(pa.field("valid_from", text)),
    }  # fmt: skip
    writers = {name: pq.ParquetWriter(folder / f"{name}.parquet", schema) for name, schema in schemas.items()}
    for span in _blocks(len(area)):
        points, retailer = point_ids(area.number[span]), pa.array(area.retailer[span])
        rows = len(points)
        values = {
            "points": [points, pa.array(3 + area.serial[span] % 8)],
            "meters": [
                points,
                meter_ids(area.serial[span]),
                pa.array(np.full(rows, DIGITS)),
                pa.array(area.exponent[span].astype(np.int64)),
            ],
            "supply": [
                points,
                codes.take(retailer),
                groups.take(retailer),
                _numbered(b"", area.number[span] * 7919 % 10**_REF_CHARS, _REF_CHARS),
                pa.array(np.full(rows, "2026-04-01"), text),
            ],
        }
        mine = pa.array(chosen[span])
        for name, columns in values.items():
            writers[name].write_batch(pa.RecordBatch.from_arrays(columns, schema=schemas[name]).filter(mine))
    for writer in writers.values():
        writer.close()


def flat_master(area: Area, *, with_start: bool) -> Iterator[pa.RecordBatch]:
    """Give the master as peers want it: one row a meter, ready to join, in the order of the point ids.

    Args:
        area: the area.
        with_start: add the register at the slot's start, for runs that are handed only the one at its end.
    """
    codes = pa.array([retailer_code(k) for k in range(RETAILERS)])
    for span in _blocks(len(area)):
        columns = {
            "meter_id": meter_ids(area.serial[span]),
            "point_id": point_ids(area.number[span]),
            "retailer_code": codes.take(pa.array(area.retailer[span])),
            "modulus": pa.array(np.full(len(area.serial[span]), 10**DIGITS)),
            "factor": pa.array(area.factor()[span]),
        }
        if with_start:
            columns["start_register"] = pa.array(area.start[span])
        yield pa.RecordBatch.from_pydict(columns)


def write_reads(folder: Path, area: Area, stamp: int, seed: int) -> None:
    """Write the hand-over files of one stamp: Arrow, a million reads each, meters in random order.

    Reads of the slot's start arrive within nine minutes, those of its end within ten, the last one at the very end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng((seed, stamp))
    order = random.permutation(len(area))
    register = area.start if stamp == SLOT else area.end
    latest = SPLIT_MS if stamp == SLOT + 1 else stamp * MS_PER_SLOT + 9 * 60_000
    files = -(-len(area) // ROWS_PER_FILE)
    minutes = (latest - stamp * MS_PER_SLOT - 5_000) // files
    for number in range(files):
        rows = order[number * ROWS_PER_FILE : (number + 1) * ROWS_PER_FILE]
        begin = stamp * MS_PER_SLOT + 5_000 + number * minutes
        received = np.sort(random.integers(begin, begin + minutes, len(rows)))
        if number == files - 1:
            received[-1] = latest
        with pa.OSFile(str(folder / f"reads-{stamp - SLOT}-{number:03d}.arrow"), "wb") as sink:
            write_file(sink, area.serial[rows], register[rows], received, stamp)


def write_file(
    sink: pa.NativeFile,
    serial: NDArray[np.int64],
    register: NDArray[np.uint32],
    received: NDArray[np.int64],
    stamp: int,
) -> None:
    """Write reads of one stamp as an Arrow hand-over file."""
    with pa.ipc.new_file(sink, _HANDOVER) as writer:
        for start in range(0, len(serial), ROWS_PER_BATCH):
            span = slice(start, start + ROWS_PER_BATCH)
            rows = len(serial[span])
            at = np.full(rows, stamp * MS_PER_SLOT)
            columns = [
                meter_ids(serial[span]),
                pa.array(at).cast(_HANDOVER.field(1).type),
                pa.array(register[span]),
                pa.nulls(rows, pa.uint32()),
                pa.array(received[span]).cast(_HANDOVER.field(4).type),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_HANDOVER))


def write_truth(path: Path, area: Area) -> None:
    """Write (rows, dWh) by retailer."""
    rows = np.bincount(area.retailer, minlength=RETAILERS)
    energy = np.zeros(RETAILERS, np.int64)
    np.add.at(energy, area.retailer, area.energy_dwh())
    truth = {retailer_code(k): (int(rows[k]), int(energy[k])) for k in range(RETAILERS) if rows[k]}
    path.write_text(json.dumps({"slot_start": format_jst(slot_start_ms(SLOT)), "retailers": truth}))


def _blocks(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BLOCK):
        yield slice(start, min(rows, start + _BLOCK))
