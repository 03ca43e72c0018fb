# SPDX-License-Identifier: Apache-2.0
"""One run: counts that add up, instants in order, nothing twice, nobody else at the same time."""

from pathlib import Path

import pytest

from koma.errors import HomeError
from pipeline.first_slot import contradiction
from pipeline.home import Home
from pipeline.journal import NEVER, read_state
from pipeline.repair import entries, supersede
from pipeline.run import run_once
from tests.homes import (
    HOUR_MS,
    MINUTE_MS,
    NO_DATA,
    SLOT_MS,
    Read,
    at,
    digests,
    drop,
    hand_over,
    iso,
    learn,
    new_home,
    point,
    reads_of,
    run,
    settings_of,
)
from tests.independent_reader import Closing, closings, files, read_tree

START = at("2026-10-06T22:30")
T = START + SLOT_MS


def small_home(root: Path, meters: int = 2) -> Home:
    return new_home(
        root,
        points=[{"point_id": point(n)} for n in range(meters)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(meters)],
        supply=[
            {"point_id": point(n), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"} for n in range(meters)
        ],
    )


def issues(home: Home, slot: int = 0) -> list[tuple[int, int, str, list[str]]]:
    """(revision, split, time of day, qualities) of every file of a slot."""
    return [
        (file.revision, file.split, file.issued_at[11:16], [row.quality for row in file.rows])
        for file in files(home.deliveries)
        if file.slot_start == iso(START + slot * SLOT_MS)
    ]


def test_an_empty_home_runs_and_issues_nothing(tmp_path: Path) -> None:
    facts = run(new_home(tmp_path / "home")).summary()

    assert (facts["received"], facts["files"], facts["clock"]) == (0, 0, None)


def test_reads_without_a_master_are_held_until_there_is_one(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    hand_over(home, "a.arrow", reads_of("M0", START, [1, 2, 3]))

    assert run(home).summary()["held"] == 3
    assert not list(home.landing.iterdir())
    learn(
        home,
        points=[{"point_id": point(0)}],
        meters=[{"point_id": point(0), "meter_id": "M0", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(0), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
    )
    facts = run(home).summary()

    assert (facts["received"], facts["accepted"], facts["held"]) == (3, 3, 0)
    assert issues(home) == [(0, 1, "23:10", ["actual"])]


def test_the_summary_names_what_the_contract_names(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    reads = [*reads_of("M0", START, [1, 2, 3]), *reads_of("M1", START, [5, NO_DATA, 7]), *reads_of("XX", START, [1])]
    hand_over(home, "a.arrow", [*reads, reads[0]])

    facts = run(home).summary()

    assert {name: facts[name] for name in ("received", "accepted", "duplicate", "held", "no_data")} == {
        "received": 7,
        "accepted": 5,
        "duplicate": 1,
        "held": 1,
        "no_data": 1,
    }
    assert (facts["slots"], facts["files"], facts["clock"]) == (1, 1, "2026-10-06T23:32:00+09:00")


def test_cells_go_out_at_the_first_split_at_which_they_are_ready(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home", meters=5)
    delays = [10 * MINUTE_MS, 10 * MINUTE_MS + 1, 30 * MINUTE_MS, 45 * MINUTE_MS, 45 * MINUTE_MS + 1]
    for n, delay in enumerate(delays):
        reads = [Read(f"M{n}", START, START + MINUTE_MS, 1), Read(f"M{n}", T, T + delay, 2)]
        hand_over(home, f"{n}.csv", reads)

    run(home)

    assert issues(home) == [
        (0, 1, "23:10", ["actual"]),
        (0, 2, "23:20", ["actual"]),
        (0, 3, "23:30", ["actual"]),
        (0, 4, "23:45", ["actual", "missing"]),
        (1, 1, "00:15", ["actual"]),
    ]
    assert closings(home.deliveries)["11113", iso(START)] == Closing(5, 4, 1, iso(T + 45 * MINUTE_MS))


def test_a_late_read_is_a_revision_at_the_slot_s_next_instant(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    late = Read("M1", T, T + 5 * HOUR_MS, 8)
    hand_over(home, "a.arrow", [*reads_of("M0", START, [1, 2]), *reads_of("M1", START, [5]), late])

    run(home)

    assert issues(home) == [
        (0, 1, "23:10", ["actual"]),
        (0, 2, "23:45", ["missing"]),
        (1, 1, "04:15", ["actual"]),  # none of the slot's own instants is due: the one more instant of the run
    ]


def test_the_one_more_instant_becomes_the_last_one_issued(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", [*reads_of("M0", START, [1, 2]), Read("M0", T + SLOT_MS, T + 5 * HOUR_MS, 8)])

    run(home)

    state = read_state(home.path("journal"))
    assert iso(state.issued_ms) == "2026-10-07T04:15:00+09:00"
    assert state.extras == [state.issued_ms]


def test_a_fact_of_the_far_future_takes_one_more_instant(tmp_path: Path) -> None:
    """It was imported before the home had a clock: it counts from the first instant after the clock's first time."""
    home = small_home(tmp_path / "home", meters=1)
    until = {"point_id": point(0), "retailer_code": "11113", "valid_from": "2020-01-01T00:00", "valid_to": iso(START)}
    learn(home, supply=[until | {"recorded_at": "2036-01-01T00:00:00+09:00"}])
    hand_over(home, "a.arrow", reads_of("M0", START, [1, 2], delay_ms=50 * MINUTE_MS))

    assert run(home).clock_ms == at("2026-10-07T00:15")
    assert issues(home) == [(0, 1, "23:45", ["missing"]), (1, 1, "00:15", ["withdrawn"])]
    before = digests(home.deliveries)
    assert run(home).summary()["files"] == 0
    assert digests(home.deliveries) == before


def test_a_read_taken_in_late_counts_from_just_after_the_last_instant(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", [*reads_of("M0", START, [1, 2, 3, 4]), *reads_of("M1", START, [5])])
    run(home)
    issued_ms = read_state(home.path("journal")).issued_ms

    hand_over(home, "b.arrow", reads_of("M1", START, [None, 8]))
    run(home)

    (late,) = [row for row in issues(home) if row[0] == 1]
    assert late[3] == ["actual"]
    assert read_state(home.path("journal")).issued_ms > issued_ms


def test_the_first_slot_starts_at_the_earliest_read_and_never_moves(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", reads_of("M0", START, [5, 6, 7]))
    run(home)
    hand_over(home, "b.arrow", reads_of("M0", START - 2 * SLOT_MS, [3, 4]))

    facts = run(home).summary()

    assert facts["accepted"] == 2
    assert min(slot for _, slot, _ in read_tree(home.deliveries)) == iso(START)


def test_a_set_first_slot_wins(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", reads_of("M0", START, [5, 6, 7, 8, 9]))

    run(home, first_slot=START // SLOT_MS + 1)

    assert min(slot for _, slot, _ in read_tree(home.deliveries)) == iso(T)


def test_a_second_run_on_an_empty_landing_changes_no_byte(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", [*reads_of("M0", START, [1, 2, 3, 4]), Read("M1", START, START + 6 * HOUR_MS, 1)])
    run(home)
    before = digests(home.deliveries)

    for _ in range(2):
        assert run(home).summary()["files"] == 0

    assert digests(home.deliveries) == before


def test_files_are_moved_to_taken_and_a_name_may_come_again(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    for registers in ([1, 2], [1, 2, 3], [1, 2, 3, 4]):
        hand_over(home, "same.arrow", reads_of("M0", START, registers))
        run(home)
    hidden = home.landing / ".unfinished.arrow"
    hidden.write_bytes(b"half")

    assert run(home).summary()["handover_files"] == 0
    assert [path.name for path in home.landing.iterdir()] == [".unfinished.arrow"]
    taken = sorted(path.name for path in home.path("taken").rglob("*.arrow*"))
    assert taken == ["same.arrow", "same.arrow", "same.arrow.1"]  # the first on the day it was taken in


def test_rows_are_cut_into_files_without_gaps(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home", meters=5)
    for n in range(5):
        hand_over(home, f"{n}.parquet", reads_of(f"M{n}", START, [1, 2, 3, 4]))

    run(home, rows_per_file=2)

    assert [(split, len(rows)) for _, split, _, rows in issues(home)] == [(1, 2), (2, 2), (3, 1)]


def test_a_file_whose_arrivals_run_ahead_waits_and_leaves_no_trace(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    ahead = Read("M1", T + 9 * 24 * HOUR_MS, T + 9 * 24 * HOUR_MS, 9)
    hand_over(home, "good.arrow", reads_of("M0", START, [1, 2, 3, 4]))
    hand_over(home, "ahead.csv", [*reads_of("M1", START, [1, 2, 3, 4]), ahead])

    facts = run(home).summary()

    assert [(each["file"], each["row"], each["code"]) for each in facts["waiting"]] == [("ahead.csv", 6, "clock_jump")]
    assert [path.name for path in home.landing.iterdir()] == ["ahead.csv"]
    assert (facts["received"], facts["accepted"]) == (4, 4)
    qualities = {key[2]: cell.quality for key, cell in read_tree(home.deliveries).items() if key[1] == iso(START)}
    assert qualities == {point(0): "actual", point(1): "missing"}
    assert run(home).summary()["waiting"] != []


def test_an_arrival_in_the_last_hours_of_the_calendar_waits_and_stops_nothing(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    last_ms = 253_402_300_740_000  # 9999-12-31T23:59Z, in JST the year 10000
    hand_over(home, "good.arrow", reads_of("M0", START, [1, 2, 3, 4]))
    hand_over(home, "last.arrow", [Read("M1", last_ms, last_ms, 9)])

    facts = run(home).summary()

    assert [(each["file"], each["code"]) for each in facts["waiting"]] == [("last.arrow", "clock_jump")]
    assert facts["accepted"] == 4


def test_accept_clock_takes_it_in(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", reads_of("M0", START, [1, 2, 3, 4]))
    run(home)
    hand_over(home, "b.arrow", [Read("M0", START + 8 * 24 * HOUR_MS, START + 8 * 24 * HOUR_MS, 9)])

    assert run(home).summary()["accepted"] == 0
    facts = run(home, accept_clock=True).summary()

    assert (facts["accepted"], facts["waiting"]) == (1, [])
    assert facts["clock"] == iso(START + 8 * 24 * HOUR_MS)


def test_a_gap_of_exactly_seven_days_is_no_jump(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    reads = [Read("M0", START, START, 1), Read("M0", START + 7 * 24 * HOUR_MS, START + 7 * 24 * HOUR_MS, 2)]
    hand_over(home, "a.arrow", reads)

    assert run(home).summary()["accepted"] == 2


def test_a_home_has_one_writer_at_a_time(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    with home.sole_writer("pipeline run --watch"), pytest.raises(HomeError, match="being written by koma pipeline run"):
        run_once(home, settings_of(home))

    assert read_state(home.path("journal")).clock_ms == NEVER


def test_a_wall_clock_issues_what_is_due_by_it(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", reads_of("M0", START, [1, 2]))

    run(home, wall_ms=T + 9 * MINUTE_MS)
    assert issues(home) == []
    run(home, wall_ms=T + 10 * MINUTE_MS)
    assert issues(home) == [(0, 1, "23:10", ["actual"])]
    run(home, wall_ms=T + 10 * MINUTE_MS)
    run(home, wall_ms=T + 50 * MINUTE_MS)
    assert issues(home)[1:] == [(0, 2, "23:45", ["missing"])]


def test_what_changes_after_a_split_while_the_slot_is_open_is_its_first_revision(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home", meters=1)
    hand_over(home, "a.arrow", [*reads_of("M0", START, [100, 102]), Read("M0", T, T + 5 * MINUTE_MS, 105)])
    run(home, wall_ms=T + 12 * MINUTE_MS)
    (conflict,) = entries(home)

    supersede(home, conflict.id, by="desk", why="read on site")
    for minutes in (50, 76, 200):
        run(home, wall_ms=T + minutes * MINUTE_MS)

    found = [(f.revision, f.issued_at[11:16], f.rows[0].energy_dwh) for f in files(home.deliveries)]
    assert found[0] == (0, "23:10", 2_000)
    assert (1, "00:15", 5_000) in found


def test_a_file_that_cannot_be_read_counts_as_one(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    drop(home, "broken.arrow", b"ARROW1 and nothing else")
    hand_over(home, "good.arrow", reads_of("M0", START, [1, 2]))

    facts = run(home).summary()

    assert (facts["received"], facts["accepted"], facts["quarantined"]) == (3, 2, 1)
    assert not list(home.landing.iterdir())


def test_the_first_slot_is_decided_once(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    hand_over(home, "a.arrow", reads_of("M0", START, range(100, 108)))
    first = START // SLOT_MS + 2
    run(home, first_slot=first)
    before = digests(home.deliveries)

    for setting in (first - 2, first + 3, None):
        run(home, first_slot=setting)

    assert digests(home.deliveries) == before
    assert read_state(home.path("journal")).first_slot == first
    said = contradiction(read_state(home.path("journal")), settings_of(home, first_slot=first - 2))
    assert "began with the slot 2026-10-06T23:30:00+09:00" in said
    assert contradiction(read_state(home.path("journal")), settings_of(home, first_slot=first)) == ""
