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
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.measuring import machine
from benchmarks.measuring.child import ENGINES
from benchmarks.measuring.rounds import Rounds, append, processor_s, say
from benchmarks.measuring.task import ONE, TWO

RESULTS: Final = machine.ROOT / "benchmarks" / "results" / "slot.jsonl"


def main() -> None:
    """Measure each number of points in turn."""
    options = _options()
    for points in options.points:
        folder = Path(tempfile.mkdtemp(prefix=f"koma-slot-{points}-", dir=options.folder))
        try:
            record = _measured(points, folder, options)
        finally:
            shutil.rmtree(folder)
        append(options.results, record)
        _show(record)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=lambda text: [int(each) for each in text.split(",")], default=[1_000_000])
    parser.add_argument(
        "--stamps",
        choices=(TWO, ONE),
        default=TWO,
        help="registers in the timed files: those of both ends of the slot, or those of its end alone, where an earlier"
        " run left the others in Koma's register book and in the peers' master table",
    )
    parser.add_argument(
        "--later", type=int, default=0, metavar="PERCENT", help="points that a second import of the master brings"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(ENGINES))
    parser.add_argument("--workers", type=int, default=2, help="threads of each engine, on as many cores")
    parser.add_argument("--folder", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--area", type=Path, help="where generated areas are kept for the next time; same disk")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines to append to")
    return parser.parse_args()


def _measured(points: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    say(f"{points:,} points: generating area, hand-over files and master")
    facts = machine.machine_facts(options.workers)
    rounds = Rounds.prepare(folder, points, options.workers, options.stamps, options.later, options.area)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in options.engines}
    for repetition in range(options.repetitions):
        for name in options.engines:
            run, _ = rounds.run(name, check_zips=repetition == 0)
            say(
                f"{repetition + 1}/{options.repetitions} {name}: {run['seconds']} s, processor {processor_s(run):.2f} s"
            )
            runs[name].append(run)
    return {
        "bench": "slot",
        "at": machine.now(),
        **machine.commit(),
        "points": points,
        "stamps": options.stamps,
        "later_percent": options.later,
        "handover_bytes": sum(path.stat().st_size for path in rounds.task.handover),
        "machine": facts,
        "versions": machine.versions(),
        "engines": {name: _summed(each, points) for name, each in runs.items()},
    }


def _summed(runs: list[dict[str, Any]], points: int) -> dict[str, Any]:
    """Give the median run, and all runs' seconds."""
    ordered = sorted(runs, key=lambda run: float(run["seconds"]))
    median = ordered[(len(ordered) - 1) // 2]
    peak = max(run["peak_rss_bytes"] for run in runs)
    middle = statistics.median(run["seconds"] for run in runs)
    return {
        "median_s": round(middle, 3),
        "median_cpu_s": round(statistics.median(processor_s(run) for run in runs), 3),
        "seconds": [run["seconds"] for run in runs],
        "cpu_s": [round(processor_s(run), 3) for run in runs],
        "ns_per_point": round(middle / points * 1e9),
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
    peers = {name: float(each["median_s"]) for name, each in engines.items() if not name.startswith("koma")}
    for name, each in engines.items():
        if not name.startswith("koma"):
            continue
        if peers:
            fastest = min(peers, key=lambda peer: peers[peer])
            say(f"  {name} takes {each['median_s'] / peers[fastest]:.2f} times as long as {fastest}")
        for table in ("phases_s", "stages_cpu_s"):
            whole = sum(each[table].values())
            say(f"    {name}, {table}, together {whole:.2f}:")
            for stage, seconds in sorted(each[table].items(), key=lambda pair: -pair[1]):
                if seconds >= whole / 1000:
                    say(f"      {seconds:8.3f} {100 * seconds / whole:5.1f} %  {stage}")


if __name__ == "__main__":
    main()
