# SPDX-License-Identifier: Apache-2.0
"""The registers of some installations over many stamps, picked out of files that hold those of all.

A month of a shard is more than a thousand columns, of which a thirtieth of the installations is wanted. They are not
formed whole: the same election goes over the wanted reads alone, and the columns that the next instant needs stay in
memory. Each file is opened once.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.compaction import is_compacted
from pipeline.journal import StampIndex, Supersession
from pipeline.month_kernels import Gathered
from pipeline.month_register_kernels import find_reads, mark_late, pick_reads
from pipeline.register_files import RegisterFile
from pipeline.register_kernels import ABSENT_MS

FEW = 32
"""One wanted read among so many is looked up, where they ascend by installation, and not met on the way."""


def gather(
    folder: Path,
    index: StampIndex,
    supersessions: Sequence[Supersession],
    shard: int,
    local: NDArray[np.uint32],
    first: int,
    last: int,
) -> Gathered:
    """Return the registers of some installations at the stamps [first, last], with those of operators.

    Args:
        folder: of register files.
        index: which of them hold which stamps.
        supersessions: the operators' decisions, in the order in which they were made.
        shard: of the installations.
        local: the installations, ascending.
        first: stamp.
        last: stamp, included.

    """
    shape = len(local), last - first + 1
    value, arrival = np.zeros(shape, np.uint32), np.full(shape, ABSENT_MS, np.int64)
    place = _places(local)
    room = np.empty(len(local), np.int64)
    for name, file, stamps in _files(folder, index.names, range(first, last + 1)):
        for stamp in stamps:
            for reads in file.reads(*file.sections(stamp, shard)):
                mine = reads.local, reads.value, reads.later_ms
                if is_compacted(name) and len(local) * FEW < len(reads):
                    some = room[: find_reads(reads.local, local, room)]
                    mine = reads.local[some], reads.value[some], reads.later_ms[some]
                pick_reads(*mine, reads.first_ms, place, stamp - first, value, arrival)
    return Gathered(first, place, value, arrival, *_decided(supersessions, shard, place, len(local), first, last))


def late_rows(
    folder: Path, index: StampIndex, shard: int, local: NDArray[np.uint32], first: int, last: int, after_ms: int
) -> NDArray[np.bool_]:
    """Say of each installation whether a read of the stamps [first, last] arrived after `after_ms`."""
    hit = np.zeros(len(local), np.bool_)
    place = _places(local)
    late = [stamp for stamp in range(first, last + 1) if index.latest.get(stamp, after_ms) > after_ms]
    for _, file, stamps in _files(folder, index.names, late):
        for stamp in stamps:
            for reads in file.reads(*file.sections(stamp, shard)):
                mark_late(reads.local, reads.later_ms, reads.first_ms, after_ms, place, hit)
    return hit


def _places(local: NDArray[np.uint32]) -> NDArray[np.int32]:
    place = np.full(int(local[-1]) + 1 if len(local) else 0, -1, np.int32)
    place[local] = np.arange(len(local), dtype=np.int32)
    return place


def _files(
    folder: Path, names: Mapping[int, Sequence[str]], stamps: Sequence[int]
) -> Iterator[tuple[str, RegisterFile, list[int]]]:
    """Yield each file that holds reads of some stamps, with which of them."""
    held: dict[str, list[int]] = defaultdict(list)
    for stamp in stamps:
        for name in names.get(stamp, ()):
            held[name].append(stamp)
    for name, mine in held.items():
        yield name, RegisterFile.open(folder / name), mine


def _decided(
    supersessions: Sequence[Supersession], shard: int, place: NDArray[np.int32], rows: int, first: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint32], NDArray[np.int64]]:
    """Return an operator's registers by row: where each row's start, stamp, value, from when they count."""
    mine = [
        each
        for each in supersessions
        if each.shard == shard and first <= each.stamp <= last and each.local < len(place) and place[each.local] >= 0
    ]
    mine.sort(key=lambda each: int(place[each.local]))  # stable: the order of the decisions stays
    counts = np.bincount([int(place[each.local]) for each in mine], minlength=rows) if mine else np.zeros(rows, int)
    return (
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.array([each.stamp - first for each in mine], np.int32),
        np.array([each.value for each in mine], np.uint32),
        np.array([each.from_ms for each in mine], np.int64),
    )
