# SPDX-License-Identifier: Apache-2.0
"""Repair by a person: hand quarantined reads over again, or decide a conflict. Each act keeps who and why.

Acts take turns by a lock of their own, not the home's: a `pipeline run --watch` holds that one for as long as it runs,
and handing over again beside it is what its operator wants.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import HomeError
from koma.slots import MS_PER_SLOT
from pipeline.columns import replace_file
from pipeline.handover.write import SCHEMA
from pipeline.home import Home
from pipeline.journal import Journal, Supersession
from pipeline.landing import put
from pipeline.master import MasterView, open_master
from pipeline.master.carries import Carries
from pipeline.master.view import OPEN_MS

LOG = "replayed.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One quarantine row with its id, `<intake>-<row>`."""

    id: str
    row: dict[str, Any]


def entries(home: Home, *, code: str = "", settled: bool = False) -> Iterator[Entry]:
    """Yield quarantine rows, oldest intake first; those already replayed or superseded only with `settled`.

    Raises:
        HomeError: a file of quarantine cannot be read.

    """
    done = {record["id"] for record in _log(home)}
    for path in sorted(home.path("quarantine").glob("*.parquet")):
        for number, row in enumerate(_sayable(rows_of(path)).to_pylist()):
            entry = Entry(f"{int(path.stem)}-{number}", row)
            if (settled or entry.id not in done) and code in ("", row["code"]):
                yield entry


def rows_of(path: Path) -> pa.Table:
    """Read a file of quarantine.

    Raises:
        HomeError: it cannot be read.

    """
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise HomeError(
            f"{path} cannot be read: {error}",
            hint="restore it from a copy of the home; without one, move it out: what it holds must be handed over anew",
        ) from error


def _sayable(rows: pa.Table) -> pa.Table:
    """Leave out times at the very ends of the calendar: no datetime can carry them in every zone."""
    for name in ("read_at", "received_at"):
        times = rows[name]
        fits = pa.compute.is_in(pa.compute.year(times.cast(pa.timestamp("ms"))), pa.array(range(2, 9999), pa.int64()))
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.compute.if_else(fits, times, None))
    return rows


def _log(home: Home) -> list[dict[str, Any]]:
    path = home.path("quarantine") / LOG
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _record(home: Home, ids: Iterable[str], act: str, by: str, why: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    lines = [*_log(home), *({"id": each, "act": act, "by": by, "why": why, "at": at} for each in ids)]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    replace_file(home.path("quarantine") / LOG, text.encode())


def _wanted(home: Home, ids: Sequence[str]) -> list[Entry]:
    found = {entry.id: entry for entry in entries(home)}
    for each in ids:
        if each not in found:
            raise HomeError(f"{each} is not in quarantine", hint="koma quarantine list shows what is")
    return [found[each] for each in ids] if ids else list(found.values())


def replay(home: Home, ids: Sequence[str], *, by: str, why: str) -> tuple[Path | None, list[str], list[str]]:
    """Hand quarantined reads over again under their first arrival; without `ids`, all that can be.

    Returns the file in landing, the ids in it and the ids that cannot be replayed (what could not be read at all has to
    be corrected at its source; a conflict has to be decided).

    Raises:
        HomeError: an id is not in quarantine, or was settled already.

    """
    with home.in_turn("repair"):
        return _replay(home, _wanted(home, ids), by=by, why=why)


def _replay(home: Home, wanted: Sequence[Entry], *, by: str, why: str) -> tuple[Path | None, list[str], list[str]]:
    fit = [entry for entry in wanted if entry.row["meter_id"] and entry.row["code"] != "conflict"]
    unfit = [entry.id for entry in wanted if entry not in fit]
    if not fit:
        return None, [], unfit
    rows = pa.Table.from_pylist([{name: entry.row[name] for name in SCHEMA.names} for entry in fit])
    # before the record: reads handed over twice are duplicates, others would be lost
    target = put(home.landing, f"replay-{len(_log(home)):08d}.arrow", rows)
    _record(home, [entry.id for entry in fit], "replay", by, why)
    return target, [entry.id for entry in fit], unfit


def supersede(home: Home, entry_id: str, *, by: str, why: str) -> Supersession:
    """Decide a conflict: the quarantined read counts instead of the first one, from the next instant on.

    Raises:
        HomeError: the id is no conflict in quarantine, or the master gives the register of that time itself.

    """
    with home.in_turn("repair"):
        return _supersede(home, _wanted(home, [entry_id])[0], by=by, why=why)


def _supersede(home: Home, entry: Entry, *, by: str, why: str) -> Supersession:
    entry_id, row = entry.id, entry.row
    if row["code"] != "conflict":
        raise HomeError(f"{entry_id} is no conflict but {row['code']}", hint="replay it without --supersede")
    register = 0 if row["import_register"] is not None else 1
    value = row["import_register"] if register == 0 else row["export_register"]
    stamp_ms = int(row["read_at"].timestamp()) * 1000
    if stamp_ms % MS_PER_SLOT:
        raise HomeError(
            f"{entry_id} lies between two slot boundaries, where no register can be decided on",
            hint="the half-hours do not rest on it; its own interval keeps the value that arrived first",
        )
    master, stamp = open_master(home.root, None), stamp_ms // MS_PER_SLOT
    places = [(row["shard"], row["local"])]
    places += Carries.after(master, -1).targets(*places[0], stamp)
    if any(_given_by_master(master, shard, local, stamp_ms) for shard, local in places):
        raise HomeError(
            f"the master gives the register of meter {row['meter_id']} at {row['read_at'].isoformat()}",
            hint="correct install_register or removal_register in meters.csv and import it",
        )
    with home.sole_writer("quarantine replay --supersede"):
        journal = Journal(home.path("journal"))
        try:
            since_ms = journal.state.announced_ms + 1
            decision, *also = (Supersession(*place, stamp, value, since_ms) for place in places)
            said = {"also": [asdict(each) for each in also], "id": entry_id, "by": by, "why": why}
            journal.append({"kind": "supersede", **asdict(decision), **said})
        finally:
            journal.close()
    _record(home, [entry_id], "supersede", by, why)
    return decision


def _given_by_master(view: MasterView, shard: int, local: int, stamp_ms: int) -> bool:
    """Say whether the master has the register of an installation at a time, which no read overrules."""
    span = slice(*(int(view.install_of[view.shard_points[each]]) for each in (shard, shard + 1)))
    ours = (view.install_local[span] == local) & (view.install_rec_to[span] == OPEN_MS)
    first = (view.install_from_ms[span] == stamp_ms) & (view.install_first[span] >= 0)
    last = (view.install_to_ms[span] == stamp_ms) & (view.install_last[span] >= 0)
    return bool((ours & (first | last)).any())
