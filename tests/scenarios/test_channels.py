# SPDX-License-Identifier: Apache-2.0
"""A10: meters of 30, 15, 5 and 1 minutes in one home. Half-hours are the sums of finer slots; codes are right.

Each guard is taken away as well, and the scenario then fails.
"""

import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from koma.slots import first_slot_of_day, slot_code, slot_start_ms
from pipeline import channels, month_registers
from pipeline.channel_files import fine_values
from pipeline.channels import Known, day_values, known_now
from pipeline.home import Home
from pipeline.quality import MISSING
from pipeline.state import StampIndex
from tests.finer import DAY, LENGTHS, finer_home, interval, reads_every
from tests.homes import MINUTE_MS, hand_over, run

DATE = date.fromisoformat(DAY)
MODULUS = 10**6


def town(root: Path) -> tuple[Home, list[list[int]]]:
    """Make a home of four meters of one house's use each, read over a whole day; returns it and the use by minute.

    The registers pass their highest value in the morning, and the meter of 5 minutes is exchanged at 10:05.
    """
    chance = random.Random(11)  # noqa: S311
    use = [[chance.randrange(5) for _ in range(24 * 60)] for _ in LENGTHS]
    at_ms = {"removed_at": f"{DAY}T10:05", "removal_register": 7777}
    after = {"meter_id": "M2x", "installed_at": f"{DAY}T10:05", "install_register": 0}
    meters = [interval(number, minutes) for number, minutes in enumerate(LENGTHS)]
    meters[2] |= at_ms
    home = finer_home(root, [*meters, interval(2, 5, **after)])
    reads = []
    for number, minutes in enumerate(LENGTHS):
        shown = (np.concatenate([[0], np.cumsum(use[number])]) + MODULUS - 700) % MODULUS
        if number == 2:
            changed = 10 * 60 + 5
            before = (shown[: changed + 1] - shown[changed] + 7777) % MODULUS
            reads += reads_every("M2", minutes, before[:-1:minutes].tolist())
            new = (shown - shown[changed])[changed + minutes :: minutes] % MODULUS
            first_ms = slot_start_ms(first_slot_of_day(DATE)) + (changed + minutes) * MINUTE_MS
            reads += reads_every("M2x", minutes, new.tolist(), first_ms=first_ms)
        else:
            reads += reads_every(f"M{number}", minutes, shown[::minutes].tolist())
    chance.shuffle(reads)
    for part in range(3):
        hand_over(home, f"part{part}.arrow", reads[part::3])
        run(home)
    return home, use


def agree(known: Known, use: list[list[int]]) -> None:
    """Hold every point, in slots of every length it has, against what its house used."""
    for number, own in enumerate(LENGTHS):
        for minutes in (each for each in LENGTHS if each >= own):
            (values,) = day_values(known, np.array([number], np.uint32), DATE, minutes)
            expected = np.array(use[number]).reshape(-1, minutes).sum(axis=1) * 100
            assert (values.quality[0] < MISSING).all(), (number, minutes)
            assert values.energy[0].tolist() == expected.tolist(), (number, minutes)


def codes(known: Known) -> None:
    """Hold the slot codes of the exported rows against their starts."""
    told = fine_values(known, DATE)
    assert (told.missing, told.unequal) == (0, 0)
    rows = told.rows.to_pylist()
    assert len(rows) == 96 + 288 + 1440
    for row in rows:
        start = row["slot_start"]
        assert row["slot_code"] == (start.hour * 60 + start.minute) // row["minutes"] + 1
        assert row["slot_code"] == slot_code(int(start.timestamp()) // 60 // row["minutes"], row["minutes"])
    last = {row["minutes"]: row["slot_code"] for row in rows}
    assert last == {15: 96, 5: 288, 1: 1440}


def played(root: Path) -> None:
    home, use = town(root)
    known = known_now(home)
    agree(known, use)
    codes(known)


def test_channels_of_all_lengths_add_up_and_have_right_codes(tmp_path: Path) -> None:
    played(tmp_path / "home")


def without_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take reads between slot boundaries for reads off the grid, or of the boundary they are near."""
    monkeypatch.setattr("pipeline.intake_graph.split_minutes", lambda batch, _view, _bounds: (batch, ()))


def without_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget that registers on slot boundaries stand in the other book."""
    gather = month_registers.gather
    nowhere = StampIndex()
    monkeypatch.setattr(
        channels,
        "gather",
        lambda folder, index, *rest: gather(folder, nowhere if folder.name == "registers" else index, *rest),
    )


def without_stretching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exchanges stand at their own time while slots are stretched."""
    stretched = channels._stretched
    monkeypatch.setattr(channels, "_stretched", lambda master, position, _: stretched(master, position, 1))


def with_codes_of_half_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count codes as if every slot were half an hour."""
    monkeypatch.setattr(
        "pipeline.channel_files._codes", lambda count: np.arange(count, dtype=np.int16) * 48 // count + 1
    )


@pytest.mark.parametrize("removed", [without_minutes, without_boundaries, without_stretching, with_codes_of_half_hours])
def test_without_a_guard_the_scenario_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: Callable[[pytest.MonkeyPatch], None]
) -> None:
    removed(monkeypatch)
    with pytest.raises(AssertionError):
        played(tmp_path / "home")
