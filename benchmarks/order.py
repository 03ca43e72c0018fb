# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""The same reads in ten random orders and cuts, each byte compared: `./dev bench order`.

Prints one JSON line for each size of town; ends with status 1 where any byte differs.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.towns import build_town, delivered, differing


def main() -> None:
    """Deliver each town in several orders, once on worker processes, and compare every file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[10, 100_000])
    parser.add_argument("--slots", type=int, default=6)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--folder", help="where the homes are made; a temporary folder unless given")
    options = parser.parse_args()
    same = True
    for points in options.points:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            root = Path(folder)
            town = build_town(root / "town", points=points, slots=options.slots)
            started = time.perf_counter()
            first: dict[str, str] = {}
            wrong: dict[str, list[str]] = {}
            for order in range(options.orders + 1):
                processes = order == options.orders
                mode = "processes" if processes else "threads"
                tree = delivered(root / "home", town, seed=order, cut=not processes, beam_mode=mode)
                shutil.rmtree(root / "home")
                first = first or tree
                if names := differing(first, tree):
                    wrong["processes" if processes else str(order)] = names[:5]
            facts = {"points": points, "reads": len(town.reads), "files": len(first), "orders": options.orders}
            seconds = round(time.perf_counter() - started, 1)
            print(json.dumps({**facts, "processes": 1, "differing": wrong, "seconds": seconds}), flush=True)
            same &= not wrong
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
