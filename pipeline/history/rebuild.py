# SPDX-License-Identifier: Apache-2.0
"""A history made anew from raw hand-over files: what the registers say, beside what the standing history says.

A home of its own, with a copy of the master and of the operator's decisions, takes all hand-over files in as if they
had landed at once. A register is what it is however it came, so the last states of cells have to be the same.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import HistoryError
from koma.settings import Settings
from koma.slots import JST, MS_PER_SLOT, first_slot_of_day, slot_date
from pipeline.history.catalogue import newest
from pipeline.history.files import Files, store_files
from pipeline.history.merge import ALL
from pipeline.history.reading import IntervalStore, Wanted
from pipeline.history.rows import Rows, merged
from pipeline.history.store import update
from pipeline.home import Home, open_home
from pipeline.journal import Journal, State, read_state
from pipeline.quality import QUALITIES, WITHDRAWN, has_value
from pipeline.run import run_once

DIFFERENCES: Final = "differences.parquet"
_SCHEMA: Final = pa.schema(
    [
        ("point_id", pa.string()),
        ("slot_start", pa.timestamp("ms", "Asia/Tokyo")),
        ("retailer_code", pa.string()),
        ("energy_dwh", pa.int64()),
        ("quality", pa.string()),
        ("standing_energy_dwh", pa.int64()),
        ("standing_quality", pa.string()),
    ]
)
"""Null where the cell stands in one of both alone."""


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild came to: cells of the new history, those that differ, those only the standing one has."""

    until_ms: int
    cells: int = 0
    different: int = 0
    only_old: int = 0


def rebuild(home: Home, settings: Settings, sources: Sequence[Path], into: Path, begin: date | None = None) -> Rebuilt:
    """Make a history in `into` from hand-over files, and compare it with the home's.

    Args:
        home: whose master and decisions count; its own hand-over files unless others are named.
        settings: of the home.
        sources: hand-over files, and folders of them.
        into: folder of the new history.
        begin: its first day; unless given the home's first, or the first whose hand-over files are kept.

    Raises:
        HistoryError: `into` is not empty, there is no hand-over file, or it takes in none of them.

    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        full = any(into.iterdir())
    except OSError as error:
        raise HistoryError(
            f"{into} cannot be written: {error.strerror}", hint="name a folder where you may make one"
        ) from None
    if full:
        raise HistoryError(f"{into} is not empty", hint="name a folder that is not there yet")
    handovers = list(_handovers(sources or [home.path("taken")]))
    if not handovers:
        raise HistoryError(
            "there is no hand-over file to make a history from",
            hint="name a folder of them with --from; the home keeps its own KOMA_KEEP_HANDOVERS_DAYS",
        )
    state = read_state(home.path("journal"))
    first_slot = _first_slot(home, state, begin, own=not sources)
    scratch = into / ".home"
    made = _scratch_home(home, state, first_slot, scratch)
    for number, path in enumerate(handovers):
        _link(path, made.landing / f"{number:08d}-{path.name}")
    anew = replace(settings, home=scratch, history=str(into))
    run_once(made, anew, wall_ms=state.issued_ms, accept_clock=True, xml=False)
    until_ms = update(made, anew).until_ms
    shutil.rmtree(scratch)
    return _compared(IntervalStore(Files(str(into))), IntervalStore(store_files(home, settings)), until_ms, into)


def _handovers(sources: Sequence[Path]) -> Iterator[Path]:
    for source in sources:
        if not source.exists():
            raise HistoryError(f"{source} is not there", hint="name hand-over files or folders of them")
        found = [source] if source.is_file() else sorted(source.rglob("*"))
        yield from (each for each in found if each.is_file() and not each.name.startswith("."))


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # another file system
        shutil.copyfile(path, target)


def _first_slot(home: Home, state: State, begin: date | None, *, own: bool) -> int:
    """Return the first slot of the new history.

    Where older hand-over files are no longer kept, registers of the first day that is lie in files of the day before.
    Those of a home's first day may have been taken in on the next one.
    """
    if state.first_slot is None:
        raise HistoryError(f"{home.root} has issued nothing yet", hint="there is no history to make anew")
    if begin is not None:
        return max(state.first_slot, first_slot_of_day(begin))
    kept = sorted(each.name for each in home.path("taken").iterdir() if each.is_dir()) if own else []
    first = datetime.strptime(kept[0], "%Y%m%d").replace(tzinfo=JST).date() if kept else None
    if first is None or first <= slot_date(state.first_slot) + timedelta(days=1):
        return state.first_slot
    return first_slot_of_day(first + timedelta(days=1))


def _scratch_home(home: Home, state: State, first_slot: int, root: Path) -> Home:
    made = open_home(root)
    shutil.copytree(home.path("master"), made.path("master"), dirs_exist_ok=True)
    journal = Journal(made.path("journal"))
    journal.append({"kind": "start", "first_slot": first_slot})
    for each in state.supersessions:
        decision = {name: getattr(each, name) for name in ("shard", "local", "stamp", "value", "from_ms")}
        journal.append({"kind": "supersede"} | decision)
    journal.close()
    return made


def _compared(made: IntervalStore, standing: IntervalStore, until_ms: int, into: Path) -> Rebuilt:
    """Set the last states of both beside each other, in the slots that the new one has."""
    result = Rebuilt(until_ms)
    parts = newest(made.files).parts
    if not parts:
        raise HistoryError("the hand-over files hold no read of a slot", hint="look at what they are")
    wanted = Wanted(
        first_slot=min(each.first_slot for each in parts), end_slot=min(until_ms // MS_PER_SLOT, _end(standing))
    )
    with pq.ParquetWriter(into / DIFFERENCES, _SCHEMA, compression="zstd") as writer:
        for new, old in _side_by_side(made, standing, wanted):
            table, cells, only_old = _differences(new, old)
            result.cells += cells
            result.different += table.num_rows
            result.only_old += only_old
            writer.write_table(table)
    return result


def _end(store: IntervalStore) -> int:
    """Return the slot before which all of a history's slots have ended."""
    return store.until_ms() // MS_PER_SLOT


