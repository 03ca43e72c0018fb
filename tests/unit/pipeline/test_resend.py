# SPDX-License-Identifier: Apache-2.0
"""What was issued is given once more as it was, with a record; what is gone or damaged is named."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.pipeline import app
from pipeline.commands.sla import app as sla
from pipeline.history.store import update
from pipeline.home import Home
from pipeline.retention import _taken_ms, forget_deliveries
from tests.homes import HOUR_MS, at, digests, hand_over, new_home, point, reads_of, run, settings_of

START = at("2026-10-06T22:30")
WHO = ("--by", "duty desk", "--why", "their disk failed")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = new_home(
        tmp_path / "home",
        points=[{"point_id": point(n)} for n in range(2)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(2)],
        supply=[
            {"point_id": point(n), "retailer_code": f"1111{n}", "valid_from": "2020-01-01T00:00"} for n in range(2)
        ],
    )
    for n in range(2):
        hand_over(made, f"{n}.arrow", reads_of(f"M{n}", START, [1, 3, 7, 8]))
    run(made, wall_ms=START + 3 * HOUR_MS)
    monkeypatch.setenv("KOMA_HOME", str(made.root))
    return made


def called(*words: str, status: int = 0, command: str = "resend") -> str:
    result = CliRunner().invoke(sla if command == "proof" else app, [command, *words])
    assert result.exit_code == status, result.output
    return result.stdout if status == 0 else result.output


def test_a_retailer_gets_the_same_bytes_and_nobody_elses(home: Home, tmp_path: Path) -> None:
    before = digests(home.deliveries)

    told = json.loads(called("11111", "--from", "20261006", "--to", "20261009", "--out", str(tmp_path / "out"), *WHO))

    given = digests(tmp_path / "out")
    assert given == {
        name: digest
        for name, digest in before.items()
        if name.startswith("11111/") and not name.endswith(".parquet") and name in given
    }
    assert told["files"] == sum(name.endswith(".zip") for name in before if name.startswith("11111/"))
    assert told["empty_days"] == ["20261008"]
    assert digests(home.deliveries) == before
    line = json.loads((home.path("ledger") / "resends.jsonl").read_text())
    assert (line["retailer_code"], line["files"], line["by"], line["why"]) == (
        "11111", told["files"], "duty desk", "their disk failed",
    )  # fmt: skip


def test_a_damaged_file_is_not_given_and_is_named(home: Home, tmp_path: Path) -> None:
    first, second, *_ = sorted(home.deliveries.glob("11111/20261006/*.zip"))
    first.write_bytes(first.read_bytes()[:-1])
    second.unlink()

    said = called("11111", "--from", "20261006", "--out", str(tmp_path / "out"), *WHO, status=1)

    assert first.name in said
    assert not {first.name, second.name} & {path.name for path in (tmp_path / "out").rglob("*")}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("11111", "--from", "20250101", *WHO), 1, "koma history day 11111 20250101 has the values"),
        (("77777", "--from", "20261006", *WHO), 1, "nothing that 77777 was issued"),
        (("../..", "--from", "20261006", *WHO), 1, "five digits"),
        (("11111", "--from", "yesterday", *WHO), 2, "is no day"),
        (("11111", "--from", "20261006", "--by", "x", "--why", " "), 2, "--by and --why are needed"),
    ],
)
def test_what_cannot_be_given_is_answered_with_what_to_do(
    home: Home, tmp_path: Path, words: tuple[str, ...], status: int, says: str
) -> None:
    assert says in " ".join(called(*words, "--out", str(tmp_path / "out"), status=status).split())
    assert not (home.path("ledger") / "resends.jsonl").exists()


def test_a_folder_that_cannot_be_written_is_named(home: Home) -> None:
    assert "/proc/x cannot be written" in called("11111", "--from", "20261006", "--out", "/proc/x", *WHO, status=1)


def test_the_proof_of_duty_tells_of_every_file_of_a_day(home: Home) -> None:
    told = [json.loads(line) for line in called("11111", "20261006", "--json", command="proof").splitlines()]

    assert [each["file"] for each in told if each["file"]] == [
        json.loads(line)["file"]
        for line in (home.deliveries / "11111" / "20261006" / "manifest.jsonl").read_text().splitlines()
        if '"file"' in line
    ]
    assert {each["in_time"] for each in told if each["revision"] == 0} == {True}
    assert {(each["visible_at"], each["fetched_at"]) for each in told} == {(None, None)}
    assert "is kept" in called("11111", "20200101", command="proof", status=1)
    assert "in_time" in CliRunner().invoke(sla, ["proof", "11111", "20261006"]).output


def test_deliveries_stay_until_the_history_has_them(home: Home) -> None:
    update(home, settings_of(home))
    hand_over(home, "later.arrow", reads_of("M0", START + 2 * HOUR_MS, [9, 10, 12]))
    run(home, wall_ms=START + 5 * HOUR_MS)
    far_ms = START + 100 * 24 * HOUR_MS
    taken_ms = _taken_ms(home, settings_of(home))
    gone = forget_deliveries(home, far_ms, 45, taken_ms)

    assert [each.name for each in gone] == ["20261006", "20261006"]
    assert {each.name for each in home.deliveries.glob("*/*")} == {"20261007"}
    update(home, settings_of(home))
    assert len(forget_deliveries(home, far_ms, 45, _taken_ms(home, settings_of(home)))) == 2
