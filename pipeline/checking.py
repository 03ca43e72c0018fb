# SPDX-License-Identifier: Apache-2.0
"""Looking a home over: whether journal, registers, held reads, master, deliveries, estimates and totals agree.

It changes nothing, and may run beside a writer: what looks wrong is looked at once more, as the next state may have
removed it.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import HomeError, KomaError
from pipeline.checkpoint import CHECKPOINT, Loaded, gap_in_history, load
from pipeline.columns import read_columns
from pipeline.estimates.agreed import LOG, agreements
from pipeline.estimates.product import is_version, is_whole
from pipeline.home import Home
from pipeline.manifests import DAYS, MONTHS, SLOTS
from pipeline.master import open_master
from pipeline.repair import rows_of
from pipeline.retention import MANIFESTS, leftovers
from pipeline.totals.tables import json_lines

_PARQUET = b"PAR1"
_MANIFEST_OF = {"W41110": SLOTS, "W41120": DAYS, "W51220": MONTHS}
RESTORE = "restore it from a copy of the home"
UNNAMED = "if no run is under way, move it out of the home; nobody is told of it"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that does not fit: `harm` is lost or cannot be read, a `note` is known and does no harm."""

    severity: Literal["harm", "note"]
    path: str
    what: str
    do: str


def check_home(home: Home, *, deep: bool = False) -> list[Finding]:
    """Return what does not fit, harm first. `deep` also reads all deliveries and estimates and compares digests."""
    found = set(_findings(home, deep=deep))
    if found:
        found &= set(_findings(home, deep=deep))
    return sorted(found)


def _findings(home: Home, *, deep: bool) -> Iterator[Finding]:
    try:
        loaded = load(home.path("journal"))
    except KomaError as error:
        yield Finding("harm", str(home.path("journal")), error.message, error.hint)
        return
    yield from _of_journal(home, loaded)
    yield from _of_registers(home, loaded)
    yield from _of_quarantine(home)
    yield from _of_master(home)
    yield from _of_deliveries(home, deep=deep)
    yield from _of_estimates(home, deep=deep)
    yield from _of_totals(home)


def _of_journal(home: Home, loaded: Loaded) -> Iterator[Finding]:
    folder = home.path("journal")
    for trouble in loaded.troubles:
        yield Finding("note", str(folder), trouble, "the next run makes it good")
    if loaded.since and (gap := gap_in_history(folder, loaded.live)):
        yield Finding("note", str(folder), gap, f"keep {CHECKPOINT} safe: it cannot be made again")


def _of_registers(home: Home, loaded: Loaded) -> Iterator[Finding]:
    for folder, index in (("registers", loaded.state.index), ("minutes", loaded.state.minutes)):
        stamps: dict[str, list[int]] = {}
        for stamp, names in index.names.items():
            for name in names:
                stamps.setdefault(name, []).append(stamp)
        for name, mine in stamps.items():
            path = home.path(folder) / name
            if trouble := _unreadable(path, mine):
                yield Finding("harm", str(path), trouble, RESTORE)
    for name in loaded.state.held:
        path = home.path("held") / name
        if trouble := _unreadable(path, []):
            yield Finding("harm", str(path), trouble, RESTORE)
    for path in leftovers(home, loaded.state):
        do = "a run removes it when it is an hour old and a new day begins"
        yield Finding("note", str(path), "no record of the journal names it: a step was cut off", do)


def _of_quarantine(home: Home) -> Iterator[Finding]:
    for path in sorted(home.path("quarantine").glob("*.parquet")):
        try:
            rows_of(path)
        except HomeError as error:
            yield Finding("harm", str(path), error.message, error.hint)


def _unreadable(path: Path, stamps: list[int]) -> str:
    """Say what is wrong with a file of columns; nothing where it is whole and has the stamps it is there for."""
    try:
        columns, _ = read_columns(path)
        if not stamps:
            return ""
        lengths = {len(columns[name]) for name in ("local", "value", "later_ms")}
        if lengths != {int(columns["offset"][-1])}:
            return "its columns do not fit its sections"
        missing = np.setdiff1d(stamps, columns["stamp"])
    except FileNotFoundError:
        return "it is gone"
    except (KomaError, ValueError, KeyError, IndexError, OSError) as error:
        return f"it cannot be read: {error}"
    return f"it holds no reads of stamp {missing[0]}" if len(missing) else ""


def _of_master(home: Home) -> Iterator[Finding]:
    if not (home.path("master") / "current").exists():
        return
    try:
        open_master(home.root, None)
    except (KomaError, ValueError, KeyError, EOFError, OSError) as error:
        do = f"{RESTORE}; versions can be made again from master/log"
        yield Finding("harm", str(home.path("master")), f"the current version cannot be opened: {error}", do)


