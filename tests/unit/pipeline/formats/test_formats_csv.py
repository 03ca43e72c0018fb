# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.energy import format_kwh, parse_kwh
from koma.errors import EnergyError, FormatError
from pipeline.formats import csv_read, csv_write, decimals, parquet
from pipeline.formats.losses import Losses
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import sort
from tests.format_tables import tables, wide_tables

LONG = "point_id,slot_start,energy_kwh\n"


def long(text: str) -> tuple[Any, Refusals]:
    refusals = Refusals()
    return csv_read.read(text.encode(), "a.csv", refusals), refusals


@given(st.lists(st.from_regex(r"-?[0-9]{0,20}\.?[0-9]{0,6}|x|1e3| 1", fullmatch=True), min_size=1))
def test_decimals_agree_with_the_exact_reader_of_one(texts: list[str]) -> None:
    values, faults = decimals.to_dwh(pa.array(texts), decimals.KWH)
    for text, value, fault in zip(texts, values, faults, strict=True):
        if fault:
            assert value == 0
            continue
        sign, rest = ("-", text[1:]) if text.startswith("-") else ("", text)
        assert value == parse_kwh(sign + ("0" + rest if rest.startswith(".") else rest).removesuffix("."))


@pytest.mark.parametrize(("text", "fault"), [("1.00001", 2), ("x", 1), ("1e3", 1), ("", 1), (".", 1), ("9" * 19, 3)])
def test_a_text_that_is_no_whole_dwh_has_its_fault(text: str, fault: int) -> None:
    assert decimals.to_dwh(pa.array([text]), decimals.KWH)[1].tolist() == [fault]
    with pytest.raises(EnergyError):
        parse_kwh(text)


@given(st.lists(st.integers(-(10**17), 10**17), min_size=1))
def test_energy_is_written_as_it_is_elsewhere(values: list[int]) -> None:
    assert decimals.to_kwh(pa.array(values)).to_pylist() == [format_kwh(each) for each in values]


def test_a_negative_exponent_divides_exactly_or_not_at_all() -> None:
    values, faults = decimals.to_dwh(pa.array(["1200", "1250", "0", "-300"]), -2)
    assert (values.tolist(), faults.tolist()) == ([12, 0, 0, -3], [0, 2, 0, 0])


@given(tables())
def test_long_csv_and_parquet_bring_back_the_table(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    folder, refusals = tmp_path_factory.mktemp("out"), Refusals()
    csv_write.write_long(table, folder / "a.csv")
    parquet.write(table, folder / "a.parquet")
    assert csv_read.read((folder / "a.csv").read_bytes(), "a.csv", refusals).equals(sort(table))
    assert parquet.read((folder / "a.parquet").read_bytes(), "a.parquet", refusals).equals(sort(table))
    assert refusals.count == 0


@given(wide_tables())
def test_wide_csv_brings_back_a_table_of_whole_days(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    file, refusals = tmp_path_factory.mktemp("out") / "a.csv", Refusals()
    csv_write.write_wide(table, file, Losses())
    assert sort(csv_read.read(file.read_bytes(), "a.csv", refusals)).equals(sort(table))
    assert refusals.count == 0


def test_bad_rows_are_refused_with_their_line_and_the_good_stay() -> None:
    table, refusals = long(
        LONG + "P1,2026-10-07T00:00,0.5\n"  # line 2
        "P1,2026-10-07T00:30,0.00001\n"
        "P1,2026-02-30T00:00,1\n"
        "P1,2026-10-07T01:10,1\n"
        "P1,2026-10-07T00:00,2\n"
        "P1,2026-10-07T02:00,1,9\n"
        ",2026-10-07T02:00,1\n"
        "P1,2026-10-06T18:30:00Z,\n"  # 03:30 in JST; no energy
    )
    assert table["energy_dwh"].to_pylist() == [5000, None]
    assert table["quality"].to_pylist() == ["actual", "missing"]
    assert sorted((each.line, each.code) for each in refusals.told) == [
        (3, "energy"), (4, "time"), (5, "time"), (6, "repeated"), (7, "fields"), (8, "point"),
    ]  # fmt: skip
    assert all(each.file == "a.csv" and each.fix for each in refusals.told)


@pytest.mark.parametrize(
    "text", ["", "a,b\n", "point_id,slot_start\nP,1\n", "point_id,point_id\n", "point_id,date,00:00,00:31\n", "\0"]
)
def test_a_header_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"a\.csv"):
        long(text)


def test_bom_and_crlf_are_read() -> None:
    table, refusals = long("\ufeff" + (LONG + "P1,2026-10-07T00:00,.5\n").replace("\n", "\r\n"))
    assert (table["energy_dwh"].to_pylist(), refusals.count) == ([5000], 0)


def test_wide_refuses_what_it_cannot_carry_by_name(tmp_path: Path) -> None:
    table, _ = long("point_id,slot_start,energy_kwh,quality\nP1,2026-10-07T00:00,1,linear\n")
    with pytest.raises(FormatError, match="quality words"):
        csv_write.write_wide(table, tmp_path / "a.csv", Losses())
    losses = Losses(nearest=True)
    csv_write.write_wide(table, tmp_path / "a.csv", losses)
    assert losses.counts == {"quality words": 1, "days that lack intervals": 47}


def test_of_delivery_files_the_last_revision_of_each_cell_counts() -> None:
    def delivery(revision: int, energy: int) -> Any:
        return pa.table(
            {
                "point_id": ["0300110000000000001234"],
                "slot_start": pa.array([0], pa.timestamp("ms", "Asia/Tokyo")),
                "energy_dwh": pa.array([energy], pa.int64()),
                "available": [True],
                "quality": ["actual"],
                "revision": pa.array([revision], pa.int16()),
                "recorded_at": pa.array([revision], pa.timestamp("ms", "UTC")),
            }
        )

    table = parquet.last_revisions([delivery(0, 1), delivery(2, 3), delivery(1, 2)])
    assert table["energy_dwh"].to_pylist() == [3]
    assert np.array(table["interval_minutes"]).tolist() == [30]
