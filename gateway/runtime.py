# SPDX-License-Identifier: Apache-2.0
"""The folder of sockets and configurations of one run of the gateway, and what killed runs left behind."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "koma-gateway-"
FOLDER_CHARS_MAX = 64
"""A socket's path has 107 bytes at most."""

_LOCK = "running.lock"
"""Locked while the run lives. The system lets go of it whatever the end, and no number of a process is believed."""


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """Make a private folder for one run, remove it afterwards, and first remove those of runs that were killed."""
    parent = short_folder()
    remove_stale(parent)
    # Named as a run's folder only once it is locked, so that another start cannot take it for one left behind.
    fresh = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=parent))
    handle = os.open(fresh / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    folder = fresh
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        folder = fresh.rename(parent / fresh.name.removeprefix("."))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def remove_stale(parent: Path) -> None:
    """Remove the folders of this user's runs that ended without a chance to; one without a lock file is left alone."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or gone meanwhile
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def short_folder() -> Path:
    """Folder for temporary files, unless sockets in it would have too long a name."""
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= FOLDER_CHARS_MAX else "/tmp")  # noqa: S108  mkdtemp makes a private one in it
