# SPDX-License-Identifier: Apache-2.0
"""`koma import` and `koma export` read and write files, and tell what they could not take or carry."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.commands import exporting, importing
from pipeline.formats.source import UNZIPPED_BYTES_MAX
from tests.homes import HOUR_MS, at, hand_over, new_home, point, reads_of, run

NEM12 = "\n".join(
    [
        "100,NEM12,202610080000,KOMA,",
        "200,NMI1234567,E1,,E1,,,kWh,30,",
        f"300,20261007,{','.join(['0.5'] * 48)},V,,,20261008000000,",
        "400,1,40,A,,",
        "400,41,48,S14,76,shed",
        f"300,20261008,{','.join(['0.5'] * 47)},A,,,20261008000000,",
        "900",
    ]
)


def call(app: Any, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    told = CliRunner().invoke(app, [str(each) for each in arguments])
    lines = told.stdout.splitlines() if "--json" in arguments else told.stdout.splitlines()[-1:]
    return told.exit_code, [json.loads(line) for line in lines]


def test_a_file_goes_through_every_format_that_can_carry_it(tmp_path: Path) -> None:
    source, first = tmp_path / "in.csv", tmp_path / "first.parquet"
    source.write_text(NEM12)
    code, lines = call(importing.app, source, "--out", first, "--json")
    assert code == 0
    assert lines[0]["refused"]["line"] == 6
    assert lines[-1] == {"rows": 48, "refused": 1, "passed_over": {}, "unread": 0, "out": str(first)}

    for form in ("nem12", "csv-long", "parquet"):
        out, back = tmp_path / f"out.{form}", tmp_path / f"back-{form}.parquet"
        assert call(exporting.app, first, "--format", form, "--out", out)[0] == 0
        assert call(importing.app, out, "--out", back, "--strict")[0] == 0
        assert pq.read_table(back).equals(pq.read_table(first)), form

    out = tmp_path / "out.wide"
    code, lines = call(exporting.app, first, "--format", "csv-wide", "--out", out, "--json")
    assert (code, lines[0]["error"]["code"], out.exists()) == (1, "format.invalid", False)
    code, lines = call(exporting.app, first, "--format", "csv-wide", "--out", out, "--nearest")
    assert (code, lines[0]["losses"]["quality words"]) == (0, 8)
    code, lines = call(exporting.app, first, "--format", "greenbutton", "--out", tmp_path / "o.xml", "--nearest")
    assert (code, lines[0]["losses"]) == (0, {"method": 8, "reason": 8, "reason_text": 8})
    assert call(importing.app, tmp_path / "o.xml", "--out", tmp_path / "x.parquet")[1][-1]["rows"] == 48


def test_strict_writes_nothing_and_an_unreadable_file_does_not_stop_the_others(tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.zip", tmp_path / "bad.csv", tmp_path / "out.parquet"
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("a.csv", NEM12)
    bad.write_text("nothing,here\n")
    code, lines = call(importing.app, good, "--out", out, "--strict", "--json")
    assert (code, lines[-1]["error"]["code"], out.exists()) == (1, "format.invalid", False)
    code, lines = call(importing.app, bad, good, good, tmp_path / "none", "--out", out, "--json")
    assert (code, lines[-1]["rows"], lines[-1]["unread"]) == (1, 48, 2)
    assert lines[-1]["refused"] == 2 + 2 + 48  # two files, a short day twice, and the whole day again
    assert [each["refused"]["file"] for each in lines[:-1] if each["refused"]["code"] == "file"] == [
        str(bad), str(tmp_path / "none"),
    ]  # fmt: skip


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.csv", "w") as member:
        for _ in range(UNZIPPED_BYTES_MAX // (1 << 24) + 1):
            member.write(bytes(1 << 24))
    code, lines = call(importing.app, bomb, "--out", tmp_path / "out.parquet", "--json")
    assert (code, lines[-1]["rows"]) == (1, 0)
    assert "unpacks to more" in lines[0]["refused"]["reason"]


def test_what_a_home_delivered_for_a_day_goes_out(tmp_path: Path) -> None:
    start = at("2026-10-06T22:30")
    home = new_home(
        tmp_path / "home",
        points=[{"point_id": point(1)}],
        meters=[{"point_id": point(1), "meter_id": "M1", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(1), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
    )
    hand_over(home, "0.arrow", reads_of("M1", start, [100, 110, 122]))
    run(home, wall_ms=start + 2 * HOUR_MS)
    root, out, back = tmp_path / "home", tmp_path / "day.csv", tmp_path / "back.parquet"
    day = ("--home-day", "20261006", "--retailer", "11113", "--home", root)
    code, lines = call(exporting.app, "--format", "nem12", "--out", out, "--json", *day)
    assert (code, lines[0]["error"]["code"]) == (1, "format.invalid")
    files = sorted((root / "deliveries" / "11113" / "20261006").glob("W41110*.parquet"))
    code, lines = call(exporting.app, *files, files[0], "--format", "csv-long", "--out", tmp_path / "long.csv")
    assert (code, lines[0]["rows"]) == (0, len({each.name[:18] for each in files}))
    code, lines = call(exporting.app, "--format", "nem12", "--out", out, "--nearest", *day)
    assert (code, lines[0]["losses"]["days that lack intervals"]) == (0, 48 - lines[0]["rows"])
    assert call(importing.app, out, "--out", back, "--strict")[0] == 0
    rows = [each for each in pq.read_table(back).to_pylist() if each["available"]]
    assert [(each["point_id"], each["energy_dwh"]) for each in rows][:2] == [(point(1), 10_000), (point(1), 12_000)]
    code, lines = call(exporting.app, "--format", "nem12", "--out", out, "--json", *day[2:], "--home-day", "20200101")
    assert (code, "no delivery" in lines[0]["error"]["message"]) == (1, True)


@pytest.mark.parametrize("given", [(), ("a.parquet", "--home-day", "20261006"), ("--home-day", "20261006")])
def test_export_wants_files_or_a_day_of_a_home(given: tuple[str, ...], tmp_path: Path) -> None:
    told = CliRunner().invoke(exporting.app, [*given, "--format", "nem12", "--out", str(tmp_path / "o")])
    assert told.exit_code == 2
