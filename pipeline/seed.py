# SPDX-License-Identifier: Apache-2.0
"""Seed registers: where the meters stood when this system took over from another one.

The first slot of a home needs the registers at its start, which the head-end sent to the system before. They come as a
hand-over file of any format; before it lands it is held against the master, so that what is missing is known while the
other system can still be asked.
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.errors import HandoverError, HomeError
from koma.limits import BATCH_READS_MAX, NO_DATA, SHARD_LOCAL_BITS
from koma.slots import MS_PER_SLOT, format_jst
from pipeline.columns import sync_directory, sync_file
from pipeline.handover import EXTENSIONS, ReadBatch, decode_chunks
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.master import MasterView, open_master
from pipeline.master.view import OPEN_MS
from pipeline.prefilter.install_kernels import find_installs
from pipeline.prefilter.minutes import installs_on

NAMED_MAX: Final = 1000


@dataclass(slots=True)
class Seeded:
    """What a file of seed registers covers.

    Attributes:
        registers: in the file at the stamp.
        elsewhere: of other stamps: they are taken too, and start nothing.
        refused: rows that cannot be read.
        unknown: of meters that the master does not have.
        expected: installations that the master has at the stamp and reads remotely.
        covered: of these, with a register.
        missing: points of the others, at most a thousand named.
    """

    registers: int = 0
    elsewhere: int = 0
    refused: int = 0
    unknown: int = 0
    expected: int = 0
    covered: int = 0
    missing: list[str] = field(default_factory=list)


def look(home: Home, path: Path, at_ms: int, tolerance_ms: int) -> Seeded:
    """Hold a file of registers against the installations of the master at a time.

    Args:
        home: with its master.
        path: hand-over file.
        at_ms: start of the first slot.
        tolerance_ms: how far a stamp may lie from it.

    Raises:
        HomeError: no slot begins there, or this home has issued it already.
        HandoverError: the file is no hand-over file.

    """
    if at_ms % MS_PER_SLOT:
        raise HomeError(f"{format_jst(at_ms)} is no start of a slot", hint="name one, such as 2026-10-07T00:00")
    state = read_state(home.path("journal"))
    if state.first_slot is not None and at_ms // MS_PER_SLOT < state.first_slot:
        raise HomeError(
            f"this home begins with the slot {format_jst(state.first_slot * MS_PER_SLOT)}",
            hint="registers before it start nothing: name that time, or a new home",
        )
    if not path.is_file() or not path.name.endswith(tuple(EXTENSIONS)):
        raise HandoverError(f"{path} is no hand-over file", hint=f"its name ends in one of {', '.join(EXTENSIONS)}")
    view = open_master(home.root, None)
    positions, expected = _expected(view, at_ms)
    result = Seeded(expected=len(expected))
    covered = np.zeros(len(expected), bool)
    for decoded in decode_chunks(path, BATCH_READS_MAX):
        result.refused += sum(each.reads for each in decoded.rejected)
        batch = decoded.batch
        near = np.abs(batch.read_at_ms - at_ms) <= tolerance_ms
        for register, column in enumerate((batch.import_register, batch.export_register)):
            has = column < NO_DATA
            result.elsewhere += int((has & ~near).sum())
            result.registers += int((has & near).sum())
            installs, unknown = _installs(view, batch, np.flatnonzero(has & near), register)
            result.unknown += unknown
            covered |= np.isin(expected, installs)
    result.covered = int(covered.sum())
    lacking = np.unique(positions[~covered])[:NAMED_MAX]
    result.missing = [bytes(view.point_id[each]).decode() for each in lacking.tolist()]
    return result


def _expected(view: MasterView, at_ms: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the installations in force at a time of points with telemetry: position of the point, installation."""
    row_of = np.repeat(np.arange(view.n_points), np.diff(view.install_of))
    known = (view.install_rec_to == OPEN_MS) & (view.install_from_ms <= at_ms) & (at_ms < view.install_to_ms)
    attributes = np.repeat(np.arange(view.n_points), np.diff(view.attr_of))
    remote = np.zeros(view.n_points, bool)
    remote[attributes[(view.attr_rec_to == OPEN_MS) & (view.attr_telemetry == 1)]] = True
    rows = np.flatnonzero(known & remote[row_of])
    positions = row_of[rows]
    shard = np.searchsorted(view.shard_points, positions, side="right") - 1
    return positions, (shard.astype(np.uint32) << np.uint32(SHARD_LOCAL_BITS)) | view.install_local[rows]


def _installs(
    view: MasterView, batch: ReadBatch, rows: NDArray[np.int64], register: int
) -> tuple[NDArray[np.uint32], int]:
    """Return the installations that some rows' meters have on a register, and how many rows have none."""
    found = np.empty((len(rows), 2), np.uint64)
    find_installs(view.table, batch.keys[rows], found, np.empty(len(rows), np.uint32))
    at, installs = installs_on(found, view, register)
    return installs, len(rows) - len(np.unique(at))


def hand_over(home: Home, path: Path) -> Path:
    """Put a copy of the file into landing, durably; returns it."""
    target = home.landing / f"seed-{path.name}"
    hidden = target.with_name(f".{target.name}")
    shutil.copyfile(path, hidden)
    sync_file(hidden)
    hidden.rename(target)
    sync_directory(home.landing)
    return target
