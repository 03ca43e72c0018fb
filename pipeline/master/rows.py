# SPDX-License-Identifier: Apache-2.0
"""The rows of a master import as columns of numbers, each row judged by itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from koma.errors import MasterError
from koma.limits import (
    COEFFICIENT_MAX,
    CUSTOMER_REF_CHARS,
    ENERGY_DWH_MAX,
    INTERVAL_MINUTES_ALLOWED,
    READ_DAY_MAX,
    REGISTER_DIGITS_MAX,
    REGISTER_MAX,
    RETAILERS_MAX,
    SLOT_MINUTES,
    UNIT_EXPONENT_MAX,
    UNIT_EXPONENT_MIN,
)
from koma.slots import MS_PER_SLOT
from pipeline.master.batch import Batch
from pipeline.master.rules import Fault
from pipeline.master.source import SourceFile
from pipeline.master.view import ALWAYS_MS, OPEN_MS, OPEN_SLOT, VOLTAGES

NOT_STATED_MS = 2**62
"""recorded_at of a row that gives none: later than all others."""

CONTRACT_MAX = 10**7 * 10**4
"""10,000 MW, in 10^-4 kW."""

_TEXT_CHARS_MAX = 1000
_CAPACITY_MIN = 1 << 16
_SLOT_MAX = OPEN_SLOT - 1
_REGISTERS = ("IMPORT", "EXPORT")
_FLAGS = ("0", "1", "FALSE", "TRUE")
_COEFFICIENT_LIMITS = np.array(
    [min(COEFFICIENT_MAX, ENERGY_DWH_MAX // 10**power) for power in range(REGISTER_DIGITS_MAX + UNIT_EXPONENT_MAX + 5)]
)
"""Largest coefficient for digits + unit_exponent + 4."""

Part = tuple[dict[str, NDArray[Any]], dict[str, pa.StringArray | None]]


@dataclass(slots=True)
class QuietRows:
    """Rows that say what is known already, put aside to save memory."""

    line: NDArray[np.uint32]
    position: NDArray[np.int32]
    resting: NDArray[np.bool_]
    """Whether the row waits in quarantine, because another one of its point is bad."""


def _no_quiet_rows() -> QuietRows:
    return QuietRows(np.zeros(0, np.uint32), np.zeros(0, np.int32), np.zeros(0, bool))


@dataclass(slots=True)
class Rows:
    """Rows of one file: columns of equal length, texts that only the log keeps, and the first fault of each row."""

    source: SourceFile
    columns: dict[str, NDArray[Any]]
    texts: dict[str, pa.ChunkedArray]
    """Only the columns that the file has."""
    line: NDArray[np.uint32]
    malformed_lines: list[int]
    fault: NDArray[np.uint8]
    column: NDArray[np.uint8]
    quiet: QuietRows = field(default_factory=_no_quiet_rows)

    def __len__(self) -> int:
        return len(self.line)

    def put_aside(self, quiet: NDArray[np.bool_]) -> None:
        """Keep only line and position of some rows."""
        self.quiet = QuietRows(self.line[quiet], self.columns["position"][quiet], np.zeros(int(quiet.sum()), bool))
        kept = ~quiet
        for name, column in self.columns.items():
            self.columns[name] = column[kept]
        self.texts = {name: column.filter(pa.array(kept)) for name, column in self.texts.items()}
        self.line, self.fault, self.column = self.line[kept], self.fault[kept], self.column[kept]


@dataclass(slots=True)
class Reading:
    """What reading needs besides the files: the cap of a slot, and the balancing groups met so far."""

    cap_factor: int
    cap_kw_default: int
    bgs: dict[str, int]

    def cap_dwh(self, contract: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cap of a 30-minute slot in dWh for contract power in 10^-4 kW, -1 where none is given."""
        power = np.where(contract < 0, self.cap_kw_default * 10**4, contract)
        return self.cap_factor * power // 2


