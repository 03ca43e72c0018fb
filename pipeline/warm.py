# SPDX-License-Identifier: Apache-2.0
"""Compile every kernel ahead of use by running the whole line once on a handful of made-up meters.

`./dev` runs this after installing; a later start finds all kernels in the cache and compiles nothing.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from koma.settings import load_settings
from pipeline.handover import ReadBatch
from pipeline.handover.write import write_arrow, write_csv, write_echonet, write_parquet
from pipeline.home import open_home
from pipeline.master import import_master
from pipeline.run import run_once

SLOT_MS = 1_800_000
START_MS = 992_000 * SLOT_MS
METERS = 4


def _master(folder: Path) -> None:
    points = [f"0399{n:018d}" for n in range(METERS)]
    (folder / "points.csv").write_text("point_id\n" + "".join(f"{p}\n" for p in points))
    meters = "".join(f"{p},WARM{n},6,-1\n" for n, p in enumerate(points))
    (folder / "meters.csv").write_text("point_id,meter_id,digits,unit_exponent\n" + meters)
    supply = "".join(f"{p},99993,2020-01-01\n" for p in points)
    (folder / "supply.csv").write_text("point_id,retailer_code,valid_from\n" + supply)


def _reads(stamp: int, offset: int) -> ReadBatch:
    ids = np.array([f"WARM{n}".encode() for n in range(METERS + 1)], "S16")
    count = len(ids)
    return ReadBatch(
        f"warm-{offset}",
        ids.view(np.uint64).reshape(count, 2),
        np.full(count, START_MS + stamp * SLOT_MS + offset),
        np.full(count, START_MS + stamp * SLOT_MS + 60_000 + offset),
        np.arange(count, dtype=np.uint32) + np.uint32(stamp + offset % 2),
        np.full(count, 0xFFFFFFFF, np.uint32),
        np.arange(count),
    )


def main() -> None:
    """Run three small intakes in all formats, with duplicates, a conflict, an unknown meter and a late read."""
    with tempfile.TemporaryDirectory(prefix="koma-warm-") as name:
        root = Path(name)
        source = root / "master"
        source.mkdir()
        _master(source)
        settings = replace(load_settings(environ={}, cwd=root), home=root / "home")
        home = open_home(settings.home)
        import_master(home.root, source, now_ms=0, first=True, strict=True)
        write_arrow(home.landing / "a.arrow", _reads(0, 0))
        write_parquet(home.landing / "b.parquet", _reads(1, 0))
        write_csv(home.landing / "c.csv", _reads(1, 1), "")
        write_echonet(home.landing / "d.echonet", _reads(4, 0))
        run_once(home, settings)
        write_arrow(home.landing / "e.arrow", _reads(2, 2))
        run_once(home, settings)


if __name__ == "__main__":
    main()
