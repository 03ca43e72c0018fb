# SPDX-License-Identifier: Apache-2.0
"""What the retailer's client remembers between runs: how far it got. Written only after what it says is durable."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gateway.errors import PullStateError
from gateway.pull_ledger import sync

VERSION = 1
FILE_NAME = "state.json"
_LOCK = ".lock"
NAMES_KEPT = 20_000
"""Names of applied files kept per retailer; the oldest go first, and applying one again changes nothing."""


@dataclass(slots=True)
class State:
    """How far a client got."""

    owner: str
    """Client id, or `certificate`."""
    cursor: str | None = None
    release_keys: list[str] = field(default_factory=list)
    """Thumbprints of the keys of the release manifests, as first seen."""
    applied: dict[str, list[str]] = field(default_factory=dict)
    """By retailer, names of the files of the file list that were applied, oldest first."""


def read_state(folder: Path, owner: str) -> State:
    """State of a folder; a fresh one where there is none.

    Raises:
        PullStateError: unreadable, or of another client.

    """
    file = folder / FILE_NAME
    try:
        told = json.loads(file.read_bytes())
        version = told.pop("version")
        state = State(**told)
    except FileNotFoundError:
        return State(owner)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PullStateError(f"{file} cannot be read: {error}", hint="Move it away to start again") from error
    if version != VERSION or state.owner != owner:
        raise PullStateError(f"{file} belongs to {state.owner}, not to {owner}", hint="Choose another --dest")
    return state


def write_state(folder: Path, state: State) -> None:
    """Write the state whole or not at all, and durably.

    Raises:
        PullStateError: it cannot be written.

    """
    file = folder / FILE_NAME
    temporary = file.with_name(f".{FILE_NAME}.tmp")
    applied = {retailer: names[-NAMES_KEPT:] for retailer, names in state.applied.items()}
    try:
        temporary.write_text(json.dumps({"version": VERSION, **asdict(state), "applied": applied}) + "\n")
        sync([temporary])
        temporary.replace(file)
        sync([folder])
    except OSError as error:
        raise PullStateError(f"{file} cannot be written: {error.strerror}") from error


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep a second run out of a folder; a run that fails leaves no empty folders behind.

    Raises:
        PullStateError: another run is at work there, or the folder cannot be made.

    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise PullStateError(f"{folder} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PullStateError(f"another run is at work in {folder}") from error
        if not os.fstat(handle).st_nlink:  # the run before failed and took its lock with it
            raise PullStateError(f"another run ended in {folder} just now", hint="Run the command again")
        try:
            yield
        except BaseException:
            _remove_empty(folder, made)
            raise
    finally:
        os.close(handle)


def _remove_empty(folder: Path, made: list[Path]) -> None:
    """Remove what a failed first run made and left empty; a run that has a state, or files, keeps everything."""
    if (folder / FILE_NAME).exists():
        return
    for place, _, _ in os.walk(folder, topdown=False):
        if Path(place) != folder:
            with suppress(OSError):  # not empty
                Path(place).rmdir()
    if made and not any(each.name != _LOCK for each in folder.iterdir()):
        (folder / _LOCK).unlink(missing_ok=True)
        with suppress(OSError):
            for each in made:
                each.rmdir()
