# SPDX-License-Identifier: Apache-2.0
"""The checkpoint: the state of a home as one file, and the journal's parts that lie before and after it.

```
journal/checkpoint.json         the state up to an offset of the journal
journal/checkpoint.old.json     the one before
journal/journal.jsonl           the part that is written; from the second on it begins with its own offset
journal/history/<offset>.jsonl  earlier parts, for audit and repair; a start does not need them
```
Offsets count the bytes of all parts, one after the other. A checkpoint is one line of facts (format, offset, digest)
and one line of JSON values. What a crash can leave: a checkpoint without a new part (the records between are skipped),
a part that stands both in history and as the current one (two names of one file).
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from koma.errors import HomeError
from pipeline.columns import replace_file, sync_directory, sync_file
from pipeline.state import State

JOURNAL = "journal.jsonl"
HISTORY = "history"
CHECKPOINT = "checkpoint.json"
CHECKPOINT_OLD = "checkpoint.old.json"
FORMAT = 1
_RESTORE = "restore the home's journal/ from a copy"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the journal: the offset of its first byte, and its whole lines."""

    path: Path
    start: int
    data: bytes

    @property
    def end(self) -> int:
        """Offset after the last whole line."""
        return self.start + len(self.data)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A home's state, with what was wrong on the way to it.

    Attributes:
        state: all records taken in.
        offset: of the end of the journal.
        live: the part being written.
        since: offset of the checkpoint it was made from.
        troubles: what was found damaged, and made good.
    """

    state: State
    offset: int
    live: Part
    since: int
    troubles: tuple[str, ...]


def load(folder: Path, until_batch: int | None = None) -> Loaded:
    """Make the state of a home from its newest sound checkpoint and what the journal tells since.

    May run beside the writer: the part being written is read before the checkpoint, which so is never older than it.

    Args:
        folder: the home's journal/.
        until_batch: stop before the intake after this one; `offset` then is that of its record.

    Raises:
        HomeError: a line is damaged, or neither checkpoint nor history reach back from the part being written.

    """
    live = read_part(folder / JOURNAL)
    troubles: list[str] = []
    gap = ""
    for name in (CHECKPOINT, CHECKPOINT_OLD, ""):
        base = _base(folder / name, troubles) if name else (State(), 0)
        if base is None or (until_batch is not None and base[0].batches > until_batch):
            continue
        state, since = base
        try:
            parts = _since(folder, live, since)
        except HomeError as error:
            gap = gap or str(error)
            continue
        if since > live.end:
            troubles.append(f"{live.path} ends before {name}; its last records are known from there")
        offset = since
        for part in parts:
            offset = _replay(state, part, since, until_batch)
            if offset < part.end:
                break
        return Loaded(state, max(offset, since), live, since, tuple(troubles))
    raise HomeError(gap or f"{folder} has no state as of intake {until_batch}", hint="; ".join([*troubles, _RESTORE]))


def read_part(path: Path) -> Part:
    """Read a part of the journal without its torn last line, if any; an absent one is empty."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Part(path, 0, b"")
    whole = data[: data.rfind(b"\n") + 1]
    last = whole[whole.rfind(b"\n", 0, -1) + 1 :]
    if b"\0" in last:  # the end of a long line reached the disk, its middle did not
        whole = whole[: -len(last)]
    return Part(path, start_of(whole), whole)


def start_of(head: bytes) -> int:
    """Return the offset at which a part starts, from its first bytes: the first part of a home does not say."""
    if not head.startswith(b'{"kind":"part"'):
        return 0
    return int(json.loads(head[: head.index(b"\n")])["offset"])


def write_checkpoint(folder: Path, state: State, offset: int) -> None:
    """Replace the checkpoint, durable on return; the one before is kept."""
    body = json.dumps(state.as_json(), separators=(",", ":")).encode()
    facts = {"koma_checkpoint": FORMAT, "offset": offset, "sha256": hashlib.sha256(body).hexdigest()}
    current, old = folder / CHECKPOINT, folder / CHECKPOINT_OLD
    if current.exists():
        second_name(current, old.with_name(f".{old.name}.new")).replace(old)
    replace_file(current, json.dumps(facts, separators=(",", ":")).encode() + b"\n" + body + b"\n")


def start_part(folder: Path, start: int, end: int) -> None:
    """Put the part being written, which starts at `start`, into history and begin another one at `end`.

    There is no moment without a part to read, and none at which a crash loses a record.
    """
    live, history = folder / JOURNAL, folder / HISTORY
    if not history.exists():
        history.mkdir()
        sync_directory(folder)
    kept = history / f"{start:020d}.jsonl"
    if not (kept.exists() and kept.samefile(live)):
        second_name(live, kept)
        sync_directory(history)
    record = {"kind": "part", "offset": end}
    replace_file(live, json.dumps(record, separators=(",", ":")).encode() + b"\n")


def second_name(path: Path, other: Path) -> Path:
    """Give a file another name as well, replacing what bears it; a durable copy where the filesystem has no links."""
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)
        sync_file(other)
    return other


def gap_in_history(folder: Path, live: Part) -> str:
    """Say from where on history holds the journal, if not from the beginning."""
    try:
        _since(folder, live, 0)
    except HomeError as error:
        return error.message
    return ""


def _base(path: Path, troubles: list[str]) -> tuple[State, int] | None:
    try:
        facts_line, body, *_ = path.read_bytes().split(b"\n")
        facts: dict[str, Any] = json.loads(facts_line)
        form = facts["koma_checkpoint"]
        if form == FORMAT and hashlib.sha256(body).hexdigest() == facts["sha256"]:
            return State.of_json(json.loads(body)), facts["offset"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        form = FORMAT
    if form != FORMAT:
        raise HomeError(f"{path} has format {form}, this Koma reads format {FORMAT}", hint="use the Koma that wrote it")
    troubles.append(f"{path} is damaged and was not used")
    return None


def _since(folder: Path, live: Part, since: int) -> list[Part]:
    """Return the parts that hold the records from offset `since` on, in order."""
    if since >= live.start:
        return [live]
    needed: list[Part] = []
    start, before = live.start, _history(folder)
    while start > since:
        path = before.pop() if before else None
        part = None if path is None else Part(path, int(path.stem), path.read_bytes())
        if part is not None and part.start >= live.start:
            continue  # the current one, under its second name
        if part is None or part.end < start:
            raise HomeError(f"{folder / HISTORY} does not hold the journal's records from offset {since} to {start}")
        needed.insert(0, Part(part.path, part.start, part.data[: start - part.start]))
        start = part.start
    return [*needed, live]


def _history(folder: Path) -> list[Path]:
    return sorted(each for each in (folder / HISTORY).glob("*.jsonl") if each.stem.isdecimal())


def _replay(state: State, part: Part, since: int, until_batch: int | None) -> int:
    """Take in the records of a part from offset `since` on; return the offset after the last one."""
    offset = part.start
    for number, line in enumerate(part.data.splitlines(keepends=True), 1):
        if offset >= since:
            try:
                record = json.loads(line)
                if until_batch is not None and record["kind"] == "intake" and record["batch"] > until_batch:
                    break
                state.apply(record)
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # JSON, but no record, is as bad as none
                raise HomeError(f"{part.path} line {number} is damaged: {error}", hint=_RESTORE) from error
        offset += len(line)
    return offset
