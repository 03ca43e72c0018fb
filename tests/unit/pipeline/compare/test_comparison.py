# SPDX-License-Identifier: Apache-2.0
"""A shadow run beside an incumbent that differs, point by point, in one thing: each difference has its cause."""

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from koma.errors import CompareError
from pipeline.compare import Comparison, compare
from pipeline.compare.causes import CODES, Beside, causes_of
from pipeline.compare.cells import NONE, Cells
from pipeline.home import Home
from tests.homes import HOUR_MS, SLOT_MS, Read, Row, at, hand_over, iso, new_home, point, reads_of, run

START = at("2026-10-07T10:00")
LAST = START + 4 * SLOT_MS
REGISTERS = [1_000, 1_012, 1_031, 1_038, 1_067]
"""At 10:00 to 12:00; four slots."""
ONE, OTHER = "11113", "22223"


@dataclass(frozen=True, slots=True)
class Case:
    """One point on both sides: master rows and registers where they are not the usual ones."""

    cause: str
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    causes: int = 4
    """Cells that have the cause; the others are equal."""


def registers(**changed: int | None) -> dict[str, Any]:
    values = [changed.get(f"r{n}", value) for n, value in enumerate(REGISTERS)]
    return {"registers": values}


CASES = [
    Case("equal"),
    Case("retailer", theirs={"supply": {"retailer_code": OTHER}}, causes=8),
    Case("unknown_point", ours={"nowhere": True}),
    Case("voltage", ours={"point": {"voltage": "HV"}}),
    Case("not_supplied", ours={"supply": {"valid_to": iso(START)}}),
    Case("absent", theirs={"nowhere": True}),
    Case("no_value", theirs=registers(r2=None), causes=2),
    Case("missing", ours=registers(r2=None), causes=2),
    Case("backward", ours=registers(r1=900), causes=2),
    Case("no_meter", ours={"without_meter": True}),
    Case("removed", ours={"meter": {"removed_at": iso(START + 2 * SLOT_MS)}}, causes=2),
    Case("no_telemetry", ours={"point": {"telemetry": 0}, "registers": [None] * 5}),
    Case("boundary", theirs=registers(r2=1_033), causes=2),
    Case("unit", theirs={"meter": {"unit_exponent": -2}}),
    Case("coefficient", theirs={"meter": {"coefficient": 30}}),
    Case("rollover", ours={"registers": [999_990, 2, 21, 28, 57]},
         theirs={"registers": [999_990, 2, 21, 28, 57], "meter": {"digits": 7}}, causes=1),
    Case("unexplained", theirs=registers(r4=1_074), causes=1),
]  # fmt: skip


def master_of(side: str) -> dict[str, list[Row]]:
    points, meters, supply = [], [], []
    for number, case in enumerate(CASES):
        facts = getattr(case, side)
        if facts.get("nowhere"):
            continue
        usual = {"point_id": point(number)}
        points.append(usual | {"voltage": "LV", "telemetry": 1} | facts.get("point", {}))
        if not facts.get("without_meter"):
            plain = {"meter_id": f"M{number}", "digits": 6, "unit_exponent": -1, "coefficient": 1, "removed_at": ""}
            meters.append(usual | plain | facts.get("meter", {}))
        plain = {"retailer_code": ONE, "valid_from": "2020-01-01T00:00", "valid_to": ""}
        supply.append(usual | plain | facts.get("supply", {}))
    return {"points": points, "meters": meters, "supply": supply}


def reads(side: str) -> list[Read]:
    found = []
    for number, case in enumerate(CASES):
        found += reads_of(f"M{number}", START, getattr(case, side).get("registers", REGISTERS))
    return found


def played(root: Path, side: str) -> Home:
    home = new_home(root, **master_of(side))
    hand_over(home, "a.arrow", reads(side))
    run(home, wall_ms=LAST + HOUR_MS)
    return home


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Home]:
    root = tmp_path_factory.mktemp("shadow")
    return played(root / "ours", "ours"), played(root / "theirs", "theirs")


