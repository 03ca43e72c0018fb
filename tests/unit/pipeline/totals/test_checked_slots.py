# SPDX-License-Identifier: Apache-2.0
"""What is found in a slot, told and kept; conservation; what can be asked and what not."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from koma.errors import TotalsError
from koma.slots import slot_start_ms
from pipeline.alarms import latest_alarms
from pipeline.home import Home, open_home
from pipeline.shard_cells import shard_cells
from pipeline.status_file import lines_of
from pipeline.totals import cells
from pipeline.totals.asking import newest_closed, question, sums_of
from pipeline.totals.checks import checked_slots
from pipeline.totals.records import record, standing
from tests.balanced import (
    AREA,
    BALANCE_DWH,
    CONTROL,
    DEMAND,
    LINK,
    PLANT,
    RATES,
    SINCE,
    SLOT,
    SLOTS,
    SOURCES,
    START,
    balanced_home,
    checked,
    declare,
    energy,
    found,
    source,
)
from tests.homes import iso, learn, point


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = balanced_home(tmp_path_factory.mktemp("made") / "home")
    declare(home, loss_rates=RATES, sources=SOURCES, source_energy=energy(*range(SLOTS)))
    return home


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.root, tmp_path / "home"))


def finding(home: Home, slot: int = 0) -> dict[str, Any]:
    return found(checked(home)[slot])


def test_a_sound_area_has_no_finding_in_any_slot(home: Home) -> None:
    assert [found(each) for each in checked(home)] == [{}] * SLOTS
    assert [each.balances[0].exact_dwh for each in checked(home)] == [BALANCE_DWH] * SLOTS


def test_energy_of_nobody_s_source_is_named_and_counts_for_nothing(home: Home) -> None:
    declare(home, source_energy=energy(0, of={"STRANGER": "7"}))
    assert finding(home) == {"source_undeclared": "STRANGER"}
    assert checked(home)[0].balances[0].exact_dwh == BALANCE_DWH


@pytest.mark.parametrize("replace", [True, False])
def test_one_file_that_holds_a_source_twice_for_a_slot_is_named(home: Home, *, replace: bool) -> None:
    number = declare(home, replace=replace, source_energy=[*energy(0), *energy(0, of={PLANT: "1159"})])
    (told,) = [each.detail for each in checked(home)[0].findings if each.source == PLANT]
    assert f"import {number} line 2: 1158 kWh, import {number} line 5: 1159 kWh" in told
    assert checked(home)[0].balances[0].exact_dwh == BALANCE_DWH


def test_one_supply_point_under_two_ids_counts_once(home: Home) -> None:
    declare(
        home,
        sources=[source(name, "plant", "in", point_id=point(7, AREA)) for name in ("BIO-2", "BIO-3")],
        source_energy=energy(0, of={"BIO-2": "5", "BIO-3": "5"}),
    )
    assert finding(home)["source_twice"] == "BIO-3"
    assert checked(home)[0].balances[0].sources == {PLANT: 11_580_000, LINK: -3_580_000, "BIO-2": 50_000}


def test_a_source_is_expected_from_the_slot_to_the_slot_that_its_row_says(home: Home) -> None:
    inside = {"valid_from": iso(START + 1_800_000), "valid_to": iso(START + 3 * 1_800_000)}
    declare(home, sources=[source("PUMP", "storage", "out", **inside)])
    assert [found(each).get("source_absent") for each in checked(home)] == [None, "PUMP", "PUMP", None]


@pytest.mark.parametrize(
    ("direction", "kwh", "against"),
    [("in", "1", False), ("in", "-1", True), ("out", "-1", False), ("out", "1", True), ("both", "-1", False)],
)
def test_energy_against_a_declared_direction_is_named_and_counts_as_it_is(
    home: Home,
    direction: str,
    kwh: str,
    against: bool,  # noqa: FBT001
) -> None:
    declare(home, sources=[source("X", "other", direction)], source_energy=energy(0, of={"X": kwh}))
    assert (finding(home).get("source_sign") == "X") == against
    assert checked(home)[0].balances[0].sources["X"] == int(kwh) * 10_000


@pytest.mark.parametrize(
    ("says", "tolerance", "code"),
    [
        ("-197", "0", None),
        ("-196.9999", "0", "balance_off"),
        ("-196.9999", "0.0001", None),
        ("-196.9999", "", None),
        ("1", "", "balance_sign"),
        ("0", "", None),
    ],
)
def test_a_balance_is_held_against_a_reference(home: Home, says: str, tolerance: str, code: str | None) -> None:
    declare(
        home,
        replace=True,
        sources=[source(CONTROL, "reference", "both", tolerance_kwh=tolerance)],
        source_energy=energy(0, of={CONTROL: says}),
    )
    assert finding(home) == ({} if code is None else {code: CONTROL})


def test_an_area_without_a_loss_rate_has_no_balance_and_says_so(home: Home) -> None:
    declare(home, loss_rates=[{"area": AREA, "voltage": "LV", "rate": "", "valid_from": SINCE}])
    (balance,) = checked(home)[0].balances
    assert (balance.demand, balance.exact_dwh) == (None, None)
    assert finding(home) == {"no_loss_rate": AREA}


def test_an_area_of_sources_alone_is_balanced_too(home: Home) -> None:
    declare(home, sources=[source("FAR", "plant", "in", area="02")], source_energy=energy(0, of={"FAR": "2"}))
    found_dwh = {each.area: each.exact_dwh for each in checked(home)[0].balances}
    assert found_dwh == {AREA: Fraction(BALANCE_DWH), "02": Fraction(20_000)}


def test_a_point_that_counts_both_registers_is_in_no_direction(home: Home) -> None:
    meter = {"point_id": DEMAND, "meter_id": "N", "register": "export", "digits": 8, "unit_exponent": 0}
    learn(home, meters=[meter])
    (sums,) = sums_of(question(home, 1), SLOT, SLOT + 1)
    assert {key.direction: each.cells for key, each in sums.by["area"].items()} == {"generation": 1, "mixed": 1}


def test_sums_that_differ_are_a_finding_of_every_slot(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cells._added

    def leaking(index: Any, size: int, available: Any, energy: Any) -> Any:
        by_area = size == cells._AREAS * cells._KINDS
        return real(index, size, available, energy - 1 if by_area else energy)

    monkeypatch.setattr(cells, "_added", leaking)
    for each in checked(home):
        assert found(each)["conservation"] == "all"
        assert "points 2/2/9530000," in each.findings[0].detail
        assert "area 2/2/9529998," in each.findings[0].detail


def test_only_what_came_out_anew_is_kept_and_what_is_put_right_is_no_alarm(home: Home) -> None:
    def kept(slot: int) -> list[dict[str, Any]]:
        record(home, [checked(home)[slot].as_json()], slot_start_ms(SLOT + 8))
        path = home.path("totals") / "balance-20261006.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    assert len(kept(0)) == len(kept(0)) == 1
    assert standing(home) == []
    declare(home, source_energy=energy(0, of={PLANT: "1158"}))
    assert [line["findings"][0]["code"] for line in kept(0)[1:]] == ["source_twice"]
    (alarm,) = latest_alarms(home)
    assert (alarm["code"], alarm["source"], alarm["issued_at"]) == ("source_twice", PLANT, "2026-10-06T14:00:00+09:00")
    status = {"phase": "waiting", "since": "", "running": True, "written_at": ""}
    assert "imported 2 times" in dict(lines_of({**status, "alarms": [alarm]}))["ALARM"]
    declare(home, replace=True, source_energy=energy(0))
    assert (len(kept(0)), latest_alarms(home)) == (3, [])
    assert [(line["declarations"], line["given"]) for line in kept(0)] == [(1, 3), (1, 4), (1, 7)]


def test_findings_of_an_older_day_stand_while_a_newer_one_has_none(home: Home) -> None:
    told = {"slot_start": "2026-10-05T10:00:00+09:00", "findings": [{"code": "made up"}]}
    record(home, [told], slot_start_ms(SLOT))
    record(home, [checked(home)[0].as_json()], slot_start_ms(SLOT))
    assert [each["code"] for each in standing(home)] == ["made up"]


def test_slots_that_are_open_or_unknown_are_refused_with_what_to_do(home: Home, tmp_path: Path) -> None:
    what = question(home, 1)
    newest = newest_closed(what)
    assert list(checked_slots(what, newest, newest + 1))
    with pytest.raises(TotalsError, match="closes at"):
        list(checked_slots(what, newest, newest + 2))
    with pytest.raises(TotalsError, match="slots from 2026-10-06T10:00"):
        list(sums_of(what, SLOT - 1, SLOT + 1))
    with pytest.raises(TotalsError, match="had ended by"):
        list(sums_of(what, SLOT, SLOT + 48))
    with pytest.raises(TotalsError, match="0 slots"):
        list(sums_of(what, SLOT, SLOT))
    with pytest.raises(TotalsError, match="issued nothing"):
        question(open_home(tmp_path / "fresh"), 1)


def test_registers_that_another_process_replaces_are_looked_for_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = shard_cells, [0]

    def gone_once(*args: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            raise FileNotFoundError(2, "gone", "registers/1")
        return real(*args, **named)

    monkeypatch.setattr(cells, "shard_cells", gone_once)
    assert [each.slot for each in sums_of(question(home, 1), SLOT, SLOT + 2)] == [SLOT, SLOT + 1]

    def gone(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError(2, "gone", "registers/1")

    monkeypatch.setattr(cells, "shard_cells", gone)
    with pytest.raises(TotalsError, match="registers/1 is gone"):
        list(sums_of(question(home, 1), SLOT, SLOT + 1))


def test_what_the_master_says_is_looked_at_again_where_it_may_change() -> None:
    view = type("View", (), {})()
    view.shard_points = np.array([0, 1])
    view.supply_of = view.install_of = np.array([0, 1])
    view.supply_from, view.supply_to = np.array([10], np.int32), np.array([20], np.int32)
    view.install_from_ms, view.install_to_ms = np.array([slot_start_ms(12)]), np.array([slot_start_ms(15) + 60_000])
    found = [cells._changes_after(view, 0, slot) for slot in (5, 10, 12, 13, 15, 16, 20)]
    assert found == [10, 12, 13, 15, 16, 20, 2**31 - 1]
