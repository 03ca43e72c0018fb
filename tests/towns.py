# SPDX-License-Identifier: Apache-2.0
"""Simulated towns, handed over in any order, cut in any way: what must come out is always the same.

A town is a master and a heap of reads with everything in it: late, lost, repeated and contradicting reads, exchanges,
switches at midnight, roll-overs, unknown meters, stamps off the grid.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from koma.slots import parse_jst
from pipeline import daily, intake, issue_graph, month_cells, monthly
from pipeline.handover import ReadBatch, decode_chunk, plan_chunks
from pipeline.home import Home, open_home
from pipeline.master import import_master
from pipeline.simulate import Faults, Options, simulate
from tests.homes import digests, hand_over, run
from tests.real_homes import part_of

FORMATS = (".arrow", ".parquet", ".csv", ".csv.gz", ".csv.zst", ".echonet")
FAULTS = Faults(
    losses=0.02,
    late=0.1,
    late_hours=30,
    duplicates=0.05,
    conflicts=0.03,
    skew=0.02,
    off_grid=0.01,
    spikes=0.01,
    backward=0.01,
    rollovers=0.1,
    exchanges=0.1,
    removed=0.02,
    no_meter=0.02,
    no_telemetry=0.02,
    switches=0.2,
    unassigned=0.02,
    unknown=0.1,
)


@dataclass(frozen=True, slots=True)
class Town:
    """A simulated head-end's master folder, and all its reads as one batch."""

    master: Path
    reads: ReadBatch


def build_town(folder: Path, *, points: int, slots: int, seed: int = 1, faults: Faults = FAULTS) -> Town:
    """Simulate a town whose slots begin an hour and a half before a midnight."""
    options = Options(
        points=points,
        slots=slots,
        seed=seed,
        start_ms=parse_jst("2026-10-06T22:30"),
        retailers=6,
        truth="none",
        faults=faults,
    )
    simulate(options, folder)
    chunks = [chunk for path in sorted((folder / "landing").iterdir()) for chunk in plan_chunks(path, 1 << 20)]
    parts = [decode_chunk(chunk).batch for chunk in chunks]
    read_at = np.concatenate([part.read_at_ms for part in parts])
    reads = ReadBatch(
        "town",
        np.concatenate([part.keys for part in parts]),
        read_at // 1000 * 1000,  # telegrams hold whole seconds
        np.concatenate([part.received_ms for part in parts]),
        np.concatenate([part.import_register for part in parts]),
        np.concatenate([part.export_register for part in parts]),
        np.arange(len(read_at)),
    )
    return Town(folder / "master", reads)


def hand_over_town(root: Path, town: Town, *, seed: int, files: int = 0) -> Home:
    """Make a home of the town's master, its reads in random order in a random number of files of all formats."""
    chance = random.Random(seed)  # noqa: S311
    home = open_home(root)
    import_master(home.root, town.master, now_ms=None, first=True, strict=True)
    order = np.random.default_rng(seed).permutation(len(town.reads))
    count = files or chance.randrange(1, 12)
    cuts = [0, *sorted(chance.sample(range(1, len(order)), count - 1)), len(order)]
    names = chance.sample(range(1000), count)
    for number, (first, last) in zip(names, pairwise(cuts), strict=True):
        hand_over(home, f"{number:03d}{chance.choice(FORMATS)}", part_of(town.reads, order[first:last]))
    return home


@contextmanager
def cutting(seed: int) -> Iterator[dict[str, Any]]:
    """Cut the work into batches and elements of random size; gives settings with a random number of workers."""
    chance = random.Random(seed)  # noqa: S311
    sizes = {
        (intake, "BATCH_READS_MAX"): chance.choice([7, 100, 1000, 65_536]),
        (intake, "CHUNKS_PER_GROUP"): chance.choice([1, 3, 8]),
        (issue_graph, "SLOTS_PER_ELEMENT"): chance.choice([1, 5, 48]),
        (daily, "STEP_CELLS"): chance.choice([1, 1000, 64_000_000]),
        (monthly, "STEP_CELLS"): chance.choice([1, 1000, 64_000_000]),
        (month_cells, "CHUNK_CELLS"): chance.choice([1, 1000, 64_000_000]),
    }
    before = {(module, name): getattr(module, name) for module, name in sizes}
    try:
        for (module, name), size in sizes.items():
            setattr(module, name, size)
        yield {"workers": chance.choice([1, 2, 3])}
    finally:
        for (module, name), size in before.items():
            setattr(module, name, size)


def delivered(root: Path, town: Town, *, seed: int, cut: bool = True, **changes: Any) -> dict[str, str]:
    """Run a town through the line in the order and cut of `seed`; returns the digests of all it delivered."""
    home = hand_over_town(root, town, seed=seed)
    if cut:
        with cutting(seed) as settings:
            run(home, **settings, **changes)
    else:
        run(home, **changes)
    return digests(home.deliveries)


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Name the files that two trees do not share."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
