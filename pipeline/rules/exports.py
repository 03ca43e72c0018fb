# SPDX-License-Identifier: Apache-2.0
"""Reads of export registers that feed no point: which of them went up on a day."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from koma.limits import SHARD_LOCAL_BITS
from koma.slots import MS_PER_SLOT
from pipeline.handover.batch import NO_DATA
from pipeline.held import held_chunk, read_held
from pipeline.master import MasterView
from pipeline.prefilter.install_kernels import find_installs
from pipeline.prefilter.kernels import CHAINED, NONE
from pipeline.rules.day import SLOTS_PER_DAY, Found

_Reads = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def held_exports(held: Iterable[Path], view: MasterView, day: int, instant_ms: int) -> Found:
    """Return the points whose meter has an import installation alone, and by how much its export register went up.

    Args:
        held: files of held reads.
        view: the master.
        day: first slot of the day, to whose stamps the reads belong.
        instant_ms: reads that arrived later do not count.

    """
    parts = [part for path in held for part in _reads(path, view, day, instant_ms)]
    install, read_at, value = (
        np.concatenate([np.empty(0, np.int64), *each]) for each in (zip(*parts, strict=True) if parts else ((), (), ()))
    )
    order = np.lexsort((read_at, install))
    install, read_at, value = install[order], read_at[order], value[order]
    starts = np.flatnonzero(np.diff(install, prepend=-1))
    ends = np.flatnonzero(np.diff(install, append=-1))
    up = value[ends] - value[starts]
    grown = up > 0
    slot = np.clip((read_at[starts] + MS_PER_SLOT // 2) // MS_PER_SLOT - day, 0, SLOTS_PER_DAY - 1)
    return Found(_positions(view, install[starts[grown]]), slot[grown], up[grown])


def _reads(path: Path, view: MasterView, day: int, instant_ms: int) -> Iterable[_Reads]:
    """Yield import installation, time and export register of the held export reads of a file."""
    for decoded in read_held(held_chunk(path)):
        batch = decoded.batch
        from_ms, to_ms = day * MS_PER_SLOT, (day + SLOTS_PER_DAY) * MS_PER_SLOT
        chosen = (batch.export_register < NO_DATA) & (batch.received_ms <= instant_ms)
        chosen &= (batch.read_at_ms >= from_ms) & (batch.read_at_ms <= to_ms)
        rows = np.flatnonzero(chosen)
        found, room = np.empty((len(rows), 2), np.uint64), np.empty(len(rows), np.uint32)
        find_installs(view.table, np.ascontiguousarray(batch.keys[rows]), found, room)
        installs = found.view(np.uint32).reshape(-1, 4)[:, :2].astype(np.int64)
        alone = (installs[:, 0] != CHAINED) & (installs[:, 0] != NONE) & (installs[:, 1] == NONE)
        mine = rows[alone]
        yield installs[alone, 0], batch.read_at_ms[mine], batch.export_register[mine].astype(np.int64)


def _positions(view: MasterView, install: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the points of installations."""
    position = np.empty(len(install), np.int64)
    for shard in np.unique(install >> SHARD_LOCAL_BITS).tolist():
        begin, end = view.install_of[view.shard_points[shard]], view.install_of[view.shard_points[shard + 1]]
        by_local = np.argsort(view.install_local[begin:end], kind="stable")
        mine = install >> SHARD_LOCAL_BITS == shard
        local = install[mine] & ((1 << SHARD_LOCAL_BITS) - 1)
        row = begin + by_local[np.searchsorted(view.install_local[begin:end], local, sorter=by_local)]
        position[mine] = np.searchsorted(view.install_of, row, side="right") - 1
    return position
