# SPDX-License-Identifier: Apache-2.0
"""`koma simulate`."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from koma.cli import main
from pipeline.simulate import Faults
from pipeline.simulate.options import FORMATS


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_it_writes_landing_master_and_truth_and_one_json_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sim"
    given = ("--points", "300", "--slots", "2", "--format", "mixed", "--losses", "0.1", "--json")
    assert status(str(out), *given) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert printed.err == ""
    assert summary["points"] == 300
    assert summary["lost"] > 30
    names = {"landing", "master", "simulation.json", "truth.parquet", "truth_totals.csv"}
    assert {path.name for path in out.iterdir()} == names
    assert {path.name.partition(".")[2] for path in (out / "landing").iterdir()} == set(FORMATS)
    assert not list(out.rglob(".*"))
    recorded = json.loads((out / "simulation.json").read_text())
    assert recorded["options"]["faults"]["losses"] == 0.1
    assert recorded["options"]["start"] == "2026-10-06T22:30:00+09:00"
    assert {"out": str(out), **recorded["summary"]} == summary


def test_people_get_a_table_and_what_to_do_next_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(str(tmp_path / "sim"), "--points", "50", "--slots", "1", "--plain") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "unique reads" in printed.err
    assert "koma master import" in printed.err


def test_plain_turns_every_fault_off_but_those_that_are_named(tmp_path: Path) -> None:
    out = tmp_path / "sim"
    assert status(str(out), "--points", "50", "--slots", "1", "--plain", "--late", "0.5", "--json") == 0
    faults = json.loads((out / "simulation.json").read_text())["options"]["faults"]
    assert {name for name, value in faults.items() if value} == {"late", "late_hours", "outage_share"}


def test_help_names_every_fault_and_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    printed = capsys.readouterr().out
    for each in fields(Faults):
        assert f"--{each.name.replace('_', '-')}" in printed
    assert "Example: koma simulate" in printed


@pytest.mark.parametrize(
    ("given", "code"), [(("--format", "xml"), 1), (("--start", "noon"), 1), (("--nonsense", "1"), 2), ((), 2)]
)
def test_bad_options_end_with_a_reason(
    given: tuple[str, ...], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = [str(tmp_path / "sim")] if given else []
    assert status(*folder, *given) == code
    assert capsys.readouterr().err


def test_a_folder_in_use_is_refused_in_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "old").touch()
    assert status(str(tmp_path), "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "setting.invalid"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert status(str(tmp_path / name), "--points", "10") == 1
    assert f"{tmp_path / name} cannot be made" in capsys.readouterr().err
