# SPDX-License-Identifier: Apache-2.0
"""Finer values as files, and main points less their device points."""

import csv
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from koma.errors import HomeError
from pipeline.channel_files import NEGATIVE, OTHER_REGISTER, UNKNOWN_MAIN, fine_values, net_values
from pipeline.channels import known_now
from pipeline.commands.channel import app
from pipeline.home import Home
from tests.finer import DAY, finer_home, interval, reads_every
from tests.homes import hand_over, point, run

DATE = date.fromisoformat(DAY)
RAW = 100
"""dWh of one unit of the meters' registers."""


def family(root: Path, steps: Mapping[int, tuple[int, int]], **more: Mapping[str, object]) -> Home:
    """Make a home of the main point 1 and devices behind it; `steps`: minutes of a meter, use in each."""
    devices = {point(number): {"main_point_id": point(1)} for number in steps if number != 1}
    meters = [interval(number, minutes, **more.get(f"meter{number}", {})) for number, (minutes, _) in steps.items()]
    points = devices | {point(int(name[5:])): row for name, row in more.items() if name.startswith("point")}
    home = finer_home(root, meters, **points)
    registers = {number: range(0, (120 // minutes) * use + 1, use) for number, (minutes, use) in steps.items()}
    reads = [read for n, (minutes, _) in steps.items() for read in reads_every(f"M{n}", minutes, registers[n])]
    hand_over(home, "reads.arrow", reads)
    run(home)
    return home


def test_a_device_is_subtracted_from_its_main_point_in_slots_that_both_have(tmp_path: Path) -> None:
    home = family(tmp_path / "home", {1: (15, 9), 2: (5, 1), 3: (5, 1)})
    rows = net_values(known_now(home), DATE).rows.to_pylist()
    assert len(rows) == 96
    assert [row["net_dwh"] for row in rows[:8]] == [(9 - 6) * RAW] * 8
    assert [(row["main_dwh"], row["devices_dwh"], row["devices"]) for row in rows[:8]] == [(900, 600, 2)] * 8
    assert {row["register"] for row in rows} == {"import"}
    assert [row["slot_code"] for row in rows] == list(range(1, 97))
    assert {(row["net_dwh"], row["available"], row["quality"]) for row in rows[8:]} == {(None, False, "missing")}


def test_devices_that_come_to_more_than_their_main_point_are_flagged_and_not_negative(tmp_path: Path) -> None:
    told = net_values(known_now(family(tmp_path / "home", {1: (30, 3), 2: (30, 4)})), DATE)
    first = told.rows.to_pylist()[0]
    assert (first["net_dwh"], first["available"], first["quality"]) == (None, False, NEGATIVE)
    assert (first["main_dwh"], first["devices_dwh"]) == (300, 400)
    assert told.missing == 48


def test_an_export_is_not_subtracted_from_an_import(tmp_path: Path) -> None:
    home = family(tmp_path / "home", {1: (30, 9), 2: (30, 1)}, meter2={"register": "export"})
    rows = net_values(known_now(home), DATE).rows.to_pylist()
    assert {(row["net_dwh"], row["quality"]) for row in rows} == {(None, OTHER_REGISTER)}


def test_exports_are_subtracted_from_exports(tmp_path: Path) -> None:
    exports = {f"meter{n}": {"register": "export"} for n in (1, 2)}
    home = finer_home(
        tmp_path / "home",
        [interval(n, 30, **exports[f"meter{n}"]) for n in (1, 2)],
        **{point(2): {"main_point_id": point(1)}},
    )
    lines = [f"M{n},{DAY}T{hour}:{half},,{value}" for n, value in ((1, 0), (2, 0)) for hour, half in (("00", "00"),)]
    lines += [f"M1,{DAY}T00:30,,9", f"M2,{DAY}T00:30,,4"]
    text = "meter_id,read_at,import_register,export_register,received_at\n"
    text += "".join(f"{line},2026-08-21T16:00:00\n" for line in lines)
    (home.landing / "reads.csv").write_text(text)
    run(home)
    first = net_values(known_now(home), DATE).rows.to_pylist()[0]
    assert (first["register"], first["net_dwh"]) == ("export", 500)


def test_a_main_point_that_is_not_known_is_said(tmp_path: Path) -> None:
    home = family(tmp_path / "home", {1: (30, 9), 2: (30, 1)}, point2={"main_point_id": point(7)})
    rows = net_values(known_now(home), DATE).rows.to_pylist()
    assert {(row["main_point_id"], row["net_dwh"], row["quality"]) for row in rows} == {(point(7), None, UNKNOWN_MAIN)}


def test_a_lost_read_of_a_main_point_or_a_device_leaves_no_net_value(tmp_path: Path) -> None:
    home = finer_home(tmp_path / "home", [interval(1, 30), interval(2, 30)], **{point(2): {"main_point_id": point(1)}})
    hand_over(home, "a.arrow", reads_every("M1", 30, [0, 5, None, 9, 12]) + reads_every("M2", 30, [0, 1, 2, 3, 4]))
    run(home)
    rows = net_values(known_now(home), DATE).rows.to_pylist()[:4]
    assert [row["net_dwh"] for row in rows] == [400, None, None, 200]
    assert [row["quality"] for row in rows] == ["actual", "missing", "missing", "actual"]


def test_commands_write_csv_and_parquet_and_say_what_they_wrote(tmp_path: Path) -> None:
    home = family(tmp_path / "home", {1: (15, 9), 2: (5, 1)})
    day, where = DAY.replace("-", ""), ["--home", str(home.root), "--json"]
    tables = []
    for name in ("finer.csv", "finer.parquet"):
        done = CliRunner().invoke(app, ["export", "--day", day, "--out", str(tmp_path / name), *where])
        assert done.exit_code == 0, done.output
        facts = json.loads(done.stdout.splitlines()[-1])
        assert (facts["rows"], facts["missing"], facts["unequal"]) == (96 + 288, 96 + 288 - 8 - 24, 0)
    with (tmp_path / "finer.csv").open(newline="") as file:
        tables = list(csv.DictReader(file))
    whole = pq.read_table(tmp_path / "finer.parquet").to_pylist()
    assert [row["energy_dwh"] for row in tables[:9]] == ["900"] * 8 + [""]
    assert [row["energy_dwh"] for row in whole[:9]] == [900] * 8 + [None]
    assert tables[1]["slot_start"] == "2026-08-22T00:15:00+09:00" == whole[1]["slot_start"].isoformat()
    done = CliRunner().invoke(app, ["net", "--day", day, "--out", str(tmp_path / "net.csv"), *where])
    assert json.loads(done.stdout.splitlines()[-1])["rows"] == 96
    one = ["--point", point(2), "--minutes", "15", "--out", str(tmp_path / "one.parquet")]
    assert CliRunner().invoke(app, ["export", "--day", day, *one, *where]).exit_code == 0
    assert pq.read_table(tmp_path / "one.parquet")["energy_dwh"].to_pylist()[:9] == [300] * 8 + [None]


def test_what_cannot_be_told_is_refused_with_what_to_do(tmp_path: Path) -> None:
    home = finer_home(tmp_path / "home", [interval(1, 15)])
    with pytest.raises(HomeError, match="accepted no read"):
        known_now(home)
    hand_over(home, "reads.arrow", reads_every("M1", 15, [0, 1, 2]))
    run(home)
    with pytest.raises(HomeError, match="does not know point"):
        fine_values(known_now(home), DATE, [point(9)])
    for bad in (["--day", "2026", "--out", "a.csv"], ["--day", "20260822", "--out", "a.csv", "--minutes", "7"]):
        assert CliRunner().invoke(app, ["export", *bad, "--home", str(home.root)]).exit_code == 2
    done = CliRunner().invoke(app, ["export", "--day", "20260822", "--out", "a.xml", "--home", str(home.root)])
    assert done.exit_code == 1


def test_a_home_without_devices_and_finer_registers_tells_of_none(tmp_path: Path) -> None:
    home = finer_home(tmp_path / "home", [interval(1, 30)])
    hand_over(home, "reads.arrow", reads_every("M1", 30, [0, 1]))
    run(home)
    known = known_now(home)
    assert (fine_values(known, DATE).rows.num_rows, net_values(known, DATE).rows.num_rows) == (0, 0)
