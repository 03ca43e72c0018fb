# SPDX-License-Identifier: Apache-2.0
import csv
import io
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from koma.errors import FormatError
from koma.slots import JST
from pipeline.formats import csv_read, nem12_read, nem12_write
from pipeline.formats.losses import Losses
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import sort
from tests.format_tables import nem12_tables

FACTORS = {"wh": 10, "kwh": 10_000, "mwh": 10_000_000}
VALID = ["*.csv", "*.zip", "*.ZIP"]
HEAD = "100,NEM12,202610070000,KOMA,\n"
CHANNEL = "200,NMI1234567,E1,,E1,,,kWh,30,\n"


def read(text: str) -> tuple[Any, Refusals]:
    refusals = Refusals()
    return nem12_read.read(text.encode(), "a.csv", refusals), refusals


def day(date: str = "20261007", quality: str = "A", values: int = 48) -> str:
    return f"300,{date},{','.join(['0.5'] * values)},{quality},,,20261008000000,\n"


def independent(text: str) -> dict[tuple[str, str, datetime], tuple[Decimal, str]]:
    """Values of a file by point, suffix and time, read the plain way."""
    found, channel, step, first = {}, [""], 0, datetime(2000, 1, 1, tzinfo=JST)
    for record in csv.reader(io.StringIO(text)):
        if record and record[0] == "200":
            channel, step = record, int(record[8])
        elif record and record[0] == "300" and channel[7].lower() in FACTORS:
            first = datetime.strptime(record[1], "%Y%m%d").replace(tzinfo=JST)
            count = 24 * 60 // step
            for at, value in enumerate(record[2 : 2 + count]):
                key = (channel[1], channel[4], first + timedelta(minutes=step * at))
                found[key] = (Decimal(value) * FACTORS[channel[7].lower()], record[2 + count])
        elif record and record[0] == "400" and channel[7].lower() in FACTORS:
            for at in range(int(record[1]) - 1, int(record[2])):
                key = (channel[1], channel[4], first + timedelta(minutes=step * at))
                found[key] = (found[key][0], record[3])
    return found


def files(folder: Path) -> dict[str, str]:
    """Every NEM12 text of a folder, those inside zips too."""
    texts: dict[str, str] = {}
    for file in sorted(each for pattern in VALID for each in folder.glob(pattern)):
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                texts |= {f"{file.name}/{name}": archive.read(name).decode() for name in archive.namelist()}
        else:
            texts[file.name] = file.read_text()
    return {name: text for name, text in texts.items() if "NEM12" in text.split("\n", 1)[0]}


def test_real_files_are_read_to_their_values_or_refused_by_name(real_data: Path) -> None:
    texts = files(real_data / "nem12") | files(real_data / "nem12" / "unzipped")
    assert len(texts) > 40
    refused = {}
    for name, text in texts.items():
        table, refusals = read(text)
        if refusals.count:
            refused[name] = [(each.line, each.code, each.reason) for each in refusals.told]
        wanted = independent(text)
        assert table.num_rows or refusals.count or not wanted, name
        if not refusals.count:
            assert table.num_rows == len(wanted), name
        for row in table.to_pylist():
            suffix = row["channel"] or {"import": "E1", "export": "B1"}[row["register"]]
            energy, flag = wanted[row["point_id"], suffix, row["slot_start"].astimezone(JST)]
            assert (row["energy_dwh"] or 0) == energy, name
            assert (row["quality"] == "missing") == (flag == "N"), name
            assert row["quality"] == "actual" or flag != "A", name
            assert (row["method"] or "") == flag[1:], name
    assert refused == {}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("15min_200_30min_300", (3, "count")),
        ("30min_200_15min_300", (3, "count")),
        ("15min_200_30min_400", (3, "range")),
        ("30min_200_15min_400", (3, "count")),
        ("incomplete_interval", (3, "count")),
    ],
)
def test_real_invalid_files_are_refused_with_their_place(real_data: Path, name: str, place: tuple[int, str]) -> None:
    _, refusals = read((real_data / "nem12" / "invalid" / f"Example_NEM12_{name}.csv").read_text())
    assert place in [(each.line, each.code) for each in refusals.told]


