# SPDX-License-Identifier: Apache-2.0
"""The month's report of a home on which six hours went wrong: its numbers against hand counts, its page, its tables."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from koma.errors import TelemetryError
from pipeline.commands.sla import app
from pipeline.home import Home
from pipeline.telemetry.month import Month, month_of
from pipeline.telemetry.report import report, sheets
from tests.browsers import DESKTOP, PHONE, seen
from tests.homes import MINUTE_MS, SLOT_MS, iso
from tests.ledger_homes import START
from tests.telemetry_homes import BAD_END, BAD_SLOTS, DEAD_FROM, RETAILERS, bad_day

Program = Callable[..., Path]
OVER_MS = START + BAD_SLOTS * SLOT_MS + 60 * MINUTE_MS
"""When the duty of the last slot that was run is over; its closing never went out."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return bad_day(tmp_path_factory.mktemp("bad"), gateway=False)


@pytest.fixture(scope="module")
def month(home: Home) -> Month:
    return month_of(home, "2026-10", OVER_MS, clock="wall")


def rows(month: Month, name: str, language: str = "en") -> list[dict[str, str]]:
    text = dict(sheets(month, language=language))[name]
    assert text.startswith(b"\xef\xbb\xbf"), "a spreadsheet knows by it that this is UTF-8"
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))


def test_a_month_is_counted_from_its_first_slot_to_the_last_whose_hour_is_over(month: Month) -> None:
    slots = rows(month, "slots")
    assert len(slots) == 5 * 48 + 20 + BAD_SLOTS
    assert slots[-1]["slot_start"] == iso(START + (BAD_SLOTS - 1) * SLOT_MS)
    assert month.unknown == 5 * 48 + 20
    assert {each["state"] for each in slots[: month.unknown]} == {"unknown"}
    assert all(not each["cells_due"] for each in slots[: month.unknown]), "what is not known is empty, not 0"


def test_what_was_promised_and_kept_is_what_a_count_by_hand_gives(month: Month) -> None:
    closed = BAD_SLOTS - 1
    assert sum(each.promised for each in month.days) == len(RETAILERS) * BAD_SLOTS
    assert month.complete == (closed * 11 - (closed - DEAD_FROM) * 4) / (closed * 11)
    assert month.areas["03"].missing == {"not_collected": (BAD_SLOTS - DEAD_FROM) * 4}
    assert month.areas["05"].due == 4 * BAD_SLOTS
    assert month.on_time is not None
    kept = sum(each.in_time for each in month.retailers.values())
    assert month.on_time == kept / (len(RETAILERS) * BAD_SLOTS) < 1, "the last slot was never closed"


def test_each_run_of_bad_slots_is_one_episode(month: Month) -> None:
    found = rows(month, "episodes")
    area = [each for each in found if each["area"] == "03"]
    assert [(each["from"], each["slots"]) for each in area] == [
        (iso(START + DEAD_FROM * SLOT_MS), str(BAD_SLOTS - DEAD_FROM))
    ]
    assert area[0]["lowest_completeness"] == "0.4286"
    late = [each for each in found if not each["area"]]
    assert [(each["from"], each["latest_out_minutes"]) for each in late] == [
        (iso(START + (BAD_SLOTS - 1) * SLOT_MS), "")
    ], "it is not out at all"


def test_slots_that_nobody_surveyed_after_the_home_began_are_not_counted_as_kept(home: Home) -> None:
    later = month_of(home, "2026-10", OVER_MS + 4 * SLOT_MS, clock="wall")
    assert sum(each.promised for each in later.days) == len(RETAILERS) * (BAD_SLOTS + 4)
    assert later.unknown == 5 * 48 + 20 + 4


def test_a_month_that_is_none_or_not_begun_is_refused(home: Home) -> None:
    for name in ("2026-13", "october", "2026-1"):
        with pytest.raises(TelemetryError, match="is no month"):
            month_of(home, name, OVER_MS, clock="wall")
    with pytest.raises(TelemetryError, match=r"no slot of 2026-11 is over"):
        month_of(home, "2026-11", OVER_MS, clock="wall")


def test_a_month_that_was_kept_says_so_and_one_of_which_nothing_is_known_does_not(home: Home, month: Month) -> None:
    assert "the promise was not kept" in report(month, written_ms=BAD_END)
    good = replace(month, slots=month.slots[-6:], days=[replace(month.days[-1], kept=36, published=100, due=100)])
    good = replace(good, episodes=[], areas={})
    text = report(good, written_ms=BAD_END)
    assert "the promise was kept" in text
    assert "the promise was not kept" not in text
    before = month_of(home, "2026-09", OVER_MS, clock="wall")
    assert "nothing is known of it" in report(before, written_ms=BAD_END)


def test_tables_have_heads_in_either_language_and_the_same_numbers(month: Month) -> None:
    for name, _ in sheets(month):
        english, japanese = rows(month, name), rows(month, name, "ja")
        assert [list(each.values()) for each in english] == [list(each.values()) for each in japanese]
        assert all(re.search(r"[^\x00-\x7f]", head) for head in japanese[0])


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_page_reads_well_at_any_width(program: Program, month: Month, tmp_path: Path, width: int) -> None:
    text = report(month, written_ms=BAD_END)
    assert re.findall(r"(?:src|href)=|url\(|@import|<script", text) == []
    found = seen(program("chromium"), text, width, tmp_path)
    assert (found.over, found.tiny) == (0, 0)
    assert "2026-10: the promise was not kept" in found.text
    assert "10-06 13:00" in found.text
    assert text.count("<svg") == 4


def test_the_command_writes_the_page_and_its_tables(home: Home, tmp_path: Path) -> None:
    arguments = ["report", "--month", "2026-10", "--home", str(home.root), "--at", iso(OVER_MS), "--json"]
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path), "--language", "ja"])
    told = json.loads(done.stdout)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "sla-2026-10-areas.csv",
        "sla-2026-10-episodes.csv",
        "sla-2026-10-retailers.csv",
        "sla-2026-10-slots.csv",
        "sla-2026-10.html",
    ]
    assert told["complete"] == pytest.approx(month_of(home, "2026-10", OVER_MS, clock="wall").complete)
    assert 'lang="ja"' in (tmp_path / "sla-2026-10.html").read_text(encoding="utf-8")
    assert CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "gone")]).exit_code == 1
