# SPDX-License-Identifier: Apache-2.0
"""Reads tell what plain Python tells of the same states, however these lie in parts, groups and files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.errors import HistoryError
from koma.ids import AREAS, area
from koma.slots import SLOTS_PER_DAY
from pipeline.history import merge, parts, upkeep
from pipeline.history.catalogue import Catalogue, newest, reveal
from pipeline.history.files import Files
from pipeline.history.reading import IntervalStore, Wanted
from pipeline.history.rows import merged
from tests.homes import point
from tests.interval_stores import (
    SLOT,
    State,
    part_of,
    read_of,
    rows_of,
    state_sets,
    states_of,
    store_of,
    told,
    wanted_reads,
)

ALL = Wanted(first_slot=0, end_slot=1 << 30)


@contextmanager
def small(group_rows: int, groups: int, block_rows: int) -> Iterator[Files]:
    """Let groups, files and blocks be so small that a few states fill many of them."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(parts, "ROWS_PER_GROUP", group_rows)
        patch.setattr(parts, "GROUPS_PER_FILE", groups)
        patch.setattr(merge, "BLOCK_ROWS_MIN", block_rows)
        yield Files(folder)


sizes = st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 20))


def shared_out(states: list[State], places: list[int]) -> list[list[State]]:
    """Put states into three parts, some of them into several."""
    return [[each for each, place in zip(states, places, strict=True) if place >> k & 1] for k in range(3)]


layouts = st.lists(st.integers(1, 7), min_size=60, max_size=60)


@given(state_sets(), layouts, sizes, wanted_reads())
def test_scans_and_points_tell_what_was_issued(
    states: list[State], places: list[int], size: tuple[int, int, int], wanted: Wanted
) -> None:
    with small(*size) as files:
        store_of(files, shared_out(states, places[: len(states)]))
        store = IntervalStore(files)

        assert read_of(store.scan(wanted)) == told(states, wanted)
        for each in sorted({point(0), *(state.point for state in states)}):
            assert states_of(store.point(each, wanted)) == told(states, wanted, [each])
        for one in AREAS:
            mine = {state.point for state in states if state.point.startswith(f"{one.number:02d}")}
            assert read_of(store.area_slot(one, wanted)) == told(states, wanted, mine)


@given(state_sets(), layouts, sizes)
def test_putting_parts_together_changes_no_answer(
    states: list[State], places: list[int], size: tuple[int, int, int]
) -> None:
    with small(*size) as files:
        catalogue = store_of(files, shared_out(states, places[: len(states)]))
        if not catalogue.parts:
            return
        together = upkeep.carry_out(files, upkeep.Merge(2, catalogue.parts), "q")
        reveal(files, catalogue.next(together, catalogue.parts, 0))

        assert sum(each.rows for each in together) == len(states)
        assert {each.level for each in together} == {2}
        assert read_of(IntervalStore(files).scan(Wanted(first_slot=0, end_slot=1 << 30, every_state=True))) == states


@given(state_sets(), layouts)
def test_rows_put_together_are_in_order_and_each_stands_once(states: list[State], places: list[int]) -> None:
    several = [rows_of(each) for each in shared_out(states, places[: len(states)])]

    assert states_of(merged(several)) == states


def test_rows_too_many_to_order_are_refused() -> None:
    far = [State(point(1), 0, 0, 0), State(point(1), 2**31 - 1, 99_999, 2**24)]

    with pytest.raises(ValueError, match="too many points and days"):
        merged([rows_of([each]) for each in far] + [rows_of([State(point(n), 5, 5, 5) for n in range(3)])])