@pytest.mark.parametrize(
    "name", ["NEM12_missing_header", "NEM12_powercor", "NEM12_powercor_missing_fields", "empty_file"]
)
def test_real_files_without_header_are_refused_whole(real_data: Path, name: str) -> None:
    with pytest.raises(FormatError, match=r"a\.csv line \d: no header"):
        read((real_data / "nem12" / "invalid" / f"Example_{name}.csv").read_text())


@given(nem12_tables())
def test_nem12_brings_back_every_flag_method_reason_and_range(
    tmp_path_factory: pytest.TempPathFactory, table: Any
) -> None:
    file = tmp_path_factory.mktemp("out") / "a.csv"
    nem12_write.write(table, file, Losses())
    back, refusals = read(file.read_bytes().decode())
    assert refusals.count == 0
    assert sort(back).equals(sort(table))


def test_bad_records_are_refused_with_their_line_and_the_good_stay() -> None:
    table, refusals = read(
        HEAD + CHANNEL + day()  # line 3
        + day()  # 4: again
        + day("20261008", values=47)  # 5
        + day("20261332")  # 6
        + day("20261009", quality="Q")  # 7
        + day("20261010", quality="V") + "400,1,20,A,,\n400,22,48,A,,\n"  # 10
        + day("20261011", quality="V") + "400,1,20,A,,\n"  # 11
        + day("20261012").replace("0.5", "-0.5", 1)  # 13
        + day("20261013").replace("0.5", "0.00001", 1)  # 14
        + day("20261014", quality="N")  # 15
        + "500,O,S01009,20040202120025,001123.5\n"
        + "200,NMI 34,E1,,E1,,,kWh,30,\n"  # 17
        + day()  # 18
        + "200,NMI1234567,E1,,K1,,,kvarh,30,\n" + day()
        + "777\n"  # 21
    )  # fmt: skip
    assert table.num_rows == 48
    assert sorted((each.line, each.code) for each in refusals.told) == [
        (4, "repeated"), (5, "count"), (6, "date"), (7, "count"), (10, "range"), (11, "range"), (13, "energy"),
        (14, "energy"), (15, "quality"), (17, "nmi"), (18, "record"), (21, "end"), (21, "record"),
    ]  # fmt: skip
    assert refusals.passed_over == {"B2B details (500)": 1, "channels of other units (300)": 1}
    assert all(each.fix for each in refusals.told)


@pytest.mark.parametrize("mark", ["\0", "x" * 70_000, "\udcff"])
def test_a_line_that_is_no_text_is_refused_alone(mark: str) -> None:
    refusals = Refusals()
    data = (HEAD + CHANNEL + day() + f"300,{mark}\n900\n").encode("utf-8", "surrogateescape")
    assert nem12_read.read(data, "a.csv", refusals).num_rows == 48
    assert [(each.line, each.code) for each in refusals.told] == [(4, "line")]


def test_bom_and_crlf_are_read() -> None:
    table, refusals = read("\ufeff" + (HEAD + CHANNEL + day() + "900\n").replace("\n", "\r\n"))
    assert (table.num_rows, refusals.count) == (48, 0)
    assert table["slot_start"][0].as_py() == datetime(2026, 10, 7, tzinfo=JST)
    assert table["recorded_at"][0].as_py() == datetime(2026, 10, 7, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ("quality\nP1,2026-10-07T00:00,1,rollover", "quality rollover"),
        ("quality\nP1,2026-10-07T00:00,1,raw", "nothing for the quality raw"),
        ("quality\nP1,2026-10-07T00:00,1,actual", "days that lack intervals"),
        ("channel\nP1,2026-10-07T00:00,1,meter 7", "channel 'meter 7'"),
        ("reason\nP1,2026-10-07T00:00,1,none", "reason 'none'"),
        ("interval_minutes\nP1,2026-10-07T00:00,1,60", "60 minutes"),
        ("channel\nP1,2026-10-07T00:00,-1,E2", "negative"),
        ("channel\nP-1,2026-10-07T00:00,1,E2", "NMI"),
        ("recorded_at\nP1,2026-10-07T00:00,1,2026-10-07T00:45:00.5Z", "second"),
    ],
)
def test_what_nem12_cannot_carry_is_refused_by_name(tmp_path: Path, more: str, what: str) -> None:
    table = csv_read.read(f"point_id,slot_start,energy_kwh,{more}\n".encode(), "a.csv", Refusals())
    assert table.num_rows == 1
    with pytest.raises(FormatError, match=what):
        nem12_write.write(table, tmp_path / "a.csv", Losses())
