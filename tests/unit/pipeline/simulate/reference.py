# SPDX-License-Identifier: Apache-2.0
"""The value of a cell in plain Python, from the files a simulation hands over: no numpy, nothing of the pipeline.

Slow and literal on purpose. `Reference(out)` reads every hand-over and master file; `cell(point_id, slot)` applies the
contract's sentences one after the other.
"""

import csv
import gzip
import json
import struct
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JST = timezone(timedelta(hours=9))
SLOT = timedelta(minutes=30)
TOLERANCE = timedelta(seconds=180)
NO_DATA = 0xFFFFFFFE

Row = dict[str, Any]


@dataclass(frozen=True)
class Read:
    """One register of one meter as one row of a file has it."""

    meter_id: str
    register: str
    read_at: datetime
    received_at: datetime
    value: int
    file: str


@dataclass
class Point:
    """A supply point with its rows of the master."""

    row: dict[str, str]
    meters: list[dict[str, str]] = field(default_factory=list)
    supply: list[dict[str, str]] = field(default_factory=list)


def when(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=JST)


def reads_of(path: Path) -> list[Read]:
    """Every register that holds a value, in any of the formats."""
    if path.name.endswith(".echonet"):
        rows = list(_telegrams(path.read_bytes()))
    elif path.name.endswith((".arrow", ".parquet")):
        table = pa.ipc.open_file(path).read_all() if path.suffix == ".arrow" else pq.read_table(path)
        rows = table.to_pylist()
    else:
        rows = _text_rows(path)
    reads = []
    for row in rows:
        for register in ("import", "export"):
            value = row[f"{register}_register"]
            if value not in {None, "", NO_DATA} and int(value) != NO_DATA:
                reads.append(Read(row["meter_id"], register, row["read_at"], row["received_at"], int(value), path.name))
    return reads


def _text_rows(path: Path) -> list[Row]:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        data = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    rows = []
    for row in csv.DictReader(data.decode().splitlines()):
        times = {name: datetime.fromisoformat(row[name]) for name in ("read_at", "received_at")}
        rows.append({**row, **times})
    return rows


def _telegrams(data: bytes) -> list[Row]:
    rows = []
    while data:
        (length,) = struct.unpack(">H", data[:2])
        record, data = data[2 : 2 + length], data[2 + length :]
        meter, received, frame = record[:16], struct.unpack(">q", record[16:24])[0], record[24:]
        row: Row = {"meter_id": meter.rstrip(b"\0").decode(), "import_register": None}
        row |= {"export_register": None, "received_at": datetime.fromtimestamp(received / 1000, tz=JST)}
        place = 12
        for _ in range(frame[11]):
            code, size = frame[place : place + 2]
            value = frame[place + 2 : place + 2 + size]
            year, month, day, hour, minute, second, register = struct.unpack(">HBBBBBI", value)
            row["read_at"] = datetime(year, month, day, hour, minute, second, tzinfo=JST)
            row["import_register" if code == 0xEA else "export_register"] = register
            place += 2 + size
        rows.append(row)
    return rows


class Reference:
    """What the files of a simulation say."""

    def __init__(self, out: Path) -> None:
        self.options = json.loads((out / "simulation.json").read_text())["options"]
        self.start = when(self.options["start"])
        self.slots = [self.start + SLOT * number for number in range(self.options["slots"])]
        self.reads = [read for path in sorted((out / "landing").iterdir()) for read in reads_of(path)]
        self.points = {row["point_id"]: Point(row) for row in _master(out, "points")}
        for row in _master(out, "meters"):
            self.points[row["point_id"]].meters.append(row)
        for row in _master(out, "supply"):
            self.points[row["point_id"]].supply.append(row)
        self.known: dict[tuple[str, str, datetime], tuple[datetime, int]] = {}
        for read in self.reads:
            stamp = self.start + SLOT * round((read.read_at - self.start) / SLOT)
            if abs(read.read_at - stamp) <= TOLERANCE:
                key, new = (read.meter_id, read.register, stamp), (read.received_at, read.value)
                self.known[key] = min(self.known.get(key, new), new)

    def retailer(self, point_id: str, slot: datetime) -> str:
        for row in self.points[point_id].supply:
            if when(row["valid_from"]) <= slot and (not row["valid_to"] or slot < when(row["valid_to"])):
                return row["retailer_code"]
        return "00000"

    def cell(self, point_id: str, slot: datetime) -> tuple[int | None, str]:
        """Energy in dWh, or None, and the quality."""
        point = self.points[point_id]
        if not point.meters:
            return None, "no_meter"
        if point.row["telemetry"] == "0":
            return None, "no_telemetry"
        energy, words = 0, {"actual"}
        feeding = [row for row in point.meters if _overlaps(row, slot)]
        if not feeding:
            return None, "removed"
        cap = 4 * int(point.row["contract_kw"] or 100) * 10_000 // 2
        for row in feeding:
            start, end = self._ends(row, slot)
            if start is None or end is None:
                return None, "missing"
            used = (end - start) % 10 ** int(row["digits"])
            used *= int(row["coefficient"]) * 10 ** (int(row["unit_exponent"]) + 4)
            if end < start:
                words.add("backward" if used > cap else "rollover")
            elif used > cap:
                words.add("spike")
            energy += used
        word = next(each for each in ("backward", "spike", "rollover", "actual") if each in words)
        return (None if word == "backward" else energy), word

    def _ends(self, row: dict[str, str], slot: datetime) -> tuple[int | None, int | None]:
        installed = when(row["installed_at"])
        removed = when(row["removed_at"]) if row["removed_at"] else slot + SLOT
        start, end = max(slot, installed), min(slot + SLOT, removed)
        first, last = self._known(row, start), self._known(row, end)
        if start == installed and row["install_register"]:
            first = int(row["install_register"])
        if row["removed_at"] and end == removed and row["removal_register"]:
            last = int(row["removal_register"])
        return first, last

    def _known(self, row: dict[str, str], moment: datetime) -> int | None:
        found = self.known.get((row["meter_id"], row["register"], moment))
        return found[1] if found else None


def _overlaps(row: dict[str, str], slot: datetime) -> bool:
    return when(row["installed_at"]) < slot + SLOT and (not row["removed_at"] or when(row["removed_at"]) > slot)


def _master(out: Path, name: str) -> list[dict[str, str]]:
    path = out / "master" / f"{name}.csv"
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    rows = pq.read_table(path.with_suffix(".parquet")).to_pylist()
    return [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
