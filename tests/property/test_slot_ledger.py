# SPDX-License-Identifier: Apache-2.0
"""Whatever subset of points falls silent, at whatever stage, is named within one slot with its cause, and no other.

The pipeline itself runs on small homes: a read that was never collected, a row that no decoder can read, a read off
the grid, a meter that the master lost, cells whose computing or writing was skipped, a retailer that fetches nothing.
"""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.cell_kernels import Ends
from pipeline.delivery import DeliveryFile, ManifestEntry, write_delivery
from pipeline.home import Home
from pipeline.ledger.reading import named_points, read_model
from pipeline.master import MasterView, open_master
from pipeline.register_kernels import ABSENT
from pipeline.shard_cells import slot_ends
from tests.homes import MINUTE_MS, SLOT_MS, Read, drop, hand_over, iso, run
from tests.ledger_homes import START, delivered, index_releases, let_go, made, reads

POINTS = 12
CODES = ("11113", "22223", "33333")
NAMED_MS = START + 2 * SLOT_MS
"""One slot after the first slot's end."""
CLOSED_MS = START + SLOT_MS + 45 * MINUTE_MS
HEADER = "meter_id,read_at,import_register,received_at\n"

WANTED = {
    "collection": ("not_collected", ""),
    "decode": ("quarantined", "register_range"),
    "quarantine": ("quarantined", "off_grid"),
    "master": ("master_mismatch", "unknown_meter"),
    "compute": ("computed_not_published", ""),
    "writing": ("computed_not_published", ""),
}
"""Cause and code by what befalls a point."""

FATES = st.lists(st.sampled_from(("", *WANTED, "telemetry")), min_size=POINTS, max_size=POINTS).map(
    lambda drawn: [""] * len(CODES) + drawn[len(CODES) :]  # one of each retailer is well: no file is without rows
)
"""What befalls each point; nothing, or no telemetry, which is in order."""
FETCHING = st.sets(st.sampled_from(CODES))
"""Retailers that fetch what they are sent."""


def hand_all_over(home: Home, fates: list[str]) -> None:
    for n, fate in enumerate(fates):
        first, last = reads(n, 2)
        match fate:
            case "telemetry":
                continue
            case "collection":
                hand_over(home, f"{n}.arrow", [first])
            case "decode":
                hand_over(home, f"{n}.arrow", [first])
                row = f"{last.meter},{iso(last.read_at_ms)},no number,{iso(last.received_ms)}\n"
                drop(home, f"{n}.csv", (HEADER + row).encode())
            case "quarantine":
                off = Read(last.meter, last.read_at_ms + 7 * MINUTE_MS, last.received_ms + 7 * MINUTE_MS, last.value)
                hand_over(home, f"{n}.arrow", [first, off])
            case _:
                hand_over(home, f"{n}.arrow", [first, last])


def blind(home: Home, numbers: set[int]) -> Callable[..., Ends]:
    """Give the ends of a slot as an issue sees them that overlooks the registers of some points."""
    view = open_master(home.root)
    locals_ = [int(view.install_local[view.install_of[p]]) for p in positions(view, numbers)]

    def ends(*args: Any) -> Ends:
        found = slot_ends(*args)
        words = found.end.copy()
        words[locals_] = ABSENT
        return found._replace(end=words)

    return ends


def forgetful(numbers: set[int]) -> Callable[..., ManifestEntry]:
    """Give a writer of delivery files that loses the rows of some points."""

    def write(file: DeliveryFile, *args: Any, **options: Any) -> ManifestEntry:
        ids = [int(file.point_id[p].tobytes()[2:]) for p in file.positions.tolist()]
        kept = np.array([n not in numbers for n in ids], bool)
        rows = ("positions", "ref_row", "energy_dwh", "available", "quality")
        return write_delivery(replace(file, **{name: getattr(file, name)[kept] for name in rows}), *args, **options)

    return write


def positions(view: MasterView, numbers: set[int]) -> list[int]:
    return [p for p in range(view.n_points) if int(view.point_id[p].tobytes()[2:]) in numbers]


def of_fate(fates: Sequence[str], *some: str) -> set[int]:
    return {n for n, fate in enumerate(fates) if fate in some}


def named(home: Home, now_ms: int, cause: str = "") -> dict[int, tuple[str, str]]:
    found = named_points(home, now_ms, cause=cause, limit=1000)
    return {int(each.point_id[2:]): (each.cause, each.code) for each in found if each.since_ms == START}


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])  # each runs the line twice
@given(FATES, FETCHING)
def test_any_subset_silenced_at_any_stage_is_named_within_one_slot_with_its_cause(
    fates: list[str], fetching: set[str]
) -> None:
    lost, silent = of_fate(fates, "master"), of_fate(fates, "telemetry")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as faults:
        home = made(Path(folder), POINTS, without=lost, silent=silent, codes=CODES)
        hand_all_over(home, fates)
        faults.enter_context(patch("pipeline.issue_graph.slot_ends", blind(home, of_fate(fates, "compute"))))
        faults.enter_context(patch("pipeline.issue_graph.write_delivery", forgetful(of_fate(fates, "writing"))))
        run(home, wall_ms=NAMED_MS)
        wanted = {n: WANTED[fate] for n, fate in enumerate(fates) if fate in WANTED}
        assert named(home, NAMED_MS) == wanted
        model = read_model(home, NAMED_MS, clock="manual")
        counts = model.slots[0].counts
        assert (counts.expected, counts.apart.get("no_telemetry", 0)) == (POINTS, len(silent))
        assert counts.due == counts.published + sum(counts.missing.values())
        gone = of_fate(fates, "collection", "decode", "quarantine", "master")
        assert counts.computed == POINTS - len(silent | gone)
        structural = {cause for cause, _ in wanted.values()} - {"not_collected"}
        assert any(each.code == "stagnated" for each in model.alarms) == bool(structural)

        run(home, wall_ms=CLOSED_MS)
        assert named(home, CLOSED_MS) == wanted
        index_releases(home, CLOSED_MS)
        let_go(home, [each for each in delivered(home) if each[:5] in fetching], CLOSED_MS)
        waiting = {n for n in range(POINTS) if CODES[n % len(CODES)] not in fetching} - of_fate(fates, "writing")
        late = named(home, CLOSED_MS + SLOT_MS + 1, "published_not_fetched")
        assert set(late) == waiting
        assert {cause for cause, _ in late.values()} <= {"published_not_fetched"}
