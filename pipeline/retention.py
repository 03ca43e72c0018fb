# SPDX-License-Identifier: Apache-2.0
"""Retention: what a home keeps only for a time, and what a crash left behind.

Only a home that goes on by the wall clock forgets of itself; a replay over old data keeps all it issues. Ages are those
of business time, of the last instant issued. Master, journal, ledger, held reads and quarantine stay.
"""

import json
import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from koma.errors import HistoryError
from koma.settings import Settings
from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE, format_jst, slot_at_ms
from pipeline.history.catalogue import newest
from pipeline.history.files import store_files
from pipeline.home import BusyError, Home, sync_filesystem
from pipeline.instants import closing_ms
from pipeline.journal import NEVER, Journal, State
from pipeline.registers import close_files, drop_before

MANIFESTS = "manifest*.jsonl"
"""Of the slots, and of the longer products beside them."""
COLUMNS_KEPT_MS = MS_PER_DAY
"""In memory, when a day begins: the day's that has just ended, of which the daily file is about to be made."""
SURVEYS_DAYS = 46
"""A slot is revised every day until day 45."""
_FOREVER_MS = 1 << 62
_LOG = logging.getLogger(__name__)
LEFTOVER_S = 3600
"""A file that nobody names may be about to be named, for as long as an intake takes."""


@dataclass(slots=True)
class Forgotten:
    """What was removed: day folders of deliveries, hand-over files, estimates, surveys; registers; files of no use."""

    deliveries: list[Path] = field(default_factory=list)
    handovers: list[Path] = field(default_factory=list)
    registers: list[Path] = field(default_factory=list)
    estimates: list[Path] = field(default_factory=list)
    surveys: list[Path] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)


def forget(home: Home, journal: Journal, settings: Settings, now_ms: int) -> Forgotten:
    """Remove what has been kept long enough at `now_ms`; the caller is the home's sole writer and between two steps.

    While an issue is announced deliveries stay: it may have put files into an old folder that no manifest tells of yet.
    """
    drop_before(slot_at_ms(now_ms - COLUMNS_KEPT_MS))
    return Forgotten(
        []
        if journal.state.announced
        else forget_deliveries(home, now_ms, settings.deliveries_days, _taken_ms(home, settings)),
        forget_handovers(home, now_ms, settings.keep_handovers_days),
        forget_registers(home, journal, now_ms, settings.keep_registers_days)
        + forget_minutes(home, journal, now_ms, settings.keep_channels_days),
        forget_estimates(home, now_ms, settings.keep_registers_days),
        forget_surveys(home, now_ms),
        remove_leftovers(home, journal.state),
    )


def forget_between_runs(home: Home, settings: Settings, now_ms: int) -> Forgotten | None:
    """Do what `forget` does as the home's writer; None where another one has begun, whose turn it now is."""
    try:
        with home.sole_writer("retention"):
            journal = Journal(home.path("journal"))
            try:
                return forget(home, journal, settings, now_ms)
            finally:
                journal.close()
    except BusyError:
        return None


def _taken_ms(home: Home, settings: Settings) -> int:
    """Return up to when deliveries have been taken into the history; without a history nothing waits for one."""
    try:
        catalogue = newest(store_files(home, settings))
    except (HistoryError, OSError) as error:
        _LOG.warning("koma: deliveries stay until the history can be read: %s", error)
        return NEVER
    return catalogue.until_ms if catalogue.number else _FOREVER_MS


def forget_deliveries(home: Home, issued_ms: int, days: int, taken_ms: int = _FOREVER_MS) -> list[Path]:
    """Remove the day folders of which every file was issued more than `days` before `issued_ms`; returns them.

    What was issued after `taken_ms` stays: the history has yet to take it.
    Manifests go first, durably, so that nobody is told of a file that is going; an old folder without any is what a
    crash left of that, and goes too.
    """
    if taken_ms == NEVER:
        return []
    old_ms = issued_ms - days * MS_PER_DAY
    oldest_day, limit = format_jst(old_ms)[:10].replace("-", ""), format_jst(min(old_ms, taken_ms + 1))
    gone = [
        each for each in _day_folders(home.deliveries, "*/*") if each.name < oldest_day and _all_before(each, limit)
    ]
    manifests = [manifest for folder in gone for manifest in folder.glob(MANIFESTS)]
    for manifest in manifests:
        manifest.unlink()
    if manifests:
        sync_filesystem(home.deliveries)
    for folder in gone:
        shutil.rmtree(folder)
    return gone


