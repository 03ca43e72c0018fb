# SPDX-License-Identifier: Apache-2.0
"""Upkeep: which parts become one when, what goes, and what stays for those who read."""

from datetime import date
from pathlib import Path

import pytest

from koma.errors import HistoryError
from koma.slots import SLOTS_PER_DAY, first_slot_of_day, slot_start_ms
from pipeline.history import parts as making
from pipeline.history import upkeep
from pipeline.history.catalogue import KEPT, Catalogue, Part, newest, reveal
from pipeline.history.files import Files
from pipeline.history.reading import IntervalStore, Wanted
from tests.homes import point
from tests.interval_stores import SLOT, State, part_of, read_of

DAY = first_slot_of_day(date(2026, 9, 10))
HOUR_MS = 3_600_000


def part(name: str, first: int, last: int, *, level: int = 0, rows: int = 1000) -> Part:
    return Part(name, level, first, last, slot_start_ms(last), rows, rows)


def plan(parts: list[Part], until_slot: int) -> list[tuple[int, list[str]]]:
    merges = upkeep.plan_merges(Catalogue(1, slot_start_ms(until_slot), tuple(parts)))
    return [(each.level, [one.name for one in each.parts]) for each in merges]


def test_parts_of_a_day_become_one_when_most_of_what_was_late_has_come() -> None:
    parts = [part("a", DAY, DAY + 23), part("b", DAY + 24, DAY + 47), part("c", DAY + 48, DAY + 50)]

    assert plan(parts, DAY + 48 + 11) == []
    assert plan(parts, DAY + 48 + 12) == [(1, ["a", "b"])]


def test_a_day_that_is_one_waits_for_sixteen_more() -> None:
    day = part("day", DAY, DAY + 47, level=1)
    late = [part(f"late{n}", DAY, DAY + 47, rows=2) for n in range(16)]

    assert plan([day, *late[:15]], DAY + 400) == []
    assert plan([day, *late], DAY + 400) == [(1, ["day", *(each.name for each in late)])]


def test_late_rows_of_many_days_become_one_part() -> None:
    late = [part(f"late{n}", DAY, DAY + 100, rows=2) for n in range(16)]

    assert plan(late[:15], DAY + 400) == []
    assert plan(late, DAY + 400) == [(1, [each.name for each in late])]


def test_days_become_a_month_three_days_after_its_end() -> None:
    october = first_slot_of_day(date(2026, 10, 1))
    days = [part(f"d{n}", DAY + 48 * n, DAY + 48 * n + 47, level=1) for n in range(20)]
    following = [part("x", october, october + 5), part("y", october + 6, october + 47)]

    assert plan([*days, following[0]], october + 3 * SLOTS_PER_DAY - 1) == []
    assert plan([*days, *following], october + 3 * SLOTS_PER_DAY) == [
        (2, [each.name for each in days]),
        (1, ["x", "y"]),
    ]


def test_a_month_takes_late_rows_in_when_they_are_many() -> None:
    later = DAY + 100 * SLOTS_PER_DAY
    month = [part("m0", DAY, DAY + 900, level=2, rows=5000), part("m1", DAY, DAY + 900, level=2, rows=3000)]

    assert plan([*month, part("late", DAY, DAY + 3, rows=1000)], later) == []
    assert plan([*month, part("late", DAY, DAY + 3, rows=1001)], later) == [(2, ["m0", "m1", "late"])]
    few = [part(f"late{n}", DAY, DAY + 3, rows=10) for n in range(16)]
    assert plan([*month, *few], later) == [(1, [each.name for each in few])]


def test_months_before_the_last_thirteen_go() -> None:
    parts = [part("2025-08", first_slot_of_day(date(2025, 8, 31)), first_slot_of_day(date(2025, 8, 31)) + 47)]
    parts.append(part("2025-09", first_slot_of_day(date(2025, 9, 1)), first_slot_of_day(date(2025, 9, 1)) + 47))
    now_ms = slot_start_ms(first_slot_of_day(date(2026, 10, 15)))

    assert [each.name for each in upkeep.outdated(Catalogue(1, now_ms, tuple(parts)))] == ["2025-08"]
    assert upkeep.outdated(Catalogue()) == []


def test_a_part_that_went_stays_for_a_while_and_leftovers_go_at_once(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    states = [State(point(n), SLOT + n, 11113, 2, n) for n in range(9)]
    parts = [part_of(files, f"p{n}", states[3 * n : 3 * n + 3]) for n in range(3)]
    part_of(files, "leftover", states)
    first = Catalogue(1, parts[-1].latest_ms, tuple(parts))
    together = upkeep.carry_out(files, upkeep.Merge(1, tuple(parts[:2])), "q")
    second = first.next(together, parts[:2], 1000)

    assert upkeep.sweep(files, second, 1000 + 59, 60) is None
    assert set(files.names("parts")) == {"p0", "p1", "p2", *(each.name for each in together)}

    third = upkeep.sweep(files, second, 1000 + 60, 60)
    assert third is not None
    assert (third.gone, third.parts, third.number) == ((), second.parts, second.number + 1)
    assert set(files.names("parts")) == {"p2", *(each.name for each in together)}


def test_few_catalogues_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    assert newest(files) == Catalogue()
    for number in range(1, 8):
        reveal(files, Catalogue(number, number))

    assert newest(files).number == 7
    assert len(files.names("catalogue")) == KEPT


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]\n0", b'{"layout": 1}', b'{"layout": 1}\n0', b'{"layout": 99}\n0', b'{"layout": 1}\nx']
)
def test_a_damaged_or_foreign_catalogue_is_named(tmp_path: Path, content: bytes) -> None:
    files = Files(str(tmp_path))
    reveal(files, Catalogue(1, 5))
    (tmp_path / "catalogue" / "0000000002.json").write_bytes(content)

    with pytest.raises(HistoryError, match=r"0000000002\.json (is damaged|has layout 99)"):
        newest(files)


def test_halves_of_the_points_are_put_together_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "ROWS_PER_GROUP", 2)
    monkeypatch.setattr(making, "GROUPS_PER_FILE", 1)
    files = Files(str(tmp_path))
    states = sorted(State(point(n), SLOT + k, 11113, 2, n) for n in range(8) for k in range(3))
    made = [part_of(files, f"p{n}", states[n::2]) for n in range(2)]

    together = upkeep.carry_out(files, upkeep.Merge(2, tuple(made)), "q")
    reveal(files, Catalogue(1, together[0].latest_ms, tuple(together)))

    assert len(together) == upkeep.LANES
    assert sum(each.rows for each in together) == len(states)
    assert read_of(IntervalStore(files).scan(Wanted(first_slot=0, end_slot=1 << 30))) == states
