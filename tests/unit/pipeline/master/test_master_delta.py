# SPDX-License-Identifier: Apache-2.0
"""What a later import does to what is known, and from when it counts."""

from typing import Any

import pytest

from koma.slots import parse_jst
from pipeline.master.view import ALWAYS_MS, OPEN_MS, OPEN_SLOT
from tests.unit.pipeline.master.desk import Desk, point, slot

POINT = {"point_id": point(1)}
METER = {"point_id": point(1), "meter_id": "M1", "digits": 6, "unit_exponent": -1}
SUPPLY = {"point_id": point(1), "retailer_code": "11113", "valid_from": "2026-04-01"}
OPEN = ("11113", slot("2026-04-01"), OPEN_SLOT)


def test_a_home_without_master_has_an_empty_view(desk: Desk) -> None:
    view = desk.view

    assert (view.version, view.n_points, view.n_installs, view.n_shards) == (0, 0, 0, 0)
    assert (view.retailers, view.bgs) == (("00000",), ("",))
    assert not view.table.any()


def test_minimal_columns_have_defaults(desk: Desk) -> None:
    desk.learn(points=[{"point_id": point(7, "10")}], meters=[METER | {"point_id": point(7, "10")}])
    view = desk.view

    assert view.area.tolist() == [10]
    assert (view.attr_voltage[0], view.attr_telemetry[0], view.attr_cap_dwh[0]) == (0, 1, 2_000_000)
    assert (view.install_from_ms[0], view.install_to_ms[0]) == (ALWAYS_MS, OPEN_MS)
    assert (view.install_modulus[0], view.install_factor[0], view.install_register[0]) == (10**6, 10**3, 0)
    assert (view.install_first[0], view.install_last[0]) == (-1, -1)


@pytest.mark.parametrize("recorded_at", ["", "2026-05-05T12:00", "2099-01-01"])
def test_the_first_import_counts_since_always(desk: Desk, recorded_at: str) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY | {"recorded_at": recorded_at}])

    assert desk.supply(1, "1990-01-01") == [OPEN]


def test_a_later_row_of_the_same_key_supersedes_from_when_it_was_recorded(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY])
    report = desk.learn(
        now="2026-06-01", supply=[SUPPLY | {"valid_to": "2026-05-01", "recorded_at": "2026-05-10T09:00"}]
    )
    closed = ("11113", slot("2026-04-01"), slot("2026-05-01"))

    assert report.tables["supply"].superseding == 1
    assert desk.supply(1, "2026-05-10T08:59:59.999") == [OPEN]
    assert desk.supply(1, "2026-05-10T09:00") == [closed]


def test_a_row_recorded_later_than_the_clock_counts_from_the_clock_on(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY])
    desk.learn(now="2026-06-01", supply=[SUPPLY | {"retailer_code": "22223", "recorded_at": "2026-07-01"}])

    assert desk.supply(1, "2026-05-31T23:59")[0][0] == "11113"
    assert desk.supply(1, "2026-06-01")[0][0] == "22223"


def test_no_row_counts_at_an_instant_that_is_out(desk: Desk) -> None:
    desk.learn(points=[POINT, {"point_id": point(2)}], supply=[SUPPLY])
    desk.learn(
        now="2026-06-01T00:20",
        issued="2026-06-01T00:15",
        supply=[
            SUPPLY | {"valid_to": "2026-05-01", "recorded_at": "2026-05-02"},
            SUPPLY | {"point_id": point(2), "recorded_at": "2026-06-01T00:17"},
        ],
    )

    assert desk.supply(1, "2026-06-01T00:15") == [OPEN]
    assert desk.supply(1, "2026-06-01T00:15:00.001") == [(*OPEN[:2], slot("2026-05-01"))]
    assert desk.supply(2, "2026-06-01T00:16") == []
    assert desk.supply(2, "2026-06-01T00:17") == [OPEN]


def test_a_row_without_recorded_at_is_learned_now_and_later_than_all_before(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY])
    desk.learn(now="2026-06-01", supply=[SUPPLY | {"retailer_code": "22223", "recorded_at": "2026-07-01"}])
    report = desk.learn(now="2026-06-01", supply=[SUPPLY | {"retailer_code": "33333"}])

    assert report.tables["supply"].superseding == 1
    assert desk.supply(1, "2026-06-01")[0][0] == "33333"


