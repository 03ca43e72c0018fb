# SPDX-License-Identifier: Apache-2.0
"""The register book: which read of an installation and stamp counts, whatever the order and however it was cut."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal import Segment
from pipeline.register_kernels import ABSENT_MS, ACCEPTED, CONFLICT, DUPLICATE
from pipeline.registers import Boundaries, Reads, RegisterBook, Scattered, scatter

INSTALLS = 4
Reading = tuple[int, int, int, int]  # installation, stamp, value, arrival
Given = tuple[int, int, int]  # stamp, installation, the master's register

readings = st.tuples(st.integers(0, INSTALLS - 1), st.integers(50, 53), st.integers(0, 3), st.integers(0, 4))


def columns(reads: Sequence[Reading]) -> Reads:
    """Columns of reads, arrivals counted from 0."""

    def column(k: int, kind: type[np.generic]) -> Any:
        return np.array([read[k] for read in reads], kind)

    return Reads(column(0, np.uint32), column(2, np.uint32), column(3, np.uint32), 0, column(1, np.int32))


def boundaries(given: Sequence[Given]) -> Boundaries:
    columns = [
        np.array([each[k] for each in sorted(given)], kind) for k, kind in enumerate((np.int64, np.uint32, np.int64))
    ]
    return Boundaries(*columns)


class Shelf:
    """A book that grows batch by batch, as intakes let it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments: list[Segment] = []

    def book(self) -> RegisterBook:
        return RegisterBook(self.folder, self.segments)

    def take(self, reads: Sequence[Reading], installs: int = INSTALLS, given: Sequence[Given] = ()) -> Scattered:
        name = f"{len(self.segments) + 1:08d}-00000.col"
        result = scatter(self.book(), 0, installs, [columns(reads)], boundaries(given), self.folder / name)
        if result.stamps:
            self.segments.append(Segment(0, name, result.stamps))
        return result

    def cells(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Value and arrival of what is known, read back from the files by a book with nothing in memory."""
        fresh = self.folder / "again"
        fresh.mkdir(exist_ok=True)
        for segment in self.segments:
            (fresh / segment.name).write_bytes((self.folder / segment.name).read_bytes())
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for book in (self.book(), RegisterBook(fresh, self.segments)):
            for stamp in range(49, 55):
                column = book.column(0, stamp, INSTALLS)
                for local in range(INSTALLS):
                    if column.arrival[local] != ABSENT_MS:
                        known = (int(column.value[local]), int(column.arrival[local]))
                        assert found.setdefault((local, stamp), known) == known
        return found


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
def test_verdicts_and_segment_do_not_depend_on_the_order(reads: list[Reading], chance: object) -> None:
    shuffled = list(reads)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    found = []
    for each in (reads, shuffled):
        with tempfile.TemporaryDirectory() as folder:
            result = Shelf(Path(folder)).take(each)
            bytes_ = (Path(folder) / "00000001-00000.col").read_bytes()
        verdicts = np.bincount(result.verdicts[0], minlength=3).tolist()
        lost = sorted(
            read for read, verdict in zip(each, result.verdicts[0].tolist(), strict=True) if verdict == CONFLICT
        )
        found.append((verdicts, lost, result.stamps, bytes_))
    best = elected(reads)

    assert found[0] == found[1]
    assert found[0][0][ACCEPTED] == len(best)
    assert found[0][0][CONFLICT] == sum(best[local, stamp][0] != value for local, stamp, value, _ in reads)


def test_the_same_value_again_is_a_duplicate_and_another_one_later_a_conflict(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    first = shelf.take([(0, 50, 7, 100), (0, 50, 7, 200), (0, 50, 8, 150)])
    second = shelf.take([(0, 50, 7, 300), (0, 50, 9, 300), (1, 50, 1, 300)])

    assert first.verdicts[0].tolist() == [ACCEPTED, DUPLICATE, CONFLICT]
    assert second.verdicts[0].tolist() == [DUPLICATE, CONFLICT, ACCEPTED]
    assert shelf.cells() == {(0, 50): (7, 100), (1, 50): (1, 300)}


def test_a_read_that_arrived_earlier_displaces_the_one_that_was_taken_in_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.take([(2, 51, 7, 200)])

    result = shelf.take([(2, 51, 5, 100)])

    assert result.verdicts[0].tolist() == [ACCEPTED]
    displaced = {name: column.tolist() for name, column in result.displaced.items()}
    assert displaced == {"stamp": [51], "local": [2], "value": [7], "arrival": [200]}
    assert shelf.cells() == {(2, 51): (5, 100)}


def test_of_two_reads_at_the_same_time_the_smaller_counts(tmp_path: Path) -> None:
    result = Shelf(tmp_path).take([(0, 50, 9, 100), (0, 50, 8, 100)])

    assert result.verdicts[0].tolist() == [CONFLICT, ACCEPTED]


def test_a_read_that_differs_from_the_master_s_register_is_a_conflict_even_if_it_came_first(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    result = shelf.take([(0, 50, 9, 100), (0, 50, 8, 200), (1, 50, 9, 100)], given=[(50, 0, 8)])

    assert result.verdicts[0].tolist() == [CONFLICT, ACCEPTED, ACCEPTED]
    assert shelf.cells() == {(0, 50): (8, 200), (1, 50): (9, 100)}


def test_a_batch_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.take([(0, 50, 7, 100)])

    assert shelf.take([(0, 50, 7, 100)]).stamps == ()
    assert len(list(tmp_path.glob("*.col"))) == 1


def test_an_installation_that_came_later_finds_its_place(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.take([(0, 50, 7, 100)], installs=1)

    shelf.take([(3, 50, 1, 110)], installs=4)

    assert shelf.cells() == {(0, 50): (7, 100), (3, 50): (1, 110)}


def test_a_run_that_was_given_up_leaves_no_trace_in_memory(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    given_up = columns([(0, 50, 7, 100), (1, 50, 1, 100)])
    scatter(shelf.book(), 0, INSTALLS, [given_up], boundaries([]), tmp_path / "00000001-00000.col")

    shelf.take([(1, 50, 2, 100)])

    assert shelf.cells() == {(1, 50): (2, 100)}
