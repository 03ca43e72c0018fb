# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Real homes over a whole year, every slot exact against the registers: `./dev bench real_year`.

Needs `KOMA_REAL_DATA`. Prints one JSON line: what was delivered, and how long each part took.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.homes import new_home, run
from tests.independent_reader import read_tree
from tests.real_homes import RETAILERS, check, land, master, read_homes, reads


def main() -> None:
    """Hand the year over in thirty files, run the pipeline once, parse and check everything it delivered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", default="2013-01-01")
    parser.add_argument("--end", default="2014-01-01")
    parser.add_argument("--folder", help="where the home is made; a temporary folder unless given")
    options = parser.parse_args()
    data = os.environ.get("KOMA_REAL_DATA")
    if not data:
        sys.exit("needs real data: set KOMA_REAL_DATA to its folder")
    homes = read_homes(Path(data), options.first, options.end)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        home = new_home(Path(folder) / "home", **master(homes, len(RETAILERS)))
        batch = reads(homes, np.random.default_rng(1))
        land(home, batch)
        marks = [time.perf_counter()]
        facts = run(home).summary()
        marks.append(time.perf_counter())
        cells = read_tree(home.deliveries, parquet=False)
        marks.append(time.perf_counter())
        counts = check(homes, cells, len(RETAILERS))
    seconds = dict(zip(("run", "read_back"), np.diff(marks).round(1).tolist(), strict=True))
    shown = {name: facts[name] for name in ("received", "accepted", "duplicate", "slots", "files", "rows")}
    print(json.dumps({**shown, **counts, "exact": True, "seconds": seconds}))


if __name__ == "__main__":
    main()