def test_before_the_clock_began_rows_without_recorded_at_count_since_always(desk: Desk) -> None:
    desk.learn(points=[POINT, {"point_id": point(2)}])
    desk.learn(now=None, supply=[SUPPLY, SUPPLY | {"point_id": point(2), "recorded_at": "2026-04-20"}])

    assert desk.supply(1, "1990-01-01") == [OPEN]
    assert desk.supply(2, "2026-04-19") == []
    assert desk.supply(2, "2026-04-20") == [OPEN]


def test_what_is_known_already_changes_nothing(desk: Desk) -> None:
    tables: dict[str, Any] = {
        "points": [POINT],
        "meters": [METER],
        "supply": [SUPPLY],
        "retailers": [{"retailer_code": "11113"}],
    }
    desk.learn(**tables)
    report = desk.learn(now="2026-06-01", **tables)

    assert {name: counts.unchanged for name, counts in report.tables.items()} == dict.fromkeys(tables, 1)
    assert (report.applied, report.version) == (False, 1)
    assert desk.view.version == 1


def test_a_first_import_given_again_after_a_correction_is_unchanged_too(desk: Desk) -> None:
    first = SUPPLY | {"recorded_at": "2026-04-01"}
    desk.learn(points=[POINT], supply=[first])
    desk.learn(now="2026-06-01", supply=[SUPPLY | {"valid_to": "2026-05-01", "recorded_at": "2026-05-10"}])
    report = desk.learn(now="2026-06-01", supply=[first])

    assert report.tables["supply"].unchanged == 1


@pytest.mark.parametrize("recorded_at", ["2026-04-09", "2026-04-10"])
def test_an_older_fact_is_counted_and_kept_out_of_current_knowledge(desk: Desk, recorded_at: str) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY | {"recorded_at": "2026-04-10"}])
    report = desk.learn(now="2026-06-01", supply=[SUPPLY | {"retailer_code": "22223", "recorded_at": recorded_at}])

    assert report.tables["supply"].older == 1
    assert report.quarantined == 0
    assert desk.supply(1, "2026-06-02") == [OPEN]
    assert desk.view.retailers == ("00000", "11113")


def test_end_equal_to_start_cancels(desk: Desk) -> None:
    desk.learn(points=[POINT], meters=[METER | {"installed_at": "2026-04-01"}], supply=[SUPPLY])
    report = desk.learn(
        now="2026-06-01",
        meters=[METER | {"installed_at": "2026-04-01", "removed_at": "2026-04-01"}],
        supply=[SUPPLY | {"valid_to": "2026-04-01"}],
    )

    assert (report.tables["meters"].cancelled, report.tables["supply"].cancelled) == (1, 1)
    assert (len(desk.supply(1, "2026-05-31")), len(desk.installs(1, "2026-05-31"))) == (1, 1)
    assert (desk.supply(1, "2026-06-01"), desk.installs(1, "2026-06-01")) == ([], [])
    assert not desk.view.table.any()


def test_what_was_cancelled_can_be_said_again_and_keeps_its_index(desk: Desk) -> None:
    installed = METER | {"installed_at": "2026-04-01"}
    desk.learn(points=[POINT], meters=[installed, METER | {"meter_id": "M2"}])
    (before,) = [each for each in desk.installs(1, "2026-05-01") if each["from_ms"] != ALWAYS_MS]
    desk.learn(now="2026-06-01", meters=[installed | {"removed_at": "2026-04-01"}])
    desk.learn(now="2026-06-02", meters=[installed])
    (after,) = [each for each in desk.installs(1, "2026-06-03") if each["from_ms"] != ALWAYS_MS]

    assert before == after


