# SPDX-License-Identifier: Apache-2.0
"""I1, the chain of 2016: a synchronisation of the master fails, exchanges come late, reads are lost, an issue overlooks
points. Each alarm is raised one slot after the first slot's end, each point is named with its cause and ages; nobody
waits for the fourth business day; and when all is put right, the list is empty and nothing was lost."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from koma.slots import format_jst
from pipeline.home import Home
from pipeline.ledger.book import survey_due
from pipeline.ledger.evidence import Evidence
from pipeline.ledger.model import SlaModel, StagnatedPoint
from pipeline.ledger.reading import named_points, read_model
from pipeline.state import State
from tests.homes import (
    HOUR_MS,
    MINUTE_MS,
    SLOT_MS,
    Read,
    Row,
    at,
    hand_over,
    iso,
    learn,
    new_home,
    point,
    reads_of,
    run,
)
from tests.independent_reader import read_tree
from tests.unguarded import Guard, break_without, differing, hold

START = at("2026-10-06T10:00")
"""A Tuesday; the fourth business day after it is the Monday that is closed, so the Tuesday after."""
POINTS, SLOTS = 50, 8
NOT_SYNCHRONISED, EXCHANGED, OFF_GRID, NO_TELEMETRY = (7, 31), (12,), (20, 21), (40,)
LOST = (3, 4)
RETAILER = "11113"
ONE_SLOT_MS = START + 2 * SLOT_MS
"""One slot after the first slot's end, before it is closed."""
DAY_MS = 24 * HOUR_MS

NAMED = "one slot later every point is named with its cause, and no other"
ALARMED = "one slot later there is an alarm for each cause that no waiting mends"
AGED = "a week later the points that are still missing are named with their age in slots and business days"
APART = "a point without telemetry is counted apart and never late"
MENDED = "when all is put right the list is empty, and every cell has its value"


