# SPDX-License-Identifier: Apache-2.0
"""I6: an area falls silent and comes back. Nothing used is 0, nothing heard is missing; two days of registers of every
meter then arrive at once, and the current slot goes first."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from koma.settings import Settings
from pipeline.agenda import Agenda, Kind
from pipeline.backlog import CURRENT, Backlog
from pipeline.home import Home
from pipeline.journal import State
from pipeline.registers import Column
from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, Read, at, hand_over, iso, new_home, point, reads_of, run
from tests.independent_reader import closings, files, read_tree
from tests.unguarded import Guard, break_without, differing, hold

START = at("2026-10-06T00:00")
SILENT = range(4, 100)
"""Stamps of the two days without a word; the area is heard again at stamp 100."""
LAST = 102
SUPPLIER = "11113"
POINTS, VACANT = 4, 3
ZERO = "an empty house used 0, before and after; a silent one is missing"
IN_TIME = "every slot closes by T+45, those of the flood too"
WHOLE = "in the end every slot has its energy, as revisions of what was missing"
FIRST = "current files go before the flood, whatever landed first"


def register(number: int, stamp: int) -> int:
    return 500 if number == VACANT else 500 + 2 * stamp


def reads(number: int, stamps: range, received_ms: int) -> list[Read]:
    """Give reads that all arrive at once."""
    return [Read(f"M{number}", START + k * SLOT_MS, received_ms, register(number, k)) for k in stamps]


def order_of_work(folder: Path) -> list[str]:
    """Give the first file a watch takes in when an instant is due, with the flood landed before the current slot."""
    home = new_home(folder / "watched")
    now_ms = START + LAST * SLOT_MS + 11 * MINUTE_MS
    for n in range(POINTS):
        hand_over(home, f"a-flood-{n}.arrow", reads(n, SILENT, now_ms - 10 * MINUTE_MS))
    hand_over(home, "b-current.arrow", reads(0, range(LAST, LAST + 1), now_ms - 9 * MINUTE_MS))
    backlog = Backlog(home.landing)
    backlog.scan(now_ms)
    backlog.look(60.0)
    state = State(issued_ms=now_ms - 6 * MINUTE_MS, first_slot=START // SLOT_MS)
    step = Agenda(Settings(home=home.root), by_hand=False).next_step(backlog, state, now_ms)
    return [step.kind.name, *(each.name for each in step.files)]


def silent_and_restored(folder: Path) -> tuple[Home, dict[str, int | None]]:
    """Play it turn by turn; also gives what the first issues said of the first silent slot."""
    home = new_home(
        folder / "home",
        points=[{"point_id": point(n)} for n in range(POINTS)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(POINTS)],
        supply=[
            {"point_id": point(n), "retailer_code": SUPPLIER, "valid_from": "2020-01-01T00:00"} for n in range(POINTS)
        ],
    )
    for n in range(POINTS):
        before = [register(n, k) for k in range(LAST + 1)]
        heard = [None if k in SILENT and n != VACANT else value for k, value in enumerate(before)]
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, heard[:100]))
        hand_over(home, f"{n}-after.arrow", reads_of(f"M{n}", START + 100 * SLOT_MS, before[100:]))
    run(home, wall_ms=START + 100 * SLOT_MS - MINUTE_MS)
    silent = {
        row.point_id: row.energy_dwh
        for file in files(home.deliveries)
        if file.slot_start == iso(START + 10 * SLOT_MS)
        for row in file.rows
    }
    restored_ms = START + 100 * SLOT_MS + 5 * MINUTE_MS
    for n in range(POINTS):
        hand_over(home, f"flood-{n}.arrow", reads(n, SILENT, restored_ms))
    run(home, wall_ms=START + LAST * SLOT_MS + 46 * MINUTE_MS)
    run(home, wall_ms=START + LAST * SLOT_MS + 72 * HOUR_MS)
    return home, silent


def story(folder: Path) -> Mapping[str, str]:
    home, silent = silent_and_restored(folder)
    cells = read_tree(home.deliveries)
    energies = {(start, name): cell.energy_dwh for (_, start, name), cell in cells.items()}
    found = {(n, k): energies.get((iso(START + k * SLOT_MS), point(n))) for n in range(POINTS) for k in range(LAST)}
    truth = {(n, k): 1_000 * (register(n, k + 1) - register(n, k)) for n, k in found}
    wrong = [key for key in truth if found[key] != truth[key]]
    late = [start for (_, start), line in closings(home.deliveries).items()
            if START <= at(start[:16]) < START + LAST * SLOT_MS
            and at(line.issued_at[:16]) > at(start[:16]) + SLOT_MS + 45 * MINUTE_MS]  # fmt: skip
    revised = {(file.slot_start, row.point_id) for file in files(home.deliveries) if file.revision for row in file.rows}
    # slots 98 and 99 are still open when the area comes back
    gaps = {(iso(START + k * SLOT_MS), point(n)) for n in range(POINTS) if n != VACANT for k in range(3, 98)}
    return {
        ZERO: differing(silent, {point(n): 0 if n == VACANT else None for n in range(POINTS)}),
        IN_TIME: f"{late[:3]}" if late else "",
        WHOLE: f"{wrong[:3]}" if wrong else "" if revised == gaps else f"{len(revised)} revised, {len(gaps)} gaps",
        FIRST: differing(order_of_work(folder), [Kind.CURRENT.name, "b-current.arrow"]),
    }


def _zeros(installs: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Take what was never read for a register of 0 that has long been there."""
    return np.zeros_like(Column.empty(0, installs).words)


GUARDS = [
    Guard("pipeline.registers._blank", _zeros, ZERO),
    Guard("pipeline.issuing.latest_arrivals", lambda _: {}, WHOLE),
    Guard("pipeline.backlog.Landed.kind", lambda *_: CURRENT, FIRST),
]


def test_an_area_that_comes_back_is_made_good_without_delay(tmp_path: Path) -> None:
    hold(story, tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
