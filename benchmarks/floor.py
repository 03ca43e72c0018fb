# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""The floor under one slot: the same bytes read, copied, deflated, digested and written by the bare libraries.

    ./dev bench floor --points 1000000

Koma does the slot once. Then the bytes it moved are moved again without any of its work: hand-over files are read,
the columns that go from stage to stage are copied, the XML is deflated, zips are digested, and everything it wrote is
written and synced; on the same threads, files in the same sizes. What Koma takes above that is its own.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from isal import isal_zlib

from benchmarks.measuring import machine
from benchmarks.measuring.rounds import Rounds, append, processor_s, say
from benchmarks.measuring.task import TWO
from pipeline.home import sync_filesystem

RESULTS: Final = machine.ROOT / "benchmarks" / "results" / "floor.jsonl"
_PORTION: Final = 512 * 1024
_READ_BYTES: Final = 12
"""A read between decoding and the register book: installation, register, arrival."""
_CELL_BYTES: Final = 12 + 17 + 13
"""A point after that: its registers' column, its cell, its row."""


def main() -> None:
    """Measure Koma once, then the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--area", type=Path, help="where generated areas are kept for the next time; same disk")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines to append to")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix=f"koma-floor-{options.points}-", dir=options.folder))
    try:
        rounds = Rounds.prepare(folder, options.points, options.workers, TWO, 0, options.area)
        run, home = rounds.run("koma", check_zips=False)
        parts = _floor(rounds.task.handover, home, folder / "again", options.workers, options.points)
    finally:
        shutil.rmtree(folder)
    whole = sum(parts.values())
    record = {
        "bench": "floor",
        "at": machine.now(),
        **machine.commit(),
        "points": options.points,
        "machine": machine.machine_facts(options.workers),
        "versions": machine.versions(),
        "koma_s": run["seconds"],
        "koma_cpu_s": round(processor_s(run), 3),
        "floor_s": round(whole, 3),
        "parts_s": {name: round(seconds, 3) for name, seconds in parts.items()},
        "ratio": round(run["seconds"] / whole, 2),
    }
    append(options.results, record)
    say(f"koma {run['seconds']:.2f} s, floor {whole:.2f} s, ratio {record['ratio']}")
    for name, seconds in parts.items():
        say(f"  {seconds:8.3f} s  {name}")


def _floor(handover: list[Path], home: Path, target: Path, workers: int, points: int) -> dict[str, float]:
    zips = sorted((home / "deliveries").glob("*/*/*.zip"))
    others = [*sorted((home / "deliveries").glob("*/*/*.parquet")), *sorted((home / "registers").iterdir())]
    blobs = [path.read_bytes() for path in (*zips, *others)]
    target.mkdir()
    os.sync()
    with ThreadPoolExecutor(workers) as pool:

        def timed(work: Callable[[Any], object], items: Iterable[Any]) -> float:
            start = time.perf_counter()
            for _ in pool.map(work, items):
                pass
            return time.perf_counter() - start

        parts = {
            "read the hand-over files": timed(_read, handover),
            "copy columns from stage to stage": timed(_copy, [points * size for size in _moved()]),
            "deflate the XML": 0.0,
            "digest the zips": timed(lambda blob: hashlib.sha256(blob).digest(), blobs[: len(zips)]),
            "write zips, Parquet and registers": timed(
                lambda numbered: (target / str(numbered[0])).write_bytes(numbered[1]), enumerate(blobs)
            ),
        }
        for start in range(0, len(zips), 64):  # not all texts fit into memory
            texts = [_text(path) for path in zips[start : start + 64]]
            parts["deflate the XML"] += timed(_deflate, texts)
    start_s = time.perf_counter()
    sync_filesystem(target)
    return parts | {"sync": time.perf_counter() - start_s}


def _moved() -> list[int]:
    """Bytes a point of each large copy; both stamps of a point are read."""
    return [_READ_BYTES, _READ_BYTES, _CELL_BYTES // 2, _CELL_BYTES // 2]


def _read(path: Path) -> None:
    buffer = bytearray(1 << 22)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _copy(size: int) -> None:
    np.zeros(size, np.uint8).copy()


def _text(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])


def _deflate(text: bytes) -> None:
    stream, view, crc = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15), memoryview(text), 0
    for start in range(0, len(view), _PORTION):
        portion = view[start : start + _PORTION]
        crc = isal_zlib.crc32(portion, crc)
        stream.compress(portion)
    stream.flush()


if __name__ == "__main__":
    main()
