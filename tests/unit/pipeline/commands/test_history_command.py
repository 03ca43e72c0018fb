# SPDX-License-Identifier: Apache-2.0
"""`koma history` shows what was issued, as JSON lines or in a file, and says what to do where there is nothing."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from typer.testing import CliRunner

from pipeline.commands.history import app
from pipeline.history.showing import SCHEMA
from pipeline.home import Home
from tests.homes import HOUR_MS, at, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = new_home(
        tmp_path / "home",
        points=[{"point_id": point(n)} for n in range(3)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(3)],
        supply=[
            {"point_id": point(n), "retailer_code": code, "valid_from": "2020-01-01T00:00"}
            for n, code in enumerate(("11113", "11113", "22223"))
        ],
    )
    for n in range(2):
        hand_over(made, f"{n}.arrow", reads_of(f"M{n}", START, [1, 3, 7, 8, 12, 12]))
    run(made, wall_ms=START + 3 * HOUR_MS)
    hand_over(made, "late.arrow", reads_of("M2", START, [5, 6, 8, 9, 9, 30], delay_ms=4 * HOUR_MS))
    run(made, wall_ms=START + 9 * HOUR_MS)
    monkeypatch.setenv("KOMA_HOME", str(made.root))
    return made


def called(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == status, result.output
    return result.stdout if status == 0 else result.output


def lines(*words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in called(*words).splitlines()]


def test_an_update_says_what_it_took_and_then_nothing(home: Home) -> None:
    first, second = lines("update", "--json")[0], lines("update")[0]

    assert first["until"] == "2026-10-07T07:30:00+09:00"
    assert first["rows"] > 0
    assert second | {"until": None} == {"until": None, "files": 0, "rows": 0, "merges": 0, "dropped": 0}


def test_a_point_is_shown_slot_by_slot(home: Home) -> None:
    called("update")

    told = lines("point", point(2), "--to", "20261007", "--json")

    assert told == [
        {
            "point_id": point(2),
            "retailer_code": "22223",
            "slot_start": f"2026-10-06T{time}:00+09:00",
            "energy_dwh": energy,
            "available": True,
            "quality": "actual",
            "revision": told[n]["revision"],
            "recorded_at": told[n]["recorded_at"],
        }
        for n, (time, energy) in enumerate((("22:30", 1000), ("23:00", 2000), ("23:30", 1000)))
    ]
    assert list(told[0]) == SCHEMA.names


def test_what_was_known_then_and_what_changed_since(home: Home) -> None:
    called("update")

    then = lines("point", point(2), "--as-of", "2026-10-07T01:00", "--json")
    since = lines("point", point(2), "--changed-since", "2026-10-07T01:00", "--json")
    states = lines("point", point(2), "--all-states", "--from", "20261006", "--json")

    assert {(each["energy_dwh"], each["quality"]) for each in then} == {(None, "missing")}
    assert [each["energy_dwh"] for each in since[:5]] == [1000, 2000, 1000, 0, 21000]
    assert len(states) > len(since)


def test_a_day_and_a_slot_go_into_files(home: Home, tmp_path: Path) -> None:
    called("update")

    told = lines("day", "11113", "2026-10-06", "--out", str(tmp_path / "day.parquet"))[0]
    called("slot", "03", "2026-10-06T23:00", "--out", str(tmp_path / "slot.csv"))

    day = pq.read_table(tmp_path / "day.parquet")
    assert (day.schema, day.num_rows) == (SCHEMA, told["rows"])
    assert set(day["retailer_code"].to_pylist()) == {"11113"}
    slot = csv.read_csv(tmp_path / "slot.csv")
    assert slot["energy_dwh"].to_pylist() == [4000, 4000, 2000]
    assert slot.column_names == SCHEMA.names


def test_a_sound_history_is_proven_and_made_anew(home: Home, tmp_path: Path) -> None:
    called("update")

    assert lines("verify", "--json")[-1]["findings"] == 0
    told = lines("rebuild", "--into", str(tmp_path / "anew"), "--json")[-1]
    assert (told["different"], told["only_here"]) == (0, 0)

    next(home.path("history").glob("parts/*/*.parquet")).write_bytes(b"PAR1")
    assert '"code": "damaged"' in called("verify", "--json", status=1)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("point", point(2)), 1, "run koma history update"),
        (("point", "12"), 1, "22 digits"),
        (("day", "11113", "6.10.2026"), 2, "is no day such as 20261007"),
        (("day", "1", "20261006"), 1, "five digits"),
        (("slot", "77", "2026-10-06T23:00"), 1, "area"),
        (("slot", "03", "noon"), 1, "noon"),
        (("rebuild", "--into", "/proc/nowhere"), 1, "cannot be written"),
    ],
)
def test_a_wrong_word_is_answered_with_what_to_do(home: Home, words: tuple[str, ...], status: int, says: str) -> None:
    assert says in called(*words, status=status)


def test_other_endings_and_points_without_states_are_named(home: Home, tmp_path: Path) -> None:
    called("update")

    assert "ends neither in .csv" in called("day", "11113", "20261006", "--out", str(tmp_path / "x.txt"), status=1)
    assert "nothing was issued of" in called("point", point(77), status=1)
    assert "cannot be written" in called("day", "11113", "20261006", "--out", "/nowhere/x.csv", status=1)
