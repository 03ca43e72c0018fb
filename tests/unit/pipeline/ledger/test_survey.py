# SPDX-License-Identifier: Apache-2.0
"""A slot is surveyed from the master outwards: each point that lacks something has its cause, and ages."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from koma.errors import HomeError
from pipeline.ledger.book import place_of, read_record
from pipeline.ledger.histogram import bucket_numbers
from pipeline.ledger.stagnated import Stagnated, business_days, points, stagnated, stagnation
from pipeline.ledger.survey_kernels import bucket_of
from tests.homes import MINUTE_MS, SLOT_MS, Read, drop, hand_over, learn, run
from tests.ledger_homes import RETAILER, SLOT, START, causes, empty_manifests, made, meters, reads, survey


def test_each_point_that_lacks_something_is_named_one_slot_after_the_slot_s_end(tmp_path: Path) -> None:
    home = made(tmp_path, 10, without=(3,), silent=(9,))
    for n in range(9):
        mine = reads(n)
        if n == 1:
            mine = mine[:2]
        elif n == 2:
            mine = [mine[0], *mine[2:]]
        elif n == 4:
            mine[2] = Read("M4", mine[2].read_at_ms + 7 * MINUTE_MS, mine[2].received_ms + 7 * MINUTE_MS, 10)
        hand_over(home, f"{n}.arrow", mine)
    run(home, wall_ms=START + 3 * SLOT_MS + 30 * MINUTE_MS)
    assert survey(home) == [SLOT + 2, SLOT + 1, SLOT]
    assert survey(home) == [], "nothing has changed"

    lost = ("master_mismatch", "unknown_meter")
    gone, pair, held = ("not_collected", ""), ("waiting_for_pair", ""), ("quarantined", "off_grid")
    assert causes(home, SLOT) == {2: gone, 3: lost}
    assert causes(home, SLOT + 1) == {1: gone, 2: pair, 3: lost, 4: held}
    assert causes(home, SLOT + 2) == {1: gone, 3: lost, 4: held}
    record = read_record(home, SLOT)
    assert record is not None
    assert record.states == {"03": {"available": 7, "no_telemetry": 1, "not_collected": 1, "master_mismatch": 1}}
    assert record.arrivals["03"].pairs() == [[120, 7]]
    assert record.unknown_meters == 1
    line = record.retailers[RETAILER]
    assert (line.expected, line.available, line.areas) == (10, 7, ("03",))

    found = {int(each.point_id[2:]): each for each in points(home, stagnated(home, SLOT + 2), START + 3 * SLOT_MS)}
    assert {n: (each.cells, each.age_slots) for n, each in found.items()} == {
        1: (2, 1),
        2: (2, 2),
        3: (3, 2),
        4: (2, 1),
    }
    assert [each.retailer_code for each in found.values()] == [RETAILER] * 4


def test_a_point_without_a_meter_is_in_order_until_reads_of_unknown_meters_wait(tmp_path: Path) -> None:
    home = made(tmp_path, 3, without=(1,))
    for n in (0, 2):
        hand_over(home, f"{n}.arrow", reads(n, 3))
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    survey(home)
    record = read_record(home, SLOT)
    assert record is not None
    assert record.states["03"]["no_meter"] == 1
    assert causes(home, SLOT) == {}

    hand_over(home, "1.arrow", reads(1, 3))
    run(home, wall_ms=START + SLOT_MS + 75 * MINUTE_MS)
    survey(home)
    assert causes(home, SLOT + 1) == {1: ("master_mismatch", "unknown_meter")}
    learn(home, meters=meters([1]))
    run(home, wall_ms=START + SLOT_MS + 105 * MINUTE_MS)
    survey(home)
    assert causes(home, SLOT + 1) == {}


def test_what_comes_later_is_surveyed_again_and_leaves_the_list(tmp_path: Path) -> None:
    home = made(tmp_path, 2)
    hand_over(home, "0.arrow", reads(0, 3))
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    survey(home)
    assert causes(home, SLOT) == {1: ("not_collected", "")}
    late = [Read(each.meter, each.read_at_ms, each.read_at_ms + 100 * MINUTE_MS, each.value) for each in reads(1, 2)]
    hand_over(home, "1.arrow", late)
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS + 2 * 60 * MINUTE_MS)
    survey(home)
    assert causes(home, SLOT) == {}
    record = read_record(home, SLOT)
    assert record is not None
    assert record.arrivals["03"].pairs() == [[120, 1], *record.arrivals["03"].pairs()[1:]]
    assert record.arrivals["03"].count == 2


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        (
            "a.csv",
            f"meter_id,read_at,import_register,received_at\nM1,{START + SLOT_MS},x,2026-10-06T10:32:00+09:00\n",
            0,
        ),
        (
            "b.csv",
            "meter_id,read_at,import_register,received_at\nM1,2026-10-06T10:30:00+09:00,x,2026-10-06T01:32:00\n",
            1,
        ),
    ],
)
def test_a_row_that_no_decoder_could_read_still_names_its_point(
    tmp_path: Path, name: str, content: str, code: int
) -> None:
    home = made(tmp_path, 2)
    hand_over(home, "0.arrow", reads(0, 3))
    hand_over(home, "1.arrow", reads(1, 1))
    drop(home, name, content.encode())
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    survey(home)
    assert causes(home, SLOT) == {1: ("quarantined", ("read_at", "register_range")[code])}


def test_a_value_that_no_file_holds_is_named(tmp_path: Path) -> None:
    home = made(tmp_path, 4)
    for n in range(4):
        hand_over(home, f"{n}.arrow", reads(n, 2))
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    empty_manifests(home)
    survey(home)
    assert causes(home, SLOT) == dict.fromkeys(range(4), ("computed_not_published", ""))


def test_a_damaged_survey_is_made_anew(tmp_path: Path) -> None:
    home = made(tmp_path, 1)
    hand_over(home, "0.arrow", reads(0, 2))
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    survey(home)
    whole = place_of(home, SLOT, "json").read_bytes()
    place_of(home, SLOT, "json").write_bytes(whole[:40])
    assert survey(home) == [SLOT]
    assert place_of(home, SLOT, "json").read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    home = made(tmp_path, 1)
    hand_over(home, "0.arrow", reads(0, 2))
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    home.path("sla").rmdir()
    home.path("sla").write_bytes(b"")
    with pytest.raises(HomeError, match="sla cannot be written") as refused:
        survey(home)
    assert "surveys are kept there" in refused.value.hint


def test_quarantined_reads_that_come_after_the_closing_change_the_cause(tmp_path: Path) -> None:
    home = made(tmp_path, 2)
    hand_over(home, "0.arrow", reads(0, 3))
    hand_over(home, "1.arrow", reads(1, 1))
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    survey(home)
    assert causes(home, SLOT) == {1: ("not_collected", "")}
    off = START + SLOT_MS + 7 * MINUTE_MS
    hand_over(home, "late.arrow", [Read("M1", off, START + SLOT_MS + 60 * MINUTE_MS, 4)])
    run(home, wall_ms=START + SLOT_MS + 80 * MINUTE_MS)
    assert SLOT in survey(home)
    assert causes(home, SLOT) == {1: ("quarantined", "off_grid")}
    assert survey(home) == []


def test_the_kernel_counts_in_the_buckets_of_the_histogram() -> None:
    late = np.concatenate([np.arange(-3_000, 5_000_000, 997), 10 ** np.arange(7, 13)])
    assert [bucket_of(each) for each in late.tolist()] == bucket_numbers(late).tolist()


def test_ages_are_whole_slots_and_business_days() -> None:
    friday, monday, tuesday = date(2026, 10, 9), date(2026, 10, 12), date(2026, 10, 13)  # the Monday is a holiday
    assert [business_days(friday, day) for day in (friday, monday, tuesday)] == [0, 0, 1]


def test_numbers_and_the_oldest_are_told_by_cause_and_area() -> None:
    position, first, last, cells = (np.array(each) for each in ([3, 5], [7, 9], [9, 9], [3, 1]))
    cause, code, owner, area = (np.array(each) for each in ([6, 9], [0, 0], [1, 1], [3, 4]))
    found = Stagnated(position, first, last, cells, cause, code, owner, area, ("",))
    assert found.numbers() == {"03": {"not_collected": 1}, "04": {"quarantined": 1}}
    assert len(found.of_cause("quarantined")) == 1


def test_a_home_in_order_stagnates_nowhere(tmp_path: Path) -> None:
    home = made(tmp_path, 2)
    for n in range(2):
        hand_over(home, f"{n}.arrow", reads(n, 2))
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS)
    survey(home)
    found = stagnation(home, stagnated(home, SLOT), START)
    assert (found.points, found.by_cause, found.oldest, found.oldest_slots) == (0, {}, (), 0)