def _of_deliveries(home: Home, *, deep: bool) -> Iterator[Finding]:
    told: Counter[str] = Counter()
    hurt: set[str] = set()
    for folder in sorted(each for each in home.deliveries.glob("*/*") if each.is_dir()):
        named: set[str] = set()
        for manifest in sorted(folder.glob(MANIFESTS)):
            named.add(manifest.name)
            for number, line in enumerate(manifest.read_bytes().splitlines(), 1):
                try:
                    entry = json.loads(line)
                except ValueError as error:
                    yield Finding("harm", str(manifest), f"line {number} is damaged: {error}", RESTORE)
                    hurt.add(folder.name)
                    continue
                if "file" in entry:
                    told[entry.get("slot_start", "")] += 1
                if entry.get("file"):  # empty where zips were left out
                    path = folder / entry["file"]
                    named |= {path.name, path.with_suffix(".parquet").name}
                    if trouble := _altered(path, entry["bytes"], entry["sha256"] if deep else ""):
                        yield Finding("harm", str(path), trouble, RESTORE)
                    beside = path.with_suffix(".parquet")
                    if trouble := _no_parquet(beside, entry["rows"], deep=deep):
                        yield Finding("harm", str(beside), trouble, RESTORE)
        for product, manifest_name in _MANIFEST_OF.items():
            if manifest_name not in named and (orphans := sum(1 for _ in folder.glob(f"{product}*"))):
                what = f"it is gone, and {orphans} files lie there that it should name"
                yield Finding("harm", str(folder / manifest_name), what, RESTORE)
                named |= {path.name for path in folder.glob(f"{product}*")}
                hurt.add(folder.name)
        for path in sorted(folder.iterdir()):
            if path.name not in named and not path.name.startswith("."):
                yield Finding("note", str(path), "no manifest names it", UNNAMED)
    yield from _of_ledger(home, told, hurt)


def _of_ledger(home: Home, told: Counter[str], hurt: set[str]) -> Iterator[Finding]:
    """Hold the files that manifests name against those that the ledger says were issued, for days still delivered.

    Days whose manifests are known to be hurt are left out: what they name less is that.
    """
    days = {path.name for path in home.deliveries.glob("*/*") if path.is_dir()}
    for file in sorted(home.path("ledger").glob("slots-*.jsonl")):
        day = file.stem.removeprefix("slots-")
        if not days or day < min(days) or day in hurt:
            continue
        issued: Counter[str] = Counter()
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            try:
                entry = json.loads(line)
                issued[entry["slot_start"]] += entry["files"]
            except (ValueError, KeyError, TypeError) as error:
                yield Finding("harm", str(file), f"line {number} is damaged: {error}", RESTORE)
        for start, count in sorted(issued.items()):
            if told[start] < count:
                what = f"{count} files of the slot {start} were issued, manifests name {told[start]}"
                yield Finding("harm", str(home.deliveries), what, RESTORE)


def _no_parquet(path: Path, rows: int, *, deep: bool) -> str:
    """Say what is wrong with the Parquet beside a zip; its size and digest stand nowhere, its form and rows do."""
    try:
        with path.open("rb") as file:
            first = file.read(len(_PARQUET))
            file.seek(-len(_PARQUET), os.SEEK_END)
            if first != _PARQUET or file.read() != _PARQUET:
                return "it is no whole Parquet file"
        found = pq.read_table(path).num_rows if deep else rows
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    except (pa.ArrowException, ValueError) as error:
        return f"it cannot be read: {error}"
    return "" if found == rows else f"it has {found} rows, its manifest says {rows}"


def _of_estimates(home: Home, *, deep: bool) -> Iterator[Finding]:
    try:
        agreements(home)
    except KomaError as error:
        yield Finding("harm", str(home.path("estimates")), error.message, error.hint)
    for path in sorted(home.path("estimates").iterdir()):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if is_version(file):
                try:
                    if not is_whole(file, deep=deep):
                        yield Finding("harm", str(file), "its rows are not what it says of them", RESTORE)
                except KomaError as error:
                    yield Finding("harm", str(file), error.message, error.hint)
            elif file.name != LOG:
                yield Finding("note", str(file), "it is no file of estimates", UNNAMED)


def _of_totals(home: Home) -> Iterator[Finding]:
    for path in sorted(home.path("totals").glob("*.jsonl")):
        try:
            json_lines(path)
        except KomaError as error:
            yield Finding("harm", str(path), error.message, error.hint)


def _altered(path: Path, size: int, digest: str) -> str:
    try:
        if path.stat().st_size != size:
            return f"it has {path.stat().st_size} bytes, its manifest says {size}"
        if digest and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return "its content is not what its manifest says"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return ""
