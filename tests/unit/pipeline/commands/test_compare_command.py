# SPDX-License-Identifier: Apache-2.0
"""`koma compare` tells causes on standard error, one JSON line on standard output, and by its exit status."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.commands.compare import app
from tests.homes import HOUR_MS, at, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")


def test_a_difference_is_told_in_words_json_and_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, last in (("ours", 122), ("theirs", 125)):
        home = new_home(
            tmp_path / name,
            points=[{"point_id": point(n)} for n in range(2)],
            meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(2)],
            supply=[
                {"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(2)
            ],
        )
        hand_over(home, "0.arrow", reads_of("M0", START, [100, 110, last]))
        hand_over(home, "1.arrow", reads_of("M1", START, [5, 6, 7]))
        run(home, wall_ms=START + 2 * HOUR_MS)
    monkeypatch.setenv("KOMA_HOME", str(tmp_path / "ours"))
    theirs = tmp_path / "theirs" / "deliveries"
    out = tmp_path / "differences.parquet"

    told = CliRunner().invoke(app, [str(theirs), "--out", str(out)])
    same = CliRunner().invoke(app, [str(tmp_path / "ours" / "deliveries"), "--strict", "--json"])
    nothing = CliRunner().invoke(app, [str(tmp_path / "elsewhere"), "--json"])
    broken = shutil.copytree(tmp_path / "ours" / "deliveries", tmp_path / "broken")
    next(broken.rglob("*.zip")).write_bytes(b"no zip")
    unread = CliRunner().invoke(app, [str(broken), "--json"])

    facts = json.loads(told.stdout.splitlines()[-1])
    assert told.exit_code == 1
    assert (facts["different"], facts["unexplained"], facts["cells"] - facts["equal"]) == (1, 1, 1)
    assert "unexplained" in told.stderr
    assert pq.read_table(out).select(["ours_dwh", "theirs_dwh", "cause"]).to_pylist() == [
        {"ours_dwh": 12_000, "theirs_dwh": 15_000, "cause": "unexplained"}
    ]
    assert (same.exit_code, json.loads(same.stdout)["different"]) == (0, 0)
    assert (nothing.exit_code, json.loads(nothing.stdout)["error"]["code"]) == (1, "compare.invalid")
    assert (unread.exit_code, json.loads(unread.stdout)["not_read"]) == (1, 1)
