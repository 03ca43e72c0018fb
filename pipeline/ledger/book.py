# SPDX-License-Identifier: Apache-2.0
"""Surveys of slots as files below `sla/`: a line of counts, and a list of the points that are missing.

Each is replaced as a whole. They follow from the home's other files and may be deleted; `survey_due` makes again what
is asked for. Nothing here is synced: a survey that a crash takes away is made anew.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import HomeError
from koma.slots import MS_PER_SLOT, SLOTS_PER_DAY, format_jst, parse_jst, slot_at_ms, slot_start_ms
from pipeline.home import Home
from pipeline.instants import MINUTE_MS, SPLITS_MIN, closing_ms, slot_instants
from pipeline.ledger.causes import AVAILABLE, CAUSES, NOT_COLLECTED, STATES
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.model import NAMING_MS
from pipeline.ledger.published import Published
from pipeline.ledger.survey import Surveyed, survey_slot
from pipeline.manifests import day_name
from pipeline.master import MasterView, open_master
from pipeline.state import NEVER, State
from pipeline.trouble import what_to_do

FIRST_SURVEY_MS: Final = SPLITS_MIN[0] * MINUTE_MS
"""After a slot's end: with the first split."""
FRESH_SLOTS: Final = SLOTS_PER_DAY
"""So many of the newest slots are surveyed where nobody has done so before: their deliveries are there for sure."""
KEPT_SLOTS: Final = 45 * SLOTS_PER_DAY
"""How far back slots are looked at: as long as they are revised every day."""
AREAS_MAX: Final = 10
_LOOKED_AT: Final = re.compile(rb'\{"slot_start":"([^"]+)","issued_at":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Record:
    """The line of a slot.

    Attributes:
        slot: the slot.
        instant_ms: as of which its counts hold.
        issued_ms: the last instant issued when it was surveyed.
        batches: intakes that were known.
        states: by area (two digits), cells by state.
        arrivals: by area, from the slot's end to the arrival of the register at it.
        retailers: by code, what was expected, what has a value, and what the manifests say.
        unknown_meters: meters whose reads wait for a master that knows them.
        promised: cells due and published when the slot was closed, whatever came later; None before.
    """

    slot: int
    instant_ms: int
    issued_ms: int
    batches: int
    states: dict[str, dict[str, int]]
    arrivals: dict[str, Histogram]
    retailers: dict[str, "RetailerLine"]
    unknown_meters: int
    promised: tuple[int, int] | None

    def count(self, state: int) -> int:
        """Count the cells of a state over all areas."""
        return sum(each.get(STATES[state], 0) for each in self.states.values())


@dataclass(frozen=True, slots=True)
class RetailerLine:
    """A retailer in a slot: cells expected and with a value, rows sent, when it was closed, instants with rows."""

    areas: tuple[str, ...]
    expected: int
    available: int
    closed_ms: int | None
    sent: tuple[tuple[int, int], ...]
    """(instant, rows with a value) of revision 00."""


def place_of(home: Home, slot: int, ending: str) -> Path:
    """Return where a file of a slot lies."""
    clock = format_jst(slot_start_ms(slot))[11:16].replace(":", "")
    return home.path("sla") / day_name(slot) / f"{clock}.{ending}"


def read_record(home: Home, slot: int) -> Record | None:
    """Return the line of a slot; None where it was not surveyed, or the file is damaged and will be made anew."""
    path = place_of(home, slot, "json")
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError):
        return None


@lru_cache(maxsize=4096)
def _parsed(path: Path, _changed_ns: int) -> Record:
    values = json.loads(path.read_bytes())
    return Record(
        slot=slot_at_ms(parse_jst(values["slot_start"])),
        instant_ms=parse_jst(values["surveyed_at"]),
        issued_ms=parse_jst(values["issued_until"]),
        batches=values["intakes"],
        states=values["states"],
        arrivals={area: Histogram.of_pairs(pairs) for area, pairs in values["arrivals"].items()},
        retailers={
            code: RetailerLine(tuple(areas), expected, available, closed, tuple((at, rows) for at, rows in sent))
            for code, (areas, expected, available, closed, sent) in values["retailers"].items()
        },
        unknown_meters=values["unknown_meters"],
        promised=None if values["promised"] is None else (values["promised"][0], values["promised"][1]),
    )


def read_missing(home: Home, slot: int) -> pa.Table | None:
    """Return the points that a slot misses (position, cause, code, owner); None where it was not surveyed."""
    try:
        return pq.read_table(place_of(home, slot, "parquet"))
    except (FileNotFoundError, pa.ArrowInvalid):
        return None


