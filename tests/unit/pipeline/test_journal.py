# SPDX-License-Identifier: Apache-2.0
"""The journal is what a home is: every line counts once, a torn one never happened."""

from pathlib import Path
from typing import Any

import pytest

from koma.errors import HomeError
from pipeline.journal import NEVER, Journal, Supersession, read_state

INTAKE: dict[str, Any] = {
    "kind": "intake",
    "batch": 1,
    "master": 1,
    "files": [{"name": "a.arrow", "inode": 1, "size": 2, "day": "20261007"}],
    "segments": [{"name": "00000001-000000.col", "stamps": [[10, 500], [11, 600]]}],
    "held": ["00000001-000000.col"],
    "clock_ms": 700,
    "first_slot": 10,
}
INTENT: dict[str, Any] = {"kind": "intent", "to": 900_000, "batches": 1, "master": 1, "extra": False}
ISSUED: dict[str, Any] = {"kind": "issued", "to": 900_000, "extra": False}
DECISION: dict[str, Any] = {
    "kind": "supersede",
    "shard": 0,
    "local": 3,
    "stamp": 10,
    "value": 5,
    "from_ms": 7,
    "by": "a",
}


def write(folder: Path, *records: dict[str, Any]) -> Path:
    journal = Journal(folder)
    for record in records:
        journal.append(record)
    journal.close()
    return folder / "journal.jsonl"


def test_a_new_home_has_taken_in_nothing_and_issued_nothing(tmp_path: Path) -> None:
    state = read_state(tmp_path)

    assert (state.batches, state.clock_ms, state.issued_ms, state.now_ms) == (0, NEVER, NEVER, NEVER)
    assert state.first_slot is None
    assert state.intent is None


def test_state_follows_from_the_lines(tmp_path: Path) -> None:
    write(tmp_path, INTAKE, DECISION, INTENT)

    state = read_state(tmp_path)

    assert state.batches == 1
    assert state.index.names == {10: ["00000001-000000.col"], 11: ["00000001-000000.col"]}
    assert state.index.latest == {10: 500, 11: 600}
    assert state.held == ["00000001-000000.col"]
    assert state.supersessions == [Supersession(0, 3, 10, 5, 7)]
    assert (state.first_slot, state.clock_ms) == (10, 700)
    assert state.intent == INTENT
    assert (state.issued_ms, state.announced_ms) == (NEVER, 900_000)


def test_an_issue_ends_its_intent_and_moves_the_clock(tmp_path: Path) -> None:
    write(tmp_path, INTAKE, INTENT, ISSUED, {**INTENT, "to": 1_200_000, "extra": True})
    write(tmp_path, {**ISSUED, "to": 1_200_000, "extra": True})

    state = read_state(tmp_path)

    assert state.intent is None
    assert (state.issued_ms, state.now_ms, state.announced_ms) == (1_200_000, 1_200_000, 1_200_000)
    assert state.extras == [1_200_000]


def test_the_first_slot_never_moves_and_the_clock_never_goes_back(tmp_path: Path) -> None:
    write(tmp_path, INTAKE, {**INTAKE, "batch": 2, "first_slot": 5, "clock_ms": 600, "segments": [], "files": []})

    state = read_state(tmp_path)

    assert (state.batches, state.first_slot, state.clock_ms) == (2, 10, 700)


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_torn_last_line_never_happened_and_is_written_over(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, INTAKE, INTENT)
    path.write_bytes(path.read_bytes()[:-cut])

    assert read_state(tmp_path).intent is None
    write(tmp_path, {**INTENT, "to": 600_000})

    assert read_state(tmp_path).announced_ms == 600_000
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize(
    ("whole", "damaged"),
    [
        (b'"kind":"intake"', b'"kind:"intake"'),
        (b'"kind":"intake"', b'"kin":"intake"'),
        (b'"segments":', b'"segment":'),
        (b'"clock_ms":', b'"clock_ms":"x","x":'),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, whole: bytes, damaged: bytes) -> None:
    path = write(tmp_path, INTAKE, INTENT)
    assert whole in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(whole, damaged))

    with pytest.raises(HomeError, match="line 1 is damaged"):
        Journal(tmp_path)


def test_a_line_of_a_later_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path, INTAKE)
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"kind":"merge"}\n')

    with pytest.raises(HomeError, match="unknown kind 'merge'"):
        Journal(tmp_path)
