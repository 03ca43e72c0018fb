# SPDX-License-Identifier: Apache-2.0
"""Carrying reads to the installation that a later master makes of theirs (see `pipeline.master.carries`).

They are copied into a register file of their own, with value and arrival as they came and not counted again; what they
lay with keeps them, as instants that are out were issued from there. An operator's decision on such a read goes with
it.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from koma.limits import SHARD_LOCAL_BITS, SLOT_MINUTES
from pipeline.columns import write_columns
from pipeline.home import Home, publish, sync_filesystem
from pipeline.journal import NEVER, Journal
from pipeline.master import open_master
from pipeline.master.carries import Carries
from pipeline.master.view import FIRST_SLOT, OPEN_SLOT
from pipeline.register_files import RegisterFile, Section, section_columns
from pipeline.state import Segment, State, Supersession

_LOCAL = (1 << SHARD_LOCAL_BITS) - 1
_Reads = tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64]]
"""Local indexes, registers, arrivals."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What was carried."""

    segments: tuple[Segment, ...] = ()
    supersessions: tuple[Supersession, ...] = ()


def carry_reads(home: Home, journal: Journal) -> int:
    """Carry the reads that the imports since the last time move, durably; return the version of the master to go by.

    Whoever announces an issue asks here for its master, so that no instant sees a master without the reads that go with
    it. No issue may be under way that goes by the number of intakes it knows.
    """
    state = journal.state
    master = open_master(home.root, None)
    carries = Carries.after(master, state.carried)
    if not state.index.names or not len(carries.source):
        return master.version
    work = home.fresh_tmp("carry")
    batch = state.batches + 1
    name = f"{batch:08d}-carried.col"
    for folder in ("registers", "minutes"):
        (work / folder).mkdir()
    found = carried(home.path("registers"), work / "registers" / name, state, carries)
    between = carried(home.path("minutes"), work / "minutes" / name, State(index=state.minutes), _by_minute(carries))
    if found.segments or between.segments:
        sync_filesystem(work)
        for folder in ("registers", "minutes"):
            publish(work / folder, home.path(folder))
    journal.append(
        {
            "kind": "intake",
            "batch": batch,
            "master": state.held_judged,
            "files": state.unmoved,
            "segments": [{"name": each.name, "stamps": list(each.stamps)} for each in found.segments],
            "minutes": [{"name": each.name, "stamps": list(each.stamps)} for each in between.segments],
            "held": None,
            "held_new": [],
            "carried": master.version,
            "supersessions": [asdict(each) for each in found.supersessions],
            "clock_ms": NEVER,
            "first_slot": None,
        }
    )
    shutil.rmtree(work)
    return master.version


def _by_minute(carries: Carries) -> Carries:
    """Return the same with stamps that count minutes, those around a time inside a slot too."""
    inside = SLOT_MINUTES - 1
    lo = carries.lo.astype(np.int64) * SLOT_MINUTES - inside
    hi = carries.hi.astype(np.int64) * SLOT_MINUTES + inside
    first, last = (np.clip(each, FIRST_SLOT, OPEN_SLOT).astype(np.int32) for each in (lo, hi))
    return Carries(carries.source, carries.target, first, last)


def carried(registers: Path, target: Path, state: State, carries: Carries) -> Carried:
    """Copy the reads of some carries into one register file, which is not written where there are none.

    Args:
        registers: folder of the home's register files.
        target: file to write.
        state: of the home; not changed.
        carries: what to carry.

    """
    sections = sorted(_found(registers, state, carries), key=lambda each: (each.stamp, each.shard))
    decided = tuple(_decisions(state, carries))
    if not sections:
        return Carried((), decided)
    write_columns(target, section_columns(sections, counted=False))
    latest: dict[int, int] = {}
    for each in sections:
        latest[each.stamp] = max(int(each.arrival.max()), latest.get(each.stamp, NEVER))
    return Carried((Segment(target.name, tuple(latest.items())),), decided)


def _found(registers: Path, state: State, carries: Carries) -> Iterator[Section]:
    """Yield the reads that carries find, by stamp and shard of their new installation."""
    shards = carries.source >> np.uint32(SHARD_LOCAL_BITS)
    if not len(shards):
        return
    files: dict[str, RegisterFile] = {}
    for stamp, names in state.index.names.items():
        if not int(carries.lo.min()) <= stamp <= int(carries.hi.max()):
            continue
        here = (carries.lo <= stamp) & (stamp <= carries.hi)
        parts: dict[int, list[_Reads]] = {}
        for shard in np.unique(shards[here]).tolist():
            chosen = np.flatnonzero(here & (shards == shard))
            for name in names:
                if name not in files:
                    files[name] = RegisterFile.open(registers / name)
                for target, columns in _taken(files[name], stamp, shard, carries, chosen):
                    parts.setdefault(target, []).append(columns)
        for target, found in sorted(parts.items()):
            yield Section(stamp, target, *(np.concatenate(each) for each in zip(*found, strict=True)))


def _taken(
    file: RegisterFile, stamp: int, shard: int, carries: Carries, chosen: NDArray[np.int64]
) -> Iterator[tuple[int, _Reads]]:
    """Yield shards of new installations, and the reads there, of what some carries find in a file."""
    wanted = carries.source[chosen] & np.uint32(_LOCAL)
    for reads in file.reads(*file.sections(stamp, shard)):
        rows = np.flatnonzero(np.isin(reads.local, wanted))
        if not len(rows):
            continue
        rows = rows[np.argsort(reads.local[rows], kind="stable")]
        local = reads.local[rows]
        first, last = np.searchsorted(local, wanted, "left"), np.searchsorted(local, wanted, "right")
        counts = last - first
        each = np.repeat(np.arange(len(chosen)), counts)
        row = rows[np.arange(len(each)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)]
        target = carries.target[chosen[each]]
        for shard_to in np.unique(target >> np.uint32(SHARD_LOCAL_BITS)).tolist():
            mine = np.flatnonzero(target >> np.uint32(SHARD_LOCAL_BITS) == shard_to)
            yield shard_to, (target[mine] & np.uint32(_LOCAL), reads.value[row[mine]], reads.arrivals(row[mine]))


def _decisions(state: State, carries: Carries) -> Iterable[Supersession]:
    """Yield decisions on reads that are carried, as they hold for the new installation."""
    for each in state.supersessions:
        for shard, local in carries.targets(each.shard, each.local, each.stamp):
            yield Supersession(shard, local, each.stamp, each.value, each.from_ms)
