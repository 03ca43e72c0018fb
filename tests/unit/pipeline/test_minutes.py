# SPDX-License-Identifier: Apache-2.0
"""Reads between two slot boundaries: which are taken, under which stamp, and that half-hours do not see them."""

import random
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from koma.errors import HomeError
from koma.settings import Settings
from koma.slots import MS_PER_DAY
from pipeline.books import open_minute_book
from pipeline.channels import day_values, known_now
from pipeline.checking import check_home
from pipeline.home import Home
from pipeline.journal import Journal, State, read_state
from pipeline.repair import entries, supersede
from pipeline.retention import forget_minutes, leftovers
from tests.finer import LENGTHS, START_MS, finer_home, interval, reads_every
from tests.homes import MINUTE_MS, Read, digests, hand_over, learn, run

SECOND_MS = 1000


def town(root: Path) -> Home:
    return finer_home(root, [interval(number, minutes) for number, minutes in enumerate(LENGTHS)])


def reads(slots: int = 3) -> list[Read]:
    """Give the reads of all meters over some half-hours, each on its own grid."""
    return [
        read
        for number, minutes in enumerate(LENGTHS)
        for read in reads_every(f"M{number}", minutes, range(0, slots * 30 + 1, minutes))
    ]


def stamps(home: Home) -> list[int]:
    """Return the minutes after the start for which a register is kept."""
    return sorted(minute - START_MS // MINUTE_MS for minute in read_state(home.path("journal")).minutes.names)


def single(home: Home, meter: str, after_ms: int) -> tuple[int, list[int]]:
    """Hand one read over; returns how many were accepted, and the minutes that are kept."""
    read_ms = START_MS + after_ms
    hand_over(home, "one.arrow", [Read(meter, read_ms, read_ms + 2 * MINUTE_MS, 5)])
    return run(home).taken.counts.accepted, stamps(home)


@pytest.mark.parametrize(
    ("meter", "minute", "second", "accepted", "kept"),
    [
        ("M1", 15, 0, 1, [15]),  # a meter of 15 minutes, on its grid
        ("M1", 16, 30, 1, [15]),  # within its tolerance
        ("M1", 16, 31, 0, []),
        ("M1", 5, 0, 0, []),
        ("M2", 5, 0, 1, [5]),
        ("M2", 55, 30, 1, [55]),
        ("M2", 55, 31, 0, []),
        ("M3", 29, 0, 1, [29]),  # near a slot boundary, but another minute
        ("M3", 29, 7, 0, []),
        ("M3", 29, 57, 1, []),  # the boundary itself, the way of all others
        ("M2", 28, 0, 1, []),
        ("M0", 15, 0, 0, []),  # a meter of half-hours
        ("M0", 29, 0, 1, []),
    ],
)
def test_a_read_counts_at_the_nearest_time_of_its_own_register(
    tmp_path: Path, meter: str, minute: int, second: int, accepted: int, kept: list[int]
) -> None:
    home = town(tmp_path / "home")
    assert single(home, meter, minute * MINUTE_MS + second * SECOND_MS) == (accepted, kept)
    refused = [each.row["code"] for each in entries(home)]
    assert refused == ([] if accepted else ["off_grid"])


def test_reads_between_boundaries_are_taken_and_change_no_byte_of_half_hours(tmp_path: Path) -> None:
    every, half = town(tmp_path / "every"), town(tmp_path / "half")
    hand_over(every, "reads.arrow", reads())
    hand_over(half, "reads.arrow", [read for read in reads() if read.read_at_ms % (30 * MINUTE_MS) == 0])
    found, expected = run(every), run(half)
    assert (
        found.taken.counts.accepted
        == len(reads())
        == expected.taken.counts.accepted + sum(90 // n - 3 for n in LENGTHS)
    )
    assert stamps(every) == [minute for minute in range(91) if minute % 30]
    shared = [name for name in digests(half.deliveries) if "W41110" in name]
    assert shared
    assert {name: digests(every.deliveries)[name] for name in shared} == {
        name: digests(half.deliveries)[name] for name in shared
    }


def test_duplicates_and_conflicts_are_found_whatever_the_order_and_the_cut(tmp_path: Path) -> None:
    facts = [*reads(2), *reads(2)[::2]]
    facts += [Read("M3", START_MS + 7 * MINUTE_MS, START_MS + 60 * MINUTE_MS, 999)]
    books = []
    for seed in range(3):
        home = town(tmp_path / str(seed))
        random.Random(seed).shuffle(facts)  # noqa: S311
        cut = len(facts) * (seed + 1) // 4
        counts = []
        for number, part in enumerate((facts[:cut], facts[cut:])):
            hand_over(home, f"{number}.arrow", part)
            if seed or number:
                counts.append(run(home).taken.counts)
        assert sum(each.accepted for each in counts) == len(reads(2))
        assert sum(each.duplicate for each in counts) == len(reads(2)[::2])
        assert [each.row["code"] for each in entries(home)] == ["conflict"]
        books.append([minute_values(home, minute) for minute in (7, 15, 40)])
    assert books[0] == books[1] == books[2] == [[7], [15, 15, 15], [40, 40]]


def minute_values(home: Home, minute: int) -> list[int]:
    state = read_state(home.path("journal"))
    column = open_minute_book(home.root, state.batches).column(0, START_MS // MINUTE_MS + minute, 4)
    values: list[int] = column.values(column.present()).tolist()
    return values


def test_a_conflict_between_boundaries_is_not_decided_for_the_boundary_before(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    early = Read("M2", START_MS + 5 * MINUTE_MS, START_MS + 7 * MINUTE_MS, 1)
    hand_over(home, "reads.arrow", [early, Read("M2", early.read_at_ms, early.received_ms + 1, 2)])
    run(home)
    (conflict,) = entries(home)
    with pytest.raises(HomeError, match="between two slot boundaries"):
        supersede(home, conflict.id, by="a person", why="a test")


def test_a_register_learned_to_be_finer_takes_what_waited_off_the_grid(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    assert single(home, "M0", 15 * MINUTE_MS) == (0, [])
    learn(home, meters=[interval(0, 15, recorded_at="2026-08-22")])
    hand_over(home, "again.arrow", [Read("M0", START_MS + 15 * MINUTE_MS, START_MS + 17 * MINUTE_MS, 5)])
    assert run(home).taken.counts.accepted == 1
    assert stamps(home) == [15]


def test_an_import_register_is_finer_than_the_export_register_of_its_meter(tmp_path: Path) -> None:
    export = interval(9, 30, meter_id="M1", register="export")
    home = finer_home(tmp_path / "home", [interval(1, 15), export])
    read_ms = START_MS + 15 * MINUTE_MS
    hand_over(home, "both.arrow", [Read("M1", read_ms, read_ms + MINUTE_MS, 7, 8)])
    counts = run(home).taken.counts
    assert (counts.accepted, counts.quarantined) == (1, 1)
    (refused,) = entries(home)
    assert (refused.row["import_register"], refused.row["export_register"]) == (None, 8)


def test_reads_of_a_meter_that_fed_another_point_are_found_there_by_the_minute_too(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    hand_over(home, "reads.arrow", reads())
    run(home)
    gone = interval(2, 5, removed_at="2026-08-01T00:00", recorded_at="2026-08-22")
    learn(home, meters=[gone, interval(1, 5, meter_id="M2", installed_at="2026-08-02", recorded_at="2026-08-22")])
    learn(home, meters=[interval(1, 15, removed_at="2026-08-01T00:00", recorded_at="2026-08-22")])
    hand_over(home, "later.arrow", reads_every("M2", 5, [95, 100], first_ms=START_MS + 95 * MINUTE_MS))
    run(home)
    (values,) = day_values(known_now(home), np.array([1], np.uint32), date(2026, 8, 22), 5)
    assert values.energy[0, :20].tolist() == [5 * 100] * 20
    assert [each for each in check_home(home) if each.severity == "harm"] == []


def test_future_and_old_reads_are_refused_between_boundaries_too(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    read_ms = START_MS + 5 * MINUTE_MS
    late = [Read("M2", read_ms, read_ms - 4 * MINUTE_MS, 7), Read("M2", read_ms, read_ms + 46 * MS_PER_DAY, 7)]
    hand_over(home, "late.arrow", late)
    run(home, accept_clock=True)
    assert sorted(each.row["code"] for each in entries(home)) == ["future", "too_old"]


def test_minutes_are_forgotten_after_their_days_and_looked_over_till_then(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    hand_over(home, "reads.arrow", reads())
    run(home)
    assert [each for each in check_home(home) if "minutes" in each.path] == []
    (file,) = home.path("minutes").iterdir()
    kept = file.read_bytes()
    file.write_bytes(b"")
    assert [each.severity for each in check_home(home) if each.path == str(file)] == ["harm"]
    file.write_bytes(kept)
    stray = home.path("minutes") / "stray.col"
    stray.touch()
    assert leftovers(home, read_state(home.path("journal"))) == [stray]
    journal = Journal(home.path("journal"))
    days = Settings(home=home.root).keep_channels_days
    assert forget_minutes(home, journal, START_MS + days * MS_PER_DAY, days) == []
    state = State.of_json(journal.state.as_json())
    assert state.minutes.names == journal.state.minutes.names != {}
    assert forget_minutes(home, journal, START_MS + (days + 1) * MS_PER_DAY, days) == [file]
    journal.close()
    assert stamps(home) == []
    assert not file.exists()
