# SPDX-License-Identifier: Apache-2.0
"""Seed registers are held against the master before they land, and start the first slot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.pipeline import app
from pipeline.home import Home
from tests.homes import HOUR_MS, Read, at, hand_over, iso, new_home, point, reads_of, run

BEGIN = at("2026-10-07T00:00")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Four points; the last has no telemetry, the third two registers."""
    made = new_home(
        tmp_path / "home",
        points=[{"point_id": point(n), "telemetry": int(n < 4)} for n in range(5)],
        meters=[
            *({"point_id": point(n), "meter_id": f"M{n}", "register": "import", "digits": 6, "unit_exponent": -1}
              for n in (0, 1, 2, 4)),
            {"point_id": point(3), "meter_id": "M2", "register": "export", "digits": 6, "unit_exponent": -1},
        ],
        supply=[{"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(5)],
    )  # fmt: skip
    monkeypatch.setenv("KOMA_HOME", str(made.root))
    monkeypatch.setenv("KOMA_FIRST_SLOT", "2026-10-07T00:00")
    return made


def csv_of(path: Path, rows: list[tuple[str, int, str, str]]) -> Path:
    lines = ["meter_id,read_at,import_register,export_register,received_at"]
    lines += [f"{meter},{iso(ms)},{imports},{exports},{iso(ms)}" for meter, ms, imports, exports in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def called(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["seed", *words])
    assert result.exit_code == status, result.output
    return result.stdout if status == 0 else result.output


def test_what_the_file_lacks_is_named_and_the_rest_starts_the_first_slot(home: Home, tmp_path: Path) -> None:
    old = csv_of(
        tmp_path / "old.csv",
        [("M0", BEGIN, "100", ""), ("M2", BEGIN, "7", "9"), ("M9", BEGIN, "1", ""), ("M1", BEGIN + HOUR_MS, "5", "")],
    )

    looked = json.loads(called(str(old), "--at", "2026-10-07T00:00", "--check", "--json"))
    assert list(home.landing.iterdir()) == []
    told = json.loads(called(str(old), "--at", "2026-10-07T00:00", "--json"))

    assert looked | {"file": told["file"]} == told
    assert {name: told[name] for name in ("registers", "elsewhere", "unknown", "expected", "covered")} == {
        "registers": 4, "elsewhere": 1, "unknown": 1, "expected": 4, "covered": 3,
    }  # fmt: skip
    assert told["missing_points"] == [point(1)]
    for n, end in ((0, 103), (1, 4)):
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", BEGIN + HOUR_MS // 2, [end]))
    hand_over(home, "2.arrow", [Read("M2", BEGIN + HOUR_MS // 2, BEGIN + HOUR_MS // 2, 8, 19)])
    run(home, wall_ms=BEGIN + 2 * HOUR_MS, first_slot=BEGIN // (HOUR_MS // 2))
    manifest = home.deliveries / "11113" / "20261007" / "manifest.jsonl"
    closed = next(json.loads(line) for line in manifest.read_text().splitlines() if '"closed"' in line)
    assert (closed["expected"], closed["available"]) == (5, 3)


@pytest.mark.parametrize(
    ("at_text", "name", "says"),
    [
        ("2026-10-07T00:10", "old.csv", "is no start of a slot"),
        ("2026-10-07T03:00", "old.csv", "has no register stamped"),
        ("2026-10-07T00:00", "nowhere.csv", "is no hand-over file"),
        ("2026-10-07T00:00", "old.txt", "is no hand-over file"),
        ("noon", "old.csv", "noon"),
    ],
)
def test_what_cannot_be_a_seed_is_refused(home: Home, tmp_path: Path, at_text: str, name: str, says: str) -> None:
    csv_of(tmp_path / "old.csv", [("M0", BEGIN, "100", "")])
    (tmp_path / "old.txt").write_text("x")

    assert says in called(str(tmp_path / name), "--at", at_text, status=1)
    assert list(home.landing.iterdir()) == []


def test_a_time_before_the_homes_first_slot_is_refused(home: Home, tmp_path: Path) -> None:
    hand_over(home, "0.arrow", reads_of("M0", BEGIN, [1, 2]))
    run(home, wall_ms=BEGIN + 2 * HOUR_MS, first_slot=BEGIN // (HOUR_MS // 2))
    old = csv_of(tmp_path / "old.csv", [("M0", BEGIN - HOUR_MS, "100", "")])

    assert "begins with the slot 2026-10-07T00:00" in called(str(old), "--at", "2026-10-06T23:00", status=1)
