# SPDX-License-Identifier: Apache-2.0
"""Golden cases through the whole line: registers and master as given, the cells of the files as expected.

Times are minutes after the case's start; a register stands for a stamp each half-hour, `None` is a read that never
came. A cell is written as retailer, dWh (`-` for no value) and quality.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, Read, Row, at, hand_over, iso, new_home, point, run
from tests.independent_reader import files, read_tree

OLD, NEW = "11113", "22223"
EVENING, LEAP_DAY, YEAR_END = "2026-10-06T23:00", "2028-02-29T23:00", "2026-12-31T23:00"


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter in units of 10^exponent kWh times a coefficient; `begin` and `end` are its installation and removal."""

    registers: tuple[int | None, ...]
    exponent: int = -1
    coefficient: int = 1
    digits: int = 6
    begin: int | None = None
    end: int | None = None
    first: int | None = None
    last: int | None = None
    export: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    says: str
    meters: tuple[Meter, ...]
    cells: tuple[str, ...]
    start: str = EVENING
    switched: int | None = None  # the new retailer supplies from here on
    late: dict[int, int] = field(default_factory=dict)  # stamps whose registers arrive ten hours late


CASES = (
    Case("999998 to 000003 at 6 digits is 5 units",
         (Meter((999_998, 3)),),
         ("11113 5000 rollover",)),
    Case("the same with coefficient 10 and units of 0.01 kWh",
         (Meter((999_998, 3), exponent=-2, coefficient=10),),
         ("11113 5000 rollover",)),
    Case("300 to 298 is backward and no roll-over, and spoils no other slot",
         (Meter((290, 300, 298, 299)),),
         ("11113 10000 actual", "11113 - backward", "11113 1000 actual")),
    Case("an exchange on a slot boundary",
         (Meter((100, 110), end=30, last=110), Meter((4, 11), begin=30, first=4)),
         ("11113 10000 actual", "11113 7000 actual")),
    Case("an exchange on a slot boundary that only reads tell of",
         (Meter((100, 110), end=30), Meter((4, 11), begin=30)),
         ("11113 10000 actual", "11113 7000 actual")),
    Case("an exchange inside a slot adds what both counted",
         (Meter((100, 110), end=37, last=113), Meter((9, 12), begin=37, first=5)),
         ("11113 10000 actual", "11113 7000 actual", "11113 3000 actual")),
    Case("an exchange inside a slot without the registers of the exchange has no value",
         (Meter((100, 110), end=37), Meter((9, 12), begin=37)),
         ("11113 10000 actual", "11113 - missing", "11113 3000 actual")),
    Case("0.1 kWh becomes 0.01 kWh on a boundary",
         (Meter((100, 110), end=30, last=110), Meter((0, 70), exponent=-2, begin=30, first=0)),
         ("11113 10000 actual", "11113 7000 actual")),
    Case("0.1 kWh becomes 0.01 kWh inside a slot, and eight digits six",
         (Meter((99_999_990, 0), digits=8, end=37, last=3), Meter((40, 45), exponent=-2, begin=37, first=0)),
         ("11113 10000 rollover", "11113 7000 actual", "11113 500 actual")),
    Case("at 00:00 of the day of a switch one register serves both retailers",
         (Meter((700, 730, 745, 752)),),
         ("11113 30000 actual", "11113 15000 actual", "22223 7000 actual"), switched=60),
    Case("a lost register takes two slots with it, though their sum is known",
         (Meter((100, None, 130, 131)),),
         ("11113 - missing", "11113 - missing", "11113 1000 actual")),
    Case("the lost register comes late: both parts are known, and add up to the sum",
         (Meter((100, None, 130, 131)),),
         ("11113 12000 actual", "11113 18000 actual", "11113 1000 actual"), late={1: 112}),
    Case("the last hour of a leap day",
         (Meter((5, 6, 8, 11)),),
         ("11113 1000 actual", "11113 2000 actual", "11113 3000 actual"), start=LEAP_DAY),
    Case("the turn of the year",
         (Meter((999_997, 999_999, 4, 4)),),
         ("11113 2000 actual", "11113 5000 rollover", "11113 0 actual"), start=YEAR_END),
    Case("what is fed in counts for itself",
         (Meter((999_999, 1, 2), export=True),),
         ("11113 2000 rollover", "11113 1000 actual")),
    Case("what is drawn beside it",
         (Meter((10, 10, 12)),),
         ("11113 0 actual", "11113 2000 actual")),
)  # fmt: skip
IMPORTING, EXPORTING = len(CASES) - 1, len(CASES) - 2
"""Two points on the two registers of one meter."""


