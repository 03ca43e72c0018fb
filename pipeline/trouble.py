# SPDX-License-Identifier: Apache-2.0
"""Faults of the environment: which errors go away by themselves or by a hand on the machine, and what to do.

A watch that meets one waits, longer each time, and begins again as after a crash. Every other error ends it: going on
would not help.
"""

import errno
import os
import re
from dataclasses import dataclass
from typing import Final

from koma.errors import HomeError

WAIT_S_MAX: Final = 60.0
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]|errno:? (\d+)", re.IGNORECASE)
_WHAT_TO_DO: Final = {
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "raise the quota of its disk, or make room",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount it for writing again; look at the disk first, a system makes a failing one read-only",
    errno.EIO: "look at the disk",
    errno.EACCES: "give the user that runs Koma the right to read and write it",
    errno.EPERM: "give the user that runs Koma the right to read and write it",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit on open files",
    errno.ENOMEM: "give the machine more memory, or stop what else uses it",
    errno.ENOENT: "look whether it is mounted and whole",
    errno.ENOTDIR: "look whether it is mounted and whole",
    errno.EEXIST: "look whether it is mounted and whole",
    errno.ESTALE: "mount it again",
}
_OTHERWISE: Final = "look at its disk and its rights"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of the environment, in words.

    Attributes:
        message: what the system said.
        what_to_do: what a person can do about it.
    """

    message: str
    what_to_do: str


def trouble_of(error: BaseException) -> Trouble | None:
    """Return the fault of the environment behind an error; None if it is something else."""
    if isinstance(error, MemoryError):
        return Trouble("no memory is left", _WHAT_TO_DO[errno.ENOMEM])
    if isinstance(error, OSError):
        text = str(error) if error.filename or not error.errno else os.strerror(error.errno)
        return Trouble(text, what_to_do(error))
    if isinstance(error, RuntimeError):  # Beam hands on what a worker met as text
        return _of_text(str(error))
    return None


def what_to_do(error: OSError) -> str:
    """Return what a person can do about an error of the system."""
    return _WHAT_TO_DO.get(error.errno or 0, _OTHERWISE)


def cut_off(what: str, error: BaseException) -> HomeError | None:
    """Return how a command says that a fault of the environment cut it off; None if it is something else."""
    trouble = trouble_of(error)
    if trouble is None:
        return None
    hint = f"Nothing is lost: {trouble.what_to_do}; then run it again"
    return HomeError(f"{what} was cut off: {trouble.message}", hint=hint)


def _of_text(text: str) -> Trouble | None:
    for line in reversed(text.splitlines()):
        found = _NUMBER.search(line)
        if found:
            number = int(found.group(1) or found.group(2))
            return Trouble(line.partition(" [while running")[0].strip(), _WHAT_TO_DO.get(number, _OTHERWISE))
        if "MemoryError" in line:
            return Trouble("no memory is left", _WHAT_TO_DO[errno.ENOMEM])
    return None


def wait_s(times: int) -> float:
    """Return how long to wait after the n-th failure in a row, n from 1: 1, 2, 4 … 60 seconds."""
    return float(min(WAIT_S_MAX, 1 << min(times - 1, 10)))
