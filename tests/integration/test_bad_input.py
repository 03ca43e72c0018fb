# SPDX-License-Identifier: Apache-2.0
"""Bad input: each kind gets a reason with its place and a row in quarantine, is counted, and the rest is processed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.home import Home
from tests.homes import (
    HOUR_MS,
    MINUTE_MS,
    SLOT_MS,
    Read,
    Row,
    at,
    batch_of,
    digests,
    drop,
    hand_over,
    iso,
    learn,
    new_home,
    point,
    reads_of,
    run,
    write_master,
)
from tests.independent_reader import Cell, read_tree

START = at("2026-10-06T22:30")
REGISTERS = [100, 102, 104, 106, 108]
SUPPLIER = "11113"


def known(number: int) -> dict[str, Row]:
    return {
        "points": {"point_id": point(number)},
        "meters": {"point_id": point(number), "meter_id": f"M{number}", "digits": 6, "unit_exponent": -1},
        "supply": {"point_id": point(number), "retailer_code": SUPPLIER, "valid_from": "2020-01-01T00:00"},
    }


def home_with_good_reads(root: Path) -> Home:
    """Two meters; the first one's reads have landed and are good, whatever lands beside them."""
    home = new_home(root, **{table: [known(n)[table] for n in range(2)] for table in known(0)})
    hand_over(home, "good.arrow", reads_of("M0", START, REGISTERS))
    return home


def good_cells(home: Home) -> list[Cell]:
    return [cell for (_, _, name), cell in read_tree(home.deliveries).items() if name == point(0) and cell.available]


