# SPDX-License-Identifier: Apache-2.0
"""Which slots of which points an import may have changed: what has to be looked at again."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_SLOT
from pipeline.master.ledger import Ledger
from pipeline.master.view import FIRST_SLOT, OPEN_SLOT

Slots = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Slots `[from_slot, to_slot)` whose cells may differ from `rec_ms` on, by row of a ledger."""

    row: NDArray[np.int64]
    from_slot: Slots
    to_slot: Slots


def changes_of(ledger: Ledger) -> Changes:
    """Changes that the rows of an import bring."""
    row = np.flatnonzero(ledger.applied()[ledger.n_old :]) + ledger.n_old
    return _CHANGES[ledger.name](ledger, row, ledger.previous[row])


def _of_points(ledger: Ledger, row: NDArray[np.int64], before: NDArray[np.int32]) -> Changes:
    """Other voltage, telemetry or cap: all slots. A new point has no cell before its supply begins."""
    row, before = row[before >= 0], before[before >= 0]
    row = row[_differ(ledger, ("voltage", "telemetry", "cap_dwh"), row, before)]
    return Changes(row, np.full(len(row), FIRST_SLOT, np.int32), np.full(len(row), OPEN_SLOT, np.int32))


def _of_supply(ledger: Ledger, row: NDArray[np.int64], before: NDArray[np.int32]) -> Changes:
    """Other retailer or balancing group: all slots of both rows; only another end: the slots between the ends."""
    start, end = ledger.column("from_slot"), ledger.column("to_slot")
    replaced = before >= 0
    old_end = np.where(replaced, end[before], start[row])
    other = replaced & _differ(ledger, ("retailer", "bg"), row, before)
    first = np.where(other, start[row], np.minimum(end[row], old_end))
    return _changes(row, first, np.maximum(end[row], old_end))


def _of_meters(ledger: Ledger, row: NDArray[np.int64], before: NDArray[np.int32]) -> Changes:
    """Other digits, unit, coefficient: the whole time; only another register or end: the slots that touch it."""
    start, end = ledger.column("from_ms"), ledger.column("to_ms")
    replaced = before >= 0
    old_end = np.where(replaced, end[before], start[row])
    lasts = np.maximum(end[row], old_end)
    firsts = np.minimum(end[row], old_end) - 1  # the slot that ends there takes its end register from elsewhere now
    scaled = replaced & _differ(ledger, ("digits", "unit_exponent", "coefficient"), row, before)
    begun = replaced & ~scaled & _differ(ledger, ("first",), row, before)
    moved = ~replaced | (end[row] != old_end) | _differ(ledger, ("last",), row, before)
    whole = ~replaced | scaled | (start[row] == old_end) | ledger.closed[row]
    wide = _floor(np.where(whole, start[row], firsts)), _ceil(lasts)
    kept = (moved | scaled) & (lasts > start[row])
    begin = _floor(start[row[begun]])
    return Changes(
        np.concatenate([row[kept], row[begun]]),
        np.concatenate([wide[0][kept], begin]).astype(np.int32),
        np.concatenate([wide[1][kept], begin + 1]).astype(np.int32),
    )


def _changes(row: NDArray[np.int64], first: NDArray[Any], end: NDArray[Any]) -> Changes:
    kept = first < end
    return Changes(row[kept], first[kept].astype(np.int32), end[kept].astype(np.int32))


def _differ(
    ledger: Ledger, names: tuple[str, ...], row: NDArray[np.int64], before: NDArray[np.int32]
) -> NDArray[np.bool_]:
    differ = np.zeros(len(row), bool)
    for name in names:
        column = ledger.column(name)
        differ |= column[row] != column[before]
    return differ


def _floor(ms: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(ms // MS_PER_SLOT, FIRST_SLOT, OPEN_SLOT)


def _ceil(ms: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(-(-ms // MS_PER_SLOT), FIRST_SLOT, OPEN_SLOT)


_CHANGES = {"points": _of_points, "meters": _of_meters, "supply": _of_supply}
