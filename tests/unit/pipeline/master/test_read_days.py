# SPDX-License-Identifier: Apache-2.0
"""The day on which a point's meter is read: from points.csv into versions, dated; versions and logs from before."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from koma.errors import MasterError
from koma.slots import parse_jst
from pipeline.home import HOME_VERSION, MARKER, open_home
from pipeline.master import open_master
from pipeline.master.rebuild import rebuild
from pipeline.master.store import ARRAYS, MasterStore
from pipeline.migration import migrate
from tests.crashes import Crashed, crash_before
from tests.unit.pipeline.master.desk import Desk, point

SUPPLY = {"retailer_code": "11113", "valid_from": "2026-04-01"}


def days_of(desk: Desk, number: int, at: str) -> list[int]:
    """Reading days of a point as known at an instant."""
    view, instant = desk.view, parse_jst(at)
    position = view.point_id.view("S22").ravel().tolist().index(point(number).encode())
    rows = range(view.attr_of[position], view.attr_of[position + 1])
    return [int(view.attr_read_day[row]) for row in rows if view.attr_rec_from[row] <= instant < view.attr_rec_to[row]]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Four points, one of which changes its reading day, and back again."""
    open_home(tmp_path / "home")
    desk = Desk(tmp_path)
    rows = [(1, "10"), (2, ""), (3, " 31 "), (4, "07")]
    desk.learn(
        points=[{"point_id": point(n), "meter_read_day": day} for n, day in rows],
        supply=[{"point_id": point(n), **SUPPLY} for n, _ in rows],
    )
    for month, day in (("05", "20"), ("06", ""), ("07", "20")):
        desk.learn(now=f"2026-{month}-02", points=[{"point_id": point(1), "meter_read_day": day, "telemetry": 1}])
    desk.learn(now="2026-07-03", points=[{"point_id": point(5), "meter_read_day": 1, "name": "見本"}])
    return desk


def test_a_reading_day_is_known_from_its_recorded_time_on(desk: Desk) -> None:
    assert [days_of(desk, n, "2026-04-01") for n in (1, 2, 3, 4)] == [[10], [0], [31], [7]]
    found = [days_of(desk, 1, f"2026-{month}-03") for month in ("04", "05", "06", "07")]
    assert found == [[10], [20], [0], [20]]
    assert days_of(desk, 5, "2026-07-04") == [1]


def test_another_reading_day_changes_no_cell(desk: Desk) -> None:
    assert desk.view.changed_position.tolist() == []


@pytest.mark.parametrize("day", ["0", "32", "-1", "1.5", "twentieth"])
def test_what_is_no_day_of_a_month_waits_in_quarantine(tmp_path: Path, day: str) -> None:
    desk = Desk(tmp_path)
    report = desk.learn(points=[{"point_id": point(1), "meter_read_day": day}, {"point_id": point(2)}])
    assert report.codes == {"meter_read_day": 1}
    assert "Write 1 to 31" in report.bad[0].detail
    assert desk.view.n_points == 1


def make_old(desk: Desk) -> dict[str, np.ndarray[Any, Any]]:
    """Turn the home into one of layout 2, its master into one of layout 4; returns the arrays it had."""
    arrays = {name: np.array(getattr(desk.view, name)) for name in ARRAYS}
    store = MasterStore(desk.home)
    for path in [*store.logged()]:
        file = path / "points.parquet"
        if file.exists():
            pq.write_table(pq.read_table(file).drop_columns(["read_day", "main_high", "main_low"]), file)
    for folder in store.root.glob("v*"):
        later = ("attr_read_day", "carried_", "fine_", "device_")
        for name in (each for each in ARRAYS if each.startswith(later)):
            (folder / f"{name}.npy").unlink()
        words = json.loads((folder / "version.json").read_text("utf-8"))
        (folder / "version.json").write_text(json.dumps(words | {"layout": 4}), encoding="utf-8")
    (desk.home / MARKER).write_text('{"version": 2}\n')
    from pipeline.master import store as module  # noqa: PLC0415  what this process has opened

    module._opened.cache_clear()
    return arrays


def test_a_version_of_the_layout_before_is_made_again_from_the_log(desk: Desk) -> None:
    arrays = make_old(desk)
    with pytest.raises(MasterError, match=r"layout 4.*koma home migrate"):
        open_master(desk.home)

    assert migrate(desk.home) == 2

    view = desk.view
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(view, name), arrays[name], err_msg=name)
    assert migrate(desk.home) == HOME_VERSION
    assert rebuild(desk.home) == view.version


def test_an_import_goes_on_from_what_a_migration_made(desk: Desk) -> None:
    make_old(desk)
    migrate(desk.home)
    same = desk.learn(points=[{"point_id": point(4), "meter_read_day": "07"}], now="2026-08-01")
    assert same.tables["points"].unchanged == 1
    desk.learn(points=[{"point_id": point(4), "meter_read_day": "8"}], now="2026-08-01")
    assert days_of(desk, 4, "2026-08-02") == [8]
    assert days_of(desk, 3, "2026-08-02") == [31]


def test_a_log_without_the_text_and_one_with_a_bad_one_mean_no_day(desk: Desk) -> None:
    make_old(desk)
    store = MasterStore(desk.home)
    first, *later = [path / "points.parquet" for path in store.logged()]
    table = pq.read_table(first)
    texts = ["10th" if text == "10" else text for text in table["meter_read_day"].to_pylist()]
    at = table.schema.get_field_index("meter_read_day")
    pq.write_table(table.set_column(at, "meter_read_day", [texts]), first)
    pq.write_table(pq.read_table(later[0]).drop_columns(["meter_read_day"]), later[0])
    migrate(desk.home)
    assert [days_of(desk, 1, f"2026-{month}-03") for month in ("04", "05", "07")] == [[0], [0], [20]]
    assert days_of(desk, 3, "2026-04-01") == [31]


def test_a_migration_of_the_master_that_is_cut_off_is_run_again(tmp_path: Path) -> None:
    moment, done = -1, False
    while not done:
        moment += 1
        open_home(tmp_path / str(moment) / "home")
        desk = Desk(tmp_path / str(moment))
        desk.learn(points=[{"point_id": point(1), "meter_read_day": "10"}])
        make_old(desk)
        try:
            with crash_before(moment, desk.home):
                migrate(desk.home)
            done = True
        except Crashed:
            assert moment < 60
        migrate(desk.home)
        assert days_of(desk, 1, "2026-04-01") == [10]
    assert moment > 8


def test_a_version_of_an_even_older_layout_is_refused_by_name(desk: Desk) -> None:
    make_old(desk)
    store = MasterStore(desk.home)
    words = store.version_folder(store.current()) / "version.json"
    words.write_text(words.read_text("utf-8").replace('"layout": 4', '"layout": 3'), encoding="utf-8")
    with pytest.raises(MasterError, match="layout 3, which this Koma cannot bring to layout 7"):
        migrate(desk.home)