def quarantine(home: Home) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted(home.path("quarantine").glob("*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def koma(*arguments: str, status: int = 0) -> list[dict[str, Any]]:
    """Run the command in its own process; returns the JSON lines of its standard output."""
    program = str(Path(sys.executable).with_name("koma"))
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def expect(home: Home, *rows: tuple[str, str, int], reads: int = 0, **changes: Any) -> dict[str, Any]:
    """Run, and hold quarantine to rows of (file, code, place) and the counts to them; the good meter goes on."""
    facts = run(home, **changes).summary()
    found = sorted((row["source"], row["code"], row["place"]) for row in quarantine(home))
    assert found == sorted(rows)
    assert facts["quarantined"] == (reads or len(rows))
    assert all(row["detail"] for row in quarantine(home))
    assert [cell.energy_dwh for cell in good_cells(home)][:3] == [2_000, 2_000, 2_000]
    assert not list(home.landing.iterdir())
    return facts


@pytest.mark.parametrize("form", [".arrow", ".parquet", ".csv.gz", ".csv.zst"])
def test_a_file_cut_short_is_one_refused_file(tmp_path: Path, form: str) -> None:
    home = home_with_good_reads(tmp_path / "home")
    whole = hand_over(home, f"whole{form}", reads_of("M1", START, REGISTERS))
    content = whole.read_bytes()
    whole.unlink()
    drop(home, f"cut{form}", content[: len(content) * 2 // 3])

    facts = run(home).summary()

    found = quarantine(home)
    assert [(row["source"], row["code"]) for row in found] == [(f"cut{form}", "file")]
    assert f"cut{form}" in found[0]["detail"]
    assert facts["quarantined"] == 1
    assert len(good_cells(home)) >= 3


def test_an_empty_file_an_unknown_kind_and_one_that_only_says_it_is_arrow(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    drop(home, "empty.parquet", b"")
    drop(home, "notes.txt", b"hello")
    drop(home, "says.arrow", b"ARROW1\0\0 but is text")

    expect(home, ("empty.parquet", "file", 0), ("notes.txt", "file", 0), ("says.arrow", "file", 0))


def test_wrong_columns_are_named(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    table = pa.table({"meter": ["M1"], "read_at": [iso(START)], "value": [1]})
    with pa.OSFile(str(home.landing / "wrong.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    drop(home, "wrong.csv", b"meter_id,read_at,import_register\nM1,2026-10-06T22:30:00+09:00,1\n")

    expect(home, ("wrong.arrow", "file", 0), ("wrong.csv", "file", 0))

    details = {row["source"]: row["detail"] for row in quarantine(home)}
    assert "meter_id" in details["wrong.arrow"]
    assert "received_at" in details["wrong.csv"]


def test_bad_numbers_of_a_csv_are_told_by_line_and_the_other_lines_count(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    lines = [
        "meter_id,read_at,import_register,export_register,received_at,comment",
        f"M1,{iso(START)},100,,2026-10-06T13:32:00Z,first",
        f"M1,{iso(START)},1e3,,2026-10-06T13:32:00Z,float",
        f"M1,{iso(START)},-5,,2026-10-06T13:32:00Z,negative",
        f"M1,{iso(START)},100000000,,2026-10-06T13:32:00Z,nine digits",
        "M1,yesterday,100,,2026-10-06T13:32:00Z,time",
        f"M1,{iso(START)},100,,,no arrival",
        f",{iso(START)},100,,2026-10-06T13:32:00Z,no meter",
        f"M1-IS-MUCH-TOO-LONG,{iso(START)},100,,2026-10-06T13:32:00Z,long",
        f"M1,{iso(START)},100",
        f"M1,{iso(START + SLOT_MS)},103,,2026-10-06T14:02:00Z,last",
    ]
    drop(home, "bad.csv", ("\n".join(lines) + "\n").encode())

    facts = expect(
        home,
        ("bad.csv", "register_range", 3),
        ("bad.csv", "register_range", 4),
        ("bad.csv", "register_range", 5),
        ("bad.csv", "read_at", 6),
        ("bad.csv", "received_at", 7),
        ("bad.csv", "meter_id", 8),
        ("bad.csv", "meter_id", 9),
        ("bad.csv", "row", 10),
    )

    assert facts["accepted"] == len(REGISTERS) + 2
    assert facts["ignored_columns"] == {"bad.csv": ["comment"]}
    assert read_tree(home.deliveries)[SUPPLIER, iso(START), point(1)].energy_dwh == 3_000
    assert [row["raw"].decode() for row in quarantine(home) if row["place"] == 3] == [lines[2]]


def test_telegrams_cut_mid_frame_are_told_by_offset_and_those_before_count(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    whole = hand_over(home, "whole.echonet", reads_of("M1", START, REGISTERS))
    content = whole.read_bytes()
    whole.unlink()
    record = len(content) // len(REGISTERS)
    drop(home, "cut.echonet", content[: 3 * record + record // 2])
    broken = bytearray(content)
    broken[record + 2 + 16 + 8] ^= 0xFF  # first byte of the second frame
    drop(home, "frame.echonet", bytes(broken))

    facts = expect(home, ("cut.echonet", "container", 3 * record), ("frame.echonet", "frame", record))

    assert facts["accepted"] == 2 * len(REGISTERS)
    assert facts["duplicate"] == 2


def test_stamps_off_the_grid_from_the_future_and_too_old(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    hand_over(
        home,
        "times.parquet",
        [
            Read("M1", START + 4 * MINUTE_MS, START + HOUR_MS, 1),
            Read("M1", START + SLOT_MS, START, 2),
            Read("M1", START - 46 * 24 * HOUR_MS, START, 3),
            Read("M1", START + MINUTE_MS, START + HOUR_MS, 100),
        ],
    )

    facts = expect(
        home, ("times.parquet", "off_grid", 0), ("times.parquet", "future", 1), ("times.parquet", "too_old", 2)
    )

    assert facts["moved_to_grid"] == 1
    assert facts["accepted"] == len(REGISTERS) + 1


def test_reads_of_unknown_meters_are_held_not_lost(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    hand_over(home, "unknown.csv", reads_of("STRANGER", START, REGISTERS))

    facts = expect(home)

    assert (facts["held"], facts["received"]) == (len(REGISTERS), 2 * len(REGISTERS))


def test_a_conflict_waits_for_a_person_whose_decision_is_a_revision(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    hand_over(home, "first.arrow", reads_of("M1", START, REGISTERS))
    hand_over(home, "second.csv", [Read("M1", START + SLOT_MS, START + 20 * HOUR_MS, 103)])
    facts = run(home).summary()
    before = digests(home.deliveries)
    (entry,) = koma("quarantine", "list", "--json", "--home", str(home.root))

    assert facts["quarantined"] == 1
    assert (entry["code"], entry["point_id"], entry["import_register"]) == ("conflict", point(1), 103)
    told = koma("quarantine", "replay", "--supersede", entry["id"], "--by", "desk", "--home", str(home.root), status=2)
    assert told == []
    koma(
        *("quarantine", "replay", "--supersede", entry["id"]),
        *("--by", "desk", "--why", "the display was read on site", "--home", str(home.root)),
    )
    assert digests(home.deliveries) == before
    run(home)
    cells = read_tree(home.deliveries)
    found = [cells[SUPPLIER, iso(START + k * SLOT_MS), point(1)] for k in range(3)]
    assert [(cell.energy_dwh, cell.revision) for cell in found] == [(3_000, 1), (1_000, 1), (2_000, 0)]
    assert koma("quarantine", "list", "--json", "--home", str(home.root)) == []


def test_quarantined_reads_can_be_handed_over_again_after_repair(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    hand_over(home, "ahead.arrow", [Read("M1", START + k * SLOT_MS, START + SLOT_MS // 2, 100 + k) for k in range(2)])
    run(home)
    assert [row["code"] for row in quarantine(home)] == ["future"]

    (told,) = koma("quarantine", "replay", "--by", "desk", "--why", "clock put right", "--home", str(home.root))

    assert len(told["replayed"]) == 1
    assert [path.name for path in home.landing.iterdir()] == [Path(told["file"]).name]


@pytest.mark.parametrize(
    ("extra", "code", "wrong"),
    [
        (
            {"meters": {"point_id": point(3), "meter_id": "M0", "digits": 6, "unit_exponent": -1}},
            "meter_overlap",
            "meters.csv",
        ),
        (
            {"supply": {"point_id": point(2), "retailer_code": "22223", "valid_from": "2026-01-01T00:00"}},
            "supply_overlap",
            "supply.csv",
        ),
        (
            {"meters": {"point_id": point(9), "meter_id": "M9", "digits": 6, "unit_exponent": -1}},
            "point_unknown",
            "meters.csv",
        ),
        ({"supply": {"point_id": point(3), "retailer_code": "22223", "valid_from": "soon"}}, "time", "supply.csv"),
    ],
)
def test_a_bad_row_of_the_master_waits_with_its_point_and_the_rest_counts(
    tmp_path: Path, extra: dict[str, Row], code: str, wrong: str
) -> None:
    home = home_with_good_reads(tmp_path / "home")
    rows = {table: [known(n)[table] for n in (2, 4)] for table in known(0)}
    rows["points"].append({"point_id": point(3)})
    for table, row in extra.items():
        rows[table].append(row)

    report = learn(home, **rows)

    (bad, *_) = [each for each in report.bad if each.code == code]
    assert bad.file == wrong
    assert bad.line >= 2
    assert report.quarantined >= 1
    assert report.quarantine is not None
    assert [json.loads(line)["code"] for line in report.quarantine.read_text().splitlines()].count(code) >= 1
    hand_over(home, "new.csv", reads_of("M4", START, REGISTERS))
    facts = run(home).summary()
    assert facts["accepted"] == 2 * len(REGISTERS)


def test_the_command_tells_file_line_and_reason_of_a_bad_master_row(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    points: list[Row] = [{"point_id": point(3)}, {"point_id": "1234"}]
    folder = write_master(tmp_path / "later", points=points)

    (strict,) = koma("master", "import", str(folder), "--strict", "--json", "--home", str(home.root), status=1)
    (told,) = koma("master", "import", str(folder), "--json", "--home", str(home.root))

    assert (strict["applied"], told["applied"]) == (False, True)
    for facts in (strict, told):
        assert [(each["file"], each["line"], each["code"]) for each in facts["bad"]] == [("points.csv", 3, "point_id")]
        assert facts["quarantined"] == 1


def test_the_command_tells_of_a_clock_that_ran_ahead_and_ends_well(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    koma("pipeline", "run", "--once", "--home", str(home.root))
    hand_over(home, "ahead.parquet", batch_of([Read("M1", START, START + 8 * 24 * HOUR_MS, 1)]))

    (facts,) = koma("pipeline", "run", "--once", "--home", str(home.root))
    assert [(each["file"], each["row"]) for each in facts["waiting"]] == [("ahead.parquet", 0)]
    assert [path.name for path in home.landing.iterdir()] == ["ahead.parquet"]

    (facts,) = koma("pipeline", "run", "--once", "--accept-clock", "--home", str(home.root))
    assert facts["accepted"] == 1


def test_a_second_instance_is_refused_by_name(tmp_path: Path) -> None:
    home = home_with_good_reads(tmp_path / "home")
    with home.sole_writer("pipeline run --watch"):
        program = str(Path(sys.executable).with_name("koma"))
        done = subprocess.run(
            [program, "pipeline", "run", "--once", "--home", str(home.root)],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert "pipeline run --watch" in done.stderr
    assert len(list(home.landing.iterdir())) == 1
