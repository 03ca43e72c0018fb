# SPDX-License-Identifier: Apache-2.0
"""Stores that disagree are named pair by pair and point by point, and stores that agree are not."""

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.commands.reconcile import app
from pipeline.history.store import update
from pipeline.home import Home
from pipeline.reconcile import HISTORY, MASTERS
from tests.homes import (
    HOUR_MS,
    SLOT_MS,
    Read,
    Row,
    at,
    digests,
    hand_over,
    new_home,
    point,
    reads_of,
    run,
    settings_of,
    write_master,
)

POINTS = range(25)
START = at("2026-10-06T20:00")
NOW = START + 6 * HOUR_MS
Tables = dict[str, list[Row]]


def tables() -> Tables:
    return {
        "points": [{"point_id": point(n)} for n in POINTS],
        "meters": [{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in POINTS],
        "supply": [
            {"point_id": point(n), "retailer_code": f"1111{n % 2}", "valid_from": "2020-01-01T00:00"} for n in POINTS
        ],
    }


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = new_home(tmp_path_factory.mktemp("sound") / "home", **tables())
    for n in POINTS:
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, range(n, n + 14)))
    run(home, wall_ms=NOW)
    update(home, settings_of(home))
    return home


def reconciled(home: Home, *words: str) -> dict[str, dict[str, set[str]]]:
    """Points by pair of stores and kind."""
    result = CliRunner().invoke(app, ["--home", str(home.root), "--json", *words])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in lines:
        if "between" in line and isinstance(line["between"], str):
            assert line["do"]
            found[line["between"]][line["what"]].add(line["point_id"])
    assert result.exit_code == (1 if found else 0), result.output
    return {between: dict(kinds) for between, kinds in found.items()}


def test_stores_that_agree_are_not_named(sound: Home, tmp_path: Path) -> None:
    before = digests(sound.root)

    assert reconciled(sound, "--master", str(write_master(tmp_path / "copy", **tables())), "--whole") == {}
    assert digests(sound.root).keys() - before.keys() <= {name for name in digests(sound.root) if name[:4] == "sla/"}


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000))
def test_lost_messages_between_two_masters_are_named_exactly(sound: Home, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  a drawn world
    theirs = tables()
    lost, moved, new = chance.sample(list(POINTS), 2), chance.sample(list(POINTS), 2), [point(90)]
    for name in ("meters", "supply"):
        theirs[name] = [row for row in theirs[name] if row["point_id"] not in {point(n) for n in lost}]
    theirs["supply"] = [
        {**row, "retailer_code": "33335"} if row["point_id"] in {point(n) for n in moved} else row
        for row in theirs["supply"]
    ]
    theirs["points"].append({"point_id": new[0]})
    folder = write_master(tmp_path / f"copy-{seed}-{chance.random()}", **theirs)

    found = reconciled(sound, "--master", str(folder), "--whole").pop(MASTERS)

    assert found == {
        kind: points
        for kind, points in (
            ("surplus", {point(n) for n in lost}),
            ("differs", {point(n) for n in moved} - {point(n) for n in lost}),
            ("lacks", set(new)),
        )
        if points
    }


def test_each_pair_of_stores_names_its_points(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home", **tables())
    for n in POINTS:
        registers: list[int | None] = list(range(n, n + 12))
        match n:
            case 0:  # not collected
                registers[-3:] = [None] * 3
            case 1:  # between slot boundaries: quarantined
                registers[-1] = None
            case 2:  # backward: refused
                registers[-1] = 0
        reads = reads_of(f"M{n}", START, registers)
        if n == 1:
            reads.append(Read("M1", START + 11 * SLOT_MS + 600_000, START + 11 * SLOT_MS + 700_000, 5))
        hand_over(home, f"{n}.arrow", reads)
    run(home, wall_ms=NOW)
    update(home, settings_of(home))
    path = max(home.deliveries.glob("11111/20261006/W41110*.parquet"))
    table = pq.read_table(path, partitioning=None)
    changed = [table["point_id"][0].as_py()]
    energy = pa.array([77 if each in changed else value for each, value in zip(
        table["point_id"].to_pylist(), table["energy_dwh"].to_pylist(), strict=True)])  # fmt: skip
    pq.write_table(table.set_column(table.schema.get_field_index("energy_dwh"), "energy_dwh", energy), path)

    found: Any = reconciled(home)

    assert found["head-end and registers"]["not_collected"] >= {point(0)}
    assert found[HISTORY] == {"rows": set(changed)}
    assert found["registers and intervals"] == {"refused": {point(2)}}
    named = {each for kinds in found.values() for points in kinds.values() for each in points}
    assert named == {point(0), point(1), point(2), *changed}
    only = reconciled(home, "--day", "20261006")
    assert only[HISTORY] == {"rows": set(changed)}
    assert HISTORY not in reconciled(home, "--day", "20261007")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("--whole",), 2, "give the folder"),
        (("--day", "tomorrow"), 2, "is no day"),
        (("--master", "/nowhere"), 1, "/nowhere"),
    ],
)
def test_wrong_words_are_answered(sound: Home, words: tuple[str, ...], status: int, says: str) -> None:
    result = CliRunner().invoke(app, ["--home", str(sound.root), *words])

    assert (result.exit_code, says in result.output) == (status, True), result.output