def name_of(number: int, place: int) -> str:
    return f"M{IMPORTING if number == EXPORTING else number}-{place}"


def rows(number: int, case: Case) -> dict[str, list[Row]]:
    start_ms = at(case.start)

    def time(minutes: int | None) -> str:
        return "" if minutes is None else iso(start_ms + minutes * MINUTE_MS)

    meters: list[Row] = [
        {"point_id": point(number), "meter_id": name_of(number, place), "register": "export" if m.export else "import",
         "installed_at": time(m.begin), "removed_at": time(m.end), "digits": m.digits, "unit_exponent": m.exponent,
         "coefficient": m.coefficient, "install_register": m.first, "removal_register": m.last}
        for place, m in enumerate(case.meters)
    ]  # fmt: skip
    first: Row = {"point_id": point(number), "retailer_code": OLD, "valid_from": "2020-01-01T00:00"}
    supply: list[Row] = [{**first, "valid_to": time(case.switched)}]
    if case.switched is not None:
        supply.append({**first, "retailer_code": NEW, "valid_from": time(case.switched), "valid_to": ""})
    return {"points": [{"point_id": point(number)}], "meters": meters, "supply": supply}


def reads(number: int, case: Case) -> Iterator[Read]:
    for place, meter in enumerate(case.meters):
        begin = -(-(meter.begin or 0) // 30)
        for k, register in enumerate(meter.registers, begin):
            stamp_ms = at(case.start) + k * SLOT_MS
            late = register is None and k in case.late
            value = case.late[k] if late else register
            if value is not None:
                received_ms = stamp_ms + (10 * HOUR_MS if late else 2 * MINUTE_MS)
                registers = (None, value) if meter.export else (value, None)
                yield Read(name_of(number, place), stamp_ms, received_ms, *registers)


@cache
def told(start: str) -> dict[tuple[str, str], str]:
    """Play all cases of one start in one home; give each point's cells as retailers hold them in the end."""
    mine = [(number, case) for number, case in enumerate(CASES) if case.start == start]
    tables: dict[str, list[Row]] = {"points": [], "meters": [], "supply": []}
    for number, case in mine:
        for table, found in rows(number, case).items():
            tables[table] += found
    with TemporaryDirectory() as folder:
        home = new_home(Path(folder) / "home", **tables)
        hand_over(home, "reads.arrow", [read for number, case in mine for read in reads(number, case)])
        run(home, wall_ms=at(start) + 30 * HOUR_MS)
        return {
            (name, slot): f"{retailer} {'-' if cell.energy_dwh is None else cell.energy_dwh} {cell.quality}"
            for (retailer, slot, name), cell in read_tree(home.deliveries).items()
            if cell.quality != "withdrawn"
        } | {("code", file.slot_start): str(file.time_code) for file in files(home.deliveries)}


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.says for case in CASES])
def test_a_golden_case(number: int) -> None:
    case = CASES[number]
    slots = [iso(at(case.start) + k * SLOT_MS) for k in range(len(case.cells))]

    assert tuple(told(case.start)[point(number), slot] for slot in slots) == case.cells


@pytest.mark.parametrize("start", [EVENING, LEAP_DAY, YEAR_END])
def test_slot_48_is_the_day_s_last_and_01_the_next_day_s_first(start: str) -> None:
    codes = [told(start)["code", iso(at(start) + k * SLOT_MS)] for k in range(3)]

    assert codes == ["47", "48", "1"]
