# SPDX-License-Identifier: Apache-2.0
"""Boards of Grafana: each panel says what it shows and in which unit, asks the specification's metrics, finds any."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from pipeline.ledger.metrics import METRICS, exposition
from pipeline.ledger.reading import read_model
from pipeline.telemetry.findings import AREA_LATE_S, FETCH_LATE_S
from tests.telemetry_homes import BAD_END, bad_day, groups_file

DEPLOY = Path(__file__).parents[4] / "deploy"
BOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
LABELS = {each.name: set(each.labels) for each in METRICS}
UNITS = {"short", "s", "percentunit", "dateTimeAsIso"}
SELECTOR = re.compile(r"(koma_\w+)(?:\{([^}]*)\})?")


def panels() -> Iterator[Any]:
    for path in BOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            yield pytest.param(panel, id=f"{path.stem}: {panel['title']}")


def queries() -> list[str]:
    return sorted({target["expr"] for each in panels() for target in each.values[0]["targets"]})


def test_the_boards_show_what_they_must() -> None:
    titles = " ".join(each.values[0]["title"].lower() for each in panels())
    wanted = ("slot wall", "freshness", "completeness by area", "completeness by group", "fetch lag")
    assert [each for each in wanted if each not in titles] == []


@pytest.mark.parametrize("panel", list(panels()))
def test_a_panel_has_a_title_words_a_unit_and_thresholds(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 10
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert defaults["thresholds"]["steps"][0]["value"] is None
    assert panel["targets"]
    assert {each["datasource"]["uid"] for each in [panel, *panel["targets"]]} == {"${datasource}"}


@pytest.mark.parametrize("panel", list(panels()))
def test_a_query_names_metrics_and_labels_of_the_specification(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        found = SELECTOR.findall(target["expr"])
        assert found
        assert [name for name, _ in found if name not in LABELS] == []
        named = [(name, label) for name, matchers in found for label in re.findall(r"(\w+)\s*[=!]", matchers)]
        assert [each for each in named if each[1] not in LABELS[each[0]]] == []
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert shown <= set().union(*(LABELS[name] for name, _ in found))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_panels_have_numbers_of_their_own_and_lie_beside_each_other(path: Path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    assert (board["uid"], board["timezone"]) == (path.stem, "Asia/Tokyo")
    numbers = [each["id"] for each in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    places = [each["gridPos"] for each in board["panels"]]
    assert all(each["x"] in range(25 - each["w"]) for each in places)
    over = [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]
    ]  # fmt: skip
    assert over == []


def test_each_query_finds_something_on_a_bad_day(program: Callable[..., Path], tmp_path: Path) -> None:
    """Prometheus' own evaluator answers each of them over what is exported."""
    home = bad_day(tmp_path)
    text = exposition(read_model(home, BAD_END, clock="wall", groups=str(groups_file(tmp_path)))).decode()
    series = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    lines = ["evaluation_interval: 1m", "tests:", "  - interval: 1m", "    input_series:"]
    lines += [f"      - {{series: '{name}', values: '{value}x3'}}" for name, _, value in series]
    lines.append("    promql_expr_test:")
    for query in queries():
        lines += [
            f"      - expr: {json.dumps(f'count({query}) > bool 0')}",
            "        eval_time: 1m",
            "        exp_samples: [{labels: '{}', value: 1}]",
        ]
    (tmp_path / "boards.test.yml").write_text("\n".join(lines) + "\n")
    command = [str(program("promtool", "prometheus")), "test", "rules", "boards.test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_page_rules_and_boards_call_the_same_things_late() -> None:
    rules = (DEPLOY / "prometheus" / "koma.rules.yml").read_text(encoding="utf-8")
    assert f'koma_area_latency_seconds{{quantile="0.95"}}) > {AREA_LATE_S}' in rules
    text = (DEPLOY / "grafana" / "koma-retailers.json").read_text(encoding="utf-8")
    assert f"koma_fetch_lag_seconds > {FETCH_LATE_S}" in text
