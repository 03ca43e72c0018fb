# SPDX-License-Identifier: Apache-2.0
"""A checkpoint and the journal since say what the whole journal says, whatever is cut off or damaged."""

import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koma.errors import HomeError
from pipeline.books import open_book
from pipeline.checkpoint import CHECKPOINT, CHECKPOINT_OLD, HISTORY, load
from pipeline.journal import JOURNAL, Journal, State, read_state
from tests.crashes import Crashed, crash_before

Record = dict[str, Any]


def intake(batch: int, *stamps: int, files: int = 1) -> Record:
    names = [f"{batch:08d}-{number:06d}.col" for number in range(files)]
    return {
        "kind": "intake",
        "batch": batch,
        "master": 1,
        "files": [{"name": f"{batch}.arrow", "inode": batch, "size": 2, "day": "20261007"}],
        "segments": [{"name": name, "stamps": [[stamp, 500 + batch] for stamp in stamps]} for name in names],
        "held": None,
        "held_new": [f"{batch:08d}-000000.col"] if batch % 2 else [],
        "clock_ms": 700 + batch,
        "first_slot": min(stamps, default=None),
    }


def issue(to_ms: int, batches: int = 1, *, extra: bool = False) -> list[Record]:
    return [
        {"kind": "intent", "to": to_ms, "batches": batches, "master": 1, "extra": extra},
        {"kind": "issued", "to": to_ms, "extra": extra},
    ]


DECISION: Record = {"kind": "supersede", "shard": 0, "local": 3, "stamp": 10, "value": 5, "from_ms": 7, "by": "a"}
COMPACT: Record = {
    "kind": "compact",
    "stamps": [[10, ["00000001-000000.col", "00000002-000000.col"], ["s-10-1.col"]]],
}
FORGET: Record = {"kind": "forget", "before": 12, "extras_from": 1_000_000}
LIFE: tuple[Record, ...] = (
    {"kind": "start", "first_slot": 9},
    intake(1, 10, 11),
    *issue(900_000, 1, extra=True),
    intake(2, 10, 12),
    DECISION,
    *issue(1_200_000, 2, extra=True),
    COMPACT,
    intake(3, 10, 12),
    {"kind": "held", "names": ["h-1.col"], "gone": ["00000001-000000.col", "00000003-000000.col"]},
    FORGET,
    intake(4, 9, 13, files=2),
    *issue(1_500_000, 4),
    {"kind": "daily_intent", "to": 1_500_000, "master": 1},
    {"kind": "daily", "to": 1_500_000},
    {"kind": "monthly_intent", "to": 1_500_000, "master": 1},
    {"kind": "monthly", "to": 1_500_000},
)


def after(records: Sequence[Record]) -> State:
    state = State()
    for record in records:
        state.apply(record)
    return state


def write(folder: Path, records: Sequence[Record], every: int) -> None:
    journal = Journal(folder, checkpoint_bytes=every)
    for record in records:
        journal.append(record)
    journal.close()


