# SPDX-License-Identifier: Apache-2.0
"""What is no hand-over file stays in landing, is named with what to do, and stops nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.backlog import Backlog
from pipeline.home import Home
from pipeline.landing import NAME_BYTES_MAX, entries
from tests.homes import at, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")
NOT_TEXT = os.fsdecode(b"reads-\xff\xfe.csv")


def a_link(landing: Path) -> str:
    outside = landing.parent.parent / "outside.csv"
    outside.write_text("meter_id,read_at\n")
    (landing / "link.csv").symlink_to(outside)
    return "is a link"


def a_dead_link(landing: Path) -> str:
    (landing / "dead.csv").symlink_to(landing / "nowhere.csv")
    return "is a link"


def a_folder(landing: Path) -> str:
    (landing / "folder.csv").mkdir()
    return "is a folder"


def a_pipe(landing: Path) -> str:
    os.mkfifo(landing / "pipe.csv")
    return "is no regular file"


def no_text(landing: Path) -> str:
    (landing / NOT_TEXT).write_text("meter_id\n")
    return "is not UTF-8"


def too_long(landing: Path) -> str:
    (landing / ("x" * (NAME_BYTES_MAX - 3) + ".csv")).write_text("meter_id\n")
    return f"has a name of {NAME_BYTES_MAX + 1} bytes"


def control(landing: Path) -> str:
    (landing / "a\nb.csv").write_text("meter_id\n")
    return "has a control character"


STRAYS = [a_link, a_dead_link, a_folder, a_pipe, no_text, too_long, control]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = new_home(
        tmp_path / "home",
        points=[{"point_id": point(0)}],
        meters=[{"point_id": point(0), "meter_id": "M0", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(0), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
    )
    hand_over(made, "検針値.csv", reads_of("M0", START, [1, 2, 3]))
    return made


@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_is_told_of_and_left_alone(home: Home, stray: Callable[[Path], str]) -> None:
    said = stray(home.landing)
    (name,) = (each.name for each in entries(home.landing) if each.objection)

    facts = run(home).summary()

    assert (facts["accepted"], facts["quarantined"]) == (3, 0)
    assert [each["code"] for each in facts["waiting"]] == ["no_handover"]
    assert said in facts["waiting"][0]["detail"]
    json.dumps(facts, ensure_ascii=False).encode()
    assert os.listdir(home.landing) == [name]  # noqa: PTH208  a Path would hide nothing, but this is what lies there


def test_a_watch_s_backlog_knows_strays_apart(home: Home) -> None:
    for stray in STRAYS:
        stray(home.landing)
    backlog = Backlog(home.landing)

    backlog.scan(0)
    backlog.look()

    assert [each.name for each in backlog.files] == ["検針値.csv"]
    assert len(backlog.strays) == len(STRAYS)
    assert {"reads-\\xff\\xfe.csv", "link.csv"} <= {str(each.facts["file"]) for each in backlog.strays}
