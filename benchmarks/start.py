# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""A watch from a cold start, then a master change while reads keep coming: `./dev bench start --points 1000000`.

The home has the area's master and nothing of it in memory: the page cache is dropped, as root all of it, else that of
the home's files. Timed from the start of `koma pipeline run --watch`, a process of its own, until its status says that
it waits for work. Then a file of reads lands every second and is timed until it is taken in: for a while as it is,
while `koma master import` exchanges meters in another process, and afterwards, when the new meters' reads have to be
found. What the import held up is the difference.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.measuring import machine
from benchmarks.measuring.area import DIGITS, Area, make_area, meter_ids, point_ids, write_file
from benchmarks.measuring.rounds import SEED, Rounds, append, say
from benchmarks.measuring.task import TWO
from koma.slots import MS_PER_DAY, MS_PER_SLOT, format_jst
from pipeline.home import Home
from pipeline.status_file import WAITING, read_status

RESULTS: Final = machine.ROOT / "benchmarks" / "results" / "start.jsonl"
PATIENCE_S: Final = 900.0
READS_PER_FILE: Final = 20_000
EXCHANGED: Final = 2_000
POLL_S: Final = 0.02
NEW_METERS_FROM: Final = 50_000_000_000


def main() -> None:
    """Measure, append, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=3, help="cold starts")
    parser.add_argument("--seconds", type=float, default=30.0, help="of flow before and after the import")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--area", type=Path, help="where generated areas are kept for the next time; same disk")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines to append to")
    options = parser.parse_args()
    facts, commit = machine.machine_facts(options.workers), machine.commit()
    folder = Path(tempfile.mkdtemp(prefix="koma-start-", dir=options.folder))
    try:
        rounds = Rounds.prepare(folder, options.points, options.workers, TWO, 0, options.area)
        home = Home(folder / "home")
        shutil.copytree(rounds.task.area / "template", home.root)
        starts = [_cold_start(home, options.workers) for _ in range(options.repetitions)]
        change = _change(home, folder, make_area(options.points, SEED), options)
    finally:
        shutil.rmtree(folder)
    record = {
        "bench": "start",
        "at": machine.now(),
        **commit,
        "points": options.points,
        "cold": "page cache of the machine" if os.geteuid() == 0 else "page cache of the home",
        "ready_s": statistics.median(starts),
        "seconds": starts,
        "master_change": change,
        "machine": facts,
        "versions": machine.versions(),
    }
    append(options.results, record)
    say(f"{options.points:,} points: waiting for work {record['ready_s']} s after a cold start")
    say(f"import of {EXCHANGED:,} exchanged meters {change['import_s']} s; a file of reads was taken in after, s:")
    for phase in ("before", "during", "after"):
        say(f"  {phase:7} {change[phase]}")
    sys.exit(0 if change["held"] == 0 else 1)


def _cold_start(home: Home, workers: int) -> float:
    _drop_pages(home.root)
    started = time.perf_counter()
    with _watching(home, workers):
        return round(time.perf_counter() - started, 2)


def _drop_pages(root: Path) -> None:
    """Let nothing of the home lie in memory; as root nothing of the interpreter and the libraries either."""
    os.sync()
    if os.geteuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")
        return
    for path in root.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _koma(home: Home, workers: int, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the command; no slot is due today, so that nothing but the intake is measured."""
    tomorrow = format_jst((time.time_ns() // 1_000_000 // MS_PER_DAY + 2) * MS_PER_DAY)
    given = {"KOMA_HOME": str(home.root), "KOMA_WORKERS": str(workers), "KOMA_WATCH_GATHER_S": "0"}
    environ = os.environ | given | {"KOMA_FIRST_SLOT": tomorrow}
    command = [str(Path(sys.executable).with_name("koma")), *arguments]
    return subprocess.Popen(command, cwd=machine.ROOT, env=environ, stdout=subprocess.DEVNULL)


@contextmanager
def _watching(home: Home, workers: int) -> Iterator[None]:
    """Run a watch; entered when it waits for work, left when it has ended in order."""
    process = _koma(home, workers, "pipeline", "run", "--watch")
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status = read_status(home)
            if status is not None and status["process"] == process.pid and status["phase"] == WAITING:
                break
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the watch did not come up")
            time.sleep(POLL_S)
        yield
        process.send_signal(signal.SIGTERM)
        if process.wait(PATIENCE_S):
            sys.exit(f"the watch ended with status {process.returncode}")
    finally:
        process.kill()


@dataclass(slots=True)
class _Flow:
    """Files of reads, one a second, and how long each took from its rename in landing until it was taken in."""

    home: Home
    area: Area
    rows: NDArray[np.int64]
    number: int = 0
    out: dict[str, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    def go_on(self, until: float, process: subprocess.Popen[bytes] | None = None) -> list[float]:
        """Hand over until a time, or until a process has ended; return what each file took, all of them in."""
        begin, due = len(self.took), time.monotonic()
        while time.monotonic() < until if process is None else process.poll() is None:
            if time.monotonic() >= due:
                self._land(self.area.serial[self._next()])
                due += 1.0
            self._look()
            time.sleep(POLL_S)
        self.drain()
        return self.took[begin:]

    def drain(self) -> None:
        """Wait until all files are in."""
        deadline = time.monotonic() + PATIENCE_S
        while self.out:
            if time.monotonic() > deadline:
                sys.exit(f"{len(self.out)} files were not taken in")
            self._look()
            time.sleep(POLL_S)

    def one(self, serial: NDArray[np.int64]) -> float:
        """Hand over one file of these meters and wait for it."""
        self._land(serial)
        self.drain()
        return self.took[-1]

    def _next(self) -> NDArray[np.int64]:
        start = self.number * READS_PER_FILE % max(1, len(self.rows) - READS_PER_FILE)
        return self.rows[start : start + READS_PER_FILE]

    def _land(self, serial: NDArray[np.int64]) -> None:
        self.number += 1
        now_ms = time.time_ns() // 1_000_000
        stamp = now_ms // MS_PER_SLOT
        register = np.full(len(serial), self.number % 10**DIGITS, np.uint32)
        target = self.home.landing / f"flow-{self.number:06d}.arrow"
        hidden = target.with_name(f".{target.name}")
        with pa.OSFile(str(hidden), "wb") as sink:
            write_file(sink, serial, register, np.full(len(serial), now_ms), stamp)
        hidden.rename(target)
        self.out[target.name] = time.monotonic()

    def _look(self) -> None:
        there = set(os.listdir(self.home.landing))  # noqa: PTH208  names are enough
        for name in [each for each in self.out if each not in there]:
            self.took.append(time.monotonic() - self.out.pop(name))


def _change(home: Home, folder: Path, area: Area, options: argparse.Namespace) -> dict[str, Any]:
    """Keep reads flowing, exchange meters meanwhile, and find the new ones."""
    random = np.random.default_rng(1)
    exchanged = np.sort(random.choice(len(area), min(EXCHANGED, len(area) // 10), replace=False))
    others = np.setdiff1d(np.arange(len(area)), exchanged, assume_unique=True)
    flow = _Flow(home, area, random.permutation(others))
    with _watching(home, options.workers):
        before = flow.go_on(time.monotonic() + options.seconds)
        _write_exchange(folder / "change", area, exchanged)
        started = time.perf_counter()
        importing = _koma(home, options.workers, "master", "import", str(folder / "change"))
        during = flow.go_on(0.0, importing)
        import_s = time.perf_counter() - started
        if importing.returncode:
            sys.exit(f"the import ended with status {importing.returncode}")
        found_s = flow.one(NEW_METERS_FROM + exchanged)
        status = read_status(home)
        assert status is not None
        after = flow.go_on(time.monotonic() + options.seconds)
    return {
        "exchanged": len(exchanged),
        "import_s": round(import_s, 1),
        "reads_per_file": READS_PER_FILE,
        "before": _spread(before),
        "during": _spread(during),
        "after": _spread(after),
        "new_meters_found_s": round(found_s, 2),
        "held": int(status["last_intake"]["held"]),
    }


def _write_exchange(folder: Path, area: Area, rows: NDArray[np.int64]) -> None:
    """Write a delta of the master: the old meters go, new ones come, an hour ago."""
    folder.mkdir()
    count = len(rows)
    now_ms = time.time_ns() // 1_000_000
    at, known = format_jst(now_ms // MS_PER_SLOT * MS_PER_SLOT - 2 * MS_PER_SLOT), format_jst(now_ms)
    points = point_ids(area.number[rows])
    ids = [meter_ids(area.serial[rows]), meter_ids(NEW_METERS_FROM + rows)]
    table = {
        "point_id": pa.concat_arrays([points, points]),
        "meter_id": pa.concat_arrays(ids),
        "installed_at": pa.array([""] * count + [at] * count),
        "removed_at": pa.array([at] * count + [""] * count),
        "digits": pa.array(np.full(2 * count, DIGITS)),
        "unit_exponent": pa.array(np.tile(area.exponent[rows].astype(np.int64), 2)),
        "recorded_at": pa.array([known] * (2 * count)),
    }
    pq.write_table(pa.table(table), folder / "meters.parquet")


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"files": len(ordered)} | (
        {"p50_s": round(statistics.median(ordered), 2), "max_s": round(ordered[-1], 2)} if ordered else {}
    )


if __name__ == "__main__":
    main()
