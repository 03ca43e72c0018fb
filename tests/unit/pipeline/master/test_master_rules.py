# SPDX-License-Identifier: Apache-2.0
"""Which rows are bad, what is said about them, and how far it spreads."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.master.rules import SENTENCES, Fault
from pipeline.master.source import TABLES
from tests.unit.pipeline.master.desk import Desk, Row, point

POINT = {"point_id": point(1)}
METER = {"point_id": point(1), "meter_id": "M1", "digits": 6, "unit_exponent": -1}
SUPPLY = {"point_id": point(1), "retailer_code": "11113", "valid_from": "2026-04-01"}

ONE_ROW: list[tuple[str, str, Row, str]] = [
    ("point_id", "points", {"point_id": "0300000000000000001"}, "22 digits"),
    ("point_id", "points", {"point_id": "11" + "0" * 20}, "area"),
    ("point_id", "meters", METER | {"point_id": ""}, "22 digits"),
    ("area", "points", POINT | {"area": "11"}, "01 to 10"),
    ("voltage", "points", POINT | {"voltage": "MV"}, "LV, HV or EHV"),
    ("contract_kw", "points", POINT | {"contract_kw": "-1"}, "four decimals"),
    ("contract_kw", "points", POINT | {"contract_kw": "0.00001"}, "four decimals"),
    ("contract_kw", "points", POINT | {"contract_kw": "six"}, "'six'"),
    ("telemetry", "points", POINT | {"telemetry": "2"}, "Write 0"),
    ("text", "points", POINT | {"name": "x" * 1001}, "Shorten"),
    ("time", "points", POINT | {"recorded_at": "yesterday"}, "recorded_at 'yesterday'"),
    ("point_unknown", "meters", METER | {"point_id": point(2)}, point(2)),
    ("point_unknown", "supply", SUPPLY | {"point_id": point(2)}, "points.csv"),
    ("meter_id", "meters", METER | {"meter_id": "12345678901234567"}, "16"),
    ("meter_id", "meters", METER | {"meter_id": "メータ"}, "ASCII"),
    ("meter_id", "meters", METER | {"meter_id": ""}, "meter_id ''"),
    ("register", "meters", METER | {"register": "both"}, "import or export"),
    ("time", "meters", METER | {"installed_at": "2026-02-30"}, "installed_at"),
    ("end_before_start", "meters", METER | {"installed_at": "2026-04-02", "removed_at": "2026-04-01"}, "removed_at"),
    ("digits", "meters", METER | {"digits": 9}, "1 to 8"),
    ("digits", "meters", METER | {"digits": ""}, "1 to 8"),
    ("unit_exponent", "meters", METER | {"unit_exponent": 5}, "-4 to 4"),
    ("coefficient", "meters", METER | {"coefficient": 0}, "1 to 999999"),
    ("coefficient", "meters", METER | {"coefficient": 1_000_000}, "1 to 999999"),
    ("register_value", "meters", METER | {"install_register": 1_000_000}, "install_register '1000000'"),
    ("register_value", "meters", METER | {"removal_register": -1}, "removal_register '-1'"),
    ("energy_range", "meters", METER | {"digits": 8, "unit_exponent": 4, "coefficient": 462}, "2^62"),
    ("retailer_code", "supply", SUPPLY | {"retailer_code": "1111"}, "five digits"),
    ("retailer_code", "supply", SUPPLY | {"retailer_code": "00000"}, "nobody"),
    ("retailer_code", "retailers", {"retailer_code": "abcde"}, "five digits"),
    ("bg_code", "supply", SUPPLY | {"bg_code": "x" * 17}, "16"),
    ("text", "supply", SUPPLY | {"customer_ref": "x" * 22}, "customer_ref"),
    ("text", "supply", SUPPLY | {"customer_ref": "a\tb"}, "control"),
    ("time", "supply", SUPPLY | {"valid_from": ""}, "valid_from"),
    ("slot_boundary", "supply", SUPPLY | {"valid_from": "2026-04-01T00:10"}, ":00 or :30"),
    ("slot_boundary", "supply", SUPPLY | {"valid_to": "2026-04-02T00:00:01"}, "valid_to"),
    ("end_before_start", "supply", SUPPLY | {"valid_to": "2026-03-31"}, "valid_to"),
]


@pytest.mark.parametrize(("code", "table", "row", "hint"), ONE_ROW)
def test_a_bad_row_is_refused_with_file_line_code_and_what_to_do(
    desk: Desk, code: str, table: str, row: Row, hint: str
) -> None:
    tables: dict[str, Any] = {"points": [POINT], table: [row]}
    report = desk.learn(**tables)

    assert report.codes.pop(code) == 1
    assert set(report.codes) <= {"point_in_quarantine"}
    (bad,) = [each for each in report.bad if each.code == code]
    assert (bad.file, bad.line) == (f"{table}.csv", 2)
    assert hint in bad.detail


def test_every_fault_has_words() -> None:
    assert set(SENTENCES) == set(Fault) - {Fault.NONE}


def test_a_very_long_value_is_not_repeated_whole() -> None:
    detail = Fault.TEXT.detail("name", "x" * 1_000_000, "")
    assert "x" * 80 + "…" in detail
    assert len(detail) < 300


def test_a_row_with_missing_or_surplus_values_is_refused_with_its_line_and_takes_its_point_along(desk: Desk) -> None:
    text = f"point_id,meter_id,digits,unit_exponent\n{point(1)},M1,6,-1\n\n{point(1)},M2,6\n{point(2)},M3,6,-1,0\n"
    report = desk.learn(points=[POINT, {"point_id": point(2)}, {"point_id": point(3)}], meters=text)

    assert [(each.file, each.line, each.code) for each in report.bad] == [
        ("points.csv", 2, "point_in_quarantine"),
        ("points.csv", 3, "point_in_quarantine"),
        ("meters.csv", 2, "point_in_quarantine"),
        ("meters.csv", 4, "columns"),
        ("meters.csv", 5, "columns"),
    ]
    assert desk.view.n_points == 1


def test_energy_just_inside_the_range_is_taken(desk: Desk) -> None:
    report = desk.learn(points=[POINT], meters=[METER | {"digits": 8, "unit_exponent": 4, "coefficient": 461}])

    assert report.quarantined == 0
    assert int(desk.view.install_modulus[0]) * int(desk.view.install_factor[0]) == 461 * 10**16


def test_supplies_of_one_point_must_not_overlap(desk: Desk) -> None:
    report = desk.learn(
        points=[POINT, {"point_id": point(2)}],
        supply=[
            SUPPLY,
            SUPPLY | {"valid_from": "2026-05-01"},
            SUPPLY | {"point_id": point(2), "valid_to": "2026-05-01"},
            SUPPLY | {"point_id": point(2), "valid_from": "2026-05-01"},
        ],
    )

    overlaps = [each for each in report.bad if each.code == "supply_overlap"]
    assert [each.line for each in overlaps] == [2, 3]
    assert "supply.csv line 3" in overlaps[0].detail
    assert desk.view.n_points == 1
    assert len(desk.view.supply_from) == 2


def test_a_long_supply_overlaps_all_that_begin_inside_it(desk: Desk) -> None:
    report = desk.learn(
        points=[POINT],
        supply=[
            SUPPLY,
            SUPPLY | {"valid_from": "2026-05-01", "valid_to": "2026-05-02"},
            SUPPLY | {"valid_from": "2026-06-01", "valid_to": "2026-06-02"},
        ],
    )

    assert report.codes["supply_overlap"] == 3


def test_supply_overlaps_what_an_earlier_import_left_open(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY])
    report = desk.learn(now="2026-06-01", supply=[SUPPLY | {"valid_from": "2026-05-01"}])

    (bad,) = report.bad
    assert bad.code == "supply_overlap"
    assert "earlier import" in bad.detail
    assert "2026-04-01T00:00:00+09:00" in bad.detail
    assert not report.applied


def test_a_register_of_a_meter_is_in_one_place_at_a_time(desk: Desk) -> None:
    report = desk.learn(
        points=[{"point_id": point(number)} for number in range(1, 5)],
        meters=[
            METER | {"removed_at": "2026-04-01T10:17"},
            METER | {"point_id": point(2), "installed_at": "2026-04-01T10:17"},  # touches: fine
            METER | {"point_id": point(2), "meter_id": "M2"},
            METER | {"point_id": point(3), "meter_id": "M2", "register": "export"},  # the other register: fine
            METER | {"point_id": point(3), "meter_id": "M3"},
            METER | {"point_id": point(4), "meter_id": "M3", "installed_at": "2026-01-01"},
        ],
    )

    assert [(each.line, each.code) for each in report.bad if each.file == "meters.csv"] == [
        (5, "point_in_quarantine"),
        (6, "meter_overlap"),
        (7, "meter_overlap"),
    ]
    assert desk.view.n_points == 2


def test_the_same_register_twice_in_one_point_is_bad_too(desk: Desk) -> None:
    report = desk.learn(points=[POINT], meters=[METER, METER | {"installed_at": "2026-01-01"}])

    assert report.codes["meter_overlap"] == 2


def test_contradicting_rows_of_one_key_are_bad_and_repeated_ones_are_not(desk: Desk) -> None:
    report = desk.learn(
        points=[
            POINT | {"contract_kw": "6"},
            POINT | {"contract_kw": "7"},
            {"point_id": point(2), "contract_kw": "6"},
            {"point_id": point(2), "contract_kw": "6.0"},
        ]
    )

    assert report.codes == {"duplicate": 2}
    assert report.tables["points"].unchanged == 1
    assert "points.csv line 3" in report.bad[0].detail


def test_a_retailer_named_twice_in_two_ways_is_bad(desk: Desk) -> None:
    report = desk.learn(
        retailers=[
            {"retailer_code": "11113", "name": "one"},
            {"retailer_code": "11113", "name": "two"},
            {"retailer_code": "22223", "name": "three"},
        ]
    )

    assert report.codes == {"duplicate": 2}
    assert desk.view.retailers == ("00000", "22223")


def test_all_rows_of_a_bad_point_wait_and_name_the_culprit(desk: Desk) -> None:
    desk.learn(points=[POINT], meters=[METER], supply=[SUPPLY])
    report = desk.learn(
        now="2026-06-01",
        points=[POINT | {"contract_kw": "3"}, {"point_id": point(2)}],
        meters=[METER | {"meter_id": "M2", "digits": 0}],
        supply=[SUPPLY | {"valid_to": "2026-07-01"}],
    )

    assert [(each.file, each.line, each.code) for each in report.bad] == [
        ("points.csv", 2, "point_in_quarantine"),
        ("meters.csv", 2, "digits"),
        ("supply.csv", 2, "point_in_quarantine"),
    ]
    assert all("meters.csv line 2" in each.detail for each in report.bad if each.code == "point_in_quarantine")
    assert report.applied
    assert desk.supply(1, "2026-06-02")[0][2] == 2**31 - 1
    assert desk.view.n_points == 2


def test_a_row_that_waits_can_make_another_point_bad(desk: Desk) -> None:
    """Point 1 cannot give its meter away, because another of its rows is bad; so point 2 must not take it."""
    points = [{"point_id": point(number)} for number in (1, 2, 3)]
    desk.learn(points=points, meters=[METER, METER | {"point_id": point(2), "meter_id": "M2"}])
    report = desk.learn(
        now="2026-06-01",
        meters=[
            METER | {"removed_at": "2026-05-01"},
            METER | {"point_id": point(2), "installed_at": "2026-05-01"},
            METER | {"point_id": point(2), "meter_id": "M2", "removed_at": "2026-05-01"},
            METER | {"point_id": point(3), "meter_id": "M2", "installed_at": "2026-05-01"},
        ],
        supply=[SUPPLY | {"valid_from": "never"}],
    )

    assert report.codes == {"time": 1, "point_in_quarantine": 2, "meter_overlap": 2}
    assert not report.applied


@pytest.mark.parametrize("quiet_from", [0, 100_000])
def test_rows_that_say_nothing_new_wait_with_their_point_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, quiet_from: int
) -> None:
    monkeypatch.setattr("pipeline.master.judge.QUIET_ROWS_MIN", quiet_from)
    points = [POINT, {"point_id": point(2)}]
    meters = [METER, METER | {"point_id": point(2), "meter_id": "M2"}]
    desk.learn(points=points, meters=meters, supply=[SUPPLY])
    report = desk.learn(now="2026-06-01", points=points, meters=meters, supply=[SUPPLY | {"valid_to": "never"}, SUPPLY])

    assert [(each.file, each.line, each.code) for each in report.bad] == [
        ("points.csv", 2, "point_in_quarantine"),
        ("meters.csv", 2, "point_in_quarantine"),
        ("supply.csv", 2, "time"),
        ("supply.csv", 3, "point_in_quarantine"),
    ]
    assert all("supply.csv line 2" in each.detail for each in report.bad if each.code == "point_in_quarantine")
    assert report.codes == {"time": 1, "point_in_quarantine": 3}
    assert {name: counts.unchanged for name, counts in report.tables.items()} == {"points": 1, "meters": 1, "supply": 0}
    assert not report.applied


def test_quarantine_keeps_every_refused_row_with_its_text(desk: Desk) -> None:
    report = desk.learn(points=[POINT, {"point_id": "x,y"}], meters=[METER | {"digits": "six"}])

    assert report.quarantine == desk.home / "quarantine" / "master" / "00000001.jsonl"
    assert isinstance(report.quarantine, Path)
    lines = [json.loads(line) for line in report.quarantine.read_text(encoding="utf-8").splitlines()]
    assert [(line["file"], line["line"], line["code"], line["row"]) for line in lines] == [
        ("points.csv", 2, "point_in_quarantine", point(1)),
        ("points.csv", 3, "point_id", '"x,y"'),
        ("meters.csv", 2, "digits", f"{point(1)},M1,six,-1"),
    ]
    assert [line["point_id"] for line in lines] == [point(1), "x,y", point(1)]


def test_strict_applies_nothing_if_anything_is_bad(desk: Desk) -> None:
    report = desk.learn(strict=True, points=[POINT, {"point_id": "bad"}])

    assert (report.refused, report.applied, report.version) == (True, False, 0)
    assert report.quarantine is None
    assert desk.view.version == 0
    assert not list((desk.home / "quarantine" / "master").iterdir())


def test_strict_applies_what_is_good_throughout(desk: Desk) -> None:
    report = desk.learn(strict=True, points=[POINT])

    assert (report.refused, report.applied, report.version) == (False, True, 1)


def test_counts_add_up(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY | {"recorded_at": "2026-04-01"}])
    report = desk.learn(
        now="2026-06-01",
        points=[POINT, {"point_id": point(2)}, {"point_id": "bad"}],
        supply=[
            SUPPLY | {"recorded_at": "2026-03-01", "valid_to": "2026-05-01"},
            SUPPLY | {"recorded_at": "2026-05-01", "valid_to": "2026-05-01"},
            SUPPLY | {"recorded_at": "2026-05-01", "valid_from": "2026-05-01", "valid_to": "2026-05-01"},
        ],
    )

    found = report.as_dict()
    assert found["points"] == {
        "rows": 3, "new": 1, "superseding": 0, "unchanged": 1, "older": 0, "cancelled": 0, "quarantined": 1,
    }  # fmt: skip
    assert found["supply"] == {
        "rows": 3, "new": 0, "superseding": 1, "unchanged": 0, "older": 1, "cancelled": 1, "quarantined": 0,
    }  # fmt: skip


def test_the_documentation_names_every_code_and_every_column() -> None:
    text = (Path(__file__).parents[4] / "docs" / "resources" / "master.md").read_text(encoding="utf-8")
    names = [fault.code for fault in SENTENCES] + [column for table in TABLES for column in table.columns]

    assert [name for name in names if f"`{name}`" not in text] == []