def test_a_retailers_day_is_its_own_cells(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    day = SLOT // SLOTS_PER_DAY * SLOTS_PER_DAY
    states = [State(point(n), day + k, 11113 + 11110 * (n % 2), 2, 7 * n + k) for n in range(4) for k in (0, 47, 48)]
    store_of(files, [states])
    wanted = Wanted(first_slot=day, end_slot=day + SLOTS_PER_DAY)

    told_day = read_of(IntervalStore(files).retailer_day("22223", wanted))

    assert told_day == [each for each in sorted(states) if each.retailer == 22223 and each.slot < day + 48]


def test_a_read_begins_again_when_its_parts_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(tmp_path))
    states = [State(point(n), SLOT + k, 11113, 2, n + k) for n in range(6) for k in range(4)]
    catalogue = store_of(files, [states[:13], states[13:]])
    store = IntervalStore(files)

    def moved_on(old: Catalogue) -> None:
        together = upkeep.carry_out(files, upkeep.Merge(1, old.parts), f"m{old.number}")
        reveal(files, old.next(together, old.parts, 0))
        upkeep.sweep(files, newest(files), 10, 5)

    real, calls = parts.PartFile.open, []

    def open_after_move(files: Files, part: str, number: int, bounds: parts.Bounds) -> parts.PartFile:
        calls.append(part)
        if len(calls) == 1:
            moved_on(catalogue)
        return real(files, part, number, bounds)

    monkeypatch.setattr(parts.PartFile, "open", open_after_move)

    assert states_of(store.point(point(3), ALL)) == told(states, ALL, [point(3)])
    assert len(set(calls)) > 1


def test_a_long_read_goes_on_by_point_and_sees_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS_PER_GROUP", 4)
    monkeypatch.setattr(parts, "GROUPS_PER_FILE", 1)
    monkeypatch.setattr(merge, "BLOCK_ROWS_MIN", 1)
    files = Files(str(tmp_path))
    states = [State(point(n), SLOT + k, 11113, 2, n + k) for n in range(9) for k in range(4)]
    catalogue = store_of(files, [states, [State(point(8), SLOT, 11113, 4, 5, "actual", 1)]])
    scan = IntervalStore(files).scan(ALL)
    first = states_of(next(scan))

    later = part_of(files, "later", [State(point(n), SLOT, 11113, 900, 77, "actual", 2) for n in range(9)])
    reveal(files, catalogue.next([later], [], 0, until_ms=later.latest_ms))
    for each in newest(files).parts[:2]:
        together = upkeep.carry_out(files, upkeep.Merge(1, (each,)), f"again-{each.name}")
        reveal(files, newest(files).next(together, [each], 0))
    upkeep.sweep(files, newest(files), 10, 5)

    everything = first + [state for block in scan for state in states_of(block)]
    assert everything == told([*states, State(point(8), SLOT, 11113, 4, 5, "actual", 1)], ALL)


def test_a_part_that_the_newest_catalogue_lists_and_is_gone_is_an_error(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    store_of(files, [[State(point(1), SLOT, 11113, 2, 3)]])
    files.remove_folder("parts/p0")

    with pytest.raises(HistoryError, match="lacks a file that its catalogue lists"):
        IntervalStore(files).point(point(1), ALL)
    with pytest.raises(HistoryError, match="lacks a file that its catalogue lists"):
        list(IntervalStore(files).area_slot(area(3), ALL))


@pytest.mark.parametrize("harm", ["cut", "bit", "empty", "text"])
@pytest.mark.parametrize("name", ["00000.parquet", "part.bounds"])
def test_a_damaged_file_is_named_and_never_read_as_another_truth(tmp_path: Path, name: str, harm: str) -> None:
    states = [State(point(n), SLOT + k, 11113, 2, 1000 * n + k) for n in range(40) for k in range(48)]
    right = {each: told(states, ALL, [each]) for each in (point(0), point(20), point(39))}
    sound = tmp_path / "sound"
    store_of(Files(str(sound)), [states])
    whole = (sound / "parts" / "p0" / name).read_bytes()
    step = max(1, len(whole) // 40)
    for place in range(0, len(whole), step) if harm == "bit" else (0,):
        bit = bytearray(whole)
        bit[place] ^= 0x10
        damaged = {"cut": whole[: len(whole) // 2], "bit": bytes(bit), "empty": b"", "text": b"no such file\n"}[harm]
        (sound / "parts" / "p0" / name).write_bytes(damaged)
        for each, expected in right.items():
            assert _told_or_damaged(sound, each) in ([expected, None] if harm == "bit" else [None]), place


def _told_or_damaged(folder: Path, point_id: str) -> list[State] | None:
    """Read a point; None where a file is said to be damaged."""
    try:
        return states_of(IntervalStore(Files(str(folder))).point(point_id, ALL))
    except HistoryError as error:
        return None if "is damaged" in error.message else []
