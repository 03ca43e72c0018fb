# SPDX-License-Identifier: Apache-2.0
"""`koma totals`: results as JSON lines, tables for people, errors that say what to do."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.commands.totals import app
from pipeline.home import Home, open_home
from pipeline.totals import cells
from tests.balanced import AREA, GROUP, PLANT, RATES, RETAILER, SLOTS, SOURCES, balanced_home, declare, energy
from tests.homes import write_master

PERIOD = ["--from", "2026-10-06T10:00", "--to", "2026-10-06T12:00"]
ONE = ["--slot", "2026-10-06T10:00"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = balanced_home(tmp_path_factory.mktemp("commands") / "home")
    declare(home, loss_rates=RATES, sources=SOURCES, source_energy=energy(*range(SLOTS)))
    declare(home, source_energy=energy(3, of={PLANT: "1158"}))
    return home


@pytest.fixture(autouse=True)
def settings_of_the_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOMA_HOME", str(home.root))
    monkeypatch.setenv("COLUMNS", "200")


def call(*arguments: str, status: int = 0) -> tuple[list[dict[str, Any]], str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == status, result.output
    return [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_a_period_has_its_rows_then_a_line_that_says_as_of_when() -> None:
    (*rows, closing), _ = call("show", *PERIOD, "--json")
    found = {(row["by"], row["code"], row["voltage"], row["direction"]): row for row in rows}
    for by, code in (("retailer", RETAILER), ("balancing_group", GROUP), ("area", AREA), ("area", "all")):
        demand, generation = (found[by, code, "all", direction] for direction in ("demand", "generation"))
        assert (demand["energy_dwh"], demand["generation_end_dwh"], demand["settlement_kwh"]) == (
            38_000_000,
            40_000_000,
            4_000,
        )
        assert (demand["cells"], demand["available"], demand["missing"], demand["loss_rates"]) == (4, 4, 0, ["0.05"])
        assert (generation["energy_dwh"], generation["generation_end_exact_dwh"]) == (120_000, "120000")
    assert closing["as_of"] == "2026-10-06T14:00:00+09:00"
    assert (closing["rows"], closing["conserved"], closing["from"]) == (len(rows), True, "2026-10-06T10:00:00+09:00")


def test_each_slot_stands_apart_where_that_is_asked_for() -> None:
    (*rows, _), _ = call("show", *PERIOD, "--each-slot", "--by", "area", "--json")
    told = [row for row in rows if (row["code"], row["voltage"], row["direction"]) == (AREA, "all", "demand")]
    assert [row["from"][11:16] for row in told] == ["10:00", "10:30", "11:00", "11:30"]
    assert {row["settlement_kwh"] for row in told} == {1_000}


def test_without_a_period_it_is_the_newest_closed_slot() -> None:
    (closing,), _ = call("show")
    assert closing["from"] == "2026-10-06T12:30:00+09:00"  # closed at 13:45, of which nothing came
    (closing,), _ = call("balance")
    assert (closing["from"], closing["findings"]) == ("2026-10-06T12:30:00+09:00", 3)


def test_people_see_a_table_of_all_voltages_and_a_file_holds_every_row(tmp_path: Path) -> None:
    _, told = call("show", *ONE)
    assert "Totals from 2026-10-06T10:00:00+09:00" in told
    assert GROUP in told
    assert "1000" in told
    (closing,), told = call("show", *ONE, "--out", str(tmp_path / "totals.csv"))
    with (tmp_path / "totals.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert (told, len(rows)) == ("", closing["rows"])
    assert {row["loss_rates"] for row in rows} == {"0.05", ""}
    (error,), _ = call("show", *ONE, "--out", str(tmp_path / "nowhere" / "t.csv"), "--json", status=1)[0][-1:], ""
    assert error["error"]["code"] == "totals.invalid"


def test_sums_that_differ_end_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells.SlotSums, "unbalanced", lambda _: {"points": cells.NOTHING})
    lines, _ = call("show", *ONE, "--json", status=1)
    assert lines[-2]["conserved"] is False
    assert "koma totals balance" in lines[-1]["error"]["hint"]


def test_a_balance_is_told_kept_and_not_kept_again() -> None:
    (*slots, closing), _ = call("balance", *PERIOD, "--json")
    assert [each["balances"][0]["balance_dwh"] for each in slots] == [-1_970_000] * SLOTS
    assert [[found["code"] for found in each["findings"]] for each in slots] == [[], [], [], ["source_twice"]]
    assert (closing["findings"], closing["recorded"]) == (1, 4)
    (closing,), told = call("balance", *PERIOD)
    assert closing["recorded"] == 0
    assert f"source_twice 2026-10-06T11:30:00+09:00 {AREA} {PLANT}: it was imported 2 times" in told
    (closing,), _ = call("balance", "--slot", "2026-10-06T11:30", "--as-of", "2026-10-06T13:00")
    assert (closing["as_of"], closing["recorded"]) == ("2026-10-06T13:00:00+09:00", 0)


def test_what_is_declared_is_shown_with_times() -> None:
    lines, _ = call("declared", "--json")
    assert [(line["table"], line["valid_from"][:10]) for line in lines] == [("loss_rates", "2020-01-01")] + [
        ("sources", "2020-01-01")
    ] * 3
    assert {line["valid_to"] for line in lines if line["table"] == "sources"} == {""}
    _, told = call("declared")
    assert "nothing in settlement_rounding" in told
    assert "LINK-01-02" in told


def test_an_import_says_what_it_brought_and_a_bad_one_what_is_wrong(tmp_path: Path) -> None:
    own = ["--home", str(open_home(tmp_path / "home").root)]
    folder = write_master(tmp_path / "in", settlement_rounding=[
        {"area": "02", "unit_kwh": 1, "mode": "half_up", "valid_from": "2026-04-01"}
    ])  # fmt: skip
    (line,), told = call("import", str(folder), "--by", "duty desk", *own)
    assert line["rows"] == {"settlement_rounding": 1}
    assert "settlement_rounding" in told
    (error,), _ = call("import", str(tmp_path), "--by", "duty desk", "--json", *own, status=1)
    assert "holds none of" in error["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", *ONE, "--day", "20261006"],
        ["show", "--from", "2026-10-06T10:00"],
        ["show", "--day", "today"],
        ["show", *ONE, "--by", "customer"],
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(arguments: list[str]) -> None:
    call(*arguments, status=2)


def test_a_day_that_has_not_ended_is_an_error_with_what_to_do() -> None:
    (error,), _ = call("balance", "--day", "20261006", "--json", status=1)
    assert "choose slots that are closed" in error["error"]["hint"]
    (error,), _ = call("show", "--day", "20261006", "--json", status=1)
    assert "choose a slot in between" in error["error"]["hint"]