@settings(max_examples=settings().max_examples // 4)  # each waits for the disk a hundred times
@given(st.integers(0, len(LIFE)), st.lists(st.integers(1, 3), max_size=4), st.integers(1, 600))
def test_a_state_made_from_checkpoints_is_that_of_the_whole_journal(end: int, breaks: list[int], every: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begin = 0
        for step in [*breaks, end]:  # the home is opened anew now and then
            write(Path(folder), LIFE[begin : min(end, begin + step)], every)
            begin = min(end, begin + step)

        assert read_state(Path(folder)) == after(LIFE[:end])


def test_nothing_but_what_is_kept_stays_in_the_state() -> None:
    state = after(LIFE)

    assert state.index.names == {12: ["00000002-000000.col", "00000003-000000.col"], 13: [
        "00000004-000000.col", "00000004-000001.col"]}  # fmt: skip
    assert set(state.index.latest) == {12, 13}
    assert state.index.uses == dict.fromkeys(
        ["00000002-000000.col", "00000003-000000.col", "00000004-000000.col", "00000004-000001.col"], 1
    )
    assert state.held == ["h-1.col"]
    assert (state.extras, state.supersessions) == ([1_200_000], [])


def test_a_start_reads_the_checkpoint_and_what_came_since(tmp_path: Path) -> None:
    write(tmp_path, [intake(batch, batch) for batch in range(1, 200)], every=2_000)

    assert len((tmp_path / JOURNAL).read_bytes()) < 3_000
    assert len(list((tmp_path / HISTORY).iterdir())) > 10
    shutil.rmtree(tmp_path / HISTORY)
    assert read_state(tmp_path).batches == 199


@pytest.mark.parametrize("records", [LIFE[:4], LIFE[:-3], LIFE[:-1], LIFE])
def test_a_crash_before_any_step_of_a_checkpoint_loses_nothing_and_invents_nothing(
    tmp_path: Path, records: Sequence[Record]
) -> None:
    done, moment = False, -1
    while not done:
        moment += 1
        folder = tmp_path / str(moment)
        folder.mkdir()
        write(folder, records[:-1], every=1)
        journal = Journal(folder, checkpoint_bytes=1)
        try:
            with crash_before(moment, folder):
                journal.append(records[-1])
            done = True
        except Crashed:
            assert moment < 20
        journal.close()

        assert read_state(folder) == after(records)
        write(folder, [intake(9, 20)], every=1)
        assert read_state(folder) == after([*records, intake(9, 20)])
    assert moment >= (0 if "intent" in records[-1]["kind"] else 3)


def test_a_crash_between_the_checkpoint_and_the_new_part_is_skipped_over(tmp_path: Path) -> None:
    write(tmp_path, LIFE[:6], every=1 << 20)
    whole = (tmp_path / JOURNAL).read_bytes()
    journal = Journal(tmp_path)
    journal.checkpoint()
    journal.close()
    (tmp_path / JOURNAL).write_bytes(whole)

    assert read_state(tmp_path) == after(LIFE[:6])
    write(tmp_path, LIFE[6:], every=1)
    assert read_state(tmp_path) == after(LIFE)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"a", b"b"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize("spoil", [damage, cut, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_made_good_from_the_one_before_or_from_history(
    tmp_path: Path, spoil: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, LIFE, every=1)
    spoil(tmp_path / CHECKPOINT)
    assert read_state(tmp_path) == after(LIFE)
    spoil(tmp_path / CHECKPOINT_OLD)

    loaded = load(tmp_path)
    assert loaded.state == after(LIFE)
    assert all("damaged" in trouble for trouble in loaded.troubles)

    Journal(tmp_path).close()
    for trouble in loaded.troubles:
        assert trouble in caplog.text
    if loaded.troubles:
        assert load(tmp_path).troubles == ()


def test_a_home_whose_state_cannot_be_told_is_refused(tmp_path: Path) -> None:
    write(tmp_path, LIFE, every=1)
    (tmp_path / CHECKPOINT).unlink()
    (tmp_path / CHECKPOINT_OLD).unlink()
    sorted((tmp_path / HISTORY).iterdir())[1].unlink()

    with pytest.raises(HomeError, match="history does not hold the journal's records from offset"):
        Journal(tmp_path)


def test_a_checkpoint_of_a_later_form_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, LIFE, every=1)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes().replace(b'"koma_checkpoint":1', b'"koma_checkpoint":2'))

    with pytest.raises(HomeError, match="has format 2, this Koma reads format 1"):
        read_state(tmp_path)


def test_a_journal_that_lost_its_end_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, LIFE[:6], every=1 << 20)
    short = (tmp_path / JOURNAL).read_bytes()[:-300]
    journal = Journal(tmp_path)
    journal.checkpoint()
    journal.close()
    (tmp_path / JOURNAL).write_bytes(short)

    write(tmp_path, LIFE[6:], every=1 << 20)

    assert read_state(tmp_path) == after(LIFE)


def test_a_line_whose_middle_never_reached_the_disk_never_happened(tmp_path: Path) -> None:
    write(tmp_path, LIFE[:2], every=1 << 20)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"kind":"intake","batch":2' + bytes(4096) + b'"first_slot":10}\n')

    assert read_state(tmp_path) == after(LIFE[:2])
    write(tmp_path, LIFE[2:4], every=1 << 20)
    assert read_state(tmp_path) == after(LIFE[:4])


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_that_finds_no_room_never_happened_and_the_next_one_stands(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(LIFE[0])
    size = (tmp_path / JOURNAL).stat().st_size
    with files_no_longer_than(size + 20), pytest.raises(OSError, match="File too large"):
        journal.append(LIFE[1])

    assert read_state(tmp_path) == journal.state == after(LIFE[:1])
    journal.append(LIFE[1])
    assert read_state(tmp_path) == journal.state == after(LIFE[:2])
    journal.close()


def test_a_checkpoint_that_finds_no_room_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path, [intake(batch, batch) for batch in range(1, 20)], every=1 << 20)
    size = (tmp_path / JOURNAL).stat().st_size
    journal = Journal(tmp_path, checkpoint_bytes=size)
    more = intake(20, 20)
    del more["files"][0]["name"]
    with files_no_longer_than(size + 300):
        journal.append(more | {"files": []})
    journal.append(intake(21, 21))
    journal.close()

    assert read_state(tmp_path).batches == 21


@pytest.mark.parametrize("every", [1, 700, 1 << 20])
def test_a_book_follows_the_journal_from_part_to_part(tmp_path: Path, every: int) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    journal = Journal(folder, checkpoint_bytes=every)
    for record in LIFE:
        if record["kind"] == "intake":
            assert open_book(tmp_path, record["batch"] - 1).index == journal.state.index
        journal.append(record)
        assert open_book(tmp_path, journal.state.batches).index == journal.state.index
    journal.close()


def test_a_book_does_not_see_intakes_that_were_not_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    write(folder, [intake(1, 10), intake(2, 10), intake(3, 11)], every=1 << 20)

    assert open_book(tmp_path, 3).index.names.keys() == {10, 11}
    assert open_book(tmp_path, 1).index.names == {10: ["00000001-000000.col"]}
    assert open_book(tmp_path, 2).index.names == {10: ["00000001-000000.col", "00000002-000000.col"]}
