# SPDX-License-Identifier: Apache-2.0
"""Declared tables: taken whole or not at all, later rows in place of earlier ones, nothing forgotten."""

import errno
import json
from pathlib import Path

import pytest

from koma.errors import KomaError, TotalsError
from pipeline.checking import check_home
from pipeline.columns import replace_file
from pipeline.home import Home, open_home
from pipeline.master.view import OPEN_SLOT
from pipeline.totals.asking import question
from pipeline.totals.declared import ENERGY, LOG, RATES, SOURCES, contributions, declared, import_declared
from pipeline.totals.rates import Rates
from tests.balanced import AREA, PLANT, SINCE, SLOT, balanced_home, declare, energy, source
from tests.homes import Read, Row, hand_over, run

DAY = "20261006"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def refused(home: Home, folder: Path, **files: str) -> TotalsError:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    with pytest.raises(TotalsError) as told:
        import_declared(home, folder, by="test", replace=False, now_ms=0)
    return told.value


HEADS = {
    "loss_rates": "area,voltage,rate,valid_from",
    "settlement_rounding": "area,unit_kwh,mode,valid_from",
    "sources": "source_id,kind,area,direction,valid_from,valid_to,point_id,tolerance_kwh",
    "source_energy": "source_id,slot_start,energy_kwh",
}


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("loss_rates", "11,LV,0.05,2026-10-06", "area 11 does not exist"),
        ("loss_rates", "01,XV,0.05,2026-10-06", "no voltage class"),
        ("loss_rates", "01,LV,5,2026-10-06", "no loss rate"),
        ("loss_rates", "01,LV,0.05,2026-10-06T10:10", "no boundary between slots"),
        ("loss_rates", "01,LV,0.05,yesterday", "is not a time"),
        ("loss_rates", "01,LV,0.05", "3 fields, not 4"),
        ("settlement_rounding", "01,0,half_up,2026-10-06", "no unit of kWh"),
        ("settlement_rounding", "01,1,nearest,2026-10-06", "no way of rounding"),
        ("sources", ",plant,01,in,2026-10-06,,,", "no source id"),
        ("sources", "P,windmill,01,in,2026-10-06,,,", "no kind of source"),
        ("sources", "P,plant,01,inside,2026-10-06,,,", "no direction"),
        ("sources", "P,plant,01,in,2026-10-06,2026-10-05,,", "lies before valid_from"),
        ("sources", "P,plant,01,in,2026-10-06,,123,", "not a supply point id"),
        ("sources", "P,plant,01,in,2026-10-06,,,1", "tolerance_kwh"),
        ("sources", "P,reference,01,in,2026-10-06,,,-1", "tolerance_kwh"),
        ("source_energy", "P,2026-10-06T10:00,1.00001", "finer than 0.1 Wh"),
        ("source_energy", "P,2026-10-06T10:00,1e3", "not an energy in kWh"),
    ],
)
def test_a_bad_line_is_named_and_nothing_of_its_import_is_applied(
    home: Home, tmp_path: Path, name: str, line: str, says: str
) -> None:
    good = "area,voltage,rate,valid_from\n01,LV,0.05,2026-10-06\n"
    error = refused(home, tmp_path / "in", **({"loss_rates": good} | {name: f"{HEADS[name]}\n{line}\n"}))

    assert f"{name}.csv line 2" in error.message
    assert says in error.message
    assert "import the whole file again" in error.hint
    assert declared(home).of(RATES) == []
    assert not (home.path("totals") / LOG).exists()


