# SPDX-License-Identifier: Apache-2.0
"""What the master learns after an instant was issued: it counts from the next one on, whenever it was recorded."""

from pathlib import Path

import pytest

from pipeline.home import Home
from tests.homes import (
    HOUR_MS,
    MINUTE_MS,
    SLOT_MS,
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


def meter(number: int, **facts: object) -> Row:
    return {"point_id": point(number), "meter_id": f"M{number}", "digits": 6, "unit_exponent": -1, **facts}


def supply(number: int, retailer: str, **facts: object) -> Row:
    return {"point_id": point(number), "retailer_code": retailer, "valid_from": "2020-01-01T00:00", **facts}


def issued_home(root: Path) -> Home:
    """Two points of one retailer, ten slots of 0.2 kWh issued, most of them closed for good."""
    home = new_home(
        root,
        points=[{"point_id": point(n)} for n in range(2)],
        meters=[meter(n) for n in range(2)],
        supply=[supply(n, OLD) for n in range(2)],
    )
    for n in range(2):
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, range(100, 122, 2)))
    run(home)
    return home


def cell(home: Home, retailer: str, slot: int, number: int = 0) -> Cell:
    return read_tree(home.deliveries)[retailer, iso(START + slot * SLOT_MS), point(number)]


@pytest.mark.parametrize("recorded", ["", iso(START), iso(START + 2 * HOUR_MS), iso(START + 100 * HOUR_MS)])
def test_a_switch_learned_late_is_withdrawn_from_one_and_issued_to_the_other(tmp_path: Path, recorded: str) -> None:
    home = issued_home(tmp_path / "home")
    midnight = iso(START + 3 * SLOT_MS)

    learn(
        home,
        supply=[
            supply(0, OLD, valid_to=midnight, recorded_at=recorded),
            supply(0, NEW, valid_from=midnight, valid_to="", recorded_at=recorded),
        ],
    )
    before = digests(home.deliveries)
    run(home)

    assert {name: digests(home.deliveries)[name] for name in before if "manifest" not in name} == {
        name: digest for name, digest in before.items() if "manifest" not in name
    }
    assert cell(home, OLD, 2).available
    assert cell(home, OLD, 3).quality == "withdrawn"
    assert cell(home, OLD, 3).revision == 1
    assert cell(home, NEW, 3).energy_dwh == 2_000
    assert cell(home, OLD, 3, number=1).available
    assert run(home).summary()["files"] == 0


def test_an_exchange_learned_late_gives_the_new_meter_s_reads_their_slots(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home")
    changed = START + 10 * SLOT_MS
    hand_over(home, "new.csv", reads_of("N0", changed, [0, 7, 19, 19, 20]))

    held = run(home).summary()
    learn(home, meters=[
        meter(0, removed_at=iso(changed), installed_at="", install_register="", removal_register=120),
        meter(0, meter_id="N0", unit_exponent=-2, removed_at="", installed_at=iso(changed), install_register=0,
              removal_register=""),
    ])  # fmt: skip
    taken = run(home).summary()

    assert (held["held"], held["accepted"]) == (5, 0)
    assert (taken["received"], taken["accepted"], taken["held"]) == (5, 5, 0)
    assert cell(home, OLD, 9).energy_dwh == 2_000
    assert [cell(home, OLD, slot).energy_dwh for slot in (10, 11)] == [700, 1_200]


def test_a_revision_carries_the_next_number_that_has_content(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home")

    for kilowatts in ("0.001", "0.002", "50"):
        learn(home, points=[{"point_id": point(0), "contract_kw": kilowatts, "telemetry": 1}])
        run(home)
    learn(home, meters=[meter(0, unit_exponent=0)])
    run(home)

    issued = [file.revision for file in files(home.deliveries) if file.slot_start == iso(START)]
    assert issued == [0, 1]  # another cap changes the quality, not what is known: only the unit is a revision
    assert cell(home, OLD, 0).energy_dwh == 20_000


def test_what_is_learned_between_splits_counts_at_the_next_split(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home", points=[{"point_id": point(0)}], meters=[meter(0)], supply=[supply(0, OLD)])
    hand_over(home, "a.arrow", reads_of("M0", START, [100, 102]))
    run(home, wall_ms=START + SLOT_MS + 12 * MINUTE_MS)
    learn(home, supply=[supply(0, NEW, recorded_at=iso(START))])
    run(home, wall_ms=START + SLOT_MS + 46 * MINUTE_MS)
    run(home, wall_ms=START + SLOT_MS + 80 * MINUTE_MS)

    found = {retailer: (value.quality, value.revision, value.issued_at[11:16]) for (retailer, slot, _), value
             in read_tree(home.deliveries).items() if slot == iso(START)}  # fmt: skip
    assert found == {OLD: ("withdrawn", 1, "00:15"), NEW: ("actual", 0, "23:20")}


def test_a_point_renumbered_late_takes_the_reads_of_its_meter_along(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home")
    changed = START + 4 * SLOT_MS

    learn(
        home,
        points=[{"point_id": point(7)}],
        meters=[
            meter(0, installed_at="", removed_at=iso(changed)),
            meter(7, meter_id="M0", installed_at=iso(changed), removed_at=""),
        ],
        supply=[
            supply(0, OLD, valid_to=iso(changed)),
            supply(7, OLD, valid_from=iso(changed), valid_to=""),
        ],
    )
    once = run(home).summary()

    assert once["received"] == 0  # carried, not received again
    assert cell(home, OLD, 3).energy_dwh == 2_000
    assert cell(home, OLD, 4).quality == "withdrawn"
    assert [cell(home, OLD, slot, number=7).energy_dwh for slot in (4, 5, 9)] == [2_000] * 3
    assert run(home).summary()["files"] == 0


@pytest.mark.parametrize("earlier", [True, False])
def test_an_installation_dated_anew_keeps_its_reads(tmp_path: Path, *, earlier: bool) -> None:
    home = issued_home(tmp_path / "home")
    begun = START - 1000 * SLOT_MS if earlier else START + 2 * SLOT_MS

    learn(
        home,
        meters=[
            meter(0, installed_at="", removed_at="1970-01-01T09:00"),
            meter(0, installed_at=iso(begun), removed_at=""),
        ],
    )
    run(home)

    found = [cell(home, OLD, slot).energy_dwh for slot in range(4)]
    assert found == [2_000] * 4 if earlier else found == [None, None, 2_000, 2_000]
    assert run(home).summary()["files"] == 0


def test_a_meter_given_back_takes_back_what_came_in_between(tmp_path: Path) -> None:
    home = issued_home(tmp_path / "home")
    changed, back = START + 2 * SLOT_MS, START + 6 * SLOT_MS
    learn(
        home,
        meters=[
            meter(0, installed_at="", removed_at=iso(changed)),
            meter(1, meter_id="M0", installed_at=iso(changed), removed_at=""),
        ],
    )
    run(home)
    learn(
        home,
        meters=[
            meter(1, meter_id="M0", installed_at=iso(changed), removed_at=iso(changed)),
            meter(0, installed_at=iso(changed), removed_at=iso(back)),
        ],
    )
    run(home)

    assert [cell(home, OLD, slot).energy_dwh for slot in (1, 2, 5, 6)] == [2_000, 2_000, 2_000, None]
    assert [cell(home, OLD, slot, number=1).energy_dwh for slot in (1, 2, 5, 6)] == [2_000] * 4
