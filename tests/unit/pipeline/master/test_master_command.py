# SPDX-License-Identifier: Apache-2.0
"""`koma master import`."""

import json
from pathlib import Path
from typing import Any

import pytest

from koma.cli import main
from koma.clock import KeptClock
from pipeline.home import open_home
from pipeline.journal import Journal
from pipeline.master import open_master
from tests.unit.pipeline.master.desk import point, write_folder

SUPPLY = {"point_id": point(1), "retailer_code": "11113", "valid_from": "2026-04-01"}


def status(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["master", "import", *(str(each) for each in arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def folder(tmp_path: Path, name: str, **tables: Any) -> Path:
    return write_folder(tmp_path / name, tables)


def test_json_is_one_line_with_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder(tmp_path, "in", points=[{"point_id": point(1)}, {"point_id": "bad"}])

    assert status(given, "--home", tmp_path / "home", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    report = json.loads(line)
    assert (report["version"], report["applied"], report["points"]["new"], report["quarantined"]) == (1, True, 1, 1)
    assert report["codes"] == {"point_id": 1}
    assert (report["bad"][0]["file"], report["bad"][0]["line"]) == ("points.csv", 3)
    assert Path(report["quarantine"]).exists()
    assert report["what_to_do"].startswith("correct them at their source and import them again")


def test_words_for_people_go_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder(tmp_path, "in", points="point_id,x\nbad,1\n" + f"{point(1)},1\n" + "bad,\n" * 25)

    assert status(given, "--home", tmp_path / "home") == 0
    out, words = capsys.readouterr()
    assert out == ""
    assert "points.csv line 2: point_id: point_id 'bad' is not a supply point id. Write 22 digits" in words
    assert "... and 6 more" in words
    assert "columns without meaning: x" in words
    assert "26 rows wait in" in words
    assert "(26 point_id): correct them at their source and import them again" in words
    assert "Master version 1 is current." in words


def test_strict_fails_and_applies_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder(tmp_path, "in", points=[{"point_id": point(1)}, {"point_id": "bad"}])

    assert status(given, "--strict", "--home", tmp_path / "home") == 1
    words = capsys.readouterr().err
    assert "Nothing was applied (--strict): 1 rows are bad (1 point_id): correct these rows and import again" in words
    assert open_master(tmp_path / "home").version == 0


def test_an_unreadable_file_fails_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder(tmp_path, "in", points="area\n03\n")

    assert status(given, "--home", tmp_path / "home", "--json") == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "master.invalid"
    assert "points.csv lacks the column point_id" in error["message"]
    assert error["hint"]


def test_a_second_import_says_that_nothing_is_new_and_names_older_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = folder(tmp_path, "1", points=[{"point_id": point(1)}], supply=[SUPPLY | {"recorded_at": "2026-05-01"}])
    older = folder(tmp_path, "2", supply=[SUPPLY | {"recorded_at": "2026-04-01", "valid_to": "2026-05-01"}])

    assert [status(each, "--home", tmp_path / "home") for each in (first, first, older)] == [0, 0, 0]
    words = capsys.readouterr().err
    assert "Master version 1 stays: nothing new." in words
    assert "1 rows are no later than what is known" in words


def test_the_clock_is_that_of_the_home(tmp_path: Path) -> None:
    root = tmp_path / "home"
    status(folder(tmp_path, "1", points=[{"point_id": point(1)}]), "--home", root)
    journal = Journal(open_home(root).path("journal"))
    journal.append({"kind": "issued", "to": 1_700_000_000_000, "extra": False})
    journal.close()

    assert status(folder(tmp_path, "2", supply=[SUPPLY]), "--home", root) == 0
    assert open_master(root).supply_rec_from.tolist() == [1_700_000_000_001]  # after what was issued without it


def test_settings_give_the_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOMA_CAP_FACTOR", "3")
    monkeypatch.setenv("KOMA_CAP_KW_DEFAULT", "7")
    points = [{"point_id": point(1)}, {"point_id": point(2), "contract_kw": "0.3333"}]

    assert status(folder(tmp_path, "in", points=points), "--home", tmp_path / "home") == 0
    assert open_master(tmp_path / "home").attr_cap_dwh.tolist() == [105_000, 4_999]


def test_several_files_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder(tmp_path, "in", points=[{"point_id": point(1)}, {"point_id": "bad"}], supply=[SUPPLY])

    assert status(given, "--home", tmp_path / "home") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("all ")]
    assert line.split() == ["all", "3", "2", "0", "0", "0", "0", "1"]


def test_an_import_without_bad_rows_asks_for_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = folder(tmp_path, "in", points=[{"point_id": point(1)}])

    assert status(given, "--home", tmp_path / "home", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["quarantined"], report["quarantine"], report["what_to_do"]) == (0, None, "")


def test_the_manual_clock_is_the_home_s_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "home"
    status(folder(tmp_path, "1", points=[{"point_id": point(1)}]), "--home", root)
    KeptClock(root / "run").set(1_700_000_000_000)
    monkeypatch.setenv("KOMA_CLOCK", "manual")

    assert status(folder(tmp_path, "2", supply=[SUPPLY]), "--home", root) == 0
    assert open_master(root).supply_rec_from.tolist() == [1_700_000_000_000]
