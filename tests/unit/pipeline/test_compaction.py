# SPDX-License-Identifier: Apache-2.0
"""Fewer files say the same: not a bit of a column changes, and a crash leaves one or the other."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koma.settings import Settings
from koma.slots import slot_start_ms
from pipeline import compaction
from pipeline.columns import write_columns
from pipeline.compaction import LOOSE_MAX, compact, compact_held
from pipeline.handover.batch import ReadBatch
from pipeline.held import held_chunk, read_held, write_held
from pipeline.home import Home, open_home
from pipeline.journal import Journal
from pipeline.prefilter.cut import cut
from pipeline.prefilter.route import Found
from pipeline.registers import RegisterBook
from tests.crashes import Crashed, crash_before

FIRST = 994_000  # stamp
SHARDS = 3
INSTALLS = 5
LATER_MS = slot_start_ms(FIRST + 12)  # the stamps up to FIRST + 6 are settled
MONTHS_LATER_MS = slot_start_ms(FIRST) + 90 * 86_400_000
Reading = tuple[int, int, int, int, int]  # shard, installation, stamp, value, arrival after the stamp in ms
Cells = dict[tuple[int, int, int], tuple[int, int]]

readings = st.tuples(
    st.integers(0, SHARDS - 1),
    st.integers(0, INSTALLS - 1),
    st.integers(FIRST, FIRST + 3),
    st.integers(0, 3),
    st.sampled_from([0, 1, 2, 70_000, 1 << 33]),
)


class House:
    """A home with files of registers, some for each intake."""

    def __init__(self, root: Path) -> None:
        self.home = open_home(root)
        self.journal = Journal(self.home.path("journal"))

    def take(self, *files: Sequence[Reading], now_ms: int = LATER_MS) -> None:
        batch = self.journal.state.batches + 1
        segments = []
        for number, reads in enumerate(files):
            name = f"{batch:08d}-{number:06d}.col"
            columns = np.array(reads, np.int64).T
            shard, local, stamp, value, delay = columns
            install = ((shard << 20) | local).astype(np.uint32)
            arrival = stamp * 1_800_000 + delay
            row = np.arange(len(reads), dtype=np.uint32)
            found = Found(install, row, stamp.astype(np.int32), value.astype(np.uint32), arrival, 0, counted=True)
            write_columns(self.home.path("registers") / name, cut([found], [], SHARDS, -1))
            stamps = sorted(set(stamp.tolist()))
            segments.append({"name": name, "stamps": [[each, int(arrival[stamp == each].max())] for each in stamps]})
        self.journal.append(
            {"kind": "intake", "batch": batch, "master": 1, "files": [], "segments": segments, "held": None,
             "clock_ms": now_ms, "first_slot": FIRST}
        )  # fmt: skip

    def compact(self, budget: int = 1 << 40) -> compaction.Compacted:
        return compact(self.home, self.journal, Settings(home=self.home.root), budget)

    def cells(self) -> Cells:
        """Value and arrival of all that is known, read by a book with nothing in memory."""
        return cells(self.home, self.journal)

    def files(self) -> set[str]:
        return {path.name for path in self.home.path("registers").iterdir()}

    def names(self, stamp: int) -> list[str]:
        return self.journal.state.index.names[stamp]


def cells(home: Home, journal: Journal) -> Cells:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "registers"
        shutil.copytree(home.path("registers"), fresh)
        book = RegisterBook(fresh, (), journal.state.index)
        known: Cells = {}
        for shard in range(SHARDS):
            for stamp in journal.state.index.names:
                column = book.column(shard, stamp, INSTALLS)
                present = column.present()
                cells = zip(column.values(present).tolist(), column.arrivals(present).tolist(), strict=True)
                known |= {(shard, k, stamp): cell for k, cell in zip(present.tolist(), cells, strict=True)}
    return known


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(st.lists(st.lists(readings, min_size=1, max_size=8), min_size=1, max_size=12), min_size=1, max_size=4),
    st.sampled_from([1, 10, 1 << 40]),
    st.sampled_from([1, 4, 1 << 23]),
    st.sampled_from([LATER_MS, MONTHS_LATER_MS]),
)
def test_no_bit_of_a_column_changes(
    intakes: list[list[list[Reading]]], budget: int, file_reads: int, now_ms: int
) -> None:
    before = compaction.FILE_READS_MAX
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder))
        try:
            compaction.FILE_READS_MAX = file_reads
            for files in intakes:
                house.take(*files, now_ms=now_ms)
                known = house.cells()
                turns = 0
                while (done := house.compact(budget)).more:
                    assert house.cells() == known
                    assert done.stamps > 0
                    turns += 1
                    assert turns < 10
                assert house.cells() == known
                assert house.files() == set(house.journal.state.index.uses)
                assert house.compact() == compaction.Compacted()
        finally:
            compaction.FILE_READS_MAX = before
            house.journal.close()


def test_a_settled_stamp_becomes_one_file(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.take(*([(shard, k % 5, FIRST, k, k)] for shard in range(SHARDS) for k in range(5)))
    house.take([(0, 0, FIRST, 9, 9)], [(0, 0, FIRST + 1, 9, 9), (0, 1, FIRST, 1, 0)])

    done = house.compact()

    assert (done.stamps, done.gone, done.made, done.more) == (1, 16, 1, False)
    assert len(house.names(FIRST)) == 1
    assert house.names(FIRST + 1) == ["00000002-000001.col"], "its only file, which FIRST no longer needs"
    assert len(house.files()) == 2


def test_what_is_not_settled_is_left_alone(tmp_path: Path) -> None:
    house = House(tmp_path)
    recent = FIRST + 8

    house.take(*([(0, k, recent, 1, 0)] for k in range(5)))

    assert house.compact().stamps == 0


def test_late_files_are_compacted_among_themselves_when_they_are_many(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.take([(s, k, FIRST, 1, 10) for s in range(SHARDS) for k in range(1, 5)], [(0, 0, FIRST, 1, 10)])
    house.compact()
    (first,) = house.names(FIRST)

    house.take(*([(0, 0, FIRST, 1, k)] for k in range(LOOSE_MAX)))
    assert house.compact().stamps == 0
    house.take([(0, 0, FIRST, 2, 9)])
    known = house.cells()
    house.compact()

    assert house.names(FIRST)[0] == first or len(house.names(FIRST)) == 1
    assert len(house.names(FIRST)) <= 2
    assert house.cells() == known


def test_a_stamp_for_which_no_read_can_come_is_compacted_for_good(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.take([(0, 0, FIRST, 1, 10)], [(0, 1, FIRST, 1, 10)])
    house.compact()
    house.take([(0, 0, FIRST, 1, 5)])
    assert house.compact().stamps == 0

    house.take([(0, 0, FIRST + 1, 1, 5)], now_ms=MONTHS_LATER_MS)

    assert house.compact().stamps == 1
    assert len(house.names(FIRST)) == 1


def test_nothing_is_replaced_while_an_issue_is_announced(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.take([(0, 0, FIRST, 1, 10)], [(0, 1, FIRST, 1, 10)])
    house.journal.append({"kind": "intent", "to": LATER_MS, "batches": 1, "master": 1, "extra": False})

    assert house.compact() == compaction.Compacted()


def test_it_stops_when_something_else_is_to_be_done(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.take([(s, 0, FIRST, 1, 10) for s in range(SHARDS)], [(s, 1, FIRST, 1, 10) for s in range(SHARDS)])
    asked = iter([False, False, True])

    done = compact(house.home, house.journal, Settings(home=tmp_path), stop=lambda: next(asked))

    assert (done.stamps, done.more) == (0, True)
    assert house.compact().stamps == 1


def test_a_damaged_file_is_named_and_stops_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House(tmp_path)
    house.take([(0, 0, FIRST, 1, 10)], [(0, 1, FIRST, 1, 10)])
    house.take([(0, 0, FIRST + 1, 1, 10)], [(0, 1, FIRST + 1, 1, 10)])
    damaged = house.home.path("registers") / "00000001-000000.col"
    damaged.write_bytes(damaged.read_bytes()[:-64])

    done = house.compact()

    assert (done.stamps, list(done.damaged), done.more) == (1, [FIRST], False)
    assert "00000001-000000.col" in caplog.text
    assert damaged.exists()


def test_a_crash_at_any_step_leaves_a_home_that_says_the_same(tmp_path: Path) -> None:
    done, moment = False, -1
    while not done:
        moment += 1
        house = House(tmp_path / str(moment))
        house.take([(0, 0, FIRST, 1, 10), (1, 0, FIRST + 1, 1, 10)], [(0, 1, FIRST, 1, 10)])
        house.take([(0, 0, FIRST, 2, 5), (1, 0, FIRST + 1, 1, 4)])
        known = house.cells()
        try:
            with crash_before(moment, house.home.root):
                house.compact()
            done = True
        except Crashed:
            assert moment < 40
        house.journal.close()
        again = House(house.home.root)
        assert again.cells() == known
        again.compact()
        assert again.cells() == known
        assert set(again.journal.state.index.uses) <= again.files()
        again.journal.close()
    assert moment > 5


def held_of(home: Home, names: Sequence[str]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name in names:
        for decoded in read_held(held_chunk(home.path("held") / name)):
            batch = decoded.batch
            columns = (batch.keys[:, 0], batch.read_at_ms, batch.received_ms, batch.import_register, batch.place)
            rows += [(batch.source, *row) for row in zip(*(each.tolist() for each in columns), strict=True)]
    return sorted(rows)


def test_files_of_held_reads_are_joined_when_they_are_many(tmp_path: Path) -> None:
    house = House(tmp_path)
    names = [f"{batch:08d}-000000.col" for batch in range(70)]
    for k, name in enumerate(names):
        values = np.full(2, k, np.int64)
        registers = values.astype(np.uint32)
        keys = np.full((2, 2), k, np.uint64)
        write_held(
            house.home.path("held") / name,
            [ReadBatch(f"{k}.csv", keys, values, values, registers, registers, values)] * 2,
        )
    house.journal.append(
        {"kind": "intake", "batch": 1, "master": 1, "files": [], "segments": [], "held": names, "clock_ms": 0,
         "first_slot": None}
    )  # fmt: skip
    before = held_of(house.home, names)

    assert compact_held(house.home, house.journal) == 70

    assert len(house.journal.state.held) == 1
    assert held_of(house.home, house.journal.state.held) == before
    assert [path.name for path in house.home.path("held").iterdir()] == house.journal.state.held
    assert compact_held(house.home, house.journal) == 0
