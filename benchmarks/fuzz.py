# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Damaged hand-over files of every format, decoded: `./dev bench fuzz --inputs 1000000` of each.

Prints one JSON line a format; ends with status 1 where an input crashed a decoder, hung it, or was not accounted for.
Such inputs are saved beside their numbers; `--first N --inputs 1` makes one again.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from pipeline.handover import EXTENSIONS
from tests.fuzzing import Fuzzed, fuzz, mutated

SHARE = 2_000
"""Inputs of one child process."""


def main() -> None:
    """Decode inputs format by format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="of each format")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--formats", nargs="+", choices=EXTENSIONS, default=list(EXTENSIONS))
    parser.add_argument("--keep", default="var/fuzz", help="where bad inputs are saved")
    options = parser.parse_args()
    failed = False
    last = options.first + options.inputs
    with tempfile.TemporaryDirectory() as folder:
        for extension in options.formats:
            started, result = time.perf_counter(), Fuzzed()
            for first in range(options.first, last, SHARE):
                fuzz(Path(folder), extension, first, min(first + SHARE, last), result)
            failed |= bool(result.bad)
            for _, number, what in result.bad:
                print(f"{extension} input {number}: {what}", file=sys.stderr)
                saved = Path(options.keep) / f"{number}{extension}"
                saved.parent.mkdir(parents=True, exist_ok=True)
                saved.write_bytes(mutated(Path(folder), extension, number))
            facts = {"format": extension, "inputs": options.inputs, "first": options.first, **result.counts}
            seconds = round(time.perf_counter() - started, 1)
            bad = sorted({number for _, number, _ in result.bad})
            print(json.dumps({**facts, "bad": bad[:100], "seconds": seconds}), flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
