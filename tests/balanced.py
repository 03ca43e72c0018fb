# SPDX-License-Identifier: Apache-2.0
"""A small area whose balance is known: demand, generation, a plant and an interconnector, slot by slot.

Of each slot: 950 kWh of demand at a loss of 5 % are 1,000 kWh at the generation end; 3 kWh of solar power; a plant of
1,158 kWh; 358 kWh leave over the interconnector. So 197 kWh are lacking; without the interconnector 161 would be over.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from koma.slots import slot_at_ms
from pipeline.home import Home
from pipeline.totals.asking import question
from pipeline.totals.balance import Checked
from pipeline.totals.checks import checked_slots
from pipeline.totals.declared import import_declared
from tests.homes import HOUR_MS, SLOT_MS, Read, Row, at, hand_over, iso, new_home, point, run, write_master

START = at("2026-10-06T10:00")
SLOT = slot_at_ms(START)
SLOTS = 4
AREA = "01"
DEMAND, SOLAR = point(1, AREA), point(2, AREA)
RETAILER, GROUP = "11111", "GROUP-A"
PLANT, LINK, CONTROL = "BIO-1", "LINK-01-02", "CONTROL"
BALANCE_DWH, WITHOUT_LINK_DWH = -1_970_000, 1_610_000
ENERGY_KWH = {PLANT: "1158", LINK: "-358", CONTROL: "-197"}
SINCE = "2020-01-01T00:00"
RATES: Sequence[Row] = [{"area": AREA, "voltage": "LV", "rate": "0.05", "valid_from": SINCE, "source": "made up"}]


def source(source_id: str, kind: str, direction: str, **facts: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "source_id": source_id,
        "kind": kind,
        "area": AREA,
        "direction": direction,
        "valid_from": SINCE,
    }
    return whole | {"valid_to": "", "point_id": "", "tolerance_kwh": ""} | facts


SOURCES: Sequence[Row] = [
    source(PLANT, "plant", "in"),
    source(LINK, "interconnector", "both"),
    source(CONTROL, "reference", "both", tolerance_kwh="0"),
]


def balanced_home(root: Path) -> Home:
    """Make a home of a customer with solar power, whose slots are all closed."""
    points = [{"point_id": each, "contract_kw": 1000} for each in (DEMAND, SOLAR)]
    meters = [
        {"point_id": each, "meter_id": "M", "register": register, "digits": 8, "unit_exponent": 0}
        for each, register in ((DEMAND, "import"), (SOLAR, "export"))
    ]
    supply = [
        {"point_id": each, "retailer_code": RETAILER, "bg_code": GROUP, "valid_from": SINCE} for each in (DEMAND, SOLAR)
    ]
    home = new_home(root, points=points, meters=meters, supply=supply)
    stamps = [(k, START + k * SLOT_MS) for k in range(SLOTS + 1)]
    hand_over(home, "m.arrow", [Read("M", ms, ms + 60_000, 100 + 950 * k, 10 + 3 * k) for k, ms in stamps])
    run(home, wall_ms=START + 4 * HOUR_MS, xml=False)
    return home


def energy(*slots: int, of: Mapping[str, str] = ENERGY_KWH) -> list[Row]:
    """Give rows of the energy of sources in some slots, counted from the first."""
    return [
        {"source_id": name, "slot_start": iso(START + k * SLOT_MS), "energy_kwh": kwh}
        for k in slots
        for name, kwh in of.items()
    ]


def declare(home: Home, *, replace: bool = False, **tables: Sequence[Row]) -> int:
    """Import tables as an operator does; returns the number of the import."""
    imports = home.root.with_name(f"{home.root.name}-declared")
    number = len(list(imports.iterdir())) if imports.exists() else 0
    folder = write_master(imports / f"{number:03d}", **tables)
    return import_declared(home, folder, by="duty desk", replace=replace, now_ms=START).number


def checked(home: Home) -> list[Checked]:
    """Check all slots of the home."""
    return list(checked_slots(question(home, 2), SLOT, SLOT + SLOTS))


def found(slot: Checked) -> dict[str, Any]:
    """Return what is wrong with a slot: source or area by code."""
    return {each.code: each.source or each.area for each in slot.findings}
