# SPDX-License-Identifier: Apache-2.0
import json
from datetime import date
from pathlib import Path

import pytest

from koma import output
from koma.errors import SettingError


def test_a_result_is_one_json_line_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"home": Path("/a"), "day": date(2026, 1, 2), "area": "東京", "text": "two\nlines"})
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    assert json.loads(captured.out) == {"home": "/a", "day": "2026-01-02", "area": "東京", "text": "two\nlines"}


def test_words_tables_and_progress_keep_off_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("hello")
    output.table("Slots", ["slot", "rows"], [["34", 1234567], ["[35]", 8]])
    with output.progress("counting", 2) as advance:
        advance()
        advance(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err
    assert "1,234,567" in captured.err
    assert "[35]" in captured.err
    assert "counting" not in captured.err


def test_a_failure_ends_with_status_1_and_tells_people_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        output.fail(SettingError("KOMA_WORKERS is 'x'", hint="Give a number"))
    captured = capsys.readouterr()
    assert left.value.code == 1
    assert captured.out == ""
    assert captured.err == "koma: setting.invalid: KOMA_WORKERS is 'x'\n  Give a number\n"


def test_a_failure_under_json_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        output.fail(SettingError("bad", hint="mend it"), as_json=True)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {"error": {"code": "setting.invalid", "message": "bad", "hint": "mend it"}}


ROWS = [["reads-of-a-day.arrow", "off_grid", 1234567, "the stamp lies between two slots: correct it at its source"]]


@pytest.mark.parametrize("width", [200, 80, 60, 30])
def test_a_table_cuts_no_word_however_narrow_the_terminal_is(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    output.table("Quarantine", ["file", "reason", "rows", "what to do"], ROWS)
    text = capsys.readouterr().err
    words = {"reads-of-a-day.arrow", "off_grid", "1,234,567", "correct", "source", "what"}
    assert words <= set(text.split())
    assert "…" not in text


def test_a_table_without_room_for_its_words_goes_out_as_names_and_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output.table("Counts", ["what", "number"], [["a" * 30, 10_000_000]])
    assert capsys.readouterr().err == f"Counts:\n\n  what    {'a' * 30}\n  number  10,000,000\n\n"


def test_wide_letters_count_twice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output.table("", ["name"], [["東京電力" * 4]])
    assert "東京電力" * 4 in capsys.readouterr().err


def test_an_empty_table_shows_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("Clients", ["client", "state"], [])
    assert capsys.readouterr().err.split()[:3] == ["Clients", "client", "state"]