def _side_by_side(made: IntervalStore, standing: IntervalStore, wanted: Wanted) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows of both, of the same points."""
    begin = ALL[0]
    for new in made.scan(wanted):
        end = new.ids[new.rank[-1]].decode() + "!" if len(new) else begin
        yield new, merged(list(standing.scan(wanted, (begin, end))))
        begin = end
    yield Rows.empty(), merged(list(standing.scan(wanted, (begin, ALL[1]))))


def _differences(new: Rows, old: Rows) -> tuple[Any, int, int]:
    """Return the cells that differ, how many the new history has, and how many only the old one has.

    What was withdrawn is not compared: it tells of an order of events, not of a value.
    """
    new, old = (each.take(each.quality != WITHDRAWN) for each in (new, old))
    ids = np.union1d(new.ids, old.ids)
    sides = [_keyed(each, ids) for each in (new, old)]
    keys = np.union1d(sides[0], sides[1])
    energy, quality = np.full((2, len(keys)), -1, np.int64), np.full((2, len(keys)), -1, np.int16)
    for k, (rows, key) in enumerate(zip((new, old), sides, strict=True)):
        place = np.searchsorted(keys, key)
        energy[k, place] = np.where(has_value(rows.quality), rows.energy, -1)
        quality[k, place] = rows.quality
    differ = (energy[0] != energy[1]) | (quality[0] != quality[1])
    shown = keys[differ]
    words = pa.array([*QUALITIES, None])
    columns = [
        pa.array(ids[shown["rank"]].astype("U")),
        pa.array(shown["slot"].astype(np.int64) * MS_PER_SLOT).view(_SCHEMA.field("slot_start").type),
        pa.array([f"{code:05d}" for code in shown["retailer"].tolist()], pa.string()),
    ]
    for k in range(2):
        told = energy[k][differ]
        columns += [pa.array(told, mask=told < 0), words.take(pa.array(quality[k][differ] % len(words)))]
    return pa.table(columns, schema=_SCHEMA), len(new), int((quality[0] < 0).sum())


def _keyed(rows: Rows, ids: Any) -> Any:
    """Return point, slot and retailer of each row as a record that orders them."""
    keys = np.empty(len(rows), [("rank", np.int32), ("slot", np.int32), ("retailer", np.int32)])
    keys["rank"] = np.searchsorted(ids, rows.ids).astype(np.int32)[rows.rank]
    keys["slot"], keys["retailer"] = rows.slot, rows.retailer
    return keys
