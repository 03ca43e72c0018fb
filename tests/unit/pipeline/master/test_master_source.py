# SPDX-License-Identifier: Apache-2.0
"""Which files a master import takes, and what it says of those it cannot read."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from koma.errors import MasterError
from koma.slots import parse_jst
from pipeline.master import import_master, open_master
from tests.unit.pipeline.master.desk import Desk, point, slot, write_folder

POINTS = f"point_id,name\n{point(1)},山田太郎\n"


def learn(tmp_path: Path, folder: Path) -> None:
    import_master(tmp_path / "home", folder, now_ms=None, first=True, strict=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "lacks the column point_id"),
        (b"name,area\nx,03\n", "lacks the column point_id"),
        (b"point_id,area,area\n", "column area twice"),
        (POINTS.encode("cp932"), "is not UTF-8"),
        (POINTS.encode("utf-16"), "is not UTF-8"),
        (b"point_id\r0300000000000000000001\r", "CR alone"),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_import_and_says_what_to_do(
    desk: Desk, content: bytes, words: str
) -> None:
    with pytest.raises(MasterError, match=words) as raised:
        desk.learn(points=content, supply="point_id,retailer_code,valid_from\n")

    assert "points.csv" in raised.value.message
    assert raised.value.hint
    assert desk.view.version == 0


def test_a_parquet_file_that_is_none_stops_the_import(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {})
    (folder / "meters.parquet").write_bytes(b"no parquet")

    with pytest.raises(MasterError, match=r"meters\.parquet cannot be read"):
        learn(tmp_path, folder)


@pytest.mark.parametrize("missing", ["digits", "unit_exponent", "meter_id"])
def test_each_required_column_is_named_when_it_is_missing(desk: Desk, missing: str) -> None:
    names = [name for name in ("point_id", "meter_id", "digits", "unit_exponent") if name != missing]

    with pytest.raises(MasterError, match=f"lacks the column {missing}"):
        desk.learn(points=POINTS, meters=",".join(names) + "\n")


def test_a_folder_without_master_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MasterError, match="holds no master file"):
        learn(tmp_path, write_folder(tmp_path / "in", {"other": "x\n"}))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MasterError, match="is not a folder"):
        learn(tmp_path, tmp_path / "nowhere")


def test_one_table_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {"points": POINTS})
    pq.write_table(pa.table({"point_id": [point(1)]}), folder / "points.parquet")

    with pytest.raises(MasterError, match=r"points\.csv and points\.parquet"):
        learn(tmp_path, folder)


def test_byte_order_mark_crlf_quotes_blanks_and_any_column_order_are_fine(desk: Desk) -> None:
    lines = [
        "\ufeffcontract_kw, point_id ,note",
        f'"4.5", {point(1)} ,x',
        "",
        '0.5,03-0000-0000-0000-0000-0002,"a,b"',
        "",
    ]
    report = desk.learn(points="\r\n".join(lines))

    assert report.tables["points"].new == 2
    assert report.ignored_columns == {"points.csv": ["note"]}
    assert desk.attributes(1, "2026-01-01") == [("LV", 1, 90_000)]
    assert desk.attributes(2, "2026-01-01") == [("LV", 1, 10_000)]


def test_a_file_may_have_no_rows(desk: Desk) -> None:
    report = desk.learn(points=POINTS, meters="point_id,meter_id,digits,unit_exponent\n")

    assert report.tables["meters"].rows == 0
    assert desk.view.n_installs == 0


def test_line_numbers_count_line_ends_inside_quotes(desk: Desk) -> None:
    text = f'point_id,name\n{point(1)},"two\nlines"\n{point(2)}\nbad,x\n'
    report = desk.learn(points=text)

    assert [(each.line, each.code) for each in report.bad] == [(2, "text"), (4, "columns"), (5, "point_id")]
    assert report.bad[2].row == "bad,x"


def test_parquet_may_hold_native_types(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {})
    pq.write_table(
        pa.table(
            {
                "point_id": pa.array([point(1), point(2)]).dictionary_encode(),
                "area": pa.array([3, None], pa.int8()),
                "contract_kw": pa.array([Decimal("4.50"), None], pa.decimal128(9, 2)),
                "telemetry": [False, True],
            }
        ),
        folder / "points.parquet",
    )
    pq.write_table(
        pa.table(
            {
                "point_id": [point(1), point(2)],
                "meter_id": pa.array(["M1", "M2"], pa.large_string()),
                "digits": pa.array([6, 8], pa.uint8()),
                "unit_exponent": [-1, 0],
                "coefficient": [1.0, 40.0],
                "installed_at": pa.array(
                    [datetime(2026, 4, 1, tzinfo=UTC), None], pa.timestamp("us", tz="Europe/Oslo")
                ),
                "removed_at": pa.array([datetime(2026, 5, 1, 9, 30), None], pa.timestamp("ns")),  # noqa: DTZ001
            }
        ),
        folder / "meters.parquet",
    )
    pq.write_table(
        pa.table({"point_id": [point(1)], "retailer_code": [1113], "valid_from": [date(2026, 4, 1)]}),
        folder / "supply.parquet",
    )
    learn(tmp_path, folder)
    view = open_master(tmp_path / "home")

    assert view.attr_cap_dwh.tolist() == [90_000, 2_000_000]
    assert view.attr_telemetry.tolist() == [0, 1]
    assert view.install_from_ms.tolist() == [parse_jst("2026-04-01T00:00:00Z"), -(2**62)]
    assert view.install_to_ms.tolist() == [parse_jst("2026-05-01T09:30"), 2**62]
    assert view.install_factor.tolist() == [1000, 400_000]
    assert view.retailers == ("00000", "01113")
    assert view.supply_from.tolist() == [slot("2026-04-01")]


def test_bad_rows_of_parquet_are_named_by_row_number(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", {})
    pq.write_table(pa.table({"point_id": [point(1), "x", None], "name": ["a", "b,c", "d"]}), folder / "points.parquet")
    report = import_master(tmp_path / "home", folder, now_ms=None, first=True, strict=False)

    assert [(each.file, each.line, each.row) for each in report.bad] == [
        ("points.parquet", 2, 'x,"b,c"'),
        ("points.parquet", 3, ",d"),
    ]
