# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Damaged hand-over files of every format, decoded: `./dev bench fuzz --inputs 1000000 --minutes 60`.

Goes on where an earlier run stopped (`--state`), unless `--first` says where to begin. Progress stands on standard
error; then one JSON line for each way on standard output. Ends with status 1 where an input crashed a decoder, hung it,
or was not accounted for. Such inputs are saved; `--ways '.csv records' --first N --inputs 1` makes one again.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.fuzzing import WAYS, Fuzzed, Way, fuzz

SHARE_S = 20.0
"""A child process ends, and what it found is kept, after about so long."""
TELL_S = 30.0
ALL = [*WAYS, *(each._replace(guarded=True) for each in WAYS)]
"""Every way; the guarded ones only if asked for."""


@dataclass(slots=True)
class Progress:
    """How far a way has got; kept in the state file."""

    done: list[list[int]] = field(default_factory=list)
    """Ranges of numbers that were judged, ascending, merged."""
    counts: dict[str, int] = field(default_factory=dict)
    bad: list[list[Any]] = field(default_factory=list)
    seconds: float = 0.0
    """Of one process."""

    def take(self, first: int, seconds: float, result: Fuzzed) -> None:
        """Take up a range from `first` on."""
        merged: list[list[int]] = []
        for start, end in sorted([*self.done, [first, result.reached]]):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(end, merged[-1][1])
            elif start < end:
                merged.append([start, end])
        self.done = merged
        for outcome, count in result.counts.items():
            self.counts[outcome] = self.counts.get(outcome, 0) + count
        self.bad += [[number, what] for _, number, what in result.bad]
        self.seconds = round(self.seconds + seconds, 1)

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return ranges between `first` and `last` that were not judged."""
        found, at = [], first
        for start, end in self.done:
            if start > at:
                found.append((at, min(start, last)))
            at = max(at, end)
        return [each for each in [*found, (at, last)] if each[0] < min(each[1], last)]


class Run:
    """Children, as many as are wanted, each at a share of one way at a time."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        """Read the state."""
        self._options, self._folder = options, folder
        self._until = time.monotonic() + 60 * options.minutes
        state = Path(options.state)
        fresh = options.first is not None or not state.is_file()
        kept = {} if fresh else json.loads(state.read_text())
        self.progress = {way.name: Progress(**kept.get(way.name, {})) for way in options.ways}
        self._kept = kept

    def run(self) -> None:
        """Judge until all is judged or time is up."""
        options, first = self._options, self._options.first or 0
        last = first + options.inputs
        folders: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.workers):
            folders.put(self._folder / str(number))
        rates = {way.name: 500.0 for way in options.ways}
        told = time.monotonic()
        running: dict[Future[tuple[Fuzzed, float]], tuple[Way, int]] = {}
        with ThreadPoolExecutor(options.workers) as threads:
            while True:
                while len(running) < options.workers and (task := self._next(first, last, rates, running)):
                    way, start, end = task
                    running[threads.submit(self._share, folders, way, start, end)] = (way, start)
                if not running:
                    break
                for each in wait(running, return_when=FIRST_COMPLETED).done:
                    way, start = running.pop(each)
                    result, seconds = each.result()
                    rates[way.name] = max(10.0, (result.reached - start) / max(seconds, 0.1))
                    self.progress[way.name].take(start, seconds, result)
                    self._keep(way, result)
                if time.monotonic() - told > TELL_S:
                    told = time.monotonic()
                    so_far = (f"{name} {sum(each.counts.values())}" for name, each in self.progress.items())
                    print(", ".join(so_far), file=sys.stderr, flush=True)

    def _next(
        self, first: int, last: int, rates: dict[str, float], running: dict[Any, tuple[Way, int]]
    ) -> tuple[Way, int, int] | None:
        """Return the next share of the way that lags most; a way's shares run one behind the other."""
        if time.monotonic() > self._until:
            return None
        busy = {way.name for way, _ in running.values()}
        free = [way for way in self._options.ways if way.name not in busy]
        open_ways = [(gaps[0][0], index, way, gaps[0]) for index, way in enumerate(free)
                     if (gaps := self.progress[way.name].gaps(first, last))]  # fmt: skip
        if not open_ways:
            return None
        _, _, way, (start, end) = min(open_ways)
        share = -(-int(rates[way.name] * SHARE_S) // way.pack) * way.pack
        return way, start, min(end, start - start % way.pack + share)

    def _share(self, folders: "SimpleQueue[Path]", way: Way, first: int, last: int) -> tuple[Fuzzed, float]:
        folder, started = folders.get(), time.perf_counter()
        try:
            return fuzz(folder, way, first, last, self._until), time.perf_counter() - started
        finally:
            folders.put(folder)

    def _keep(self, way: Way, result: Fuzzed) -> None:
        """Save the state and the files of bad inputs."""
        state = Path(self._options.state)
        state.parent.mkdir(parents=True, exist_ok=True)
        for _, number, what in result.bad:
            print(f"{way.name} input {number}: {what}", file=sys.stderr)
            saved = state.parent / f"{number}-{way.kind}{way.extension}"
            scratch = self._folder / "kept"
            scratch.mkdir(exist_ok=True)
            saved.write_bytes(way.made(scratch, number, number - number % way.pack + way.pack))
        fields = ("done", "counts", "bad", "seconds")
        now = {name: {key: getattr(each, key) for key in fields} for name, each in self.progress.items()}
        if self._options.first is None:
            beside = state.with_suffix(".new")
            beside.write_text(json.dumps({**self._kept, **now}, indent=1))
            beside.replace(state)


def main() -> None:
    """Decode inputs way by way."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = {each.name: each for each in ALL}
    parser.add_argument("--inputs", type=int, default=20_000, help="of each way")
    parser.add_argument("--first", type=int, help="number of the first input; the state file is left alone")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--ways", nargs="+", choices=names, default=[each.name for each in WAYS], metavar="WAY")
    parser.add_argument("--guarded", action="store_true", help="run the kernels between pages nobody may touch")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--state", default="var/fuzz/state.json", help="how far it got; bad inputs are saved beside it")
    options = parser.parse_args()
    options.ways = [names[each]._replace(guarded=options.guarded or names[each].guarded) for each in options.ways]
    memory = Path("/dev/shm")  # noqa: S108  files in memory, where there are such
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        run = Run(options, Path(folder))
        run.run()
    for name, each in run.progress.items():
        inputs = sum(count for outcome, count in each.counts.items() if outcome != "pack")
        per_1000 = round(1000 * each.seconds / inputs, 2) if inputs else None
        facts = {"way": name, "inputs": inputs, **each.counts, "bad": sorted({number for number, _ in each.bad})[:100]}
        print(json.dumps({**facts, "seconds": each.seconds, "seconds_per_1000": per_1000}), flush=True)
    sys.exit(1 if any(each.bad for each in run.progress.values()) else 0)


if __name__ == "__main__":
    main()
