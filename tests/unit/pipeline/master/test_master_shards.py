# SPDX-License-Identifier: Apache-2.0
"""Points and installations keep their numbers, whatever is imported later."""

import pytest

from koma.errors import MasterError
from tests.unit.pipeline.master.desk import Desk, Row, point

METER = {"digits": 6, "unit_exponent": -1}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three installations fill a shard."""
    monkeypatch.setattr("pipeline.master.build.SHARD_INSTALLATIONS", 3)


def points(*numbers: int) -> list[Row]:
    return [{"point_id": point(number)} for number in numbers]


def meters(*numbers: int, at: str = "") -> list[Row]:
    return [METER | {"point_id": point(number), "meter_id": f"M{number}{at}", "installed_at": at} for number in numbers]


def ids(desk: Desk) -> list[int]:
    return [int(each) % 10**6 for each in desk.view.point_id.view("S22").ravel().tolist()]


def test_shards_are_cut_between_points_in_ascending_order(desk: Desk) -> None:
    desk.learn(points=points(9, 1, 5, 3), meters=[*meters(5, 9, 1, 3), *meters(3, at="2026-04-01")])
    view = desk.view

    assert ids(desk) == [1, 3, 5, 9]
    assert view.shard_points.tolist() == [0, 2, 4]
    assert view.shard_installs.tolist() == [3, 2]
    assert view.install_local.tolist() == [0, 1, 2, 0, 1]


def test_later_points_go_to_the_last_shard_and_then_to_new_ones(desk: Desk) -> None:
    desk.learn(points=points(5, 6), meters=meters(5, 6))
    desk.learn(points=points(1, 2, 3), meters=meters(1, 2, 3))
    view = desk.view

    assert ids(desk) == [5, 6, 1, 2, 3]
    assert view.shard_points.tolist() == [0, 3, 5]
    assert view.order.tolist() == [2, 3, 4, 0, 1]
    assert view.rank.tolist() == [3, 4, 0, 1, 2]
    assert view.install_local.tolist() == [0, 1, 2, 0, 1]


def test_later_installations_stay_in_the_shard_of_their_point(desk: Desk) -> None:
    desk.learn(points=points(1, 2, 3, 4), meters=meters(1, 2, 3, 4))
    desk.learn(meters=[*meters(2, 1, at="2026-05-01"), *meters(4, at="2026-05-01")])
    view = desk.view

    assert view.shard_points.tolist() == [0, 3, 4]
    assert view.shard_installs.tolist() == [5, 2]
    assert view.install_local.tolist() == [0, 3, 1, 4, 2, 0, 1]


def test_points_without_meters_fill_a_shard_too(desk: Desk) -> None:
    desk.learn(points=points(1, 2, 3, 4))
    desk.learn(meters=meters(1, 2, 3, 4))

    assert desk.view.shard_points.tolist() == [0, 3, 4]
    assert desk.view.shard_installs.tolist() == [3, 1]


def test_points_in_quarantine_leave_no_gap(desk: Desk) -> None:
    desk.learn(points=points(1, 2, 3), meters=[*meters(1, 3), METER | {"point_id": point(2), "meter_id": ""}])

    assert ids(desk) == [1, 3]
    assert desk.view.install_of.tolist() == [0, 1, 2]


def test_a_shard_without_room_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.master.build.SHARD_LOCAL_BITS", 2)

    with pytest.raises(MasterError, match="no room") as raised:
        desk.learn(points=points(1), meters=[row for day in "1234" for row in meters(1, at=f"2026-04-0{day}")])

    assert raised.value.hint
    assert desk.view.version == 0