def read_rows(source: SourceFile, reading: Reading) -> Rows:
    """Read a whole file.

    Raises:
        MasterError: the file cannot be read, or names more balancing groups than can be numbered.

    """
    read = _READERS[source.table.name]
    whole = _Growing()
    texts: dict[str, list[pa.StringArray]] = {}
    for columns in chain(source.batches(), _no_rows(source)):
        batch = Batch(source.table, columns)
        numbers, words = read(batch, reading)
        whole.append({**numbers, "_fault": batch.fault, "_column": batch.column})
        for name, column in words.items():
            if column is not None:
                texts.setdefault(name, []).append(column)
        if len(reading.bgs) > RETAILERS_MAX:
            raise MasterError(f"{source.path} names too many balancing groups", hint="Look at its column bg_code")
    line, malformed = source.lines()
    found = whole.columns()
    fault, column = found.pop("_fault"), found.pop("_column")
    joined = {name: pa.chunked_array(chunks, pa.string()) for name, chunks in texts.items()}
    return Rows(source, found, joined, line, malformed, fault, column)


def _no_rows(source: SourceFile) -> Iterator[pa.RecordBatch]:
    """Return one batch without rows behind the others, so that a file without rows has its columns too."""
    yield pa.RecordBatch.from_pydict({each: pa.array([], pa.string()) for each in source.known})


class _Growing:
    """Columns to which parts are appended. Large blocks only: what is freed goes back to the system."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[Any]] = {}
        self._count = 0

    def append(self, part: dict[str, NDArray[Any]]) -> None:
        """Append as many values to each column."""
        count = self._count + len(part["_fault"])
        for name, column in part.items():
            held = self._held.setdefault(name, np.empty(_CAPACITY_MIN, column.dtype))
            if count > len(held):
                larger = np.empty(max(count, 2 * len(held)), column.dtype)
                larger[: self._count] = held[: self._count]
                self._held[name] = held = larger
            held[self._count : count] = column
        self._count = count

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns."""
        return {name: column[: self._count] for name, column in self._held.items()}


def _read_points(batch: Batch, reading: Reading) -> Part:
    high, low, readable = batch.points()
    own_area = high.astype(np.int64) // 100
    area = batch.whole("area", (1, 10), own_area, Fault.AREA)
    voltage = batch.words("voltage", VOLTAGES, 0, Fault.VOLTAGE)
    contract = batch.decimal("contract_kw", CONTRACT_MAX, -1, Fault.CONTRACT_KW)
    telemetry = batch.words("telemetry", _FLAGS, 1, Fault.TELEMETRY) % 2
    read_day = batch.whole("meter_read_day", (1, READ_DAY_MAX), 0, Fault.METER_READ_DAY)
    cap = reading.cap_dwh(contract)
    words = {
        name: batch.text(name, _TEXT_CHARS_MAX)
        for name in ("meter_read_day", "name_kana", "name", "address", "disconnect_method")
    }
    main_high, main_low = batch.main_points()
    if batch.has("main_point_id"):
        batch.fail(readable & (main_high == high) & (main_low == low), Fault.MAIN_POINT_ID, "main_point_id")
    content = batch.digest((area, voltage, contract, telemetry, cap), words.values())
    content ^= _mixed((main_high.astype(np.uint64) << np.uint64(48)) ^ main_low)
    numbers: dict[str, NDArray[Any]] = {
        "high": high,
        "low": low,
        "readable": readable,
        "area": area.astype(np.uint8),
        "voltage": voltage.astype(np.uint8),
        "contract": contract,
        "telemetry": telemetry.astype(np.uint8),
        "cap_dwh": cap,
        "read_day": read_day.astype(np.uint8),
        "main_high": main_high,
        "main_low": main_low,
        "recorded_ms": batch.times("recorded_at", NOT_STATED_MS),
        "content": content,
    }
    return numbers, words


