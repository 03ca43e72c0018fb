# SPDX-License-Identifier: Apache-2.0
"""A9: a retailer switch at 00:00 of day D. Slot 48 of D−1 is the old one's, slot 1 of D the new one's.

Both are measured with the register at 00:00, and a period that is off by a slot gives one of them away.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from koma.slots import parse_jst
from pipeline.home import Home
from pipeline.master import rows as master_rows
from tests.homes import HOUR_MS, SLOT_MS, Row, at, hand_over, iso, new_home, point, reads_of, run
from tests.independent_reader import Cell, closings, read_tree

MIDNIGHT = at("2026-10-07T00:00")
FIRST = MIDNIGHT - 2 * SLOT_MS
OLD, NEW = "11113", "22223"
REGISTERS = [700, 730, 745, 752, 752]
"""At 23:00, 23:30, 00:00, 00:30 and 01:00, in units of 0.1 kWh."""
SWITCHED, OTHER = 0, 1

Story = Mapping[tuple[str, str], tuple[int | None, str]]
"""What each retailer holds in the end of the point that is switched: slot start → dWh and quality."""


def supply(number: int, retailer: str, **facts: object) -> Row:
    return {"point_id": point(number), "retailer_code": retailer, "valid_from": "2020-01-01T00:00", **facts}


def switched_home(root: Path) -> Home:
    """Two points of the old retailer; one of them is the new one's from midnight on."""
    return new_home(
        root,
        points=[{"point_id": point(n)} for n in (SWITCHED, OTHER)],
        meters=[
            {"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in (SWITCHED, OTHER)
        ],
        supply=[
            supply(SWITCHED, OLD, valid_to=iso(MIDNIGHT)),
            supply(OTHER, OLD, valid_to=""),
            supply(SWITCHED, NEW, valid_from=iso(MIDNIGHT), valid_to=""),
        ],
    )


def told(home: Home) -> dict[tuple[str, str], tuple[int | None, str]]:
    cells: dict[Any, Cell] = read_tree(home.deliveries)
    return {
        (retailer, start[11:16]): (cell.energy_dwh, cell.quality)
        for (retailer, start, each), cell in cells.items()
        if each == point(SWITCHED) and parse_jst(start) < FIRST + 4 * SLOT_MS
    }


def played(root: Path, registers: list[int | None]) -> Home:
    home = switched_home(root)
    hand_over(home, "a.arrow", reads_of("M0", FIRST, registers))
    hand_over(home, "b.arrow", reads_of("M1", FIRST, [0, 1, 2, 3, 4]))
    run(home, wall_ms=MIDNIGHT + 2 * HOUR_MS)
    return home


WHOLE: Story = {
    (OLD, "23:00"): (30_000, "actual"),
    (OLD, "23:30"): (15_000, "actual"),
    (NEW, "00:00"): (7_000, "actual"),
    (NEW, "00:30"): (0, "actual"),
}


def test_the_last_slot_of_the_day_is_the_old_one_s_and_the_first_the_new_one_s(tmp_path: Path) -> None:
    home = played(tmp_path / "home", list(REGISTERS))

    assert told(home) == WHOLE
    closed = {(code, start[11:16]): each.expected for (code, start), each in closings(home.deliveries).items()}
    assert [closed.get((OLD, start)) for start in ("23:00", "23:30", "00:00")] == [2, 2, 1]
    assert [closed.get((NEW, start)) for start in ("23:00", "23:30", "00:00")] == [None, None, 1]


def test_without_the_register_at_midnight_both_have_a_gap_and_it_fills_both(tmp_path: Path) -> None:
    lost = [value if n != 2 else None for n, value in enumerate(REGISTERS)]
    home = played(tmp_path / "home", lost)
    gaps = {**WHOLE, (OLD, "23:30"): (None, "missing"), (NEW, "00:00"): (None, "missing")}
    assert told(home) == gaps

    late = reads_of("M0", MIDNIGHT, REGISTERS[2:3], delay_ms=2 * HOUR_MS + SLOT_MS)
    hand_over(home, "late.csv", late)
    run(home, wall_ms=MIDNIGHT + 8 * HOUR_MS)

    assert told(home) == WHOLE


def test_a_period_that_is_off_by_a_slot_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_supply = master_rows._READERS["supply"]

    def by_the_end_of_slots(*given: Any) -> Any:
        numbers, words = read_supply(*given)
        for name in ("from_slot", "to_slot"):
            numbers[name] = numbers[name] - 1
        return numbers, words

    monkeypatch.setitem(master_rows._READERS, "supply", by_the_end_of_slots)

    assert told(played(tmp_path / "home", list(REGISTERS))) != WHOLE
