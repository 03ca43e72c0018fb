# SPDX-License-Identifier: Apache-2.0
"""Readers of a history that is written, put together and swept meanwhile, by a writer that is killed time and again."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from pipeline.history.catalogue import newest
from pipeline.history.files import store_files
from pipeline.history.proof import verify
from pipeline.home import Home
from pipeline.journal import JOURNAL
from tests.conftest import DEEP
from tests.history_races import WHOLE
from tests.homes import HOUR_MS, at, hand_over, learn, new_home, point, reads_of, run, settings_of

START = at("2026-10-30T20:00")  # over the end of a month
PATIENCE_S = 120.0


def issued_home(root: Path, seed: int) -> Home:
    """Make a home that has issued two days in many steps, with late reads and a switch learned late."""
    chance = random.Random(seed)  # noqa: S311  a drawn world, no secret
    points = range(9)
    home = new_home(
        root,
        points=[{"point_id": point(n)} for n in points],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in points],
        supply=[
            {"point_id": point(n), "retailer_code": ("11113", "22223")[n % 2], "valid_from": "2020-01-01T00:00"}
            for n in points
        ],
    )
    for step in range(8):
        for n in points:
            if chance.random() < 0.7:
                first = START + step * 6 * HOUR_MS
                registers = [100 * step + 7 * k if chance.random() < 0.9 else None for k in range(12)]
                late_ms = chance.choice((2, 20, 400)) * 60_000
                hand_over(home, f"{step}-{n}.arrow", reads_of(f"M{n}", first, registers, delay_ms=late_ms))
        if step == 4:
            learn(
                home,
                supply=[
                    {"point_id": point(2), "retailer_code": code, "valid_from": begin, "valid_to": end,
                     "recorded_at": "2026-10-31T18:00"}
                    for code, begin, end in (
                        ("11113", "2020-01-01T00:00", "2026-10-31T00:00"), ("22223", "2026-10-31T00:00", ""),
                    )
                ],
            )  # fmt: skip
        run(home, wall_ms=START + (step + 1) * 6 * HOUR_MS, xml=False)
    run(home, wall_ms=START + 4 * 24 * HOUR_MS, xml=False)
    journal = home.path("journal") / JOURNAL
    journal.rename(journal.with_name(WHOLE))
    return home


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.history_races", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip


def killed_after(home: Home, writer: subprocess.Popen[str], catalogues: int) -> None:
    """Kill a writer once it has got on by some catalogues."""
    deadline, files = time.monotonic() + PATIENCE_S, store_files(home, settings_of(home))
    try:
        goal = newest(files).number + catalogues
        while writer.poll() is None and newest(files).number < goal:
            assert time.monotonic() < deadline, "the writer does not get on"
    finally:
        writer.kill()
        _, words = writer.communicate()
    assert not words


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return issued_home(tmp_path_factory.mktemp("races") / "home", 7)


@settings(max_examples=30, phases=tuple(Phase) if DEEP else (Phase.explicit,))
@example(seed=1, kills=[3, 1, 7, 2])
@given(st.integers(0, 10_000), st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_readers_see_each_state_once_whole_and_in_time(home: Home, seed: int, kills: list[int]) -> None:
    shutil.rmtree(home.path("history"))
    home.path("history").mkdir()
    readers = [started("read", str(home.root), str(seed + k)) for k in range(2)]
    try:
        for catalogues in kills:
            killed_after(home, started("write", str(home.root)), catalogues)
        last = started("write", str(home.root))
        _, words = last.communicate(timeout=PATIENCE_S)
        assert last.returncode == 0, words
    finally:
        for each in readers:
            each.send_signal(signal.SIGTERM)
        told = [each.communicate(timeout=PATIENCE_S) for each in readers]
    for each, (out, words) in zip(readers, told, strict=True):
        assert each.returncode == 0, out + words
        assert json.loads(out)["reads"] > 0
    proof = verify(home, settings_of(home))
    assert proof.findings == []
    assert proof.rows > 500, proof
