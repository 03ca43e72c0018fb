# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Damaged NEM12, Green Button, CSV and Parquet files, read: `./dev bench fuzz_formats --inputs 100000 --minutes 10`.

Inputs are made from their numbers alone; `--kinds nem12 --first N --inputs 1` makes one again. One JSON line for each
format on standard output; ends with status 1 where an input crashed a reader, hung it, or brought out wrong rows.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from typing import Any

from tests.format_fuzzing import KINDS, fuzz

SHARE = 200
"""Inputs of one task: so many are in question where a process dies."""
DEADLINE_S = 120.0
"""For one task, start of its process included; in order it takes a few seconds."""


def run(kind: str, first: int, last: int, until: float) -> dict[str, Any]:
    """Judge a format's inputs in child processes, one at a time, until all are judged or time is up."""
    counts: Counter[str] = Counter()
    bad: list[tuple[int, str]] = []
    context = multiprocessing.get_context("spawn")
    pool, at, started = context.Pool(1), first, time.perf_counter()
    try:
        while at < last and time.monotonic() < until:
            end = min(last, at + SHARE)
            try:
                more, wrong = pool.apply_async(fuzz, (kind, at, end)).get(DEADLINE_S)
                counts += more
                bad += wrong
            except multiprocessing.TimeoutError:
                bad.append((at, f"no end of the inputs {at} to {end}: hung or killed"))
                pool.terminate()
                pool = context.Pool(1)
            at = end
    finally:
        pool.terminate()
    seconds = round(time.perf_counter() - started, 1)
    return {"kind": kind, "first": first, "reached": at, "seconds": seconds, **counts, "bad": bad}


def main() -> None:
    """Judge and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="of each format")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0, help="for all formats together")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    started, failed = time.monotonic(), False
    for number, kind in enumerate(options.kinds, 1):
        until = started + 60 * options.minutes * number / len(options.kinds)
        told = run(kind, options.first, options.first + options.inputs, until)
        print(json.dumps(told), flush=True)
        failed |= bool(told["bad"])
    sys.exit(failed)


if __name__ == "__main__":
    main()
