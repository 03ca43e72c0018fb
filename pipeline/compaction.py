# SPDX-License-Identifier: Apache-2.0
"""Compaction: the files of registers that many small intakes left become few, and say the same.

The files of a stamp are an election's votes: the elected reads alone elect the same column again, arrivals and all, by
themselves or beside any of the files they came from. So files are replaced stamp by stamp, in any order, at any time;
a file goes when no stamp needs it. What may be left out are reads that lost, which wait in quarantine, and duplicates.

A stamp is compacted

- once it is `SETTLED_MS` old and no slot it ends is open any more: all its files into one (of `FILE_READS_MAX` each);
- again when more than `LOOSE_MAX` files have come since: these, with what is small beside them, so that a late trickle
  does not write the whole stamp each time;
- for good when reads for it would be too old to be taken in.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from koma.errors import HomeError
from koma.settings import Settings
from koma.slots import MS_PER_DAY, slot_start_ms
from pipeline.columns import sync_directory, sync_file, write_columns
from pipeline.held import join_held
from pipeline.home import Home
from pipeline.journal import Journal, StampIndex
from pipeline.register_files import RegisterFile, Section, section_columns
from pipeline.registers import Column, close_files

SETTLED_MS = 3 * 3_600_000
LOOSE_MAX = 8
SMALL = 4
"""A compacted file is left alone as long as it holds this many times the reads of those to be compacted."""
FILE_READS_MAX = 1 << 23
HELD_FILES_MAX = 64
HELD_BYTES_MAX = 4 << 20
TURN_READS = 4_000_000
"""What a turn between two looks at landing may read: some tenths of a second."""
_DAYS_AFTER = 3
_MARK = "c"
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Compacted:
    """What a compaction came to.

    Attributes:
        stamps: how many were compacted.
        reads: how many were read.
        gone: files removed.
        made: files written.
        damaged: stamps left alone, and why.
        more: whether there is more to do.
    """

    stamps: int = 0
    reads: int = 0
    gone: int = 0
    made: int = 0
    damaged: dict[int, str] = field(default_factory=dict)
    more: bool = False

    def add(self, other: "Compacted") -> None:
        """Add a later compaction to this one."""
        for name in ("stamps", "reads", "gone", "made"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.damaged |= other.damaged
        self.more = other.more


def is_compacted(name: str) -> bool:
    """Say whether a file of registers was made here: each of its sections ascends by installation, once each."""
    return name.startswith(_MARK)


class _StoppedError(Exception):
    """Something else is to be done."""


_LEFT_ALONE: dict[Path, dict[int, str]] = {}
"""Stamps with a damaged file, by home: tried once a process."""


def compact(
    home: Home,
    journal: Journal,
    settings: Settings,
    budget: int = TURN_READS,
    stop: Callable[[], bool] = lambda: False,
) -> Compacted:
    """Replace files of registers by fewer, those of the stamp with the most files first.

    Nothing may be taken in or issued meanwhile. While an issue is announced nothing is done.

    Args:
        home: of which the caller is the sole writer.
        journal: its journal.
        settings: with the days after which a read is too old.
        budget: how many reads to read at most; but one stamp is done in any case.
        stop: asked before each shard; when it says so, the stamp under way is given up.

    """
    result, state = Compacted(), journal.state
    if state.announced:
        return result
    work = home.root / "tmp" / "compaction"
    damaged = _LEFT_ALONE.setdefault(home.root, {})
    final_ms = (settings.too_old_days + _DAYS_AFTER) * MS_PER_DAY
    changes: list[tuple[int, list[str], list[str]]] = []
    for stamp in _waiting(state.index, state.now_ms, final_ms):
        if stamp in damaged:
            continue
        if result.reads >= budget or stop():
            result.more = True
            break
        whole = state.now_ms - slot_start_ms(stamp) > final_ms
        try:
            chosen = _chosen(home, state.index.names[stamp], stamp, whole=whole)
            total = sum(file.count(stamp) for file in chosen.values())
            if changes and result.reads + total > budget:
                result.more = True
                break
            work = home.fresh_tmp("compaction") if not changes else work
            made = list(_write(chosen, stamp, work, f"{_MARK}{state.index.compactions + 1:08d}-{stamp}", stop))
        except (HomeError, FileNotFoundError) as error:
            damaged[stamp] = str(error)
            _LOG.warning("koma: stamp %d is not compacted: %s; koma home check says what to do", stamp, error)
            continue
        except _StoppedError:
            result.more = True
            break
        changes.append((stamp, list(chosen), made))
        result.reads += total
    if changes:
        _commit(home, journal, work, changes, result)
    shutil.rmtree(work, ignore_errors=True)
    result.damaged = dict(damaged)
    return result


def compact_held(home: Home, journal: Journal) -> int:
    """Join the files of held reads where there are more than `HELD_FILES_MAX`; return how many went.

    Large ones stay: a file is read as a whole. How many there can be follows from how many reads are held.
    """
    state, folder = journal.state, home.path("held")
    sizes = {name: (folder / name).stat().st_size for name in state.held}
    small = [name for name in state.held if sizes[name] < HELD_BYTES_MAX]
    if len(small) <= HELD_FILES_MAX or state.announced:
        return 0
    gone: list[str] = []
    for name in small:
        if gone and sum(sizes[each] for each in gone) + sizes[name] > HELD_BYTES_MAX:
            break
        gone.append(name)
    made = f"{_MARK}{state.index.compactions + 1:08d}-held.col"
    work = home.fresh_tmp("held")
    join_held([folder / name for name in gone], work / made)
    sync_file(work / made)
    (work / made).rename(folder / made)
    sync_directory(folder)
    journal.append({"kind": "held", "names": [made], "gone": gone})
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(work)
    return len(gone)


def _waiting(index: StampIndex, now_ms: int, final_ms: int) -> list[int]:
    """Return the stamps that are to be compacted, those with the most files first."""
    found = []
    for stamp, names in index.names.items():
        if len(names) == 1:
            continue
        age_ms = now_ms - slot_start_ms(stamp)
        loose = sum(not name.startswith(_MARK) for name in names)
        if age_ms >= SETTLED_MS and (loose > LOOSE_MAX or loose == len(names) or (loose and age_ms > final_ms)):
            found.append((-len(names), stamp))
    return [stamp for _, stamp in sorted(found)]


def _chosen(home: Home, names: Sequence[str], stamp: int, *, whole: bool) -> dict[str, RegisterFile]:
    """Open the files to be replaced: all, or those that came since and the compacted ones that are small beside it."""
    folder = home.path("registers")
    files = {name: RegisterFile.open(folder / name) for name in names if whole or not name.startswith(_MARK)}
    if whole:
        return files
    total = sum(file.count(stamp) for file in files.values())
    others = {name: RegisterFile.open(folder / name) for name in names if name.startswith(_MARK)}
    for name in sorted(others, key=lambda name: others[name].count(stamp)):
        count = others[name].count(stamp)
        if count >= SMALL * total:
            break
        files[name] = others[name]
        total += count
    return files


def _write(
    chosen: dict[str, RegisterFile], stamp: int, work: Path, stem: str, stop: Callable[[], bool]
) -> Iterator[str]:
    """Write what the files elect at a stamp, durable; yield the names of the files it takes."""
    sections: list[Section] = []
    number = 0
    every = sorted({shard for file in chosen.values() for shard in file.shards(stamp)})
    for shard in every:
        if stop():
            raise _StoppedError
        sections.append(_elected(chosen, stamp, shard))
        if shard == every[-1] or sum(len(each.local) for each in sections) >= FILE_READS_MAX:
            name = f"{stem}-{number:02d}.col"
            write_columns(work / name, section_columns(sections, counted=True))
            sync_file(work / name)
            sections, number = [], number + 1
            yield name


def _elected(chosen: dict[str, RegisterFile], stamp: int, shard: int) -> Section:
    """Return the reads that count among those of some files."""
    parts = [reads for file in chosen.values() for reads in file.reads(*file.sections(stamp, shard))]
    column = Column.formed(stamp, parts)
    local = column.present()
    return Section(stamp, shard, local.astype(np.uint32), column.values(local), column.arrivals(local))


def _commit(
    home: Home, journal: Journal, work: Path, changes: list[tuple[int, list[str], list[str]]], result: Compacted
) -> None:
    """Put the new files in place, then write the record, then remove what no stamp needs any more."""
    folder, uses = home.path("registers"), journal.state.index.uses
    made = [name for _, _, names in changes for name in names]
    for name in made:
        (work / name).rename(folder / name)
    sync_directory(folder)
    journal.append({"kind": "compact", "stamps": changes})
    gone = sorted({name for _, names, _ in changes for name in names if name not in uses})
    close_files(folder / name for name in gone)
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    result.stamps, result.gone, result.made = len(changes), len(gone), len(made)
