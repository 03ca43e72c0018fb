# SPDX-License-Identifier: Apache-2.0
"""Proof of the store: its files against their checksums, and its rows against the deliveries that are still kept."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from koma.errors import HistoryError
from koma.settings import Settings
from pipeline.history import taking
from pipeline.history.catalogue import PARTS, Catalogue, newest
from pipeline.history.files import Files, store_files
from pipeline.history.parts import bounds_of, file_name, index_of
from pipeline.history.reading import IntervalStore, Wanted
from pipeline.history.rows import Rows, merged
from pipeline.home import Home
from pipeline.manifests import day_name

_TEXTS: Final = {"damaged": "its bytes are not those that were written", "gone": "the catalogue lists it"}


@dataclass(slots=True)
class Proof:
    """What was looked at, and what was found wrong."""

    files: int = 0
    rows: int = 0
    days: int = 0
    findings: list[dict[str, Any]] = field(default_factory=list)


def verify(home: Home, settings: Settings) -> Proof:
    """Hold a home's history against its sums and against the deliveries that are kept."""
    files = store_files(home, settings)
    proof = Proof()
    with home.in_turn("history"):
        catalogue = newest(files)
        for part in catalogue.parts:
            proof.findings += _of_part(files, part.name, proof)
        if not proof.findings:
            proof.findings += _of_days(home, IntervalStore(files), catalogue, proof)
    return proof


def _of_part(files: Files, part: str, proof: Proof) -> Iterator[dict[str, Any]]:
    try:
        index = index_of(files, part)
        bounds_of(files, part)
    except FileNotFoundError:
        yield _finding(f"{PARTS}/{part}", "gone", _TEXTS["gone"])
        return
    except HistoryError as error:
        yield _finding(f"{PARTS}/{part}", "damaged", error.message)
        return
    for number, crc32 in enumerate(index.crc32):
        name = file_name(part, number)
        proof.files += 1
        try:
            if zlib.crc32(files.read(name)) != crc32:
                yield _finding(name, "damaged", _TEXTS["damaged"])
        except FileNotFoundError:
            yield _finding(name, "gone", _TEXTS["gone"])


def _finding(what: str, code: str, detail: str) -> dict[str, Any]:
    return {"what": what, "code": code, "detail": detail, "do": "koma history rebuild"}


def _of_days(home: Home, store: IntervalStore, catalogue: Catalogue, proof: Proof) -> Iterator[dict[str, Any]]:
    for difference in differences(home, store, catalogue, proof):
        if isinstance(difference, HistoryError):
            yield _finding("deliveries", "delivery", difference.message)
        else:
            day, points = difference
            yield _finding(day, "rows", f"{sum(points.values()):,} rows are not those delivered")


def differences(
    home: Home, store: IntervalStore, catalogue: Catalogue, proof: Proof, wanted_day: str = ""
) -> Iterator[tuple[str, dict[str, int]] | HistoryError]:
    """Yield the days of which rows differ between deliveries and history, with points and rows; what cannot be read.

    Args:
        home: whose deliveries are looked at.
        store: the history.
        catalogue: its newest.
        proof: counts what was looked at.
        wanted_day: YYYYMMDD; every day that is kept unless given.

    """
    days: set[str] = set()
    for batch in taking.kept_batches(home, catalogue, wanted_day):
        days |= {day_name(each.slot) for each in batch}
        try:
            delivered = taking.gathered(batch)
        except HistoryError as error:
            yield error
            continue
        proof.rows += len(delivered)
        yield from sorted(_differing(delivered, _stored(store, batch)).items())
    proof.days = len(days)


def _stored(store: IntervalStore, batch: Sequence[taking.Issue]) -> Rows:
    """Return what the store holds of the slots and retailers of some delivery files."""
    slots = np.array(sorted({each.slot for each in batch}))
    pairs = np.unique([each.slot * 100_000 + int(each.retailer) for each in batch])
    wanted = Wanted(first_slot=int(slots[0]), end_slot=int(slots[-1]) + 1, every_state=True)
    found = []
    for block in store.scan(wanted):
        mask = np.isin(block.slot.astype(np.int64) * 100_000 + block.retailer, pairs)
        found.append(block.take(mask))
    return merged(found)


def _differing(one: Rows, other: Rows) -> dict[str, dict[str, int]]:
    """Count by day and point the rows that stand in one of both alone."""
    if one.same_as(other):
        return {}
    ids = np.union1d(one.ids, other.ids)
    both = [_numbers(each, ids) for each in (one, other)]
    alone = np.concatenate([both[0][~np.isin(both[0], both[1])], both[1][~np.isin(both[1], both[0])]])
    days: dict[str, dict[str, int]] = {}
    places, counts = np.unique(alone[["slot", "rank"]], return_counts=True)
    for (slot, rank), count in zip(places.tolist(), counts.tolist(), strict=True):
        points = days.setdefault(day_name(slot), {})
        point = bytes(ids[rank]).decode()
        points[point] = points.get(point, 0) + count
    return days


def _numbers(rows: Rows, ids: Any) -> Any:
    """Return rows as records that can be compared."""
    columns = rows.columns() | {"rank": np.searchsorted(ids, rows.ids).astype(np.int32)[rows.rank]}
    records = np.empty(len(rows), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        records[name] = column
    return records
