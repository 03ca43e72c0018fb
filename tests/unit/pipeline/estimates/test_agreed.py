# SPDX-License-Identifier: Apache-2.0
"""Agreed values: entered with who and why, ahead of every estimate, withdrawn but never gone."""

import json
import shutil
from pathlib import Path

import pytest

from koma.errors import EstimateError
from koma.slots import slot_at_ms
from pipeline.estimates.agreed import LOG, agree, agreements, withdraw
from pipeline.home import Home
from tests.estimate_homes import FIRST, START, estimate_home, estimated, register, rows, told
from tests.homes import point

NOW_MS = START + 12 * 86_400_000
SLOT = slot_at_ms(START) + FIRST


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return estimate_home(tmp_path_factory.mktemp("made") / "home", [FIRST + 20, FIRST + 21], [])


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.root, tmp_path / "home"))


def enter(home: Home, first: int, end: int, dwh: int, number: int = 0) -> int:
    each = agree(
        home, point(number), SLOT + first, SLOT + end, dwh, by="duty desk", why="as a year before", now_ms=NOW_MS
    )
    return each.number


def test_an_agreed_value_stands_and_the_rest_of_the_gap_still_adds_up(home: Home) -> None:
    enter(home, 20, 21, 5000)
    found = told(home, 0)
    known = (register(FIRST + 22) - register(FIRST + 19)) * 1000
    assert found[20] == ("agreed", 5000)
    assert (found[19][0], found[21][0]) == ("linear", "linear")
    assert sum(dwh or 0 for _, dwh in found.values()) == known


def test_what_is_agreed_for_several_slots_is_shared_evenly_to_the_last_dwh(home: Home) -> None:
    enter(home, 19, 22, 10_000)
    assert [dwh for _, dwh in told(home, 0).values()] == [3334, 3333, 3333]


def test_of_two_agreed_values_the_later_one_holds_and_withdrawn_the_earlier_one_again(home: Home) -> None:
    estimate = told(home, 0)[20]
    enter(home, 20, 21, 5000)
    second = enter(home, 20, 21, 6000)
    assert told(home, 0)[20] == ("agreed", 6000)
    withdraw(home, second, by="duty desk", why="mistyped", now_ms=NOW_MS)
    assert told(home, 0)[20] == ("agreed", 5000)
    withdraw(home, 1, by="duty desk", why="not agreed after all", now_ms=NOW_MS)
    assert told(home, 0)[20] == estimate
    assert [each.withdrawn is not None for each in agreements(home)] == [True, True]


def test_who_when_and_why_are_kept_and_lines_only_ever_added(home: Home) -> None:
    enter(home, 20, 21, 5000)
    before = (home.path("estimates") / LOG).read_text()
    withdraw(home, 1, by="day desk", why="mistyped", now_ms=NOW_MS + 1000)
    after = (home.path("estimates") / LOG).read_text()
    assert after.startswith(before)
    assert json.loads(before) == {
        "act": "agree",
        "number": 1,
        "point_id": point(0),
        "from": "2026-10-07T10:00:00+09:00",
        "to": "2026-10-07T10:30:00+09:00",
        "energy_dwh": 5000,
        "by": "duty desk",
        "why": "as a year before",
        "at": "2026-10-09T15:00:00Z",
    }
    (each,) = agreements(home)
    assert each.withdrawn == {"by": "day desk", "why": "mistyped", "at": "2026-10-09T15:00:01Z"}


def test_an_agreed_value_for_a_measured_cell_stands_and_is_counted(home: Home) -> None:
    enter(home, 3, 4, 7, number=1)
    (row,) = [row for row in rows(home) if row["point_id"] == point(1)]
    assert (row["method"], row["energy_dwh"], row["measured"], row["agreement"]) == ("agreed", 7, "actual", 1)
    assert (row["availability"], row["nem12"], row["espi"]) == (0, "F16", 7)
    assert estimated(home).overruled == 1


@pytest.mark.parametrize(("first", "end", "dwh"), [(20, 21, 1 << 40), (19, 22, 1)])
def test_agreed_values_that_contradict_the_registers_are_told_and_nothing_is_negative(
    home: Home, first: int, end: int, dwh: int
) -> None:
    enter(home, first, end, dwh)
    assert estimated(home).contradicted == 3
    assert all(row["energy_dwh"] >= 0 and row["contradicts"] for row in rows(home))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": " "}, "who decides and why"),
        ({"why": ""}, "who decides and why"),
        ({"end": SLOT}, "0 slots"),
        ({"end": SLOT + 400 * 48 + 1}, "19201 slots"),
        ({"energy_dwh": -1}, "-1 dWh"),
        ({"point_id": point(9)}, "no supply point"),
    ],
)
def test_what_is_no_agreed_value_is_refused_and_not_kept(home: Home, change: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"point_id": point(0), "first": SLOT, "end": SLOT + 1, "energy_dwh": 1}
    given |= {"by": "duty desk", "why": "failed meter", "now_ms": NOW_MS}
    with pytest.raises(EstimateError, match=message):
        agree(home, **given | change)  # type: ignore[arg-type]
    assert agreements(home) == []


def test_a_value_is_withdrawn_once_and_only_where_it_is(home: Home) -> None:
    enter(home, 20, 21, 5000)
    withdraw(home, 1, by="duty desk", why="mistyped", now_ms=NOW_MS)
    for number, message in ((1, "withdrawn already"), (2, "no agreed value 2"), (0, "no agreed value 0")):
        with pytest.raises(EstimateError, match=message):
            withdraw(home, number, by="duty desk", why="mistyped", now_ms=NOW_MS)


def test_a_damaged_line_is_named(home: Home) -> None:
    (home.path("estimates") / LOG).write_text('{"act": "agree"\n')
    with pytest.raises(EstimateError, match="line 1 of"):
        estimated(home)