def meters(numbers: tuple[int, ...]) -> list[Row]:
    return [{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in numbers]


def exchanged(n: int) -> list[Row]:
    """Give the two installations of a point whose meter was exchanged just before the first slot."""
    old = {"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1}
    moment = iso(START)
    return [
        old | {"installed_at": "2020-01-01T00:00:00+09:00", "removed_at": moment, "removal_register": 999},
        old | {"meter_id": f"N{n}", "installed_at": moment, "removed_at": "", "removal_register": ""},
    ]


def named(home: Home, now_ms: int) -> dict[int, StagnatedPoint]:
    """Give what is named of the first slot; after the last one the head-end has no more to tell, of any point."""
    found = named_points(home, now_ms, limit=1000)
    return {int(each.point_id[2:]): each for each in found if each.since_ms == START}


def wanted() -> dict[int, str]:
    return (
        dict.fromkeys((*NOT_SYNCHRONISED, *EXCHANGED), "master_mismatch")
        | dict.fromkeys(LOST, "not_collected")
        | dict.fromkeys(OFF_GRID, "quarantined")
    )


def alarms(model: SlaModel) -> set[tuple[str, str, str]]:
    return {(each.detail, format_jst(each.since_ms), each.area) for each in model.alarms if each.code == "stagnated"}


def began(folder: Path) -> Home:
    """Hand the first slot over: of an exchanged point the new meter's reads, which the master does not know."""
    whole = tuple(n for n in range(POINTS) if n not in {*NOT_SYNCHRONISED, *NO_TELEMETRY, *EXCHANGED})
    open_end: Row = {"installed_at": "", "removed_at": "", "removal_register": ""}
    home = new_home(
        folder / "home",
        points=[{"point_id": point(n), "telemetry": 0 if n in NO_TELEMETRY else 1} for n in range(POINTS)],
        meters=[*({**row, **open_end} for row in meters(whole)), *(exchanged(n)[0] for n in EXCHANGED)],
        supply=[
            {"point_id": point(n), "retailer_code": RETAILER, "valid_from": "2020-01-01T00:00"} for n in range(POINTS)
        ],
    )
    for n in range(POINTS):
        if n not in NO_TELEMETRY:
            hand_over(home, f"{n}-0.arrow", told(n)[: 1 if n in LOST else 2])
    return home


def told(n: int) -> list[Read]:
    """Give what the head-end has of a point's meter; two of them latch seven minutes late until they are set right."""
    mine = reads_of(f"{'N' if n in EXCHANGED else 'M'}{n}", START, range(n, n + 3 * (SLOTS + 1), 3))
    if n in OFF_GRID:
        mine[1] = Read(mine[1].meter, mine[1].read_at_ms + 7 * MINUTE_MS, mine[1].received_ms + 7 * MINUTE_MS, n + 3)
    return mine


def story(folder: Path) -> Mapping[str, str]:
    home = began(folder)
    run(home, wall_ms=ONE_SLOT_MS)
    model = read_model(home, ONE_SLOT_MS, clock="manual")
    at_once, raised = {n: each.cause for n, each in named(home, ONE_SLOT_MS).items()}, alarms(model)
    apart = model.slots[0].counts.apart

    for n in range(POINTS):  # all later reads come, but for those that were lost for good
        if n not in NO_TELEMETRY and n not in LOST:
            hand_over(home, f"{n}-1.arrow", told(n)[2:])
    week_ms = START + 7 * DAY_MS
    run(home, wall_ms=week_ms)
    ages = {n: (each.age_slots, each.age_business_days) for n, each in named(home, week_ms).items()}

    learn(home, meters=meters(NOT_SYNCHRONISED))
    learn(home, meters=[exchanged(n)[1] for n in EXCHANGED])
    late_ms = week_ms + HOUR_MS
    for n in (*LOST, *OFF_GRID):
        again = reads_of(f"M{n}", START, range(n, n + 3 * (SLOTS + 1), 3))[1 : None if n in LOST else 2]
        hand_over(home, f"{n}-2.arrow", [Read(r.meter, r.read_at_ms, late_ms, r.value) for r in again])
    run(home, wall_ms=week_ms + 2 * DAY_MS)
    left = set(named(home, week_ms + 2 * DAY_MS))
    cells = read_tree(home.deliveries)
    keys = [(RETAILER, iso(START + k * SLOT_MS), point(n)) for n in range(POINTS) for k in range(SLOTS)]
    wrong = [key[1:] for key in keys if int(key[2][2:]) not in NO_TELEMETRY and cells[key].energy_dwh != 3_000]
    return {
        NAMED: differing(at_once, wanted()),
        ALARMED: differing(
            raised,
            {
                (words, "2026-10-06T11:00:00+09:00", "03")
                for words in ("3 points: master mismatch", "2 points: quarantined")
            },
        ),
        APART: differing(apart, {"no_telemetry": len(NO_TELEMETRY)}),
        AGED: differing(ages, dict.fromkeys(wanted(), (7 * 48 - 1, 4))),
        MENDED: differing(left, set()) or (f"{wrong[:3]}" if wrong else ""),
    }


def look_away(*_: object) -> Evidence:
    return Evidence()


def after_four_days(home: Home, state: State, slots: int = 0) -> Iterator[int]:
    """Survey nothing that is younger than four business days, as the procedure of 2016 did."""
    old = replace(state, issued_ms=state.issued_ms - 6 * DAY_MS)
    return survey_due(home, old, *([slots] if slots else []))


GUARDS = [
    Guard("pipeline.ledger.survey.evidence_at", look_away, NAMED),
    Guard("pipeline.ledger.survey.evidence_at", look_away, ALARMED),
    Guard("pipeline.ledger.reading.survey_due", after_four_days, NAMED),
    Guard("pipeline.ledger.reading.survey_due", after_four_days, ALARMED),
    Guard("pipeline.ledger.alarms._of_stagnation", lambda *_: (), ALARMED),
    Guard("pipeline.ledger.stagnated.business_days", lambda *_: 0, AGED),
    Guard("pipeline.intake.may_rejudge", lambda *_: False, MENDED),
]


def test_the_chain_of_2016_is_named_and_called_out_one_slot_later(tmp_path: Path) -> None:
    hold(story, tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
