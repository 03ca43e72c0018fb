# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""One slot, hand-over files in, delivery files out, beside DuckDB and Polars.

    ./dev bench slot --points 1000000,10000000

Koma takes Arrow hand-over files in, keeps the registers, and issues the slot: zip, Parquet and manifest for each
retailer, durable. The peers read the same files, join with the master, take differences and write Parquet by retailer;
no XML, no zip, no sync. Each engine has its own process and the same threads; imports and a tiny slot come before the
clock starts; files are read once so that they lie in the page cache; engines take turns. Rows and energy of every
retailer are held against what was generated; a wrong sum ends the run.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from benchmarks.measuring import machine, outcome
from benchmarks.measuring.area import SLOT, flat_master, make_area, write_master, write_reads, write_truth
from benchmarks.measuring.child import ENGINES
from benchmarks.measuring.engine_koma import fresh_home, make_template
from benchmarks.measuring.task import ONE, TWO, Task

RESULTS: Final = machine.ROOT / "benchmarks" / "results" / "slot.jsonl"
_WARM_POINTS: Final = 2_000
_SEED: Final = 20_260_822


def main() -> None:
    """Measure each number of points in turn."""
    options = _options()
    for points in options.points:
        folder = Path(tempfile.mkdtemp(prefix=f"koma-slot-{points}-", dir=options.folder))
        try:
            record = _measured(points, folder, options)
        finally:
            shutil.rmtree(folder)
        if options.results:
            options.results.parent.mkdir(parents=True, exist_ok=True)
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        print(json.dumps(record))
        _show(record)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=lambda text: [int(each) for each in text.split(",")], default=[1_000_000])
    parser.add_argument("--stamps", choices=(TWO, ONE), default=TWO, help="registers in the timed files: both ends, or")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(ENGINES))
    parser.add_argument("--workers", type=int, default=2, help="threads of each engine, on as many cores")
    parser.add_argument("--folder", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines to append to")
    return parser.parse_args()


def _measured(points: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    say(f"{points:,} points: generating area, hand-over files and master")
    facts = machine.machine_facts(options.workers)
    task = Task(folder / "area", folder / "out", options.workers, options.stamps)
    tiny = replace(task, area=folder / "tiny", out=folder / "tiny-out")
    for each, count in ((tiny, _WARM_POINTS), (task, points)):
        _generate(each, count)
        make_template(each.area / "template", each.area, each.workers, each.stamps)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in options.engines}
    for repetition in range(options.repetitions):
        for name in options.engines:
            run = _run(name, tiny, task, check_zips=repetition == 0)
            say(f"{repetition + 1}/{options.repetitions} {name}: {run['seconds']} s, processor {_processor(run):.2f} s")
            runs[name].append(run)
    return {
        "bench": "slot",
        "at": machine.now(),
        **machine.commit(),
        "points": points,
        "stamps": options.stamps,
        "handover_bytes": sum(path.stat().st_size for path in task.handover),
        "machine": facts,
        "versions": machine.versions(),
        "engines": {name: _summed(each, points) for name, each in runs.items()},
    }


def _generate(task: Task, points: int) -> None:
    area = make_area(points, _SEED)
    task.area.mkdir()
    write_master(task.area / "master", area)
    for stamp in (SLOT, SLOT + 1):
        write_reads(task.area / "handover", area, stamp, _SEED)
    write_truth(task.area / "truth.json", area)
    batches = flat_master(area, with_start=task.stamps == ONE)
    first = next(batches)
    with pa.ipc.new_file(str(task.area / "flat.arrow"), first.schema) as writer:
        for batch in (first, *batches):
            writer.write_batch(batch)
    with duckdb.connect(str(task.area / "flat.duckdb")) as connection:
        connection.register("flat", pa.ipc.open_file(pa.memory_map(str(task.area / "flat.arrow"))).read_all())
        connection.execute("CREATE TABLE master AS SELECT * FROM flat")


def _run(name: str, tiny: Task, task: Task, *, check_zips: bool) -> dict[str, Any]:
    """Let an engine do the slot in a process of its own, and hold what it wrote against the truth."""
    arguments = []
    for each in (tiny, task):
        shutil.rmtree(each.out, ignore_errors=True)
        if name.startswith("koma"):
            fresh_home(each.area / "template", each)
        arguments.append(each.area / f"{name}.json")
        each.dump(arguments[-1])
    _warm(task)
    command = [sys.executable, "-m", "benchmarks.measuring.child", name, *map(str, arguments)]
    done = subprocess.run(command, cwd=machine.ROOT, check=True, stdout=subprocess.PIPE, text=True)
    run: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    truth = outcome.truth_of(task.area)
    found = outcome.koma_sums(task.out) if name.startswith("koma") else outcome.peer_sums(task.out)
    wrong = outcome.differences(found, truth)
    if name == "koma" and check_zips:
        wrong += outcome.differences(outcome.zip_sums(task.out), truth)
    if wrong:
        sys.exit(f"{name}: {len(wrong)} retailers have wrong sums: {'; '.join(wrong[:5])}")
    run["written_bytes"] = sum(path.stat().st_size for path in task.out.rglob("*.parquet"))
    run["zip_bytes"] = sum(path.stat().st_size for path in task.out.rglob("*.zip"))
    shutil.rmtree(task.out)
    return run


def _warm(task: Task) -> None:
    """Write out what is waiting for the disk, and read what the engines will read."""
    os.sync()
    for path in (*task.area.rglob("*"),):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def _processor(run: dict[str, Any]) -> float:
    return float(run["user_s"] + run["system_s"])


def _summed(runs: list[dict[str, Any]], points: int) -> dict[str, Any]:
    """Give the median run, and all runs' seconds."""
    ordered = sorted(runs, key=lambda run: float(run["seconds"]))
    median = ordered[(len(ordered) - 1) // 2]
    peak = max(run["peak_rss_bytes"] for run in runs)
    return {
        "median_s": statistics.median(run["seconds"] for run in runs),
        "median_cpu_s": round(statistics.median(_processor(run) for run in runs), 3),
        "seconds": [run["seconds"] for run in runs],
        "cpu_s": [round(_processor(run), 3) for run in runs],
        "ns_per_point": round(statistics.median(run["seconds"] for run in runs) / points * 1e9),
        "peak_rss_bytes": peak,
        "peak_bytes_per_point": round(peak / points, 1),
        **{name: value for name, value in median.items() if name not in {"seconds", "peak_rss_bytes"}},
    }


def _show(record: dict[str, Any]) -> None:
    engines = record["engines"]
    say(f"{record['points']:,} points, {record['stamps']} stamp(s), medians; sums exact for every retailer")
    for name, each in engines.items():
        say(
            f"  {name:13} {each['median_s']:8.2f} s  processor {each['median_cpu_s']:8.2f} s  "
            f"peak {each['peak_rss_bytes'] / 2**20:7.0f} MiB = {each['peak_bytes_per_point']:6.0f} B/point"
        )
    peers = {name: each["median_s"] for name, each in engines.items() if not name.startswith("koma")}
    for name, each in engines.items():
        if name.startswith("koma") and peers:
            fastest = min(peers, key=lambda peer: float(peers[peer]))
            say(f"  {name} takes {each['median_s'] / peers[fastest]:.2f} times as long as {fastest}")
            for table in ("phases_s", "stages_cpu_s"):
                whole = sum(each[table].values())
                say(f"    {table}, together {whole:.2f}:")
                for stage, seconds in sorted(each[table].items(), key=lambda pair: -pair[1]):
                    say(f"      {seconds:8.3f} {100 * seconds / whole:5.1f} %  {stage}")


def say(text: str) -> None:
    """Tell the reader; results alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
