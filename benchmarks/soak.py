# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""A watch that lives for days on a clock moved by hand: `./dev bench soak --days 7 --points 100000`.

`koma pipeline run --watch` follows the manual clock in a process of its own; a simulated head-end hands over with
losses, late and repeated reads, exchanged meters and switches at midnight. Each day is held against the truth cell by
cell: the slots' files, their manifests, the ledger, the daily files and, where there are any, the monthly ones. Memory,
open files, the home's size and the time a slot takes are told day by day.

Prints one JSON line and appends it to benchmarks/results/soak.jsonl; ends with status 1 and a sentence for each thing
that disagrees or grows.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.measuring import machine
from benchmarks.measuring.rounds import append, say
from tests.soak import Plan, record, soak

RESULTS: Final = machine.ROOT / "benchmarks" / "results" / "soak.jsonl"


def main() -> None:
    """Let the days pass, then judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--turn-minutes", type=int, default=5, help="the clock is moved by so much at a time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines to append to")
    options = parser.parse_args()
    plan = Plan(options.days, options.points, options.turn_minutes, options.seed, options.workers)
    facts, commit = machine.machine_facts(options.workers), machine.commit()  # before somebody else commits
    folder = Path(tempfile.mkdtemp(prefix="koma-soak-", dir=options.folder))
    started = time.perf_counter()
    try:
        seen = soak(plan, folder, say)
    finally:
        shutil.rmtree(folder)
    for each in seen.wrong:
        say(f"wrong: {each}")
    append(
        options.results,
        {
            "bench": "soak",
            "at": machine.now(),
            **commit,
            **record(seen),
            "seconds": round(time.perf_counter() - started, 1),
            "machine": facts,
            "versions": machine.versions(),
        },
    )
    sys.exit(1 if seen.wrong else 0)


if __name__ == "__main__":
    main()