@pytest.fixture(scope="module")
def found(homes: tuple[Home, Home]) -> Comparison:
    ours, theirs = homes
    return compare(ours.root, theirs.deliveries)


@pytest.mark.parametrize("number", [pytest.param(n, id=case.cause) for n, case in enumerate(CASES)])
def test_a_difference_has_its_cause(found: Comparison, number: int) -> None:
    rows = [row for row in found.differences.to_pylist() if row["point_id"] == point(number)]
    rows = [row for row in rows if row["slot_start"].timestamp() * 1000 < LAST]

    case = CASES[number]
    assert Counter(row["cause"] for row in rows) == ({} if case.cause == "equal" else {case.cause: case.causes})


def test_every_cell_is_equal_or_different(found: Comparison) -> None:
    assert found.cells == found.equal + found.different
    assert sum(told["cells"] for told in found.causes().values()) == found.different
    assert found.slots > 3
    assert found.refused == {}


def test_a_home_is_equal_to_itself(homes: tuple[Home, Home]) -> None:
    ours, _ = homes
    same = compare(ours.root, ours.deliveries)

    assert same.different == 0
    assert same.cells == same.equal > 0


def test_a_home_that_is_behind_says_so(homes: tuple[Home, Home], tmp_path: Path) -> None:
    ours, _ = homes
    behind = new_home(tmp_path / "behind", **master_of("ours"))
    early = [read for read in reads("ours") if read.read_at_ms != START + 2 * SLOT_MS or read.meter != "M0"]
    hand_over(behind, "a.arrow", early)
    run(behind, wall_ms=LAST + HOUR_MS)
    then = shutil.copytree(behind.deliveries, tmp_path / "then")
    hand_over(behind, "late.arrow", reads_of("M0", START + 2 * SLOT_MS, [REGISTERS[2]], delay_ms=2 * HOUR_MS))
    run(behind, wall_ms=LAST + 9 * HOUR_MS)

    assert compare(behind.root, then).causes().keys() == {"revision"}
    assert compare(behind.root, ours.deliveries).different == 0


def test_values_that_stand_a_slot_late_are_named(homes: tuple[Home, Home], tmp_path: Path) -> None:
    ours, _ = homes
    shifted = new_home(tmp_path / "shifted", **master_of("ours"))
    hand_over(shifted, "a.arrow", [each for each in reads("ours") if each.meter != "M0"])
    hand_over(shifted, "b.arrow", reads_of("M0", START + SLOT_MS, REGISTERS))
    run(shifted, wall_ms=LAST + HOUR_MS)

    causes = compare(ours.root, shifted.deliveries).causes()

    assert causes["shifted"]["cells"] == 2


def test_rounding_is_told_from_a_difference_by_the_slots_beside() -> None:
    def cells(*energies: int) -> Cells:
        rows = len(energies)
        numbers = np.arange(rows, dtype=np.uint64)
        flags, blank = np.ones(rows, np.bool_), np.zeros(rows, np.uint8)
        return Cells(numbers, numbers, np.array(energies, np.int64), flags, blank, blank)

    def beside(ours: Cells, theirs: Cells) -> Beside:
        return Beside(ours, theirs, ours, theirs)

    here = beside(cells(12_340, 12_340, 9_990), cells(12_000, 12_000, 10_000))
    before = beside(cells(23_450, 23_450, 5_550), cells(23_000, 23_440, 5_550))
    rows = np.arange(3)

    causes = causes_of(here.ours, rows, rows, here, before, beside(NONE, NONE))

    assert [CODES[each] for each in causes] == ["rounding", "unexplained", "unexplained"]


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_nothing_to_compare_with_is_an_error_that_says_where(
    homes: tuple[Home, Home], tmp_path: Path, where: str
) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(CompareError, match=where):
        compare(homes[0].root, tmp_path / where)
