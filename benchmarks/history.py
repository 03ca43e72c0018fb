# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""The IntervalStore beside one Parquet file a slot: `./dev bench history --points 131072 --day-points 10000000`.

A store of some points over thirteen months, and of one whole day of many more, is written by the store's own writer;
DuckDB gets the last values of the same cells as one sorted Parquet file a slot. Each read is timed with none of the
store's, or of the peer's, files in memory: a point's months in a running service, the `koma` command for it from
nothing, a retailer's day (half of the points, as Arrow tables). The cost of a point's months is fitted to the number of
months, which tells what they cost in a store of any number of points: as many files, found in longer lists of them.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import machine
from benchmarks.measuring.consumption import RETAILERS, Homes
from benchmarks.measuring.rounds import append, say
from koma.slots import SLOTS_PER_DAY, first_slot_of_day, slot_start_ms
from pipeline.history.catalogue import Catalogue, Part, reveal
from pipeline.history.files import Files
from pipeline.history.parts import GROUPS_PER_FILE, ROWS_PER_GROUP, Bounds, PartWriter
from pipeline.history.reading import IntervalStore, Wanted
from pipeline.history.showing import told_table
from pipeline.home import open_home

RESULTS: Final = machine.ROOT / "benchmarks" / "results" / "history.jsonl"
SEED: Final = 5
FIRST_MONTH: Final = (2025, 9)
CHUNK: Final = 8_192
PEER_RUNS: Final = 5
COMMAND_RUNS: Final = 9
AREA_POINTS: Final = 28_400_000


