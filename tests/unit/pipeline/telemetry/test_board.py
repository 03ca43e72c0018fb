# SPDX-License-Identifier: Apache-2.0
"""The board of a bad day: a stranger can say from the first screen what is wrong, where and since when."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.sla import app
from pipeline.home import Home
from pipeline.ledger.model import Alarm, SlaModel
from pipeline.ledger.promise import NOTICE, PAGE, TICKET
from pipeline.ledger.reading import read_model
from pipeline.telemetry.board import board
from pipeline.telemetry.findings import findings
from tests.browsers import DESKTOP, PHONE, SCREEN, seen
from tests.homes import MINUTE_MS, SLOT_MS
from tests.ledger_homes import START, made
from tests.telemetry_homes import BAD_END, DEAD_FROM, bad_day, groups_file

DEAD_MS = START + DEAD_FROM * SLOT_MS
Program = Callable[..., Path]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    folder = tmp_path_factory.mktemp("bad")
    return bad_day(folder), groups_file(folder)


@pytest.fixture(scope="module")
def model(day: tuple[Home, Path]) -> SlaModel:
    return read_model(day[0], BAD_END, clock="wall", slots=48, groups=str(day[1]))


def test_each_thing_that_is_wrong_is_named_once_with_its_place_and_begin(model: SlaModel) -> None:
    found = [(each.severity, each.where.en, each.since_ms) for each in findings(model)]
    assert found == [
        (PAGE, "feeder-2, 03 Tokyo", DEAD_MS),
        (PAGE, "03 Tokyo", DEAD_MS),
        (PAGE, "all areas", START + 10 * SLOT_MS),
        (TICKET, "05 Hokuriku", DEAD_MS),
        (TICKET, "retailer 33333", BAD_END - 80 * MINUTE_MS),
    ]
    assert findings(model)[1].what.en == "4 of 7 cells missing (57.1%), mostly not collected"


def test_a_home_without_trouble_is_in_order(model: SlaModel) -> None:
    good = replace(model, slots=model.slots[: DEAD_FROM - 1], alarms=(), burns=(), groups=())
    good = replace(good, stagnation=replace(model.stagnation, points=0, by_area={}, waiting_since_ms={}))
    assert findings(good) == []
    assert "All in order" in board(good)


def test_a_home_that_has_nothing_yet_has_a_board(tmp_path: Path) -> None:
    text = board(read_model(made(tmp_path, 1), START))
    assert "nothing issued yet" in text
    assert "no slot is old enough yet" in text


def test_slots_that_are_not_out_are_told_from_those_that_came_late(model: SlaModel) -> None:
    line = model.slots[0]
    missed = tuple(replace(each, state="missed") for each in line.deadlines)
    out = replace(model, slots=(replace(line, deadlines=missed),), alarms=(), groups=())
    found = [each for each in findings(out) if each.where.en == "all areas" and "slots" in each.what.en]
    assert [(each.severity, each.what.en) for each in found] == [
        (NOTICE, "1 slots, the first 10:00 came later than +60 min")
    ]
    waits = replace(out, slots=(replace(out.slots[0], out_ms=None),))
    found = [each for each in findings(waits) if "not out" in each.what.en]
    assert [(each.severity, each.since_ms) for each in found] == [(PAGE, line.deadlines[0].due_ms)]


def test_what_stagnates_and_what_does_not_add_up_are_findings(model: SlaModel) -> None:
    alarms = (
        Alarm("stagnated", TICKET, DEAD_MS, "03", "", ""),
        Alarm("conservation", PAGE, DEAD_MS, "", "", ""),
        Alarm("unknown_meters", TICKET, DEAD_MS, "", "", ""),
    )
    by_area = {"03": {"quarantined": 2, "not_collected": 4}}
    since = {"03": {"quarantined": DEAD_MS, "not_collected": DEAD_MS}}
    told = replace(model, alarms=alarms, stagnation=replace(model.stagnation, by_area=by_area, since_ms=since))
    words = [each.what.en for each in findings(told)]
    assert "2 points stagnate: in quarantine" in words
    assert "the sums of a slot differ" in words
    assert "reads of unknown meters wait" in words
    assert "4 points stagnate: not collected" not in words, "they pass by themselves, or are a gap of their area"


def test_names_from_outside_are_text_and_no_markup(model: SlaModel) -> None:
    odd = replace(model.groups[1], group="<script>alert(1)</script>")
    text = board(replace(model, groups=(odd,)))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_page_needs_nothing_from_anywhere(model: SlaModel) -> None:
    assert re.findall(r"(?:src|href)=|url\(|@import|<script", board(model)) == []


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_first_screen_says_what_where_and_since_when(
    program: Program, model: SlaModel, tmp_path: Path, width: int, language: str
) -> None:
    found = seen(program("chromium"), board(model, language=language), width, tmp_path)
    assert (found.over, found.tiny) == (0, 0)
    assert found.bottom < SCREEN, "all that is wrong is on the first screen"
    said = {
        "en": ["5 things are wrong", "feeder-2, 03 Tokyo", "since 10-06 13:00 (3 h 20 min)", "retailer 33333"],
        "ja": ["異常 5件", "feeder-2、03 東京", "10-06 13:00から（3時間20分）", "小売 33333"],
    }
    assert [each for each in said[language] if each not in found.text] == []
    other = said["ja" if language == "en" else "en"]
    assert [each for each in other if each in found.text] == [], "one language at a time"


def test_the_command_replaces_the_page(day: tuple[Home, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOMA_GROUPS", str(day[1]))
    target = tmp_path / "board.html"
    arguments = ["board", "--home", str(day[0].root), "--at", "2026-10-06T16:20", "--out"]
    done = CliRunner().invoke(app, [*arguments, str(target), "--json"])
    assert json.loads(done.stdout)["findings"] >= 4
    assert "feeder-2" in target.read_text(encoding="utf-8")
    wrong = CliRunner().invoke(app, [*arguments, str(tmp_path / "gone" / "board.html")])
    assert wrong.exit_code == 1
    assert CliRunner().invoke(app, [*arguments, str(target), "--language", "fr"]).exit_code == 1
