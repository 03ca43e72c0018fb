# SPDX-License-Identifier: Apache-2.0
"""Which slots have to be looked at again after an import: a superset of what changed, and a tight one."""

from typing import Any

import pytest

from koma.slots import parse_jst
from pipeline.master.view import FIRST_SLOT, OPEN_SLOT
from tests.unit.pipeline.master.desk import Desk, point, slot

POINT: dict[str, Any] = {"point_id": point(1), "contract_kw": "6"}
METER: dict[str, Any] = {
    "point_id": point(1), "meter_id": "M1", "digits": 6, "unit_exponent": -1, "installed_at": "2026-04-01",
    "removed_at": "2026-05-01",
}  # fmt: skip
SUPPLY: dict[str, Any] = {
    "point_id": point(1),
    "retailer_code": "11113",
    "valid_from": "2026-04-01",
    "valid_to": "2026-05-01",
}
NOW = "2026-06-01"
APRIL, MAY, JUNE = (slot(f"2026-0{month}-01") for month in (4, 5, 6))

SUPPLIES: dict[str, tuple[dict[str, Any], list[tuple[int, int]]]] = {
    "earlier end": ({"valid_to": "2026-04-11"}, [(slot("2026-04-11"), MAY)]),
    "later end": ({"valid_to": "2026-06-01"}, [(MAY, JUNE)]),
    "no end": ({"valid_to": ""}, [(MAY, OPEN_SLOT)]),
    "other retailer": ({"retailer_code": "22223"}, [(APRIL, MAY)]),
    "other retailer and end": ({"retailer_code": "22223", "valid_to": "2026-06-01"}, [(APRIL, JUNE)]),
    "other group": ({"bg_code": "BG"}, [(APRIL, MAY)]),
    "cancelled": ({"valid_to": "2026-04-01"}, [(APRIL, MAY)]),
    "other reference only": ({"customer_ref": "X"}, []),
    "one row more": ({"valid_from": "2026-05-01", "valid_to": "2026-06-01"}, [(MAY, JUNE)]),
    "nothing": ({}, []),
}
METERS: dict[str, tuple[dict[str, Any], list[tuple[int, int]]]] = {
    "earlier removal": ({"removed_at": "2026-04-11"}, [(slot("2026-04-10T23:30"), MAY)]),
    "earlier removal off the grid": ({"removed_at": "2026-04-11T00:10"}, [(slot("2026-04-11"), MAY)]),
    "later removal": ({"removed_at": "2026-06-01T00:01"}, [(MAY - 1, JUNE + 1)]),
    "no removal": ({"removed_at": ""}, [(MAY - 1, OPEN_SLOT)]),
    "other digits": ({"digits": 5}, [(APRIL, MAY)]),
    "other coefficient": ({"coefficient": 2}, [(APRIL, MAY)]),
    "other unit and removal": ({"unit_exponent": 0, "removed_at": "2026-06-01"}, [(APRIL, JUNE)]),
    "register at the start": ({"install_register": 5}, [(APRIL, APRIL + 1)]),
    "register at the end": ({"removal_register": 5}, [(MAY - 1, MAY)]),
    "both registers": ({"install_register": 5, "removal_register": 9}, [(APRIL, APRIL + 1), (MAY - 1, MAY)]),
    "cancelled": ({"removed_at": "2026-04-01"}, [(APRIL, MAY)]),
    "one more": ({"meter_id": "M2"}, [(APRIL, MAY)]),
    "one more off the grid": (
        {"meter_id": "M2", "installed_at": "2026-04-01T10:10", "removed_at": "2026-04-01T10:20"},
        [(slot("2026-04-01T10:00"), slot("2026-04-01T10:30"))],
    ),
    "nothing": ({}, []),
}


def changes(desk: Desk) -> list[tuple[int, int, int, int, int]]:
    view = desk.view
    columns = (
        view.changed_position, view.changed_from_slot, view.changed_to_slot, view.changed_rec_ms, view.changed_version,
    )  # fmt: skip
    return [(int(a), int(b), int(c), int(d), int(e)) for a, b, c, d, e in zip(*columns, strict=True)]


@pytest.mark.parametrize("name", SUPPLIES)
def test_changes_of_supply(desk: Desk, name: str) -> None:
    change, expected = SUPPLIES[name]
    desk.learn(points=[POINT], supply=[SUPPLY])
    desk.learn(now=NOW, supply=[SUPPLY | change])

    assert [each[1:3] for each in changes(desk)] == expected


@pytest.mark.parametrize("name", METERS)
def test_changes_of_meters(desk: Desk, name: str) -> None:
    change, expected = METERS[name]
    desk.learn(points=[POINT], meters=[METER])
    desk.learn(now=NOW, meters=[METER | change])

    assert [each[1:3] for each in changes(desk)] == expected


@pytest.mark.parametrize(
    ("change", "changed"),
    [({"contract_kw": "7"}, 1), ({"telemetry": 0}, 1), ({"voltage": "HV"}, 1), ({"name": "x"}, 0), ({"area": "04"}, 0)],
)
def test_changes_of_points_touch_every_slot(desk: Desk, change: dict[str, Any], changed: int) -> None:
    desk.learn(points=[POINT])
    desk.learn(now=NOW, points=[POINT | change])

    assert [each[1:3] for each in changes(desk)] == [(FIRST_SLOT, OPEN_SLOT)] * changed


def test_the_first_import_changes_nothing_that_was_there(desk: Desk) -> None:
    desk.learn(points=[POINT], meters=[METER], supply=[SUPPLY])

    assert changes(desk) == []


def test_changes_pile_up_with_instant_and_version(desk: Desk) -> None:
    desk.learn(points=[{"point_id": point(2)}])
    desk.learn(now="2026-06-01", points=[POINT], supply=[SUPPLY | {"recorded_at": "2026-05-20"}])
    desk.learn(now="2026-06-02", supply=[SUPPLY | {"valid_to": ""}, SUPPLY | {"point_id": point(2)}])

    assert changes(desk) == [
        (1, APRIL, MAY, parse_jst("2026-05-20"), 2),
        (0, APRIL, MAY, parse_jst("2026-06-02"), 3),
        (1, MAY, OPEN_SLOT, parse_jst("2026-06-02"), 3),
    ]


def test_a_retroactive_switch_changes_what_lies_behind_it(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY | {"valid_to": ""}])
    desk.learn(
        now="2026-05-10",
        supply=[
            SUPPLY | {"valid_to": "2026-05-01"},
            SUPPLY | {"retailer_code": "22223", "valid_from": "2026-05-01", "valid_to": ""},
        ],
    )

    assert [each[:3] for each in changes(desk)] == [(0, MAY, OPEN_SLOT), (0, MAY, OPEN_SLOT)]
