# SPDX-License-Identifier: Apache-2.0
"""Sums that differ are told of and stop no delivery."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import issue_graph
from pipeline.alarms import latest_alarms
from pipeline.status_file import lines_of
from tests.homes import HOUR_MS, at, digests, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")


def played(root: Path) -> Any:
    home = new_home(
        root,
        points=[{"point_id": point(n)} for n in range(2)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(2)],
        supply=[{"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(2)],
    )
    for n in range(2):
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, [1, 3, 7]))
    run(home, wall_ms=START + 2 * HOUR_MS)
    return home


def test_a_balanced_slot_raises_no_alarm(tmp_path: Path) -> None:
    home = played(tmp_path / "home")

    lines = [json.loads(line) for line in (home.path("ledger") / "slots-20261006.jsonl").read_bytes().splitlines()]
    assert {line["conserved"] for line in lines} == {True}
    assert latest_alarms(home) == []
    assert not list(home.path("ledger").glob("alarms-*"))


def test_sums_that_differ_are_an_alarm_and_everything_goes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = played(tmp_path / "sound")
    report = issue_graph._slot_report

    def leaking(view: Any, slot: int, received: int, shards: list[Any]) -> Any:
        lost = shards[0]["total_bg"].copy()
        lost[2] += 5
        return report(view, slot, received, [{**shards[0], "total_bg": lost}, *shards[1:]])

    monkeypatch.setattr(issue_graph, "_slot_report", leaking)

    home = played(tmp_path / "home")

    assert digests(home.deliveries) == digests(sound.deliveries)
    alarms = latest_alarms(home)
    assert {each["code"] for each in alarms} == {"conservation"}
    sums = alarms[0]["sums"]
    assert sums["balancing_groups"][2] - sums["retailers"][2] == 5
    assert sums["areas"] == sums["retailers"]
    lines = [json.loads(line) for line in (home.path("ledger") / "slots-20261006.jsonl").read_bytes().splitlines()]
    assert {line["conserved"] for line in lines} == {False}
    told = dict(lines_of({"phase": "waiting", "since": "", "running": True, "written_at": "", "alarms": alarms[:1]}))
    assert told["ALARM"].startswith("conservation of the slot 2026-10-06T")