def _day_folders(parent: Path, pattern: str) -> list[Path]:
    return sorted(each for each in parent.glob(pattern) if each.name.isdecimal() and len(each.name) == len("20261007"))


def _all_before(folder: Path, limit: str) -> bool:
    lines = [line for manifest in folder.glob(MANIFESTS) for line in manifest.read_bytes().splitlines()]
    return all(json.loads(line)["issued_at"] < limit for line in lines)


def forget_handovers(home: Home, now_ms: int, days: int) -> list[Path]:
    """Remove the day folders of hand-over files that were taken in more than `days` before `now_ms`; returns them."""
    return _forget_days(home.path("taken"), now_ms, days)


def forget_estimates(home: Home, now_ms: int, days: int) -> list[Path]:
    """Remove the estimates of days more than `days` before `now_ms`, as their registers; returns the folders.

    What was agreed stays: the file of it is an audit record, and no day's.
    """
    return _forget_days(home.path("estimates"), now_ms, days)


def forget_surveys(home: Home, now_ms: int) -> list[Path]:
    """Remove the surveys of slots, and the stamps beside them, that are older than any slot still looked for."""
    oldest_day = format_jst(now_ms - SURVEYS_DAYS * MS_PER_DAY)[:10].replace("-", "")
    stamps = sorted(each for each in home.path("sla").glob("stamps-*.jsonl") if each.stem < f"stamps-{oldest_day}")
    _remove(stamps)
    return stamps + _forget_days(home.path("sla"), now_ms, SURVEYS_DAYS)


def _forget_days(parent: Path, now_ms: int, days: int) -> list[Path]:
    oldest_day = format_jst(now_ms - days * MS_PER_DAY)[:10].replace("-", "")
    gone = [folder for folder in _day_folders(parent, "*") if folder.name < oldest_day]
    for folder in gone:
        shutil.rmtree(folder)
    return gone


def forget_registers(home: Home, journal: Journal, now_ms: int, days: int) -> list[Path]:
    """Remove registers of stamps more than `days` before `now_ms`; returns the files that went.

    The slots they belong to are not looked at from then on: that is durable before the first file goes.
    """
    state, before = journal.state, slot_at_ms(now_ms - days * MS_PER_DAY)
    index = state.index
    if state.announced or state.first_slot is None or before <= max(index.kept_from, state.first_slot):
        return []
    old = {name for stamp, names in index.names.items() if stamp < before for name in names}
    journal.append({"kind": "forget", "before": before, "extras_from": closing_ms(before)})
    gone = [home.path("registers") / name for name in sorted(old - index.uses.keys())]
    _remove(gone)
    return gone


def forget_minutes(home: Home, journal: Journal, now_ms: int, days: int) -> list[Path]:
    """Remove registers between slot boundaries of stamps more than `days` before `now_ms`; returns the files.

    No issue looks at them, so none has to end first.
    """
    index, before = journal.state.minutes, slot_at_ms(now_ms - days * MS_PER_DAY, 1)
    old = {name for stamp, names in index.names.items() if stamp < before for name in names}
    if not old:
        return []
    journal.append({"kind": "forget_minutes", "before": before})
    gone = [home.path("minutes") / name for name in sorted(old - index.uses.keys())]
    _remove(gone)
    return gone


def leftovers(home: Home, state: State) -> list[Path]:
    """Return files of registers and of held reads that the journal does not name: a step that was cut off left them."""
    known = {"registers": state.index.uses, "minutes": state.minutes.uses, "held": set(state.held)}
    return [
        path
        for folder, names in known.items()
        for path in sorted(home.path(folder).iterdir())
        if path.name not in names
    ]


def remove_leftovers(home: Home, state: State) -> list[Path]:
    """Remove leftovers that are older than `LEFTOVER_S`; returns them."""
    limit = time.time() - LEFTOVER_S
    gone = [path for path in leftovers(home, state) if path.is_file() and path.stat().st_mtime < limit]
    _remove(gone)
    return gone


def _remove(paths: list[Path]) -> None:
    close_files(paths)
    for path in paths:
        path.unlink(missing_ok=True)


def day_of(ms: int) -> int:
    """Return the number of the JST day that holds an instant."""
    return (ms + JST_OFFSET_MINUTES * MS_PER_MINUTE) // MS_PER_DAY
