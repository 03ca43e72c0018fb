# SPDX-License-Identifier: Apache-2.0
"""Groups of concentrators, late areas and slow retailers of a bad day, in the read model and in its metrics."""

from pathlib import Path

import pytest

from koma.errors import TelemetryError
from pipeline.home import Home
from pipeline.ledger.groups import GROUPS_MAX
from pipeline.ledger.metrics import METRICS, exposition
from pipeline.ledger.model import SlaModel, as_json
from pipeline.ledger.reading import read_model
from tests.homes import MINUTE_MS, SLOT_MS, iso, point
from tests.ledger_homes import START
from tests.telemetry_homes import BAD_END, DEAD_FROM, RETAILERS, bad_day, groups_file, labelled


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    folder = tmp_path_factory.mktemp("bad")
    return bad_day(folder), groups_file(folder)


def seen(day: tuple[Home, Path], now_ms: int = BAD_END) -> SlaModel:
    return read_model(day[0], now_ms, clock="wall", slots=48, groups=str(day[1]))


def test_a_dead_group_is_named_with_the_slot_since_which_it_is_silent(day: tuple[Home, Path]) -> None:
    model = seen(day)
    assert [(each.group, each.area, each.points, each.missing) for each in model.groups] == [
        ("feeder-1", "03", 4, 0),
        ("feeder-2", "03", 4, 4),
        ("feeder-3", "05", 4, 0),
    ]
    assert [each.silent_since_ms for each in model.groups] == [None, START + DEAD_FROM * SLOT_MS, None]
    assert as_json(model)["groups"][1]["silent_since"] == iso(START + DEAD_FROM * SLOT_MS)


def test_since_when_a_retailer_has_files_waiting(day: tuple[Home, Path]) -> None:
    model = seen(day)
    assert set(model.stagnation.waiting_since_ms) == {RETAILERS[-1]}
    assert as_json(model)["stagnation"]["waiting_since"] == {RETAILERS[-1]: iso(BAD_END - 80 * MINUTE_MS)}


def test_each_metric_has_a_sample_on_a_bad_day_and_says_where(day: tuple[Home, Path]) -> None:
    model = seen(day)
    assert [each.name for each in METRICS if not list(each.samples(model))] == []
    found = labelled(exposition(model))
    assert found["koma_group_missing_points"] == {("feeder-1", "03"): 0, ("feeder-2", "03"): 4, ("feeder-3", "05"): 0}
    assert set(found["koma_group_silent_since_timestamp_seconds"]) == {("feeder-2", "03")}
    assert found["koma_fetch_lag_seconds"] == {(RETAILERS[-1],): 80 * 60}
    late = found["koma_area_latency_seconds"]
    assert late["05", "0.95"] > 26 * 60 > 5 * 60 > late["03", "0.95"]


def test_labels_take_values_that_are_known_beforehand(day: tuple[Home, Path]) -> None:
    model = seen(day)
    bounds = {
        "retailer": set(RETAILERS),
        "group": {each.group for each in model.groups},
        "area": {"all", *(f"{area:02d}" for area in range(1, 11))},
        "age": {str(age) for age in range(48)},
    }
    for metric in METRICS:
        for labels, _ in metric.samples(model):
            for label, value in zip(metric.labels, labels, strict=True):
                assert value in bounds.get(label, {value}), (metric.name, label, value)
                assert len(value) < 32, "no point, no file"


def test_without_a_file_nothing_is_said_of_groups(day: tuple[Home, Path]) -> None:
    model = read_model(day[0], BAD_END, clock="wall")
    assert model.groups == ()
    assert not labelled(exposition(model))["koma_group_points"]


def test_points_that_the_master_does_not_know_are_left_out(day: tuple[Home, Path], tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(f"point_id,group\n{point(77)},gone\n{point(0)},here\n")
    model = read_model(day[0], BAD_END, clock="wall", groups=str(path))
    assert [(each.group, each.points) for each in model.groups] == [("here", 1)]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("point,group\n1,2\n", "holds no groups"),
        ("", "holds no groups"),
        ("point_id,group\n123,f\n", "22 digits"),
        (f"point_id,group\n{point(0)},f\n{point(0)},g\n", "two groups"),
        ("point_id,group\n" + "".join(f"{point(n)},f{n}\n" for n in range(GROUPS_MAX + 1)), "1,001 groups"),
    ],
)
def test_a_file_of_groups_that_is_wrong_is_refused_by_name(
    day: tuple[Home, Path], tmp_path: Path, text: str, match: str
) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(TelemetryError, match=match):
        read_model(day[0], BAD_END, groups=str(path))


def test_a_file_of_groups_that_is_not_there_is_refused_by_name(day: tuple[Home, Path], tmp_path: Path) -> None:
    with pytest.raises(TelemetryError, match="cannot be read"):
        read_model(day[0], BAD_END, groups=str(tmp_path / "none.csv"))
