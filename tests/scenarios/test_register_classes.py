# SPDX-License-Identifier: Apache-2.0
"""A3: a thousand roll-overs, exchanges and backward registers each are told apart, and none is delivered falsely."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.handover import ReadBatch
from pipeline.master import build
from tests.homes import MINUTE_MS, NO_READ, SLOT_MS, Row, at, hand_over, iso, new_home, point, run
from tests.independent_reader import read_tree
from tests.unguarded import Guard, break_without, differing, hold

START = at("2026-10-06T10:00")
EACH = 1000
SUPPLIER = "11113"
EXCHANGED_MS = START + SLOT_MS + 7 * MINUTE_MS
CLASSES = "each register is what it is, no more and no less"
ENERGY = "what is delivered is what the meters counted"


def registers(number: int) -> list[tuple[str, int, int]]:
    """Give meter, stamp and register of the reads of one point; what is particular happens in the second slot."""
    kind, step = number % 3, 1 + number // 3 % 9
    old, new = f"M{number}", f"N{number}"
    if kind == 0:
        return [(old, k, (999_999 - step + k * step) % 1_000_000) for k in range(4)]
    if kind == 1:
        return [(old, 0, 500), (old, 1, 500 + step), (new, 2, 7 + step), (new, 3, 7 + 2 * step)]
    return [(old, 0, 500), (old, 1, 500 + step), (old, 2, 500), (old, 3, 500 + step)]


def master(count: int) -> dict[str, list[Row]]:
    blank: Row = {"digits": 6, "unit_exponent": -1, "installed_at": "", "removed_at": ""}
    meters: list[Row] = []
    for n in range(count):
        row = {"point_id": point(n), "meter_id": f"M{n}", **blank, "install_register": "", "removal_register": ""}
        if n % 3 == 1:
            when = iso(EXCHANGED_MS)
            last = 500 + 2 * (1 + n // 3 % 9)
            meters.append({**row, "meter_id": f"N{n}", "installed_at": when, "install_register": 7})
            row |= {"removed_at": when, "removal_register": last}
        meters.append(row)
    return {
        "points": [{"point_id": point(n), "contract_kw": 10} for n in range(count)],
        "meters": meters,
        "supply": [
            {"point_id": point(n), "retailer_code": SUPPLIER, "valid_from": "2020-01-01T00:00"} for n in range(count)
        ],
    }


def batch(count: int) -> ReadBatch:
    rows = [each for n in range(count) for each in registers(n)]
    read_at = np.array([START + k * SLOT_MS for _, k, _ in rows], np.int64)
    return ReadBatch(
        "made",
        np.array([meter.encode() for meter, _, _ in rows], "S16").view(np.uint64).reshape(len(rows), 2),
        read_at,
        read_at + 2 * MINUTE_MS,
        np.array([register for _, _, register in rows], np.uint32),
        np.full(len(rows), NO_READ, np.uint32),
        np.arange(len(rows)),
    )


def played(folder: Path, count: int) -> Mapping[str, str]:
    home = new_home(folder / "home", **master(count))
    hand_over(home, "reads.arrow", batch(count))
    run(home, wall_ms=START + 4 * SLOT_MS)
    cells = read_tree(home.deliveries)
    found, energy = Counter[tuple[int, str]](), []
    for n in range(count):
        step = 1 + n // 3 % 9
        for k in range(3):
            cell = cells[SUPPLIER, iso(START + k * SLOT_MS), point(n)]
            found[n % 3, cell.quality] += 1
            counted = {1: 2 * step, 2: None}.get(n % 3, step) if k == 1 else step
            if cell.energy_dwh != (None if counted is None else 1_000 * counted):
                energy.append(f"{point(n)} at {k}: {cell.energy_dwh}")
    each = count // 3
    wanted = Counter({(0, "rollover"): each, (0, "actual"): 2 * each, (1, "actual"): 3 * each})
    wanted |= Counter({(2, "backward"): each, (2, "actual"): 2 * each})
    return {CLASSES: differing(found, wanted), ENERGY: "; ".join(energy[:3])}


def story(folder: Path) -> Mapping[str, str]:
    return played(folder, 30)


def _without_registers_of_exchanges(*given: Any) -> Any:
    arrays = _INSTALL_ARRAYS(*given)
    for name in ("install_first", "install_last"):
        arrays[name] = np.full_like(arrays[name], -1)
    return arrays


_INSTALL_ARRAYS = build._install_arrays
GUARDS = [
    Guard("pipeline.master.rows.Reading.cap_dwh", lambda _, contract: np.full(len(contract), 1 << 61), CLASSES),
    Guard("pipeline.master.rows.Reading.cap_dwh", lambda _, contract: np.full(len(contract), 1 << 61), ENERGY),
    Guard("pipeline.master.build._install_arrays", _without_registers_of_exchanges, CLASSES),
]


def test_a_thousand_of_each_are_told_apart(tmp_path: Path) -> None:
    hold(lambda folder: played(folder, 3 * EACH), tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
