# SPDX-License-Identifier: Apache-2.0
"""The register book of a home as this process sees it: the state is loaded once, then the journal followed.

Worker processes see the home only through its files. When a new part of the journal begins, the book is made again from
the checkpoint; its columns stay in memory, as they are known by the files they were formed from.
"""

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from koma.slots import MS_PER_MINUTE
from pipeline.checkpoint import JOURNAL, load
from pipeline.registers import RegisterBook, forget
from pipeline.state import of_minutes


@dataclass(slots=True)
class _Followed:
    book: RegisterBook
    minutes: RegisterBook
    batches: int
    inode: int
    place: int  # of the next record in the part being written
    size: int = -1  # of that part when it was looked at last


_BOOKS: dict[Path, _Followed] = {}
_LOCK = threading.Lock()


def open_book(home: Path, batches: int) -> RegisterBook:
    """Return the register book as it was after `batches` intakes; it stays so until another state is asked for.

    Files that replace others in the meantime are seen as well; they say the same.
    """
    followed = _followed(home, batches)
    return RegisterBook(home / "registers", ()) if followed is None else followed.book


def open_minute_book(home: Path, batches: int) -> RegisterBook:
    """Return the book of the registers between slot boundaries, whose stamps count minutes; else as `open_book`."""
    followed = _followed(home, batches)
    return RegisterBook(home / "minutes", (), None, MS_PER_MINUTE) if followed is None else followed.minutes


def _followed(home: Path, batches: int) -> _Followed | None:
    folder = home / "journal"
    with _LOCK:
        try:
            status = (folder / JOURNAL).stat()
        except FileNotFoundError:
            return None
        followed = _BOOKS.get(home)
        if followed is not None and followed.batches > batches:
            forget()
        if followed is None or followed.inode != status.st_ino or followed.batches > batches:
            followed = _begin(home, folder, batches)
            _BOOKS.clear()  # a process works for one home at a time
            _BOOKS[home] = followed
        if followed.batches < batches or followed.size != status.st_size:
            _follow(followed, folder / JOURNAL, batches)
        return followed


def _begin(home: Path, folder: Path, batches: int) -> _Followed:
    inode = (folder / JOURNAL).stat().st_ino  # before it is read: a part that begins meanwhile is another one
    loaded = load(folder, batches)
    book = RegisterBook(home / "registers", (), loaded.state.index)
    minutes = RegisterBook(home / "minutes", (), loaded.state.minutes, MS_PER_MINUTE)
    return _Followed(book, minutes, loaded.state.batches, inode, max(0, loaded.offset - loaded.live.start))


def _follow(followed: _Followed, path: Path, batches: int) -> None:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_ino != followed.inode:
            return  # the next call begins anew
        followed.size = os.fstat(file.fileno()).st_size
        file.seek(followed.place, os.SEEK_SET)
        for line in file:
            if not line.endswith(b"\n"):
                break
            record = json.loads(line)
            if record["kind"] == "intake":
                if record["batch"] > batches:
                    break
                followed.batches = record["batch"]
            followed.book.index.apply(record)
            followed.minutes.index.apply(of_minutes(record))
            followed.place += len(line)
