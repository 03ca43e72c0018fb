# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Kills, power cuts, full and read-only disks, second instances, each byte compared: `./dev bench faults --runs 200`.

Every other life is that of a home run with `--once`, the others are watched by the manual clock, with daily files,
compaction, checkpoints and retention. Prints one JSON line; ends with status 1 where a life with a fault ends otherwise
than one without. What went wrong goes to standard error with the seed that brings it again: `--seed N --runs 1`, with
the same `--life` and `--what`.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults import WHATS, Life, Outcome, Undisturbed, disturbed, forget
from tests.watched import WatchedLife

LIVES = {"once": Life, "watch": WatchedLife}


def main() -> None:
    """Live many lives with one fault each, all kinds in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--points", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next ones count on")
    parser.add_argument("--what", nargs="+", choices=WHATS, default=list(WHATS))
    parser.add_argument("--life", nargs="+", choices=LIVES, default=list(LIVES))
    parser.add_argument("--folder", help="where the homes are made; a temporary folder unless given")
    options = parser.parse_args()
    runs: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    wrong: list[int] = []
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        lives = {name: _lived(LIVES[name], Path(folder) / name, options.points) for name in options.life}
        for seed in range(options.seed, options.seed + options.runs):
            name = options.life[seed % len(options.life)]
            what = options.what[seed // len(options.life) % len(options.what)]
            outcome = _disturbed(*lives[name], Path(folder) / f"home{seed}", seed, what)
            runs[f"{name} {what}"] += 1
            struck[f"{name} {what}"] += outcome.struck
            if outcome.wrong:
                wrong.append(seed)
                print(json.dumps({"seed": seed, "fault": str(outcome), "wrong": outcome.wrong}), file=sys.stderr)
    facts = {
        "runs": dict(runs),
        "struck": dict(struck),
        "changes": {name: [each["all"] for each in known.counts] for name, (_, known) in lives.items()},
        "files": {name: len(known.after[-1]) for name, (_, known) in lives.items()},
        "wrong": wrong,
        "seconds": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(facts))
    sys.exit(1 if wrong else 0)


def _lived(kind: type[Life], folder: Path, points: int) -> tuple[Life, Undisturbed]:
    """Make a life and live it without fault."""
    life = kind.made(folder / "made", points=points)
    return life, life.undisturbed(folder / "undisturbed")


def _disturbed(life: Life, known: Undisturbed, root: Path, seed: int, what: str) -> Outcome:
    outcome = disturbed(life, root, known, random.Random(seed), what)  # noqa: S311
    forget(root)
    return outcome


if __name__ == "__main__":
    main()