def _read_meters(batch: Batch, _: Reading) -> Part:
    high, low, readable = batch.points()
    k0, k1 = batch.meters()
    register = batch.words("register", _REGISTERS, 0, Fault.REGISTER)
    start = batch.times("installed_at", ALWAYS_MS)
    end = batch.times("removed_at", OPEN_MS)
    digits = batch.whole("digits", (1, REGISTER_DIGITS_MAX), None, Fault.DIGITS)
    exponent = batch.whole("unit_exponent", (UNIT_EXPONENT_MIN, UNIT_EXPONENT_MAX), None, Fault.UNIT_EXPONENT)
    coefficient = batch.whole("coefficient", (1, COEFFICIENT_MAX), 1, Fault.COEFFICIENT)
    first = batch.whole("install_register", (0, REGISTER_MAX), -1, Fault.REGISTER_VALUE)
    last = batch.whole("removal_register", (0, REGISTER_MAX), -1, Fault.REGISTER_VALUE)
    interval = batch.whole("interval_minutes", (1, SLOT_MINUTES), SLOT_MINUTES, Fault.INTERVAL_MINUTES)
    recorded = batch.times("recorded_at", NOT_STATED_MS)
    if batch.has("interval_minutes"):
        batch.fail(~np.isin(interval, INTERVAL_MINUTES_ALLOWED), Fault.INTERVAL_MINUTES, "interval_minutes")
    batch.fail(end < start, Fault.END_BEFORE_START, "removed_at")
    batch.fail(first >= 10**digits, Fault.REGISTER_VALUE, "install_register")
    batch.fail(last >= 10**digits, Fault.REGISTER_VALUE, "removal_register")
    batch.fail(coefficient > _COEFFICIENT_LIMITS[digits + exponent + 4], Fault.ENERGY_RANGE, "coefficient")
    words = {name: batch.text(name, _TEXT_CHARS_MAX) for name in ("interval_capable", "auto_read")}
    content = batch.digest((end, digits, exponent, coefficient, first, last), words.values())
    content ^= _mixed((SLOT_MINUTES - interval).astype(np.uint64))
    numbers: dict[str, NDArray[Any]] = {
        "high": high,
        "low": low,
        "readable": readable,
        "k0": k0,
        "k1": k1,
        "register": register.astype(np.uint8),
        "from_ms": start,
        "to_ms": end,
        "digits": digits.astype(np.uint8),
        "unit_exponent": exponent.astype(np.int8),
        "coefficient": coefficient.astype(np.int32),
        "first": first.astype(np.int32),
        "last": last.astype(np.int32),
        "interval": interval.astype(np.uint8),
        "recorded_ms": recorded,
        "content": content,
    }
    return numbers, words


def _mixed(late: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread what came into rows after their digest had its form: nothing given leaves a digest as logs have it."""
    return (late ^ (late >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)


def _read_supply(batch: Batch, reading: Reading) -> Part:
    high, low, readable = batch.points()
    retailer = batch.codes("retailer_code")
    bg = batch.groups("bg_code", reading.bgs)
    reference = batch.text("customer_ref", CUSTOMER_REF_CHARS)
    start = batch.times("valid_from", None)
    end = batch.times("valid_to", OPEN_MS)
    recorded = batch.times("recorded_at", NOT_STATED_MS)
    opened = end == OPEN_MS
    batch.fail(start % MS_PER_SLOT != 0, Fault.SLOT_BOUNDARY, "valid_from")
    batch.fail(~opened & (end % MS_PER_SLOT != 0), Fault.SLOT_BOUNDARY, "valid_to")
    batch.fail(end < start, Fault.END_BEFORE_START, "valid_to")
    first_slot = start // MS_PER_SLOT
    last_slot = np.where(opened, OPEN_SLOT, np.minimum(end // MS_PER_SLOT, _SLOT_MAX))
    numbers: dict[str, NDArray[Any]] = {
        "high": high,
        "low": low,
        "readable": readable,
        "from_slot": first_slot.astype(np.int32),
        "to_slot": last_slot.astype(np.int32),
        "retailer": retailer.astype(np.uint32),
        "bg": np.maximum(bg, 0).astype(np.uint32),
        "recorded_ms": recorded,
    }
    numbers["content"] = batch.digest((last_slot, retailer), (batch.text("bg_code", _TEXT_CHARS_MAX), reference))
    return numbers, {"customer_ref": reference}


def _read_retailers(batch: Batch, _: Reading) -> Part:
    code = batch.codes("retailer_code")
    words = {name: batch.text(name, _TEXT_CHARS_MAX) for name in ("name", "area", "operator_code")}
    return {"retailer": code.astype(np.uint32), "content": batch.digest((), words.values())}, words


_READERS: dict[str, Callable[[Batch, Reading], Part]] = {
    "points": _read_points,
    "meters": _read_meters,
    "supply": _read_supply,
    "retailers": _read_retailers,
}
