# SPDX-License-Identifier: Apache-2.0
"""A watch surveys each slot while nothing is due, notes when it did what, and is stopped by no survey."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from koma.clock import ManualClock
from koma.errors import HomeError
from pipeline.home import Home
from pipeline.ledger.book import place_of, read_record
from pipeline.ledger.stamps import read_stamps
from pipeline.retention import SURVEYS_DAYS, forget_surveys
from pipeline.status_file import read_status
from pipeline.watch import watch
from tests.homes import MINUTE_MS, SLOT_MS, hand_over, settings_of
from tests.ledger_homes import SLOT, START, causes, made, reads

END = START + SLOT_MS
DAY_MS = 24 * 60 * MINUTE_MS


def watched(home: Home, until_ms: int, land: Callable[[], object]) -> None:
    """Let a watch live from the slot's end on, a minute a pause; what `land` brings lies there from the second on."""
    clock = ManualClock(END)
    waiting = [land]

    def pause(_: float) -> None:
        clock.advance(MINUTE_MS)
        while waiting:
            waiting.pop()()
        if clock.now_ms() > until_ms:
            os.kill(os.getpid(), signal.SIGTERM)

    settings = settings_of(home, watch_gather_s=0, first_slot=SLOT)
    for _ in watch(home, settings, clock, pause=pause):
        pass


def test_a_watch_names_what_is_missing_one_slot_later_and_says_when_all_was_out(tmp_path: Path) -> None:
    home = made(tmp_path, 3)
    watched(home, END + 31 * MINUTE_MS, lambda: [hand_over(home, f"{n}.arrow", reads(n, 2)) for n in range(2)])
    record = read_record(home, SLOT)
    assert record is not None
    assert record.instant_ms == END + 30 * MINUTE_MS
    assert causes(home, SLOT) == {2: ("not_collected", "")}
    stamps = read_stamps(home, START, END + SLOT_MS)
    assert {10 * MINUTE_MS, 20 * MINUTE_MS, 30 * MINUTE_MS} <= {each.to_ms - END for each in stamps.outs}
    assert all(each.out_ms >= each.computed_ms and each.out_ms > each.to_ms for each in stamps.outs)
    assert sum(rows for each in stamps.intakes for _, rows in each.files) == 4


def test_a_survey_that_fails_is_told_and_holds_no_delivery_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise HomeError("a file of the quarantine cannot be read")

    monkeypatch.setattr("pipeline.ledger.survey.evidence_at", broken)
    home = made(tmp_path, 1)
    watched(home, END + 46 * MINUTE_MS, lambda: hand_over(home, "0.arrow", reads(0, 2)))
    status = read_status(home)
    assert status is not None
    assert status["phase"] == "stopped"
    assert "no survey" in status["errors"][-1]["message"]
    assert status["last_issue"]["instant"].endswith("11:15:00+09:00")
    assert not place_of(home, SLOT, "json").exists()


def test_surveys_and_stamps_of_long_ago_go(tmp_path: Path) -> None:
    home = made(tmp_path, 1)
    watched(home, END + 12 * MINUTE_MS, lambda: hand_over(home, "0.arrow", reads(0, 2)))
    folder = place_of(home, SLOT, "json").parent
    assert forget_surveys(home, END + SURVEYS_DAYS * DAY_MS) == []
    assert folder.exists()
    assert [each.name for each in forget_surveys(home, END + (SURVEYS_DAYS + 1) * DAY_MS)] == [
        "stamps-20261006.jsonl",
        "20261006",
    ]
    assert not folder.exists()
