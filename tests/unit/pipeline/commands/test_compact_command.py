# SPDX-License-Identifier: Apache-2.0
"""`koma pipeline compact` ends with the counts of what it did, and with nothing to do the second time."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.pipeline import app
from tests.homes import at, digests, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")


def test_files_become_fewer_and_what_is_issued_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = new_home(
        tmp_path / "home",
        points=[{"point_id": point(n)} for n in range(3)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(3)],
        supply=[{"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(3)],
    )
    for n in range(3):
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, range(100, 116)))
        run(home)
    delivered = digests(home.deliveries)
    before = len(list(home.path("registers").iterdir()))
    monkeypatch.setenv("KOMA_HOME", str(home.root))

    first = CliRunner().invoke(app, ["compact", "--json"])
    second = CliRunner().invoke(app, ["compact", "--forget"])

    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    facts = json.loads(first.stdout)
    assert facts["stamps"] > 5
    assert facts["damaged"] == []
    assert facts["files_written"] == facts["stamps"]
    assert before - facts["files_removed"] + facts["files_written"] == len(list(home.path("registers").iterdir()))
    assert json.loads(second.stdout)["stamps"] == 0
    assert run(home).summary()["files"] == 0
    assert digests(home.deliveries) == delivered
