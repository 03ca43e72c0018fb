# SPDX-License-Identifier: Apache-2.0
"""The register book: which read of an installation and stamp counts, whatever the order and however it was cut."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from koma.slots import MS_PER_SLOT
from pipeline.columns import write_columns
from pipeline.journal import Segment
from pipeline.prefilter import Found
from pipeline.prefilter.cut import cut
from pipeline.register_files import Reads, RegisterFile
from pipeline.register_kernels import ABSENT_MS, LATEST_MS
from pipeline.registers import EARLIEST_MS, Column, Lost, RegisterBook, close_files, drop_before, let_in

INSTALLS = 4
SHARDS = 3
SHARD = 1
Reading = tuple[int, int, int, int]  # installation, stamp, value, arrival

AT = 54 * MS_PER_SLOT  # reads of stamps 50 to 53 arrive from then on, some after months
arrivals = st.sampled_from([AT, AT + 1, AT + 2, AT + 3, AT + 5_000_000_000])
readings = st.tuples(st.integers(0, INSTALLS - 1), st.integers(50, 53), st.integers(0, 3), arrivals)


def found(reads: Sequence[Reading], *, counted: bool = True, shard: int = SHARD) -> Found:
    """Reads as the pre-filter finds them."""

    def column(k: int, kind: type[np.generic]) -> Any:
        return np.array([read[k] for read in reads], kind)

    install = (column(0, np.uint32) | np.uint32(shard << 20)).astype(np.uint32)
    row = np.arange(len(reads), dtype=np.uint32)
    return Found(install, row, column(1, np.int32), column(2, np.uint32), column(3, np.int64), 0, counted)


@dataclass
class Outcome:
    """What one intake came to."""

    accepted: int
    duplicate: int
    conflict: int
    lost: list[Reading]
    stamps: tuple[tuple[int, int], ...]


class Shelf:
    """A book that grows batch by batch, as intakes let it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments: list[Segment] = []

    def book(self) -> RegisterBook:
        return RegisterBook(self.folder, self.segments)

    def elect(self, name: str, columns: dict[str, Any], installs: int) -> Outcome:
        write_columns(self.folder / name, columns)
        file, book = RegisterFile.open(self.folder / name), self.book()
        counts, lost, stamps = np.zeros(3, np.int64), list[Reading](), []
        for stamp in file.stamps(SHARD):
            base = book.column(SHARD, stamp, installs).resized(installs)
            elected = let_in(base, list(file.reads(*file.sections(stamp, SHARD))))
            counts += elected.counts
            lost += [read for each in elected.lost for read in readings_of(each, stamp)]
            if elected.changed_ms != -ABSENT_MS:
                stamps.append((stamp, elected.changed_ms))
            book.remember(SHARD, stamp, [name], elected.column)
        accepted, duplicate, conflict = counts.tolist()
        return Outcome(accepted, duplicate, conflict, sorted(lost), tuple(stamps))

    def take(self, reads: Sequence[Reading], installs: int = INSTALLS) -> Outcome:
        name = f"{len(self.segments) + 1:08d}-000000.col"
        outcome = self.elect(name, cut([found(reads)], [], SHARDS, -1000), installs)
        if outcome.stamps:
            self.segments.append(Segment(name, outcome.stamps))
        return outcome

    def cells(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Value and arrival of what is known, read back from the files by a book with nothing in memory."""
        fresh = self.folder / "again"
        fresh.mkdir(exist_ok=True)
        for segment in self.segments:
            (fresh / segment.name).write_bytes((self.folder / segment.name).read_bytes())
        known: dict[tuple[int, int], tuple[int, int]] = {}
        for book in (self.book(), RegisterBook(fresh, self.segments)):
            for stamp in range(49, 55):
                column = book.column(SHARD, stamp, INSTALLS)
                present = column.present()
                cells = zip(column.values(present).tolist(), column.arrivals(present).tolist(), strict=True)
                for local, cell in zip(present.tolist(), cells, strict=True):
                    assert known.setdefault((local, stamp), cell) == cell
        return known


def readings_of(lost: Lost, stamp: int) -> list[Reading]:
    columns = (lost.local, lost.value, lost.arrival)
    return [(k, stamp, value, at) for k, value, at in zip(*(each.tolist() for each in columns), strict=True)]


def elected(reads: Sequence[Reading]) -> dict[tuple[int, int], tuple[int, int]]:
    """The earliest arrival counts, at equal times the smaller value."""
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for local, stamp, value, arrival in reads:
        best[local, stamp] = min(best.get((local, stamp), (arrival, value)), (arrival, value))
    return {key: (value, arrival) for key, (arrival, value) in best.items()}


@given(st.lists(readings, min_size=1, max_size=30), st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_book_is_a_function_of_the_set_of_reads(reads: list[Reading], chance: object, parts: int) -> None:
    shuffled = list(reads)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder))
        for part in range(parts):
            if mine := shuffled[part::parts]:
                shelf.take(mine)

        assert shelf.cells() == elected(reads)


@given(st.lists(readings, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_verdicts_do_not_depend_on_the_order(reads: list[Reading], chance: object) -> None:
    shuffled = list(reads)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    outcomes = []
    for each in (reads, shuffled):
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(Shelf(Path(folder)).take(each))
    best = elected(reads)

    assert outcomes[0] == outcomes[1]
    assert outcomes[0].accepted == len(best)
    assert outcomes[0].conflict == sum(best[local, stamp][0] != value for local, stamp, value, _ in reads)
    assert outcomes[0].accepted + outcomes[0].duplicate + outcomes[0].conflict == len(reads)


@given(st.lists(st.tuples(readings, st.booleans(), st.integers(0, SHARDS - 1)), min_size=1, max_size=40))
def test_cutting_loses_no_read_and_finds_each_under_its_stamp_and_shard(
    reads: list[tuple[Reading, bool, int]],
) -> None:
    pieces = [found([read], counted=counted, shard=shard) for read, counted, shard in reads]
    columns = cut(
        [each for each in pieces if each.counted], [each for each in pieces if not each.counted], SHARDS, -1000
    )
    file = RegisterFile(columns)
    back = [
        ((int(k), stamp, int(value), int(at)), part.counted, shard)
        for shard in range(SHARDS)
        for stamp in file.stamps(shard)
        for part in file.reads(*file.sections(stamp, shard))
        for k, value, at in zip(part.local, part.value, part.arrivals(np.arange(len(part))), strict=True)
    ]

    assert sorted(back) == sorted(reads)


def test_stamps_years_apart_are_cut_all_the_same() -> None:
    reads = [(0, 50, 7, 100), (1, 900_000, 8, 100), (2, 50, 9, 5_000_000_000)]

    file = RegisterFile(cut([found(reads)], [], SHARDS, -1000))

    assert file.stamps(SHARD) == [50, 900_000]
    (part,) = file.reads(*file.sections(50, SHARD))
    assert part.local.tolist() == [0, 2]
    assert part.arrivals(np.arange(2)).tolist() == [100, 5_000_000_000]


@pytest.mark.parametrize("late_ms", [LATEST_MS - 1, LATEST_MS, 1 << 40])
def test_what_arrives_years_after_its_stamp_counts_from_the_latest_arrival_there_is(late_ms: int) -> None:
    base_ms = 50 * MS_PER_SLOT - EARLIEST_MS
    reads = Reads(
        np.array([0, 1, 1], np.uint32),
        np.array([7, 9, 8], np.uint32),
        np.array([0, late_ms, late_ms + 1]),
        base_ms,
    )
    column = Column.empty(50, 3)
    first = column.let_in(reads)

    assert first == (2, base_ms + late_ms + 1)
    assert column.present().tolist() == [0, 1]
    assert column.arrivals(np.arange(2)).tolist() == [base_ms, base_ms + min(late_ms, LATEST_MS)]
    assert column.values(np.arange(2)).tolist() == [7, 9 if late_ms < LATEST_MS else 8]
    assert [column.known_at(base_ms + ms) for ms in (-1, 0, LATEST_MS - 2, LATEST_MS, 1 << 50)] == [0, 1, 1, 2, 2]


def test_nothing_is_cut_into_nothing() -> None:
    assert cut([], [], SHARDS, 0) == {}


def test_arrivals_are_not_before_the_floor() -> None:
    (part,) = RegisterFile(cut([found([(0, 50, 7, 100)])], [], SHARDS, 250)).reads(0, 1)

    assert part.arrivals(np.arange(1)).tolist() == [250]


def test_the_same_value_again_is_a_duplicate_and_another_one_later_a_conflict(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    first = shelf.take([(0, 50, 7, AT + 100), (0, 50, 7, AT + 200), (0, 50, 8, AT + 150)])
    second = shelf.take([(0, 50, 7, AT + 300), (0, 50, 9, AT + 300), (1, 50, 1, AT + 300)])

    assert first == Outcome(1, 1, 1, [(0, 50, 8, AT + 150)], ((50, AT + 100),))
    assert second == Outcome(1, 1, 1, [(0, 50, 9, AT + 300)], ((50, AT + 300),))
    assert shelf.cells() == {(0, 50): (7, AT + 100), (1, 50): (1, AT + 300)}


def test_a_read_that_arrived_earlier_displaces_the_one_that_was_taken_in_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.take([(2, 51, 7, AT + 200)])

    assert shelf.take([(2, 51, 5, AT + 100)]) == Outcome(1, 0, 0, [(2, 51, 7, AT + 200)], ((51, AT + 100),))
    assert shelf.cells() == {(2, 51): (5, AT + 100)}


def test_of_two_reads_at_the_same_time_the_smaller_counts(tmp_path: Path) -> None:
    outcome = Shelf(tmp_path).take([(0, 50, 9, AT + 100), (0, 50, 8, AT + 100)])

    assert (outcome.accepted, outcome.lost) == (1, [(0, 50, 9, AT + 100)])


def test_a_batch_that_changes_nothing_changes_no_stamp(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.take([(0, 50, 7, AT + 100)])

    assert shelf.take([(0, 50, 7, AT + 100)]).stamps == ()


def test_a_read_that_another_installation_shares_is_counted_once(tmp_path: Path) -> None:
    reads = [found([(0, 50, 7, AT + 100)])], [found([(1, 50, 7, AT + 100)], counted=False)]

    outcome = Shelf(tmp_path).elect("00000001-000000.col", cut(*reads, SHARDS, 0), INSTALLS)

    assert (outcome.accepted, outcome.duplicate, outcome.stamps) == (1, 0, ((50, AT + 100),))


def test_an_installation_that_came_later_finds_its_place(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.take([(0, 50, 7, AT + 100)], installs=1)

    shelf.take([(3, 50, 1, AT + 110)], installs=4)

    assert shelf.cells() == {(0, 50): (7, AT + 100), (3, 50): (1, AT + 110)}


def test_a_run_that_was_given_up_leaves_no_trace_in_memory(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    given_up = cut([found([(0, 50, 7, AT + 100), (1, 50, 1, AT + 100)])], [], SHARDS, -1000)
    shelf.elect("00000001-000000.col", given_up, INSTALLS)

    shelf.take([(1, 50, 2, AT + 100)])

    assert shelf.cells() == {(1, 50): (2, AT + 100)}


def test_columns_of_earlier_stamps_and_of_files_that_are_gone_leave_the_memory_and_come_back_the_same(
    tmp_path: Path,
) -> None:
    shelf = Shelf(tmp_path)
    shelf.take([(0, 50, 1, AT), (1, 51, 2, AT), (2, 52, 3, AT)])
    book = shelf.book()
    known = {stamp: book.column(SHARD, stamp, INSTALLS) for stamp in (50, 51, 52)}

    drop_before(51)

    kept = [stamp for stamp, column in known.items() if book.column(SHARD, stamp, INSTALLS) is column]
    assert kept == [51, 52]
    assert np.array_equal(book.column(SHARD, 50, INSTALLS).words, known[50].words)
    close_files([tmp_path / "00000001-000000.col"])
    assert not any(book.column(SHARD, stamp, INSTALLS) is column for stamp, column in known.items())