def main() -> None:
    """Measure, append, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=16_384)
    parser.add_argument("--months", type=int, default=13)
    parser.add_argument("--day-points", type=int, default=500_000)
    parser.add_argument("--reads", type=int, default=200, help="points whose months are read")
    parser.add_argument("--folder", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines to append to")
    options = parser.parse_args()
    facts, commit = machine.machine_facts(2), machine.commit()
    folder = Path(tempfile.mkdtemp(prefix="koma-history-", dir=options.folder))
    try:
        world = World(folder, Homes(SEED), options.points, options.months, options.day_points)
        say("writing the store")
        written = world.write_store()
        say("writing the peer's files")
        world.write_slots()
        say("reading")
        record = {
            "bench": "history",
            "at": machine.now(),
            **commit,
            "points": options.points,
            "months": options.months,
            "day_points": options.day_points,
            **written,
            **_measured(world, options.reads),
            "machine": facts,
            "versions": machine.versions(),
        }
    finally:
        shutil.rmtree(folder)
    append(options.results, record)


@dataclass(frozen=True, slots=True)
class World:
    """The same cells as a store and as the peer's files."""

    folder: Path
    homes: Homes
    points: int
    months: int
    day_points: int

    @property
    def home(self) -> Path:
        """The home whose history the store is."""
        return self.folder / "home"

    @property
    def slots(self) -> Path:
        """The peer's files."""
        return self.folder / "slots"

    @property
    def bounds(self) -> list[int]:
        """First slots of the months, and of the day behind them."""
        year, month = FIRST_MONTH
        return [
            first_slot_of_day(date(year + (month - 1 + k) // 12, (month - 1 + k) % 12 + 1, 1))
            for k in range(self.months + 1)
        ]

    def write_store(self) -> dict[str, Any]:
        """Write months and the day; returns what it took."""
        files = Files(str(open_home(self.home).path("history")))
        spans = [(f"m{k}", 2, self.points, *span) for k, span in enumerate(pairwise(self.bounds))]
        spans.append(("day", 1, self.day_points, self.bounds[-1], self.bounds[-1] + SLOTS_PER_DAY))
        with ThreadPoolExecutor(max_workers=2) as pool:
            made = list(pool.map(lambda span: self._part(files, *span), spans))
        parts = [part for part, _ in made]
        reveal(files, Catalogue(1, slot_start_ms(self.bounds[-1] + 2 * SLOTS_PER_DAY), tuple(parts)))
        rows, size = sum(each.rows for each in parts), sum(each.bytes for each in parts)
        return {
            "rows": rows,
            "bytes_per_value": round(size / rows, 3),
            "written_rows_per_core_s": round(rows / sum(seconds for _, seconds in made)),
        }

    def _part(self, files: Files, name: str, level: int, points: int, first: int, end: int) -> tuple[Part, float]:
        writer, seconds = PartWriter(files, name, level), 0.0
        for begin in range(0, points, CHUNK):
            rows = self.homes.rows(begin, min(CHUNK, points - begin), first, end - first)
            started = time.perf_counter()
            writer.add(rows)
            seconds += time.perf_counter() - started
        started = time.perf_counter()
        part = writer.close()
        assert part is not None
        return part, seconds + time.perf_counter() - started

    def write_slots(self) -> None:
        """Write the last values of the months' cells, a file a slot."""
        self.slots.mkdir()
        ids = pa.array(self.homes.ids(0, self.points).astype("U"))
        codes = pa.array([f"{code:05d}" for code in self.homes.retailers(0, self.points).tolist()])
        for first, end in pairwise(self.bounds):
            energies = np.concatenate(
                [
                    self.homes.energies(begin, min(CHUNK, self.points - begin), first, end - first)
                    for begin in range(0, self.points, CHUNK)
                ]
            )

            def write(slot: int, first: int = first, energies: Any = energies) -> None:
                start = pa.repeat(pa.scalar(slot_start_ms(slot), pa.timestamp("ms", "UTC")), self.points)
                columns = [ids, codes, start, pa.array(energies[:, slot - first]), pa.repeat("actual", self.points)]
                names = ["point_id", "retailer_code", "slot_start", "energy_dwh", "quality"]
                pq.write_table(pa.table(columns, names), self.slots / f"{slot}.parquet", compression="zstd")

            with ThreadPoolExecutor(max_workers=2) as pool:
                list(pool.map(write, range(first, end)))

    def point(self, chance: np.random.Generator) -> str:
        """Draw a point of the months."""
        return bytes(self.homes.ids(int(chance.integers(self.points)), 1)[0]).decode()


def _measured(world: World, reads: int) -> dict[str, Any]:
    os.sync()
    store, chance = IntervalStore(Files(str(world.home / "history"))), np.random.default_rng(SEED)
    by_months = {
        months: [_point_s(world, store, world.point(chance), months) for _ in range(reads)]
        for months in sorted({1, (world.months + 1) // 2, world.months})
    }
    whole = by_months[world.months]
    peer = _peer_s(world, chance)
    slope, start = np.polyfit(list(by_months), [statistics.median(each) for each in by_months.values()], 1)
    return {
        "point_s": _spread(whole),
        "point_median_s_by_months": {months: _rounded(statistics.median(each)) for months, each in by_months.items()},
        "command_s": _command_s(world, chance),
        "retailer_day": _retailer_day(world, store),
        "duckdb_point_s": _spread(peer),
        "duckdb_times_slower": round(statistics.median(peer) / statistics.median(whole), 1),
        "model": {
            "a_month_s": _rounded(float(slope)),
            "beside_s": _rounded(float(start)),
            "bounds_at_28_4_m_s": _rounded(_bounds_s(world.months)),
            "point_at_28_4_m_s": _rounded(float(start + slope * world.months) + _bounds_s(world.months)),
        },
    }


def _point_s(world: World, store: IntervalStore, point_id: str, months: int) -> float:
    _forget(world.home / "history")
    first, end = world.bounds[-1 - months], world.bounds[-1]
    started = time.perf_counter()
    rows = store.point(point_id, Wanted(first_slot=first, end_slot=end))
    seconds = time.perf_counter() - started
    assert len(rows) == end - first
    return seconds


def _command_s(world: World, chance: np.random.Generator) -> dict[str, float]:
    """Time `koma history point` for all months, from the start of the process to its end."""
    command = [str(Path(sys.executable).with_name("koma")), "history", "point"]
    seconds = []
    for _ in range(COMMAND_RUNS):
        words = [*command, world.point(chance), "--home", str(world.home), "--json"]
        _forget(world.home / "history")
        started = time.perf_counter()
        shown = subprocess.run(words, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
        assert shown.stdout.count(b"\n") >= world.bounds[-1] - world.bounds[0]
    return _spread(seconds)


def _retailer_day(world: World, store: IntervalStore) -> dict[str, float]:
    _forget(world.home / "history")
    first = world.bounds[-1]
    wanted = Wanted(first_slot=first, end_slot=first + SLOTS_PER_DAY)
    started, rows = time.perf_counter(), 0
    for block in store.retailer_day(f"{RETAILERS[0]:05d}", wanted):
        rows += told_table(block).num_rows
    seconds = time.perf_counter() - started
    assert rows == (world.day_points + 1) // 2 * SLOTS_PER_DAY
    return {"rows": rows, "seconds": round(seconds, 2), "rows_per_s": round(rows / seconds)}


def _peer_s(world: World, chance: np.random.Generator) -> list[float]:
    question = "SELECT slot_start, energy_dwh, quality FROM read_parquet(?) WHERE point_id = ? ORDER BY slot_start"
    seconds = []
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        for _ in range(PEER_RUNS):
            point_id = world.point(chance)
            _forget(world.slots)
            started = time.perf_counter()
            found = connection.execute(question, [f"{world.slots}/*.parquet", point_id]).fetchall()
            seconds.append(time.perf_counter() - started)
            assert len(found) == world.bounds[-1] - world.bounds[0]
    return seconds


def _bounds_s(months: int) -> float:
    """Time looking a point up in the bounds of so many months of 28.4 M points."""
    count = AREA_POINTS * 31 * SLOTS_PER_DAY // (ROWS_PER_GROUP * GROUPS_PER_FILE)
    content = b"".join(b"%022d%022d%08d" % (2 * n, 2 * n + 1, 0) for n in range(count))
    started = time.perf_counter()
    for _ in range(months):
        assert len(list(Bounds(content).holding(f"{count:022d}"))) == 1
    return time.perf_counter() - started


def _forget(folder: Path) -> None:
    """Let the system forget the pages of all files below a folder."""
    for path in _files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _spread(seconds: list[float]) -> dict[str, float]:
    shares: dict[str, Callable[[list[float]], float]] = {
        "p50": statistics.median,
        "p99": lambda each: float(np.percentile(each, 99)),
        "max": max,
    }
    return {name: _rounded(share(seconds)) for name, share in shares.items()} | {"times": len(seconds)}


def _rounded(seconds: float) -> float:
    return round(seconds, 4)


if __name__ == "__main__":
    main()
