# SPDX-License-Identifier: Apache-2.0
"""A register entered by hand counts like one that was read, with who and why; a contradiction has to be decided."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.commands.quarantine import app
from pipeline.home import Home
from pipeline.repair import entries
from tests.homes import HOUR_MS, at, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")
WHO = ("--by", "field service", "--why", "read on site")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = new_home(
        tmp_path / "home",
        points=[{"point_id": point(0)}],
        meters=[{"point_id": point(0), "meter_id": "M0", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(0), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
    )
    hand_over(made, "0.arrow", reads_of("M0", START, [1, None, 7, 8]))
    run(made, wall_ms=START + 3 * HOUR_MS)
    monkeypatch.setenv("KOMA_HOME", str(made.root))
    return made


def called(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == status, result.output
    return result.stdout if status == 0 else result.output


def energies(home: Home) -> dict[str, object]:
    """Last energy of each slot, by time, from the deliveries."""
    told: dict[str, object] = {}
    for path in sorted(home.deliveries.glob("11113/*/W41110*.parquet"), key=lambda each: (each.name[18:20], each.name)):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            told[f"{row['slot_start']:%H:%M}"] = row["energy_dwh"]
    return told


def test_a_lost_register_is_entered_and_both_slots_are_issued_again(home: Home) -> None:
    assert (energies(home)["22:30"], energies(home)["23:00"]) == (None, None)

    made = json.loads(called("correct", "M0", "2026-10-06T23:00", "3", *WHO))
    run(home, wall_ms=START + 9 * HOUR_MS)

    assert (energies(home)["22:30"], energies(home)["23:00"]) == (2000, 4000)
    told = [json.loads(line) for line in called("corrections").splitlines()]
    assert told == [made]
    assert (made["number"], made["by"], made["why"], made["value"]) == (1, "field service", "read on site", 3)


def test_a_register_that_contradicts_waits_to_be_decided(home: Home) -> None:
    called("correct", "M0", "2026-10-06T23:30", "6", *WHO)
    run(home, wall_ms=START + 9 * HOUR_MS)
    assert energies(home)["23:30"] == 1000

    conflict = next(entries(home, code="conflict"))
    called("replay", "--supersede", conflict.id, *WHO)
    run(home, wall_ms=START + 30 * HOUR_MS)

    assert energies(home)["23:30"] == 2000


def test_the_same_register_twice_is_no_second_one(home: Home) -> None:
    called("correct", "M0", "2026-10-06T23:30", "7", *WHO)

    assert run(home, wall_ms=START + 9 * HOUR_MS).summary()["duplicate"] == 1
    assert not list(entries(home))


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("M0", "2026-10-06T23:10", "3", *WHO), 1, "is no slot boundary"),
        (("M1", "2026-10-06T23:00", "3", *WHO), 1, "the master has no import register of a meter M1"),
        (("M0", "2026-10-06T23:00", "3", "--register", "export", *WHO), 1, "no export register"),
        (("M0", "2026-10-06T23:00", "1000000", *WHO), 1, "which has 6 digits"),
        (("M0", "2026-10-06T23:00", "--", "-1"), 2, "--by and --why are needed"),
        (("M0", "2027-10-06T23:00", "3", *WHO), 1, "ahead of all that this home has taken in"),
        (("M0", "2026-10-06T23:00", "3", "--by", " ", "--why", "x"), 2, "--by and --why are needed"),
        (("M0", "2026-10-06T23:00", "3", "--register", "both", *WHO), 2, "there is no register both"),
    ],
)
def test_what_no_meter_can_show_is_refused(home: Home, words: tuple[str, ...], status: int, says: str) -> None:
    assert says in " ".join(called("correct", *words, status=status).split())
    assert not list(home.landing.iterdir())
    assert called("corrections") == ""


def test_a_damaged_record_is_named(home: Home) -> None:
    (home.path("quarantine") / "corrections.jsonl").write_text("{")

    assert "is damaged" in called("corrections", status=1)
