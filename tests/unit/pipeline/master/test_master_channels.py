# SPDX-License-Identifier: Apache-2.0
"""Registers read more often than every slot, and device points behind a main point: from master files into versions."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from koma.limits import SHARD_LOCAL_BITS
from pipeline.home import MARKER, open_home
from pipeline.master import store as module
from pipeline.master.store import ARRAYS, MasterStore
from pipeline.migration import migrate
from tests.unit.pipeline.master.desk import Desk, point

METER = {"digits": 6, "unit_exponent": -1, "installed_at": "2026-04-01T00:00:00"}


def points(*numbers: int) -> list[dict[str, object]]:
    return [{"point_id": point(n)} for n in numbers]


def meter(number: int, **more: object) -> dict[str, object]:
    return {"point_id": point(number), "meter_id": f"M{number}", **METER, **more}


def intervals(desk: Desk) -> dict[int, int]:
    """Return the minutes of each installation that is read more often than every slot, by its local index."""
    view = desk.view
    local = (view.fine_install & np.uint32((1 << SHARD_LOCAL_BITS) - 1)).tolist()
    return dict(zip(local, view.fine_minutes.tolist(), strict=True))


def mains(desk: Desk) -> dict[str, str]:
    view = desk.view
    ids = [view.point_id[position].tobytes().decode() for position in view.device_position.tolist()]
    return dict(zip(ids, (row.tobytes().decode() for row in view.device_main), strict=True))


def test_an_interval_is_that_of_its_installation_and_thirty_minutes_where_none_is_given(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    rows = [meter(n, interval_minutes=given) for n, given in enumerate(("", "30", "15", "5", " 1 "))]
    report = desk.learn(points=points(*range(5)), meters=rows)
    assert report.codes == {}
    assert intervals(desk) == {2: 15, 3: 5, 4: 1}
    assert desk.view.fine_from_ms.tolist() == desk.view.install_from_ms[2:].tolist()
    assert desk.view.fine_to_ms.tolist() == desk.view.install_to_ms[2:].tolist()


@pytest.mark.parametrize("given", ["0", "2", "10", "60", "five"])
def test_an_interval_that_does_not_divide_the_slot_waits_in_quarantine(tmp_path: Path, given: str) -> None:
    report = Desk(tmp_path).learn(points=points(1), meters=[meter(1, interval_minutes=given)])
    assert report.codes["interval_minutes"] == 1
    assert "Write 1, 5, 15 or 30" in next(each.detail for each in report.bad if each.code == "interval_minutes")


def test_a_device_point_knows_its_main_point_even_where_that_is_not_known(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    rows = [{"point_id": point(n), "main_point_id": main} for n, main in ((1, ""), (2, point(1)), (3, point(9)))]
    assert desk.learn(points=rows).codes == {}
    assert mains(desk) == {point(2): point(1), point(3): point(9)}
    desk.learn(now="2026-05-01", points=[{"point_id": point(3), "recorded_at": "2026-04-30"}])
    assert mains(desk) == {point(2): point(1)}


@pytest.mark.parametrize("main", ["12", point(1)[:-1] + "x", point(1)])
def test_a_main_point_that_is_no_other_point_waits_in_quarantine(tmp_path: Path, main: str) -> None:
    assert Desk(tmp_path).learn(points=[{"point_id": point(1), "main_point_id": main}]).codes == {"main_point_id": 1}


def test_a_row_that_says_what_an_older_file_left_out_is_no_news(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.learn(points=points(1), meters=[meter(1)])
    same = desk.learn(
        now="2026-05-01",
        points=[{"point_id": point(1), "main_point_id": ""}],
        meters=[meter(1, interval_minutes="30")],
    )
    assert (same.tables["points"].unchanged, same.tables["meters"].unchanged) == (1, 1)
    desk.learn(now="2026-05-02", meters=[meter(1, interval_minutes="5", recorded_at="2026-05-02")])
    assert intervals(desk) == {0: 5}


def test_a_version_of_the_layout_before_has_neither_and_goes_on(tmp_path: Path) -> None:
    open_home(tmp_path / "home")
    desk = Desk(tmp_path)
    desk.learn(points=points(1, 2), meters=[meter(1), meter(2)])
    store = MasterStore(desk.home)
    for folder in store.logged():
        for table, late in (("points", ["main_high", "main_low"]), ("meters", ["interval"])):
            pq.write_table(pq.read_table(folder / f"{table}.parquet").drop_columns(late), folder / f"{table}.parquet")
    version = store.version_folder(store.current())
    for name in (each for each in ARRAYS if each.startswith(("fine_", "device_"))):
        (version / f"{name}.npy").unlink()
    words = json.loads((version / "version.json").read_text("utf-8"))
    (version / "version.json").write_text(json.dumps(words | {"layout": 6}), encoding="utf-8")
    (desk.home / MARKER).write_text('{"version": 4}\n')
    module._opened.cache_clear()

    assert migrate(desk.home) == 4

    assert (intervals(desk), mains(desk)) == ({}, {})
    assert desk.view.carried_version.dtype == np.uint32
    assert desk.learn(now="2026-05-01", meters=[meter(2)]).tables["meters"].unchanged == 1
    desk.learn(now="2026-05-02", meters=[meter(2, interval_minutes=1, recorded_at="2026-05-02")])
    assert intervals(desk) == {1: 1}
