# SPDX-License-Identifier: Apache-2.0
"""The register book of a home as this process sees it: the journal is read once, then followed."""

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from pipeline.journal import JOURNAL, segments_of
from pipeline.registers import RegisterBook


@dataclass(slots=True)
class _Followed:
    book: RegisterBook
    inode: int
    batches: int = 0
    offset: int = 0


_BOOKS: dict[Path, _Followed] = {}
_LOCK = threading.Lock()


def open_book(home: Path, batches: int) -> RegisterBook:
    """Return the register book as it was after `batches` intakes; it stays so until a later state is asked for."""
    path = home / "journal" / JOURNAL
    with _LOCK:
        inode = path.stat().st_ino if path.exists() else 0
        followed = _BOOKS.get(home)
        if followed is None or followed.inode != inode or followed.batches > batches:
            followed = _Followed(RegisterBook(home / "registers", ()), inode)
            _BOOKS.clear()  # a process works for one home at a time
            _BOOKS[home] = followed
        if followed.batches < batches:
            _follow(followed, path, batches)
        return followed.book


def _follow(followed: _Followed, path: Path, batches: int) -> None:
    with path.open("rb") as file:
        file.seek(followed.offset, os.SEEK_SET)
        for line in file:
            if not line.endswith(b"\n"):
                break
            record = json.loads(line)
            if record["kind"] == "intake":
                if record["batch"] > batches:
                    break
                followed.book.add(segments_of(record))
                followed.batches = record["batch"]
            followed.offset += len(line)
