# SPDX-License-Identifier: Apache-2.0
"""Reads that were taken in before the master knew whose they are: an import that moves a meter's time takes them along.

A read belongs to the installation that covers its stamp, as known at the instant, not as known when it came.
"""

from pathlib import Path

from pipeline.home import Home
from pipeline.repair import entries, supersede
from tests.homes import (
    HOUR_MS,
    SLOT_MS,
    Read,
    Row,
    at,
    digests,
    hand_over,
    iso,
    learn,
    new_home,
    point,
    reads_of,
    run,
)
from tests.independent_reader import Cell, files, read_tree

START = at("2026-10-06T22:30")
OLD, NEW = "11113", "22223"


def meter(number: int, name: str, **facts: object) -> Row:
    whole = {"point_id": point(number), "meter_id": name, "register": "import", "installed_at": "", "removed_at": ""}
    return whole | {"digits": 6, "unit_exponent": -1, "install_register": "", "removal_register": ""} | facts


def supply(number: int, retailer: str, **facts: object) -> Row:
    whole = {"point_id": point(number), "retailer_code": retailer, "valid_from": "2020-01-01T00:00", "valid_to": ""}
    return whole | facts


def stamp(slot: int) -> str:
    return iso(START + slot * SLOT_MS)


def issued_home(root: Path, *meters: Row) -> Home:
    """Two points, the meters' registers of eleven stamps, all issued; 0.2 kWh a slot."""
    home = new_home(
        root,
        points=[{"point_id": point(n)} for n in range(2)],
        meters=list(meters),
        supply=[supply(0, OLD), supply(1, NEW)],
    )
    for name in {str(each["meter_id"]) for each in meters}:
        hand_over(home, f"{name}.arrow", reads_of(name, START, range(100, 122, 2)))
    run(home)
    return home


def cell(home: Home, number: int, slot: int) -> Cell:
    return read_tree(home.deliveries)[(OLD, NEW)[number], stamp(slot), point(number)]


def energies(home: Home, number: int) -> list[int | None]:
    return [cell(home, number, slot).energy_dwh for slot in range(10)]


def test_only_the_cells_of_a_move_are_issued_again(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home", meter(0, "M0"))
    before = digests(home.deliveries)

    learn(home, meters=[meter(0, "M0", removed_at=stamp(4)), meter(1, "M0", installed_at=stamp(4))])
    run(home)

    assert energies(home, 0) == [2_000] * 4 + [None] * 6
    assert energies(home, 1) == [None] * 4 + [2_000] * 6
    after = digests(home.deliveries)
    assert {name for name in before if before[name] != after[name] and "manifest" not in name} == set()
    revised = {(file.slot_start, row.point_id) for file in files(home.deliveries) if file.revision for row in file.rows}
    assert {start for start, _ in revised} >= {stamp(slot) for slot in range(4, 8)}
    assert min(start for start, _ in revised) == stamp(4)


def test_reads_follow_their_meter_there_and_back_over_several_imports(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home", meter(0, "M0"))
    wrong = [meter(0, "M0", removed_at=stamp(4)), meter(1, "M0", installed_at=stamp(4))]
    right = [meter(0, "M0"), meter(1, "M0", installed_at=stamp(4), removed_at=stamp(4))]

    learn(home, meters=wrong)
    run(home)
    learn(home, meters=right)
    run(home)
    assert (energies(home, 0), energies(home, 1)) == ([2_000] * 10, [None] * 10)

    learn(home, meters=wrong)
    hand_over(home, "late.arrow", reads_of("M0", START + 11 * SLOT_MS, [122, 124]))
    run(home)
    learn(home, meters=right)
    learn(home, meters=[meter(0, "M0", removed_at=stamp(6)), meter(1, "M0", installed_at=stamp(6))])
    run(home)
    assert energies(home, 0) == [2_000] * 6 + [None] * 4
    assert energies(home, 1) == [None] * 6 + [2_000] * 4
    assert cell(home, 1, 11).energy_dwh == 2_000


def test_a_register_that_a_person_decided_goes_along_too(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home", meter(0, "M0"))
    hand_over(home, "differs.arrow", [Read("M0", START + 6 * SLOT_MS, START + 16 * HOUR_MS, 113)])
    run(home)
    (conflict,) = entries(home, code="conflict")
    supersede(home, conflict.id, by="desk", why="the display was read on site")
    run(home)
    assert [energies(home, 0)[slot] for slot in (5, 6)] == [3_000, 1_000]

    learn(home, meters=[meter(0, "M0", removed_at=stamp(4)), meter(1, "M0", installed_at=stamp(4))])
    run(home)

    assert energies(home, 1) == [None] * 4 + [2_000, 3_000, 1_000] + [2_000] * 3


def test_a_conflict_from_before_the_move_is_decided_for_the_point_the_meter_feeds_now(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home", meter(0, "M0"))
    hand_over(home, "differs.arrow", [Read("M0", START + 6 * SLOT_MS, START + 16 * HOUR_MS, 113)])
    run(home)
    learn(home, meters=[meter(0, "M0", removed_at=stamp(4)), meter(1, "M0", installed_at=stamp(4))])
    run(home)

    (conflict,) = entries(home, code="conflict")
    supersede(home, conflict.id, by="desk", why="the display was read on site")
    run(home)

    assert [energies(home, 1)[slot] for slot in (4, 5, 6, 7)] == [2_000, 3_000, 1_000, 2_000]
