# SPDX-License-Identifier: Apache-2.0
"""Hand-over files with damage in them: whatever the bytes, a decoder ends, in order, and accounts for every record.

An input is known by format, way and number, which alone make it again. Ways: `files`, each a file damaged anywhere,
judged as a whole; `records`, what stands many in a file (telegrams, lines, record batches, row groups), each damaged
within and judged by itself. Inputs are decoded in child processes: one that kills its process or does not end is found
by its number, and the rest goes on behind it.
"""

import faulthandler
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from pipeline.handover import EXTENSIONS
from tests import fuzz_columns, fuzz_records
from tests.fuzz_files import Judgement, judged
from tests.fuzz_inputs import mutated
from tests.guard_pages import guard_kernels

DEADLINE_VARIABLE, DEADLINE_S = "KOMA_FUZZ_DEADLINE_S", 20.0
"""For one file of a few thousand bytes, or of some hundred records; a machine under load decodes it in milliseconds."""
COMPILING_S = 600.0
"""Beside that for the first file, whose kernels may have to be compiled."""
CODED = (".csv.gz", ".csv.zst")
"""Formats that carry the records of another."""


class Way(NamedTuple):
    """A format and how its inputs are made; `guarded` has the kernels run between pages nobody may touch."""

    extension: str
    kind: str
    guarded: bool = False

    @property
    def name(self) -> str:
        """Name in reports and states."""
        return " ".join([self.extension, self.kind, *(["guarded"] if self.guarded else [])])

    @property
    def pack(self) -> int:
        """Inputs that stand in one file."""
        if self.kind == "files" or (self.guarded and self.extension not in fuzz_columns.PARTS):
            return 1  # guarded: what lies behind a record is its neighbour, and nobody's where it stands alone
        return fuzz_columns.PARTS.get(self.extension, fuzz_records.RECORDS_PACK)

    @property
    def _records(self) -> ModuleType:
        return fuzz_columns if self.extension in fuzz_columns.PARTS else fuzz_records

    def made(self, folder: Path, first: int, last: int) -> bytes:
        """Bytes of the file that carries inputs `first` to `last`, which lie in one pack."""
        if self.kind == "files":
            return mutated(folder, self.extension, first)
        made: bytes = self._records.pack(folder, self.extension, first, last)
        return made

    def judged(self, path: Path, folder: Path, first: int, last: int) -> Iterator[tuple[int, Judgement]]:
        """What became of each input, and under `pack` what is wrong with the file."""
        if self.kind == "files":
            yield first, judged(path, first)
        else:
            yield from self._records.judged_pack(path, folder, first, last)


WAYS = tuple(
    Way(extension, kind) for kind in ("records", "files") for extension in EXTENSIONS
    if kind == "files" or extension not in CODED
)  # fmt: skip


@dataclass(slots=True)
class Fuzzed:
    """What became of many inputs, and the number behind the last of them."""

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, int, str]] = field(default_factory=list)
    reached: int = 0

    def add(self, more: "Fuzzed") -> None:
        """Take in what became of the inputs behind these."""
        self.counts.update(more.counts)
        self.bad += more.bad
        self.reached = more.reached

    @property
    def inputs(self) -> int:
        """How many were judged."""
        return sum(count for outcome, count in self.counts.items() if outcome != "pack")


def packs(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut numbers where packs end."""
    while first < last:
        end = min(last, first - first % size + size)
        yield first, end
        first = end


def _batch(
    folder: str, way: Way, first: int, last: int, until: float, pack: int, deadline_s: float, report: Any
) -> None:
    """Decode inputs in this process, leaving a mark before each file."""
    home = Path(folder)
    log = (home / "trace").open("w")
    os.dup2(log.fileno(), 2)
    faulthandler.enable(log)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, log, chain=True)  # then it ends the process
    if way.guarded:
        guard_kernels()
    result, patience = Fuzzed(reached=first), COMPILING_S
    marker = np.memmap(home / "at", np.int64, "w+", shape=(1,))
    path = home / f"input{way.extension}"
    for start, end in packs(first, last, pack):
        marker[0] = start
        signal.setitimer(signal.ITIMER_REAL, deadline_s + patience)
        try:
            path.write_bytes(way.made(home, start, end))
            for number, found in way.judged(path, home, start, end):
                result.counts[found.outcome] += 1
                result.bad += [(way.name, number, each) for each in found.wrong]
        except Exception as error:  # noqa: BLE001  whatever it is, it is to be told
            result.counts["crashed"] += end - start
            result.bad.append((way.name, start, f"{type(error).__name__}: {error}"))
        result.reached, patience = end, 0.0
        if time.monotonic() > until:
            break
    signal.setitimer(signal.ITIMER_REAL, 0)
    report.send(result)


def fuzz(folder: Path, way: Way, first: int, last: int, until: float = float("inf"), size: int | None = None) -> Fuzzed:
    """Decode inputs `first` to `last` in a child process; after one that ends the child, go on behind it.

    Args:
        folder: for the child's files; in memory (`/dev/shm`) it is quicker. One child at a time.
        way: which inputs.
        first: number of the first.
        last: number behind the last.
        until: time of `time.monotonic` to stop at; what was judged until then is returned.
        size: inputs in a file, if not the way's own.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fuzzing"])
    deadline_s = float(os.environ.get(DEADLINE_VARIABLE, DEADLINE_S))
    folder.mkdir(parents=True, exist_ok=True)
    result = Fuzzed(reached=first)
    while result.reached < last and time.monotonic() < until:
        receiver, sender = context.Pipe(duplex=False)
        begin, pack = result.reached, size or way.pack
        child = context.Process(target=_batch, args=(str(folder), way, begin, last, until, pack, deadline_s, sender))
        child.start()
        sender.close()
        try:
            result.add(receiver.recv())
            child.join()
        except EOFError:
            child.join()
            _go_round(folder, way, begin, pack, child.exitcode, result)
        finally:
            receiver.close()
            child.close()
    return result


def _go_round(folder: Path, way: Way, begin: int, pack: int, status: int | None, result: Fuzzed) -> None:
    """Judge once more what the lost child had judged, and one by one the inputs of the file that it was lost at."""
    first = int(np.fromfile(folder / "at", np.int64)[0])
    trace = (folder / "trace").read_text(errors="replace")
    end = first - first % pack + pack
    if begin < first:
        result.add(fuzz(folder, way, begin, first, size=pack))
    alone = fuzz(folder, way, first, end, size=1) if pack > 1 else Fuzzed(Counter({"fatal": 1}))
    if not alone.counts["fatal"] or pack == 1:
        which = f"one of it up to {end - 1}" if pack > 1 else "it"
        alone.bad.append((way.name, first, f"{which} ended its process ({status}): {trace[-2000:]}"))
    alone.reached = end
    result.add(alone)
