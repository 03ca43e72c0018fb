# SPDX-License-Identifier: Apache-2.0
"""Examples of rules, run through the code that judges in earnest."""

from datetime import datetime, timedelta
from pathlib import Path

from koma.slots import slot_at_ms
from pipeline.home import Home
from pipeline.intake import take_in
from pipeline.journal import Journal
from pipeline.master.view import ALWAYS_MS, OPEN_MS
from pipeline.rules.page import counted, valued
from pipeline.rules.rule import CellExample, Example, Hung, RowExample
from tests.homes import JST, Read, at, hand_over, new_home, point, settings_of
from tests.small_masters import Meter, Point, computed, ends

DATE = "2026-10-06"
NOON = at(f"{DATE}T12:00")


def moment(text: str) -> int:
    """Milliseconds of `HH:MM[:SS][+days]` on the examples' day."""
    clock, _, days = text.partition("+")
    when = datetime.fromisoformat(f"{DATE}T{clock}").replace(tzinfo=JST) + timedelta(days=int(days or 0))
    return int(when.timestamp()) * 1000


def tried(example: Example, folder: Path) -> str:
    """Put into words what the code makes of an example."""
    if isinstance(example, RowExample):
        return tried_rows(example, folder)
    assert isinstance(example, CellExample)
    return tried_cell(example)


def tried_rows(example: RowExample, folder: Path) -> str:
    """Hand the rows over to a home that knows meter A since always, and C from noon on with register 5."""
    since = {"register": "import", "digits": 6, "unit_exponent": -1}
    meters = [
        {"point_id": point(0), "meter_id": "A", "installed_at": "", "install_register": "", **since},
        {"point_id": point(1), "meter_id": "C", "installed_at": f"{DATE}T12:00", "install_register": 5, **since},
    ]
    home = new_home(folder / "home", points=[{"point_id": point(n)} for n in range(2)], meters=meters)
    hand_over(home, "rows.arrow", [Read(row[0], moment(row[1]), moment(row[2]), *row[3:]) for row in example.rows])
    return counted(taken(home))


def taken(home: Home) -> dict[str, int]:
    """Take in what lies in landing, and count it by rule."""
    journal = Journal(home.path("journal"))
    try:
        found = take_in(home, journal, settings_of(home), accept_clock=True)
    finally:
        journal.close()
    accepted = {"accepted": found.counts.accepted} if found.counts.accepted else {}
    return accepted | found.by_rule()


def hung(each: Hung, start: int | None, end: int | None) -> Meter:
    """Make an installation of an example one of a small master."""
    registers = (-1 if value is None else value for value in (each.first, each.last))
    return Meter(
        start,
        end,
        moment(each.since) if each.since else ALWAYS_MS,
        moment(each.until) if each.until else OPEN_MS,
        each.digits,
        each.unit_exponent,
        each.coefficient,
        *registers,
    )


def tried_cell(example: CellExample) -> str:
    """Compute the cell from noon to half past of a retailer's point."""
    meters = tuple(hung(each, *(each.registers or (None, None))) for each in example.meters)
    points = [Point(meters, telemetry=example.telemetry, cap_dwh=example.cap_dwh)]
    ((owner, quality, energy),) = computed(points, slot_at_ms(NOON), ends(points, NOON))
    assert owner == 1
    return valued(quality, energy)