def test_all_bad_lines_are_told_at_once_up_to_ten(home: Home, tmp_path: Path) -> None:
    lines = "".join(f"01,LV,{k},2026-10-06\n" for k in range(1, 14))
    error = refused(home, tmp_path / "in", loss_rates=f"{HEADS['loss_rates']}\n{lines}")
    assert "line 2:" in error.message
    assert "line 11:" in error.message
    assert error.message.endswith("(and 3 more)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("area,voltage,valid_from\n", "lacks rate"),
        ("area,voltage,rate,valid_from,colour\n", "has colour"),
        ("area,voltage,rate,rate,valid_from\n", "has a column twice"),
        ("", "lacks area, voltage, rate, valid_from"),
        ('area,voltage,rate,valid_from\n01,"LV', "cannot be read"),
    ],
)
def test_a_file_of_another_kind_is_refused(home: Home, tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(home, tmp_path / "in", loss_rates=text).message


def test_a_file_that_is_no_text_an_empty_folder_and_nobody_s_name_are_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert "holds none of loss_rates.csv" in refused(home, tmp_path / "in").message
    (tmp_path / "in" / "loss_rates.csv").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refused(home, tmp_path / "in").message
    with pytest.raises(TotalsError, match="not said who"):
        import_declared(home, tmp_path / "in", by=" ", replace=False, now_ms=0)


def test_one_key_twice_in_a_file_and_a_source_declared_twice_for_a_slot_are_refused(home: Home, tmp_path: Path) -> None:
    row = "01,LV,0.05,2026-10-06\n"
    assert (
        "the same key as line 2"
        in refused(home, tmp_path / "a", loss_rates=f"{HEADS['loss_rates']}\n{row}{row}").message
    )
    declare(home, sources=[source(PLANT, "plant", "in")])
    later = f"{PLANT},plant,01,in,2026-10-06T10:00,,,\n"
    assert (
        "declared twice from 2026-10-06T10:00"
        in refused(home, tmp_path / "b", sources=f"{HEADS['sources']}\n{later}").message
    )
    ended = f"{PLANT},plant,01,in,{SINCE},2026-10-06T10:00,,\n"
    (tmp_path / "b" / "sources.csv").write_text(f"{HEADS['sources']}\n{later}{ended}")
    import_declared(home, tmp_path / "b", by="test", replace=False, now_ms=0)
    assert [row["end"] for row in declared(home).of(SOURCES)] == [SLOT, OPEN_SLOT]


def rate(value: str) -> list[Row]:
    return [{"area": AREA, "voltage": "LV", "rate": value, "valid_from": SINCE}]


def test_a_rate_that_is_corrected_leaves_an_old_total_as_it_was_known(tmp_path: Path) -> None:
    home = balanced_home(tmp_path / "home")
    declare(home, loss_rates=rate("0.05"))
    before_ms = question(home, 1).instant_ms
    hand_over(home, "later.arrow", [Read("M", before_ms + 1_800_000, before_ms + 1_860_000, 9_000)])
    run(home, xml=False)
    declare(home, loss_rates=rate("0.06"))

    found = [Rates.of(question(home, 1, as_of_ms).declared).rate(AREA, "LV", SLOT) for as_of_ms in (None, before_ms)]
    assert [each and each.text for each in found] == ["0.06", "0.05"]
    with pytest.raises(TotalsError, match="the last instant is"):
        question(home, 1, question(home, 1).instant_ms + 1)


def test_an_import_is_told_with_who_when_and_the_digests_of_its_files(home: Home) -> None:
    declare(home, loss_rates=rate("0.05"))
    (line,) = [json.loads(each) for each in (home.path("totals") / LOG).read_text().splitlines()]
    assert (line["by"], line["at"], list(line["files"])) == ("duty desk", "2026-10-06T01:00:00Z", ["loss_rates.csv"])


def test_energy_that_a_crash_left_without_its_import_counts_for_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(home, source_energy=energy(0, of={PLANT: "1"}))
    replace = replace_file

    def cut_off(path: Path, data: bytes) -> None:
        if path.name == LOG:
            raise OSError(errno.ENOSPC, "full")
        replace(path, data)

    with monkeypatch.context() as broken:
        broken.setattr("pipeline.totals.declared.replace_file", cut_off)
        with pytest.raises(OSError, match="full"):
            declare(home, source_energy=energy(0, 40, of={PLANT: "2"}))
    assert [each.energy_dwh for each in contributions(home, DAY)] == [10_000]

    declare(home, source_energy=energy(1, of={PLANT: "3"}))

    assert [each.energy_dwh for each in contributions(home, DAY)] == [10_000, 30_000]
    assert contributions(home, "20261007") == []


@pytest.mark.parametrize("name", [LOG, f"energy-{DAY}.jsonl"])
def test_a_damaged_file_is_an_error_that_names_it_and_found_by_home_check(home: Home, name: str) -> None:
    declare(home, loss_rates=rate("0.05"), source_energy=energy(0))
    assert check_home(home) == []
    path = home.path("totals") / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(KomaError, match=name):
        contributions(home, DAY)
    assert [(each.severity, each.path) for each in check_home(home)] == [("harm", str(path))]


def test_an_empty_table_is_an_import_of_nothing(home: Home, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "source_energy.csv").write_text(HEADS["source_energy"] + "\n")
    found = import_declared(home, tmp_path / "in", by="test", replace=False, now_ms=0)
    assert (found.number, found.rows) == (1, {ENERGY: 0})
