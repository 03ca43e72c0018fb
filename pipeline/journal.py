# SPDX-License-Identifier: Apache-2.0
"""The journal: what this home has taken in and what it has issued, one JSON line each, in order.

A line is written when what it tells of is durable; a torn last line (a crash while writing) never happened. From the
lines follows the home's state: the files of registers, the last instant issued, the clock. Nothing else decides what
comes next. Now and then the state becomes a checkpoint, and a new part of the journal begins, so that neither grows
with the age of the home (`pipeline.checkpoint`).

- `start`: a home that goes on by the wall clock began; its first slot.
- `intake`: a batch of hand-over files was taken in: the files, the counts, the register segments, those of minutes,
  the held reads.
- `supersede`: an operator decided a conflict: which register counts instead, from when, who, why.
- `intent`: from now until `issued` with the same `to`, nothing but this issue may happen; a crash repeats it.
- `issued`: every instant up to `to` is out.
- `daily_intent`, `daily`: the same of daily files, whose intent may stay open while other instants are issued.
- `monthly_intent`, `monthly`: the same of monthly files.
- `compact`: files of registers were replaced by fewer that say the same; `held`: the same of held reads.
- `forget`: registers of stamps before one are no longer kept; `forget_minutes`: the same of minutes.
- `part`: the first line of a part but the first: the offset at which it starts.
"""

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from koma.errors import HomeError
from pipeline.checkpoint import JOURNAL, load, start_part, write_checkpoint
from pipeline.columns import sync_directory
from pipeline.state import NEVER, Segment, StampIndex, State, Supersession, segments_of

__all__ = ["JOURNAL", "NEVER", "Journal", "Segment", "StampIndex", "State", "Supersession", "read_state", "segments_of"]

CHECKPOINT_BYTES = 4 << 20
"""A start reads a checkpoint and at most this much of the journal, about a tenth of a second each."""
_LOG = logging.getLogger(__name__)


class Journal:
    """The journal of a home, opened by its sole writer."""

    def __init__(self, folder: Path, checkpoint_bytes: int | None = None) -> None:
        """Load the state of `folder`, cutting off a torn last line.

        Args:
            folder: the home's journal/.
            checkpoint_bytes: how much is written between two checkpoints, `CHECKPOINT_BYTES` unless given.

        Raises:
            HomeError: a line is damaged, or the state cannot be told from what is there.

        """
        self._folder = folder
        self._checkpoint_bytes = CHECKPOINT_BYTES if checkpoint_bytes is None else checkpoint_bytes
        loaded = load(folder)
        for trouble in loaded.troubles:
            _LOG.warning("koma: %s", trouble)
        self.state = loaded.state
        self._since = loaded.since
        self._open(loaded.live.start, len(loaded.live.data))
        if loaded.offset != self._offset:  # the checkpoint knows more than the journal that is left
            self._begin_part(loaded.offset)
        if loaded.troubles:
            self.checkpoint()

    def _open(self, start: int, size: int) -> None:
        path = self._folder / JOURNAL
        known = path.exists()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        self._start, self._size, self._broken = start, size, False
        if not known:
            sync_directory(self._folder)
        if os.fstat(self._file).st_size != size:
            os.ftruncate(self._file, size)

    @property
    def _offset(self) -> int:
        return self._start + self._size

    def append(self, record: dict[str, Any]) -> None:
        """Write one record, durable on return, and take it into the state.

        Raises:
            OSError: it could not be written; it never happened.
            HomeError: an earlier one could be neither written nor taken back.

        """
        if self._broken:
            raise HomeError(
                f"{self._folder / JOURNAL} could not be written and is closed", hint="look at the disk, then start anew"
            )
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        try:
            os.lseek(self._file, self._size, os.SEEK_SET)
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError:
            self._take_back()
            raise
        self._size += len(line)
        self.state.apply(record)
        if self._offset - self._since > self._checkpoint_bytes and not self.state.announced:
            try:
                self.checkpoint()
            except OSError as error:  # the record stands all the same; try again after as much more
                _LOG.warning("koma: no checkpoint of %s: %s", self._folder, error)
                self._since = self._offset

    def _take_back(self) -> None:
        self._broken = True
        with suppress(OSError):
            os.ftruncate(self._file, self._size)
            os.fsync(self._file)
            self._broken = False

    def checkpoint(self) -> bool:
        """Write the state as one file and begin a new part of the journal; not while an issue is announced.

        Worker processes follow an issue by the number of intakes it knows, which a checkpoint must not have passed.
        """
        if self.state.announced:
            return False
        write_checkpoint(self._folder, self.state, self._offset)
        self._since = self._offset
        self._begin_part(self._offset)
        return True

    def _begin_part(self, at: int) -> None:
        path, before = self._folder / JOURNAL, self._file
        try:
            start_part(self._folder, self._start, at)
            self._open(at, path.stat().st_size)
        finally:
            self._broken = not os.path.samestat(path.stat(), os.fstat(self._file))  # never write to history
        os.close(before)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_state(folder: Path) -> State:
    """Return the state of a home without opening its journal for writing.

    Raises:
        HomeError: as `Journal` does.

    """
    return load(folder).state
