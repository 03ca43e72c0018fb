# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""`kill -9` of the pipeline at fifty random moments, each byte compared: `./dev bench kill`.

Prints one JSON line; ends with status 1 where a byte differs.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.crashes import kill_until_done, landing_and_taken, run_through
from tests.homes import digests
from tests.towns import build_town, differing, hand_over_town


def main() -> None:
    """Kill and restart until the homes end, and compare each with an undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--points", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where the homes are made; a temporary folder unless given")
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        town = build_town(root / "town", points=options.points, slots=6)
        undisturbed = hand_over_town(root / "undisturbed", town, seed=1, files=20)
        run_through(undisturbed)  # the first may have kernels to compile
        seconds = run_through(hand_over_town(root / "measured", town, seed=1, files=20))
        wanted, kills, homes, wrong = digests(undisturbed.deliveries), 0, 0, 0
        while kills < options.kills and homes < 10 * options.kills:
            home = hand_over_town(root / "home", town, seed=1, files=20)
            kills += kill_until_done(home, chance, seconds, min(6, options.kills - kills))
            homes += 1
            wrong += bool(differing(wanted, digests(home.deliveries)) or list(home.landing.iterdir()))
            wrong += landing_and_taken(home) != landing_and_taken(undisturbed)
            shutil.rmtree(home.root)
    print(json.dumps({"kills": kills, "homes": homes, "files": len(wanted), "differing": wrong, "seconds": seconds}))
    sys.exit(0 if kills >= options.kills and not wrong else 1)


if __name__ == "__main__":
    main()
