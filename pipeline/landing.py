# SPDX-License-Identifier: Apache-2.0
"""What lies in landing: hand-over files, and what is none and says so.

Only regular files are hand-over files. A link may lead out of the home, a FIFO or device blocks whoever opens it, and
what is in a folder was not put there by renaming; a name that is no text, or too long to be numbered beside another,
could not be told of or moved. Such things stay where they are, untouched and named, until a person takes them away.
Names with a leading dot are files being written.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from pipeline.columns import sync_directory, sync_file
from pipeline.handover.write import SCHEMA

NAME_BYTES_MAX: Final = 200
"""Of a hand-over file: a file system takes 255, and a name may get a number or a mark."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in landing.

    Attributes:
        name: as the file system has it; not always text that can be written.
        inode: tells it from another one of the same name.
        objection: why it is no hand-over file; empty for one.
    """

    name: str
    inode: int
    objection: str = ""

    @property
    def facts(self) -> dict[str, object]:
        """What is told of something that waits for a person."""
        printable = os.fsencode(self.name).decode(errors="backslashreplace")
        return {"file": printable, "row": None, "code": "no_handover", "detail": self.objection}


def put(landing: Path, name: str, rows: pa.Table) -> Path:
    """Hand over rows as a file `name` (Arrow), durable on return."""
    target, hidden = landing / name, landing / f".{name}"
    with pa.OSFile(str(hidden), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        writer.write_table(rows.select(SCHEMA.names).cast(SCHEMA))
    sync_file(hidden)
    hidden.rename(target)
    sync_directory(landing)
    return target


def entries(landing: Path) -> Iterator[Entry]:
    """Yield what lies in landing, in no order; nothing is opened.

    Raises:
        OSError: landing cannot be read.

    """
    with os.scandir(landing) as found:
        for each in found:
            if not each.name.startswith("."):
                yield Entry(each.name, each.inode(), _objection(each))


def _objection(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return "is a link; put the file itself here"
    if entry.is_dir(follow_symlinks=False):
        return "is a folder; move its files here one by one"
    if not entry.is_file(follow_symlinks=False):
        return "is no regular file but a pipe, a socket or a device; remove it"
    name = os.fsencode(entry.name)
    if len(name) > NAME_BYTES_MAX:
        return f"has a name of {len(name)} bytes; rename it to {NAME_BYTES_MAX} or less"
    try:
        name.decode()
    except UnicodeDecodeError:
        return "has a name that is not UTF-8; rename it"
    if not entry.name.isprintable():
        return "has a control character in its name; rename it"
    return ""
