# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""An acceptance scenario at any size: `./dev bench scenario A4 --points 3000000`.

Prints one JSON line and appends it to benchmarks/results/scenario.jsonl; ends with status 1 where something that must
hold does not. Where reads come as they would, what each turn of the pipeline took is added up to the minutes after the
slot's end by which its closing was out: 50 are promised.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import machine
from tests.acceptance import PROMISE_MS, SCENARIOS, published_by
from tests.homes import MINUTE_MS

RESULTS = Path(__file__).parent / "results" / "scenario.jsonl"


def main() -> None:
    """Play one scenario, then hold every line of its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SCENARIOS)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--turn-minutes", type=int, default=15, help="the pipeline is run so often, by business time")
    parser.add_argument("--folder", help="where the homes are made; a temporary folder unless given")
    options = parser.parse_args()
    scenario = SCENARIOS[options.name].at(options.points)
    facts = machine.machine_facts(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        started = time.perf_counter()
        world = scenario.play(Path(folder), options.turn_minutes)
        seconds = time.perf_counter() - started
        then = {line: check(world) for line, check in scenario.then}
    result = {"scenario": scenario.name, "points": options.points, "at": machine.now(), **machine.commit()}
    result |= {"then": {line: wrong or "holds" for line, wrong in then.items()}, "seconds": round(seconds, 1)}
    failed = any(then.values())
    if world.turns:
        minutes = published_by(world)
        failed |= minutes > PROMISE_MS / MINUTE_MS
        longest = max(seconds for _, seconds in world.turns[:-1])
        result |= {"published_by_minutes": minutes, "turns": len(world.turns), "longest_turn_s": round(longest, 2)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result |= {"facts": world.facts, "peak_rss_bytes": peak, "machine": facts, "versions": machine.versions()}
    line = json.dumps(result)
    print(line)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
