# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Kills, power cuts, full and read-only disks, second instances, each byte compared: `./dev bench faults --runs 200`.

Prints one JSON line; ends with status 1 where a life with a fault ends otherwise than one without. What went wrong goes
to standard error with the seed that brings it again: `--seed N --runs 1`.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import WHATS, Life, disturbed, forget


def main() -> None:
    """Live many lives with one fault each, all kinds in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next ones count on")
    parser.add_argument("--what", nargs="+", choices=WHATS, default=list(WHATS))
    parser.add_argument("--folder", help="where the homes are made; a temporary folder unless given")
    options = parser.parse_args()
    runs: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    wrong: list[int] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        life = Life.made(Path(folder) / "made", points=options.points)
        undisturbed = life.undisturbed(Path(folder) / "undisturbed")
        for seed in range(options.seed, options.seed + options.runs):
            what = options.what[seed % len(options.what)]
            root = Path(folder) / f"home{seed}"
            outcome = disturbed(life, root, undisturbed, random.Random(seed), what)  # noqa: S311
            forget(root)
            runs[what] += 1
            struck[what] += outcome.struck
            if outcome.wrong:
                wrong.append(seed)
                print(json.dumps({"seed": seed, "fault": str(outcome), "wrong": outcome.wrong}), file=sys.stderr)
    facts = {
        "runs": dict(runs),
        "struck": dict(struck),
        "changes": [each["all"] for each in undisturbed.counts],
        "files": len(undisturbed.deliveries),
        "wrong": wrong,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(facts))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
