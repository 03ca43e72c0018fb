# SPDX-License-Identifier: Apache-2.0
"""A watch balances closed slots while nothing is due: each once, again after an import for it. None stops it."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from koma.clock import ManualClock
from koma.errors import TotalsError
from pipeline.alarms import latest_alarms
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.status_file import read_status
from pipeline.totals.due import balances_due
from pipeline.watch import watch
from tests.balanced import PLANT, RATES, SLOT, SLOTS, SOURCES, START, balanced_home, declare, energy
from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, iso, settings_of

FROM_MS = START + 4 * HOUR_MS


def watched(home: Home, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Let a watch live for a quarter of an hour, a minute a pause; `meanwhile` happens after half of it."""
    clock = ManualClock(FROM_MS)

    def pause(_: float) -> None:
        clock.advance(MINUTE_MS)
        if clock.now_ms() == FROM_MS + 8 * MINUTE_MS:
            meanwhile()
        if clock.now_ms() > FROM_MS + 16 * MINUTE_MS:
            os.kill(os.getpid(), signal.SIGTERM)

    for _ in watch(home, settings_of(home, first_slot=SLOT), clock, pause=pause):
        pass


def declared_home(root: Path) -> Home:
    home = balanced_home(root)
    until = {"valid_to": iso(START + SLOTS * SLOT_MS)}
    declare(home, loss_rates=RATES, sources=[{**row, **until} for row in SOURCES], source_energy=energy(*range(SLOTS)))
    return home


def lines(home: Home) -> list[dict[str, Any]]:
    paths = sorted(home.path("totals").glob("balance-*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_every_closed_slot_is_balanced_once_and_again_after_an_import_for_it(tmp_path: Path) -> None:
    home = declared_home(tmp_path / "home")
    watched(home, lambda: declare(home, source_energy=energy(1, of={PLANT: "1158"})))

    found = [(line["slot_start"], [each["code"] for each in line["findings"]]) for line in lines(home)]
    *closed, last = [iso(START + k * SLOT_MS) for k in range(7)]
    assert found == [*((each, []) for each in closed), (closed[1], ["source_twice"]), (last, [])]
    assert [(each["code"], each["source"]) for each in latest_alarms(home)] == [("source_twice", PLANT)]
    assert list(balances_due(home, 1)) == []
    declare(home, loss_rates=[{**RATES[0], "rate": "0.06"}])
    assert list(balances_due(home, 1)) == list(range(SLOT, SLOT + 7))


def test_nothing_is_balanced_where_no_source_is_declared(tmp_path: Path) -> None:
    home = balanced_home(tmp_path / "home")
    declare(home, loss_rates=RATES)
    watched(home)
    assert lines(home) == []


def test_a_balance_that_fails_is_told_and_holds_no_instant_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise TotalsError("imports.jsonl is damaged")

    home = declared_home(tmp_path / "home")
    monkeypatch.setattr("pipeline.totals.due.checked_slots", broken)
    watched(home)

    status = read_status(home)
    assert status is not None
    assert "no survey or balance: imports.jsonl is damaged" in status["errors"][-1]["message"]
    assert status["phase"] == "stopped"
    assert read_state(home.path("journal")).issued_ms == FROM_MS + 15 * MINUTE_MS
