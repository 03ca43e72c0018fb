# SPDX-License-Identifier: Apache-2.0
"""Small homes for tests: master rows and reads as plain Python, hand-over files of every format, runs, trees.

A read is written as a plain object, so that a test or a reference in plain Python can look at the same facts as the
pipeline without any of its code.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from koma.settings import Settings
from pipeline.handover import ReadBatch
from pipeline.handover.write import write_arrow, write_csv, write_echonet, write_parquet
from pipeline.home import Home, open_home
from pipeline.journal import NEVER, read_state
from pipeline.master.importer import import_master
from pipeline.master.report import ImportReport
from pipeline.run import Run, run_once

JST = timezone(timedelta(hours=9))
SLOT_MS = 1_800_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
NO_READ = 0xFFFF_FFFF
NO_DATA = 0xFFFF_FFFE
FORMATS = (".arrow", ".parquet", ".csv", ".csv.gz", ".csv.zst", ".echonet")

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True, order=True)
class Read:
    """One row of a hand-over file; a register that is None is null."""

    meter: str
    read_at_ms: int
    received_ms: int
    value: int | None = None
    export: int | None = None


def at(text: str) -> int:
    """Milliseconds of an ISO 8601 text in JST."""
    return int(datetime.fromisoformat(text).replace(tzinfo=JST).timestamp()) * 1000


def iso(ms: int) -> str:
    """Print an instant as the manifests do."""
    return datetime.fromtimestamp(ms // 1000, JST).isoformat()


def point(number: int, area: str = "03") -> str:
    return f"{area}{number:020d}"


def reads_of(
    meter: str, first_ms: int, registers: Iterable[int | None], *, delay_ms: int = 2 * MINUTE_MS
) -> list[Read]:
    """Give the reads of a meter, stamp after stamp from `first_ms`; None is a lost read."""
    return [
        Read(meter, first_ms + k * SLOT_MS, first_ms + k * SLOT_MS + delay_ms, value)
        for k, value in enumerate(registers)
        if value is not None
    ]


def batch_of(reads: Sequence[Read], source: str = "made") -> ReadBatch:
    def registers(values: Iterable[int | None]) -> np.ndarray[Any, np.dtype[np.uint32]]:
        return np.array([NO_READ if value is None else value for value in values], np.uint32)

    ids = np.array([read.meter.encode() for read in reads], "S16")
    return ReadBatch(
        source,
        ids.view(np.uint64).reshape(len(reads), 2),
        np.array([read.read_at_ms for read in reads], np.int64),
        np.array([read.received_ms for read in reads], np.int64),
        registers(read.value for read in reads),
        registers(read.export for read in reads),
        np.arange(len(reads)),
    )


def hand_over(home: Home, name: str, reads: Sequence[Read] | ReadBatch) -> Path:
    """Write a hand-over file under a dotted name and rename it; the format follows from the name."""
    batch = reads if isinstance(reads, ReadBatch) else batch_of(reads, name)
    target = home.landing / name
    hidden = target.with_name(f".{name}")
    if name.endswith(".arrow"):
        write_arrow(hidden, batch)
    elif name.endswith(".parquet"):
        write_parquet(hidden, batch)
    elif name.endswith(".echonet"):
        write_echonet(hidden, batch)
    else:
        write_csv(hidden, batch, "gz" if name.endswith(".gz") else "zst" if name.endswith(".zst") else "")
    return hidden.rename(target)


def drop(home: Home, name: str, content: bytes) -> Path:
    """Hand over raw bytes."""
    hidden = home.landing / f".{name}"
    hidden.write_bytes(content)
    return hidden.rename(home.landing / name)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV with the columns of the first; None is empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)


def write_master(folder: Path, **tables: Sequence[Row]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        if rows:
            write_rows(folder / f"{name}.csv", rows)
    return folder


def learn(home: Home, **tables: Sequence[Row]) -> ImportReport:
    """Import master rows at the home's present time."""
    imports = home.root.with_name(f"{home.root.name}-imports")
    number = len(list(imports.iterdir())) if imports.exists() else 0
    folder = write_master(imports / f"{number:03d}", **tables)
    state = read_state(home.path("journal"))
    times = [None if each == NEVER else each for each in (state.now_ms, state.announced_ms)]
    return import_master(home.root, folder, now_ms=times[0], issued_ms=times[1], first=number == 0, strict=False)


def settings_of(home: Home, **changes: Any) -> Settings:
    return replace(Settings(home=home.root), **changes)


def new_home(root: Path, **tables: Sequence[Row]) -> Home:
    """Make a home and, where rows are given, import its first master."""
    home = open_home(root)
    if tables:
        learn(home, **tables)
    return home


def run(home: Home, *, wall_ms: int | None = None, accept_clock: bool = False, xml: bool = True, **changes: Any) -> Run:
    """Run the pipeline once in this process and hold its counts to the contract's equation."""
    finished = run_once(home, settings_of(home, **changes), wall_ms=wall_ms, accept_clock=accept_clock, xml=xml)
    facts = finished.summary()
    parts = ("accepted", "duplicate", "filtered", "quarantined", "held")
    assert facts["received"] == sum(facts[name] for name in parts), facts
    return finished


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
