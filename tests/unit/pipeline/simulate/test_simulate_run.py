# SPDX-License-Identifier: Apache-2.0
"""A simulation is a function of its options, conserves energy and looks like an area."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from koma.errors import SettingError
from koma.ids import parse_balancing_group, parse_meter_id, parse_point_id, parse_retailer_code, point_area
from koma.slots import parse_jst
from pipeline.simulate import Options, simulate, steps
from pipeline.simulate.options import FORMATS
from pipeline.simulate.population import retailer_table
from tests.unit.pipeline.simulate.reference import SLOT, reads_of
from tests.unit.pipeline.simulate.simulation import PLAIN_OPTIONS, options, run


def digests(out: Path) -> dict[str, str]:
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def faulty(**changes: object) -> Options:
    return options(losses=0.05, late=0.1, late_hours=3, duplicates=0.1, exchanges=0.1, switches=0.2, **changes)


def test_the_same_options_give_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    for name in ("one", "two"):
        simulate(faulty(formats=FORMATS), tmp_path / name)
    one = digests(tmp_path / "one")
    assert one == digests(tmp_path / "two")
    assert {path.partition(".")[2] for path in one if path.startswith("landing")} == set(FORMATS)


def test_another_seed_gives_other_reads_and_other_ids(tmp_path: Path) -> None:
    one, _ = run(tmp_path / "one", faulty(seed=1))
    two, _ = run(tmp_path / "two", faulty(seed=2))
    assert not set(one.points) & set(two.points)
    assert [read.value for read in one.reads] != [read.value for read in two.reads]


def test_shuffling_changes_the_order_of_rows_in_a_file_and_nothing_else(tmp_path: Path) -> None:
    for name, shuffle in (("shuffled", True), ("sorted", False)):
        simulate(faulty(shuffle=shuffle), tmp_path / name)
    one, two = tmp_path / "shuffled", tmp_path / "sorted"
    assert (one / "truth.parquet").read_bytes() == (two / "truth.parquet").read_bytes()
    for path in (one / "landing").iterdir():
        mixed, plain = reads_of(path), reads_of(two / "landing" / path.name)
        assert Counter(mixed) == Counter(plain)
        assert mixed != plain or len(mixed) < 9


def test_files_are_named_by_the_end_of_the_window_in_which_their_rows_arrived(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(cut_minutes=30))
    files = sorted(path.name for path in (tmp_path / "landing").iterdir())
    assert files == [f"hes-202610{clock}-00.arrow" for clock in _clocks()]
    assert summary.files == len(files)
    for read in reference.reads:
        end = reference.start + (files.index(read.file) + 1) * SLOT
        assert end - SLOT <= read.received_at < end


def _clocks() -> Iterator[str]:
    yield from ("06T2300", "06T2330", "07T0000", "07T0030", "07T0100", "07T0130", "07T0200")


def test_the_cells_of_a_point_add_up_to_its_last_register_less_its_first(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(points=600, rollovers=0.2))
    sums: Counter[str] = Counter()
    for cell in pq.read_table(tmp_path / "truth.parquet").to_pylist():
        sums[cell["point_id"]] += cell["energy_dwh"]
    first, last = reference.start, reference.start + 6 * SLOT
    for point_id, point in reference.points.items():
        (row,) = point.meters
        used = reference.known[row["meter_id"], row["register"], last][1]
        used -= reference.known[row["meter_id"], row["register"], first][1]
        used %= 10 ** int(row["digits"])
        assert sums[point_id] == used * int(row["coefficient"]) * 10 ** (int(row["unit_exponent"]) + 4)
    assert sum(sums.values()) > 0


def test_totals_of_all_retailers_and_nobody_add_up_to_the_summary(tmp_path: Path) -> None:
    _, summary = run(tmp_path, faulty(unassigned=0.1))
    rows = list(csv.DictReader((tmp_path / "truth_totals.csv").read_text().splitlines()))
    whole = [row for row in rows if not row["slot_start"]]
    assert sum(int(row["energy_dwh"]) for row in whole) == summary.energy_dwh
    assert sum(int(row["expected"]) for row in whole) == 400 * 6
    for retailer in whole:
        slots = [row for row in rows if row["slot_start"] and row["retailer_code"] == retailer["retailer_code"]]
        assert len(slots) == 6
        for name in ("expected", "available", "energy_dwh"):
            assert sum(int(row[name]) for row in slots) == int(retailer[name])


def test_ids_are_well_formed_and_plainly_made_up(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(areas=("01", "06", "10"), retailers=3))
    for point_id, point in reference.points.items():
        assert parse_point_id(point_id)[2:8] == "999999"
        assert point_area(point_id).code == point.row["area"]
        for row in point.supply:
            assert parse_retailer_code(row["retailer_code"])[0] == "9"
            assert row["retailer_code"][-1] == point.row["area"][-1]
            parse_balancing_group(row["bg_code"])
        for row in point.meters:
            parse_meter_id(row["meter_id"])
    assert {point.row["area"] for point in reference.points.values()} == {"01", "06", "10"}


def test_a_generation_point_hangs_on_the_export_register_of_its_home_s_meter(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(start_ms=parse_jst("2026-10-06T10:30"), solar=0.3))
    export = [row for point in reference.points.values() for row in point.meters if row["register"] == "export"]
    imports = {row["meter_id"] for point in reference.points.values() for row in point.meters if row not in export}
    assert 60 < len(export) == summary.generation < 160
    assert {row["meter_id"] for row in export} <= imports
    fed_in = [reference.cell(row["point_id"], slot)[0] or 0 for row in export for slot in reference.slots]
    assert sum(fed_in) / len(fed_in) > 5_000  # half a kWh in a half-hour at noon


def test_the_first_retailer_has_about_half_of_the_points_and_nobody_goes_without() -> None:
    for count in (1, 2, 12, 530):
        shares = Counter(retailer_table(count).tolist())
        assert set(shares) == set(range(count))
        assert shares.total() == 65_536
        assert shares[0] == max(shares.values())
        if count > 2:
            assert 0.45 < shares[0] / shares.total() < 0.6


def test_equipment_is_mostly_a_tenth_of_a_kwh_with_six_digits(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(points=2_000, slots=1))
    rows = [row for point in reference.points.values() for row in point.meters]
    for column, usual in (("unit_exponent", "-1"), ("digits", "6"), ("coefficient", "1")):
        values = Counter(row[column] for row in rows)
        assert len(values) == 2
        assert 0.8 < values[usual] / len(rows) < 1


def test_a_hundred_thousand_points_take_two_blocks_and_announce_every_step(tmp_path: Path) -> None:
    done: list[float] = []
    wanted = Options(points=100_000, slots=6, seed=1, start_ms=PLAIN_OPTIONS.start_ms)
    summary = simulate(wanted, tmp_path, done.append)
    assert sum(done) == steps(wanted) == 18
    assert sum(summary.cells.values()) == 600_000
    assert pq.read_metadata(tmp_path / "truth.parquet").num_rows == 600_000
    assert summary.switches > 0


def test_totals_only_and_no_truth_at_all(tmp_path: Path) -> None:
    simulate(options(truth="totals"), tmp_path / "totals")
    simulate(options(truth="none"), tmp_path / "none")
    assert {path.name for path in (tmp_path / "totals").iterdir()} == {"landing", "master", "truth_totals.csv"}
    assert {path.name for path in (tmp_path / "none").iterdir()} == {"landing", "master"}


def test_a_parquet_master_says_the_same_as_a_csv_master(tmp_path: Path) -> None:
    texts, _ = run(tmp_path / "csv", faulty())
    columns, _ = run(tmp_path / "parquet", faulty(master_format="parquet"))
    assert texts.points == columns.points


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    with pytest.raises(SettingError, match="is not empty"):
        simulate(PLAIN_OPTIONS, tmp_path)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"points": 0}, "--points"),
        ({"slots": 0}, "--slots"),
        ({"start_ms": 1}, "--start"),
        ({"formats": ("xml",)}, "--format"),
        ({"formats": ("csv", "csv")}, "--format"),
        ({"areas": ("11",)}, "--area"),
        ({"losses": 1.5}, "--losses"),
        ({"solar": -0.1}, "--solar"),
        ({"truth": "some"}, "--truth"),
        ({"late_hours": 0, "late": 0.1}, "--late-hours"),
    ],
)
def test_options_out_of_range_are_named(change: dict[str, object], name: str) -> None:
    with pytest.raises(SettingError, match=name):
        options(**change)


def test_every_meter_of_the_master_reports_in_one_format_only(tmp_path: Path) -> None:
    run(tmp_path, options(formats=FORMATS))
    seen: dict[str, set[str]] = {}
    for path in (tmp_path / "landing").iterdir():
        for read in reads_of(path):
            seen.setdefault(read.meter_id, set()).add(path.name.partition(".")[2])
    assert all(len(extensions) == 1 for extensions in seen.values())
