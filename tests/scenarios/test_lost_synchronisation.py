# SPDX-License-Identifier: Apache-2.0
"""A6, I1a and I1c: some master rows never came. Every point concerned is named at the first closing, with its reason,
for as long as it lasts; no total changes without a revision; and when the rows come, nothing was lost."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline import quality
from pipeline.home import Home
from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, Row, at, hand_over, iso, learn, new_home, point, reads_of, run
from tests.independent_reader import closings, files, read_tree
from tests.unguarded import Guard, break_without, differing, hold

START = at("2026-10-06T10:00")
POINTS, SLOTS = 50, 6
LOST_METERS, LOST_SUPPLY = (7, 31), (12,)
RETAILERS = ("11113", "22223")
CLOSED_MS = START + SLOT_MS + 45 * MINUTE_MS
NAMED = "one slot later every point without a meter is named, and no other"
AGED = "it is named in every slot until the rows come"
UNASSIGNED = "a point that nobody supplies is counted under 00000"
TOTALS = "a retailer's total changes by revisions alone"
WHOLE = "when the rows have come, every cell has its value"


def retailer(number: int) -> str:
    return RETAILERS[number % 2]


def meters(numbers: range | tuple[int, ...]) -> list[Row]:
    return [{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in numbers]


def supply(numbers: range | tuple[int, ...]) -> list[Row]:
    since = "2020-01-01T00:00"
    return [{"point_id": point(n), "retailer_code": retailer(n), "valid_from": since} for n in numbers]


def unnamed(home: Home, slot: int) -> set[str]:
    """Give the points that a closed slot's first issue names as without a meter."""
    return {
        row.point_id
        for file in files(home.deliveries)
        if file.slot_start == iso(START + slot * SLOT_MS) and file.revision == 0
        for row in file.rows
        if row.quality == quality.QUALITIES[quality.NO_METER]
    }


def nobody_s(home: Home) -> int:
    """Give the cells of the first slot that nobody supplies, as the ledger counts them."""
    lines = (home.path("ledger") / "slots-20261006.jsonl").read_text().splitlines()
    (first, *_) = [each for each in map(json.loads, lines) if each["slot_start"] == iso(START)]
    return int(first["retailers"].get("00000", [0])[0])


def totals(home: Home) -> dict[str, int]:
    found = dict.fromkeys(RETAILERS, 0)
    for (code, _, _), cell in read_tree(home.deliveries).items():
        found[code] += cell.energy_dwh or 0
    return found


def story(folder: Path) -> Mapping[str, str]:
    every = range(POINTS)
    home = new_home(
        folder / "home",
        points=[{"point_id": point(n)} for n in every],
        meters=[row for n, row in enumerate(meters(every)) if n not in LOST_METERS],
        supply=[row for n, row in enumerate(supply(every)) if n not in LOST_SUPPLY],
    )
    for n in every:
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, range(n, n + 3 * SLOTS + 1, 3)))
    run(home, wall_ms=CLOSED_MS)
    at_once, counted = unnamed(home, 0), nobody_s(home)
    run(home, wall_ms=START + SLOTS * SLOT_MS + 45 * MINUTE_MS)
    aged = [unnamed(home, slot) for slot in range(SLOTS)]
    before = totals(home)

    learn(home, meters=meters(LOST_METERS), supply=supply(LOST_SUPPLY))
    run(home, wall_ms=START + 12 * HOUR_MS)
    revised = dict.fromkeys(RETAILERS, 0)
    for file in files(home.deliveries):
        if file.revision:
            revised[file.retailer] += sum(row.energy_dwh or 0 for row in file.rows)
    after, cells = totals(home), read_tree(home.deliveries)
    lost = {point(n) for n in LOST_METERS}
    keys = [(retailer(n), iso(START + k * SLOT_MS), point(n)) for n in every for k in range(SLOTS)]
    wrong = [key[1:] for key in keys if key not in cells or cells[key].energy_dwh != 3_000]
    shut = closings(home.deliveries)
    due = {code: POINTS // 2 - sum(retailer(n) == code for n in LOST_SUPPLY) for code in RETAILERS}
    expected = {code: shut[code, iso(START)].expected if (code, iso(START)) in shut else 0 for code in RETAILERS}
    return {
        NAMED: differing(at_once, lost) or differing(expected, due),
        AGED: differing(aged, [lost] * SLOTS),
        UNASSIGNED: differing(counted, len(LOST_SUPPLY)),
        TOTALS: differing({code: after[code] - before[code] for code in RETAILERS}, revised)
        or differing(sum(after.values()), POINTS * SLOTS * 3_000),
        WHOLE: f"{wrong[:3]}" if wrong else "",
    }


GUARDS = [
    Guard("pipeline.issue_graph._closings", lambda expected, _: np.full(len(expected), 2, np.int8), NAMED),
    Guard("pipeline.issue_graph._closings", lambda expected, _: np.full(len(expected), 2, np.int8), AGED),
    Guard("pipeline.intake.may_rejudge", lambda *_: False, WHOLE),
]


def test_what_was_lost_on_the_way_is_named_and_made_good(tmp_path: Path) -> None:
    hold(story, tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
