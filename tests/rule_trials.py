# SPDX-License-Identifier: Apache-2.0
"""Examples of rules, run through the code that judges in earnest."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from koma.slots import slot_at_ms, slot_date
from pipeline.home import Home
from pipeline.instants import FIRST_ISSUES, first_daily_ms
from pipeline.intake import take_in
from pipeline.journal import Journal
from pipeline.master import open_master
from pipeline.master.view import ALWAYS_MS, OPEN_MS
from pipeline.registers import Column
from pipeline.rules.day import Found
from pipeline.rules.exports import held_exports
from pipeline.rules.gathering import NOTHING, Gathering
from pipeline.rules.page import counted, flagged, valued
from pipeline.rules.rule import CellExample, DayExample, Example, Hung, RowExample
from pipeline.rules.table import RULES
from pipeline.rules.thresholds import OWN, Thresholds
from pipeline.shard_cells import dated, shard_cells
from tests.homes import JST, SLOT_MS, Read, at, hand_over, new_home, point, settings_of
from tests.small_masters import OPEN_SLOT, Meter, Point, computed, ends, master

DATE = "2026-10-06"
NOON = at(f"{DATE}T12:00")
DAY = slot_at_ms(at(f"{DATE}T00:00"))
DAY_SLOTS = 48


def moment(text: str) -> int:
    """Milliseconds of `HH:MM[:SS][+days]` on the examples' day."""
    clock, _, days = text.partition("+")
    when = datetime.fromisoformat(f"{DATE}T{clock}").replace(tzinfo=JST) + timedelta(days=int(days or 0))
    return int(when.timestamp()) * 1000


def tried(code: str, example: Example, folder: Path) -> str:
    """Put into words what the code makes of an example of the rule `code`."""
    if isinstance(example, RowExample):
        return tried_rows(example, folder)
    if isinstance(example, CellExample):
        return tried_cell(example)
    return tried_day(code, example, folder)


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


def tried_day(code: str, example: DayExample, folder: Path) -> str:
    """Gather the day of a retailer's point slot by slot, apply all rules, and say what the rule of `code` flags."""
    first, last = example.supplied
    supply = ((DAY + first if first else -(2**31), DAY + last if last < DAY_SLOTS else OPEN_SLOT, 1),)
    view = master([Point(tuple(hung(each, None, None) for each in example.meters), supply=supply)])
    gathering = Gathering(view, 0, DAY)
    instants = np.full(FIRST_ISSUES, first_daily_ms(DAY), np.int64)
    for number in range(DAY_SLOTS):
        registers = [_registers(example, number + k) for k in (0, 1)]
        slot_ends = ends([Point(tuple(map(hung, example.meters, *registers)))], (DAY + number) * SLOT_MS)
        gathering.add(DAY + number, shard_cells(view, 0, DAY + number, instants, len(instants), slot_ends))
    flags = gathering.flags(
        lambda stamp: _column(example, stamp),
        dated(view),
        _exports(example, folder),
        Thresholds.read(OWN).at(slot_date(DAY)),
        int(instants[0]),
    )
    mine = flags["rule"] == [each.code for each in RULES].index(code)
    return flagged(tuple(zip(flags["slot"][mine].tolist(), flags["amount"][mine].tolist(), strict=True)))


def _registers(example: DayExample, number: int) -> list[int | None]:
    """Registers of the meters at a stamp of the day; a meter that does not hang sends none."""
    found: list[int | None] = []
    at_ms = (DAY + number) * SLOT_MS
    for each in example.meters:
        hangs = not each.since or moment(each.since) <= at_ms
        hangs = hangs and (not each.until or at_ms <= moment(each.until))
        found.append(each.registers[number] if hangs else None)
    return found


def _column(example: DayExample, stamp: int) -> Column:
    """Registers of all meters at a stamp; before the day they are alike."""
    if stamp >= DAY:
        registers = _registers(example, stamp - DAY)
    else:
        known = dict(zip((DAY - 7 * DAY_SLOTS, DAY - 6 * DAY_SLOTS), example.days_before, strict=True))[stamp]
        registers = [known] * len(example.meters)
    start = ends([Point(tuple(map(hung, example.meters, registers, registers)))], stamp * SLOT_MS)
    return Column(start.start, start.start_base_ms)


def _exports(example: DayExample, folder: Path) -> Found:
    """Return what a home holds of the export registers of a meter without a generation point."""
    if not example.exports:
        return NOTHING
    meters = [{"point_id": point(0), "meter_id": "A", "register": "import", "digits": 6, "unit_exponent": -1}]
    home = new_home(folder / "home", points=[{"point_id": point(0)}], meters=meters)
    stamps = [(DAY + k) * SLOT_MS for k in range(len(example.exports))]
    reads = [Read("A", at_ms, at_ms, 0, up) for at_ms, up in zip(stamps, example.exports, strict=True)]
    hand_over(home, "rows.arrow", reads)
    taken(home)
    held = sorted(home.path("held").iterdir())
    return held_exports(held, open_master(home.root), DAY, first_daily_ms(DAY))