def test_nothing_is_closed_implicitly_but_one_import_may_close_and_open(desk: Desk) -> None:
    desk.learn(points=[POINT], supply=[SUPPLY])
    desk.learn(
        now="2026-06-10",
        supply=[
            SUPPLY | {"valid_to": "2026-06-01", "recorded_at": "2026-06-04"},
            SUPPLY | {"retailer_code": "22223", "valid_from": "2026-06-01", "recorded_at": "2026-06-04"},
        ],
    )

    assert desk.supply(1, "2026-06-03") == [OPEN]
    assert desk.supply(1, "2026-06-04") == [
        ("11113", slot("2026-04-01"), slot("2026-06-01")),
        ("22223", slot("2026-06-01"), OPEN_SLOT),
    ]


def test_several_versions_of_one_key_in_one_import_are_taken_in_the_order_they_were_recorded(desk: Desk) -> None:
    desk.learn(points=[POINT])
    report = desk.learn(
        now="2026-06-10",
        supply=[
            SUPPLY | {"retailer_code": "33333", "recorded_at": "2026-06-03"},
            SUPPLY | {"retailer_code": "11113", "recorded_at": "2026-06-01"},
            SUPPLY | {"retailer_code": "22223", "recorded_at": "2026-06-02"},
        ],
    )

    assert (report.tables["supply"].new, report.tables["supply"].superseding) == (1, 2)
    seen = [desk.supply(1, f"2026-06-0{day}T12:00")[0][0] for day in (1, 2, 3)]
    assert seen == ["11113", "22223", "33333"]
    assert desk.supply(1, "2026-05-31") == []


def test_attributes_are_dated_too(desk: Desk) -> None:
    desk.learn(points=[POINT | {"contract_kw": "6"}])
    desk.learn(now="2026-06-10", points=[POINT | {"contract_kw": "0.5", "telemetry": 0, "recorded_at": "2026-06-01"}])

    assert desk.attributes(1, "2026-05-31") == [("LV", 1, 120_000)]
    assert desk.attributes(1, "2026-06-01") == [("LV", 0, 10_000)]


def test_the_cap_is_fixed_by_the_settings_of_the_import(desk: Desk) -> None:
    desk.learn(points=[POINT | {"contract_kw": "6"}])

    assert desk.attributes(1, "2026-06-01") == [("LV", 1, 4 * 6 * 10**4 // 2)]


def test_points_and_codes_may_come_in_any_import(desk: Desk) -> None:
    desk.learn(retailers=[{"retailer_code": "22223", "name": "two"}])
    desk.learn(points=[POINT, {"point_id": point(2)}])
    desk.learn(supply=[SUPPLY, SUPPLY | {"point_id": point(2), "retailer_code": "01113", "bg_code": "BG-2"}])
    desk.learn(supply=[SUPPLY | {"valid_from": "2026-03-01", "valid_to": "2026-04-01", "bg_code": "BG-1"}])
    report = desk.learn(retailers=[{"retailer_code": "22223", "name": "zwei"}])

    assert desk.view.retailers == ("00000", "22223", "01113", "11113")
    assert desk.view.bgs == ("", "BG-2", "BG-1")
    assert report.tables["retailers"].superseding == 1
    assert (report.version, desk.view.version) == (5, 5)
    assert desk.supply(2, "2026-06-01") == [("01113", slot("2026-04-01"), OPEN_SLOT)]


def test_customer_references_follow_their_rows(desk: Desk) -> None:
    desk.learn(points=[POINT, {"point_id": point(2)}], supply=[SUPPLY | {"point_id": point(2), "customer_ref": "に"}])
    desk.learn(now="2026-06-01", supply=[SUPPLY | {"customer_ref": "A-1"}])
    desk.learn(
        now="2026-06-02", supply=f"point_id,retailer_code,valid_from,valid_to\n{point(1)},11113,2026-03-01,2026-04-01\n"
    )
    view = desk.view
    off = view.supply_ref_off

    assert off.tolist() == [0, 0, 3, 6]
    assert [view.supply_ref_bytes[off[row] : off[row + 1]].tobytes().decode() for row in range(3)] == ["", "A-1", "に"]


def test_an_off_grid_installation_keeps_its_instant(desk: Desk) -> None:
    desk.learn(points=[POINT], meters=[METER | {"installed_at": "2026-04-01T10:17:30", "install_register": 12}])
    (install,) = desk.installs(1, "2026-06-01")

    assert install["from_ms"] == parse_jst("2026-04-01T10:17:30")
    assert install["first"] == 12