def write_survey(home: Home, view: MasterView, found: Surveyed, state: State) -> None:
    """Replace the files of a slot."""
    areas = [f"{area:02d}" for area in range(1, AREAS_MAX + 1) if found.states[area].any()]
    record = {
        "slot_start": format_jst(slot_start_ms(found.slot)),
        "surveyed_at": format_jst(found.instant_ms),
        "issued_until": format_jst(state.issued_ms),
        "intakes": state.batches,
        "unknown_meters": found.unknown_meters,
        "promised": _promised(home, found),
        "states": {
            area: {word: int(count) for word, count in zip(STATES, found.states[int(area)], strict=False) if count}
            for area in areas
        },
        "arrivals": {area: Histogram(found.arrivals[int(area)]).pairs() for area in areas},
        "retailers": dict(_retailers(view, found)),
    }
    late = found.instant_ms >= slot_start_ms(found.slot) + MS_PER_SLOT + NAMING_MS
    missing = pa.table(
        {
            "position": pa.array(found.position),
            "cause": pa.array(found.cause),
            "code": pa.array(found.code.tolist(), pa.string()).dictionary_encode(),
            "owner": pa.array(found.owner),
        }
    ).slice(0, None if late else 0)
    target = place_of(home, found.slot, "json")
    target.parent.mkdir(exist_ok=True)
    fresh = target.with_name(f".{found.slot}.{os.getpid()}")
    pq.write_table(missing, fresh, compression="zstd")
    fresh.replace(place_of(home, found.slot, "parquet"))
    fresh.write_bytes(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    fresh.replace(target)  # last: what names the slot as surveyed


def _promised(home: Home, found: Surveyed) -> Sequence[int] | None:
    """Return what was due and published at the closing; a later survey keeps what the first one behind it found."""
    before = read_record(home, found.slot)
    if before is not None and before.promised is not None:
        return before.promised
    if found.instant_ms < closing_ms(found.slot):
        return None
    published = int(found.states[:, AVAILABLE].sum())
    return (published + int(found.states[:, list(CAUSES)].sum()), published)


def _retailers(view: MasterView, found: Surveyed) -> Iterator[tuple[str, list[Any]]]:
    for number in np.flatnonzero(found.told[:, :, 0].any(axis=1)).tolist():
        code, told = view.retailers[number], found.told[number]
        out = found.published.get(code, Published())
        sent: dict[int, int] = {}
        for file in out.files:
            if file.revision == 0:
                sent[file.issued_ms] = sent.get(file.issued_ms, 0) + file.available
        areas = [f"{area:02d}" for area in np.flatnonzero(told[:, 0]).tolist()]
        expected, available = told.sum(axis=0).tolist()
        yield code, [areas, expected, available, out.closed_ms, sorted(sent.items())]


def due_slots(home: Home, state: State, slots: int = FRESH_SLOTS) -> list[tuple[int, int]]:
    """Return the slots to survey and the instant as of which, the newest first.

    Those that nobody surveyed, of the `slots` newest; those that an issue has looked at since; those that had not
    closed; and those with reads missing where quarantined or held reads came since, at an instant of theirs.
    """
    if state.first_slot_kept is None or state.issued_ms == NEVER:
        return []
    newest = slot_at_ms(state.issued_ms - FIRST_SURVEY_MS) - 1
    evidence, kept = _newest_evidence(home), _oldest_delivered(home)
    found = []
    for slot in range(newest, max(state.first_slot_kept, newest - KEPT_SLOTS) - 1, -1):
        if day_name(slot) < kept and newest - slot >= slots:  # its files went: nothing can be held against them
            break
        record = read_record(home, slot)
        if _is_due(home, record, slot, evidence) if record is not None else newest - slot < slots:
            instant_ms = slot_instants(slot, state.extras).last_at(state.issued_ms)[1]
            looked_at = _looked_at(home, day_name(slot)).get(slot, NEVER)
            if record is None or record.instant_ms < instant_ms or looked_at > record.issued_ms:
                found.append((slot, instant_ms))
    return found


def _is_due(home: Home, record: Record, slot: int, evidence: int) -> bool:
    """Say whether a slot may have changed since it was surveyed."""
    looked_at = _looked_at(home, day_name(slot)).get(slot, NEVER) > record.issued_ms
    news = evidence > record.batches and record.count(NOT_COLLECTED) > 0
    return looked_at or news or record.instant_ms < closing_ms(slot)


def survey_due(home: Home, state: State, slots: int = FRESH_SLOTS) -> Iterator[int]:
    """Survey what is due, slot by slot, the newest first; yields each slot once its files are there.

    Raises:
        HomeError: a file it goes by cannot be read, or `sla/` cannot be written.

    """
    view = open_master(home.root)
    if view.n_shards == 0:
        return
    for slot, instant_ms in due_slots(home, state, slots):
        found = survey_slot(home, state, view, slot, instant_ms)
        try:
            write_survey(home, view, found, state)
        except OSError as error:
            hint = f"{what_to_do(error)}; surveys are kept there"
            raise HomeError(f"{home.path('sla')} cannot be written: {error.strerror}", hint=hint) from error
        yield slot


def surveyed_slots(home: Home, until: int, count: int) -> list[int]:
    """Return the slots among the `count` up to `until` that have been surveyed, ascending."""
    return [slot for slot in range(until - count + 1, until + 1) if place_of(home, slot, "json").exists()]


def _oldest_delivered(home: Home) -> str:
    """Return the oldest day of which deliveries are kept; empty where there are none."""
    return min((each.name for each in home.deliveries.glob("*/*") if each.name.isdecimal()), default="")


def _newest_evidence(home: Home) -> int:
    """Return the number of the last intake that left something in quarantine or among the held reads."""
    names = [
        path.name[:8]
        for folder, ending in (("quarantine", "parquet"), ("held", "col"))
        for path in home.path(folder).glob(f"*.{ending}")
    ]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _looked_at(home: Home, day: str) -> dict[int, int]:
    path = home.path("ledger") / f"slots-{day}.jsonl"
    try:
        status = path.stat()
    except FileNotFoundError:
        return {}
    return _issues_of(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _issues_of(path: Path, _changed_ns: int, _size: int) -> dict[int, int]:
    """Return the last instant at which an issue looked at each slot of a day."""
    found: dict[int, int] = {}
    for line in path.read_bytes().splitlines():
        head = _LOOKED_AT.match(line)
        if head is not None:
            found[slot_at_ms(parse_jst(head[1].decode()))] = parse_jst(head[2].decode())
    return found
