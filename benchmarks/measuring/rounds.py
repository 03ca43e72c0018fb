# SPDX-License-Identifier: Apache-2.0
"""Setting the table for the engines, and letting one of them eat.

What an engine wrote is kept until the end and put aside: a file system that has just removed thousands of files hands
out new ones slowly for minutes, and the next engine would pay for it.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from benchmarks.measuring import machine, outcome
from benchmarks.measuring.area import SLOT, flat_master, make_area, write_master, write_reads, write_truth
from benchmarks.measuring.engine_koma import fresh_home, make_template
from benchmarks.measuring.task import ONE, Task

_WARM_POINTS: Final = 2_000
SEED: Final = 20_260_822


@dataclass(slots=True)
class Rounds:
    """A generated area, and a tiny one to warm up on."""

    folder: Path
    task: Task
    tiny: Task
    done: int = 0

    @classmethod
    def prepare(
        cls, folder: Path, points: int, workers: int, stamps: str, later: int, kept: Path | None = None
    ) -> Self:
        """Generate both areas, and the homes with their masters imported, `later` percent of it by a second import.

        Args:
            folder: where engines write.
            points: of the large area.
            workers: threads of each engine.
            stamps: see `Task`.
            later: percent.
            kept: folder in which areas stay from one measurement to the next, on the disk of `folder`; those that were
                made there for the same numbers are used again.

        """
        task = Task(folder / "area", folder / "out", workers, stamps)
        tiny = replace(task, area=folder / "tiny", out=folder / "tiny-out")
        if kept is not None:
            name = f"{points}-{stamps}-{later}"
            task, tiny = replace(task, area=kept / name), replace(tiny, area=kept / f"{name}-tiny")
        for each, count in ((tiny, _WARM_POINTS), (task, points)):
            whole = each.area / "whole"
            if whole.exists():
                continue
            shutil.rmtree(each.area, ignore_errors=True)
            _generate(each, count, later)
            make_template(each.area / "template", each.area, workers, stamps)
            whole.touch()
        return cls(folder, task, tiny)

    def run(self, name: str, *, check_zips: bool) -> tuple[dict[str, Any], Path]:
        """Let an engine do the slot in a process of its own; return what it took and where what it wrote lies.

        Exits where the sums are not the truth's.
        """
        self.done += 1
        arguments = []
        tiny, mine = (
            replace(task, out=self.folder / f"{task.out.name}-{self.done}") for task in (self.tiny, self.task)
        )
        for task in (tiny, mine):
            if name.startswith("koma"):
                fresh_home(task.area / "template", task)
            arguments.append(task.area / "task.json")
            task.dump(arguments[-1])
        _warm(mine.area)
        command = [sys.executable, "-m", "benchmarks.measuring.child", name, *map(str, arguments)]
        finished = subprocess.run(command, cwd=machine.ROOT, check=True, stdout=subprocess.PIPE, text=True)
        run: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
        truth = outcome.truth_of(mine.area)
        found = outcome.koma_sums(mine.out) if name.startswith("koma") else outcome.peer_sums(mine.out)
        wrong = outcome.differences(found, truth)
        if name == "koma" and check_zips:
            wrong += outcome.differences(outcome.zip_sums(mine.out), truth)
        if wrong:
            sys.exit(f"{name}: {len(wrong)} retailers have wrong sums: {'; '.join(wrong[:5])}")
        written = mine.out / "deliveries" if name.startswith("koma") else mine.out
        run["parquet_bytes"] = sum(path.stat().st_size for path in written.rglob("*.parquet"))
        run["zip_bytes"] = sum(path.stat().st_size for path in written.rglob("*.zip"))
        return run, mine.out


def _generate(task: Task, points: int, later: int) -> None:
    area = make_area(points, SEED)
    task.area.mkdir(parents=True)
    apart = area.serial * 7919 % 100 < later
    write_master(task.area / "master-0", area, ~apart)
    if later:
        write_master(task.area / "master-1", area, apart)
    for stamp in (SLOT, SLOT + 1):
        write_reads(task.area / "handover", area, stamp, SEED)
    write_truth(task.area / "truth.json", area)
    batches = flat_master(area, with_start=task.stamps == ONE)
    first = next(batches)
    with pa.ipc.new_file(str(task.area / "flat.arrow"), first.schema) as writer:
        for batch in (first, *batches):
            writer.write_batch(batch)
    with duckdb.connect(str(task.area / "flat.duckdb")) as connection:
        connection.register("flat", pa.ipc.open_file(pa.memory_map(str(task.area / "flat.arrow"))).read_all())
        connection.execute("CREATE TABLE master AS SELECT * FROM flat")


def _warm(area: Path) -> None:
    """Write out what is waiting for the disk, and read what the engines will read."""
    os.sync()
    for path in area.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def processor_s(run: dict[str, Any]) -> float:
    """Processor seconds of a run."""
    return float(run["user_s"] + run["system_s"])


def say(text: str) -> None:
    """Tell the reader; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def append(path: Path, record: dict[str, Any]) -> None:
    """Add a result to a file of JSON lines, and print it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record))
