# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Cost of writing delivery files: nanoseconds a row, with and without XML, on one thread and on two; large and small.

    ./dev python benchmarks/delivery_micro.py --rows 100000 --files 20

Prints one JSON line for each case. Files go to a temporary folder, by default in memory, without a disk.
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from koma.limits import ROWS_PER_FILE_MAX
from koma.slots import parse_jst, slot_at_ms
from pipeline.delivery import DeliveryFile, write_delivery
from pipeline.quality import ACTUAL, MISSING

REF_CHARS = 11
FEW_ROWS = 3_000


def digits(numbers: np.ndarray, width: int) -> np.ndarray:
    """Print numbers as rows of ASCII digits."""
    powers = 10 ** np.arange(min(width, 18) - 1, -1, -1)
    shown = (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    return np.pad(shown, ((0, 0), (width - shown.shape[1], 0)), constant_values=ord("0"))


def synthetic(rows: int, seed: int) -> DeliveryFile:
    """Build a file of `rows` points out of a master of four times as many: 1 % missing, each with a customer_ref.

    Ids of a large file lie 28 apart on average; a small one, whose retailer has few of an area's points, has 14,000.
    """
    random = np.random.default_rng(seed)
    points = 4 * rows
    apart = 7 if rows > FEW_ROWS else 3_500
    chosen = np.sort(random.choice(points, rows, replace=False)).astype(np.uint32)
    available = random.random(rows) >= 0.01
    slot = slot_at_ms(parse_jst("2026-08-22T16:30"))
    return DeliveryFile(
        retailer_code="12345",
        slot_id=slot,
        revision=0,
        split=1,
        issued_ms=parse_jst("2026-08-22T17:45"),
        point_id=digits(np.arange(points) * apart, 22),
        positions=chosen,
        ref_off=np.arange(points + 1, dtype=np.int64) * REF_CHARS,
        ref_bytes=digits(random.integers(0, 10**REF_CHARS, points), REF_CHARS).reshape(-1),
        ref_row=chosen,
        energy_dwh=random.integers(0, 15_000, rows),
        available=available,
        quality=np.where(available, ACTUAL, MISSING).astype(np.uint8),
    )


def measure(file: DeliveryFile, files: int, threads: int, folder: Path, *, xml: bool) -> dict[str, object]:
    """Write `files` files and give what one row cost."""
    entry = write_delivery(replace(file, split=9_999), folder, xml=xml)
    splits = [replace(file, split=1 + number) for number in range(files)]
    with ThreadPoolExecutor(threads) as pool:
        start, busy = time.perf_counter(), time.process_time()
        list(pool.map(lambda each: write_delivery(each, folder, xml=xml), splits))
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "rows": entry.rows,
        "files": files,
        "threads": threads,
        "xml": xml,
        "us_per_file": round(seconds / files * 1e6, 1),
        "ns_per_row": round(seconds / files / entry.rows * 1e9, 1),
        "cpu_ns_per_row": round(busy / files / entry.rows * 1e9, 1),
        "zip_bytes_per_row": round(entry.bytes / entry.rows, 2),
        "parquet_bytes_per_row": round(entry.parquet_bytes / entry.rows, 2),
    }


def main() -> None:
    """Measure large files, then small ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS_PER_FILE_MAX)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))  # noqa: S108  memory, where there is one
    options = parser.parse_args()
    folder = options.folder if options.folder.is_dir() else None
    for rows, files in ((options.rows, options.files), (1_500, 10 * options.files), (12, 50 * options.files)):
        file = synthetic(rows, seed=rows)
        for xml in (False, True):
            for threads in (1, 2):
                with tempfile.TemporaryDirectory(dir=folder) as target:
                    print(json.dumps(measure(file, files, threads, Path(target), xml=xml)))


if __name__ == "__main__":
    main()
