# SPDX-License-Identifier: Apache-2.0
"""The table of rules: each line of its page is an example that comes out as the page says."""

import re
from datetime import date
from pathlib import Path

import pytest

from koma.errors import SettingError
from koma.reference import FOLDER
from koma.settings import setting_fields, variable
from pipeline.quality import QUALITIES
from pipeline.rules.page import rules_page
from pipeline.rules.table import RULES
from pipeline.rules.thresholds import OWN, Threshold, Thresholds
from tests.rule_trials import tried

PAGE = (FOLDER / "rules.md").read_text(encoding="utf-8")
TABLE = PAGE.split("run through the code")[1]
LINES = re.findall(r"^\| `(\w+)` \| \w+ \| [^|]* \| ([^|]+) \| ([^|]+) \|$", TABLE, re.MULTILINE)
FILES = {each.stem for each in OWN.parent.glob("*.py") if "RULE = " in each.read_text(encoding="utf-8")}


@pytest.mark.parametrize(("code", "given", "verdict"), LINES, ids=[f"{code}: {given}" for code, given, _ in LINES])
def test_every_line_of_the_page_comes_out_as_it_says(code: str, given: str, verdict: str, tmp_path: Path) -> None:
    (rule,) = (each for each in RULES if each.code == code)
    (example,) = (each for each in rule.examples if each.given == given)

    assert tried(code, example, tmp_path) == verdict


def test_the_page_says_what_the_code_says() -> None:
    assert rules_page() == PAGE, "rules.md is out of date: ./dev docs"


def test_every_rule_file_is_a_line_of_the_table_under_its_own_code() -> None:
    codes = [each.code for each in RULES]

    assert sorted(codes) == sorted(FILES)
    assert {code for code, _, _ in LINES} == FILES


def test_every_rule_is_shown_at_work_and_at_rest() -> None:
    verdicts = {code: [verdict for name, _, verdict in LINES if name == code] for code in FILES}

    for code, found in verdicts.items():
        at_work = [each for each in found if code in each or each.startswith("flag")]
        assert at_work, code
        assert len(found) >= 2, code


def test_every_quality_but_the_plain_ones_is_a_rule() -> None:
    assert {each.code for each in RULES if each.stage == "cell"} == set(QUALITIES) - {"actual", "withdrawn"}


def test_every_threshold_is_a_setting_or_a_dated_row() -> None:
    known = {variable(each.name) for each in setting_fields()} | {each.key for each in Thresholds.read(OWN).rows}
    used = {each.threshold for each in RULES} - {""}

    assert used <= known
    assert {each.key for each in Thresholds.read(OWN).rows} <= used


def test_a_threshold_holds_from_its_day_on() -> None:
    rows = (Threshold("a", date(2020, 1, 1), 1, "", ""), Threshold("a", date(2026, 10, 6), 2, "", ""))
    thresholds = Thresholds(rows)

    assert [thresholds.at(date(2026, 10, day))["a"] for day in (5, 6, 7)] == [1, 2, 2]
    assert thresholds.at(date(2000, 1, 1))["a"] == 1


def test_a_home_may_have_thresholds_of_its_own(tmp_path: Path) -> None:
    text = OWN.read_text(encoding="utf-8")
    (tmp_path / "thresholds.csv").write_text(f"{text}frozen_slots,2026-10-07,12,slots,ours\n", encoding="utf-8")

    found = Thresholds.of_home(tmp_path)

    assert [found.at(date(2026, 10, day))["frozen_slots"] for day in (6, 7)] == [48, 12]
    assert Thresholds.of_home(tmp_path / "none") == Thresholds.read(OWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("key,value\n", "line 1"),
        ("key,valid_from,value,unit,source\na,never,1,,\n", "line 2"),
        ("key,valid_from,value,unit,source\na,2020-01-01,much,,\n", "line 2"),
        ("key,valid_from,value,unit,source\na,2020-01-01\n", "line 2"),
        ("key,valid_from,value,unit,source\n", "no row of frozen_slots"),
    ],
)
def test_thresholds_that_cannot_be_read_say_where(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "thresholds.csv").write_text(text, encoding="utf-8")

    with pytest.raises(SettingError, match=said) as caught:
        Thresholds.of_home(tmp_path)
    assert "valid_from" in caught.value.hint
