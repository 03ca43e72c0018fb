# SPDX-License-Identifier: Apache-2.0
"""Agreed values (協議値): what operator and retailer settle on where a meter failed, entered by a person.

Each act is one line of `estimates/agreed.jsonl`, with who, when and why. Lines are only ever added: a withdrawal is a
further line, and what was agreed before then holds again. Of several values for a cell the one agreed last holds.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.errors import EstimateError
from koma.slots import format_jst, format_utc, parse_jst, slot_at_ms, slot_start_ms
from pipeline.columns import replace_file
from pipeline.estimates.estimate_kernels import Agreed
from pipeline.estimates.share_kernels import share
from pipeline.home import Home
from pipeline.master import MasterView, open_master

LOG: Final = "agreed.jsonl"
SLOTS_MAX: Final = 400 * 48
"""A mistyped year would agree on decades."""
ENERGY_MAX_DWH: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Agreement:
    """A value agreed for the slots [first, end) of a point.

    Attributes:
        number: counts from 1 in the order they were entered.
        point_id: of the point.
        first: slot.
        end: slot, exclusive.
        energy_dwh: of all slots together; they share it evenly.
        by: who entered it.
        why: the reason, and what it is based on.
        at: when it was entered, ISO 8601 UTC.
        withdrawn: the line that withdrew it, None while it holds.
    """

    number: int
    point_id: str
    first: int
    end: int
    energy_dwh: int
    by: str
    why: str
    at: str
    withdrawn: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as people read it."""
        return {
            "number": self.number,
            "point_id": self.point_id,
            "from": format_jst(slot_start_ms(self.first)),
            "to": format_jst(slot_start_ms(self.end)),
            "energy_dwh": self.energy_dwh,
            "by": self.by,
            "why": self.why,
            "at": self.at,
            "withdrawn": self.withdrawn,
        }


def agreements(home: Home) -> list[Agreement]:
    """Return all that was ever agreed, in the order it was entered.

    Raises:
        EstimateError: a line is damaged.

    """
    path = _log(home)
    if not path.exists():
        return []
    found: list[Agreement] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            _take(found, json.loads(line))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            message = f"line {number} of {path} is damaged: {error}"
            raise EstimateError(message, hint="restore the file from a copy of the home") from error
    return found


def _take(found: list[Agreement], record: dict[str, Any]) -> None:
    if record["act"] == "agree":
        first, end = (slot_at_ms(parse_jst(record[name])) for name in ("from", "to"))
        names = ("number", "point_id", "energy_dwh", "by", "why", "at")
        found.append(Agreement(first=first, end=end, **{name: record[name] for name in names}))
        return
    each = found[record["number"] - 1]
    told = {name: record[name] for name in ("by", "why", "at")}
    values = {name: getattr(each, name) for name in Agreement.__slots__}
    found[record["number"] - 1] = Agreement(**values | {"withdrawn": told})


def agree(
    home: Home, point_id: str, first: int, end: int, energy_dwh: int, *, by: str, why: str, now_ms: int
) -> Agreement:
    """Enter a value for the slots [first, end) of a point; they share it evenly.

    Raises:
        EstimateError: the point is not known, the range is empty or too long, the energy is no amount of use, or it is
            not said who and why.

    """
    _attributed(by, why)
    if not 0 < end - first <= SLOTS_MAX:
        raise EstimateError(f"{end - first} slots are agreed on", hint=f"--to lies 1 to {SLOTS_MAX} slots after --from")
    if not 0 <= energy_dwh <= ENERGY_MAX_DWH:
        raise EstimateError(f"{energy_dwh} dWh are no energy a point can use", hint="Give kWh, 0 or more")
    if position_of(open_master(home.root, None), point_id) < 0:
        raise EstimateError(f"the master knows no supply point {point_id}", hint="Look at its 22 digits")
    with home.in_turn("agree"):
        number = len(agreements(home)) + 1
        each = Agreement(number, point_id, first, end, energy_dwh, by.strip(), why.strip(), format_utc(now_ms))
        record = {name: value for name, value in each.as_json().items() if name != "withdrawn"}
        _append(home, {"act": "agree"} | record)
        return each


def withdraw(home: Home, number: int, *, by: str, why: str, now_ms: int) -> Agreement:
    """Withdraw an agreed value; it stays in the file.

    Raises:
        EstimateError: there is none of this number, it is withdrawn already, or it is not said who and why.

    """
    _attributed(by, why)
    with home.in_turn("agree"):
        known = agreements(home)
        if not 1 <= number <= len(known):
            raise EstimateError(f"there is no agreed value {number}", hint="koma agree list --all shows all")
        if known[number - 1].withdrawn is not None:
            raise EstimateError(
                f"agreed value {number} is withdrawn already", hint="koma agree list --all shows by whom"
            )
        told = {"by": by.strip(), "why": why.strip(), "at": format_utc(now_ms)}
        _append(home, {"act": "withdraw", "number": number} | told)
        return agreements(home)[number - 1]


def _attributed(by: str, why: str) -> None:
    if not (by.strip() and why.strip()):
        raise EstimateError("it is not said who decides and why", hint="Give --by NAME and --why TEXT")


def _log(home: Home) -> Path:
    return home.path("estimates") / LOG


def _append(home: Home, record: dict[str, Any]) -> None:
    """Add a line, durable on return; a crash leaves the file as it was."""
    path = _log(home)
    before = path.read_bytes() if path.exists() else b""
    replace_file(path, before + json.dumps(record, ensure_ascii=False).encode() + b"\n")


def position_of(view: MasterView, point_id: str) -> int:
    """Return the position of a point in a master version, -1 where it is not known."""
    wanted, low, high = point_id.encode(), 0, view.n_points
    while low < high:
        middle = (low + high) // 2
        if view.point_id[view.order[middle]].tobytes() < wanted:
            low = middle + 1
        else:
            high = middle
    found = low < view.n_points and view.point_id[view.order[low]].tobytes() == wanted
    return int(view.order[low]) if found else -1


@dataclass(frozen=True, slots=True)
class Cells:
    """Agreed values in force, a row a cell, ascending by position and slot.

    Attributes:
        position: of the point.
        slot: of the cell.
        energy: dWh.
        number: of the agreement.
    """

    position: NDArray[np.uint32]
    slot: NDArray[np.int32]
    energy: NDArray[np.int64]
    number: NDArray[np.int64]

    def of(self, position: NDArray[np.uint32]) -> Agreed:
        """Return those of some points as kernels take them."""
        first = np.searchsorted(self.position, position, "left")
        count = np.searchsorted(self.position, position, "right") - first
        ends = np.cumsum(count)
        row = np.repeat(first - (ends - count), count) + np.arange(int(count.sum()))
        of = np.concatenate([[0], ends]).astype(np.int64)
        return Agreed(of, self.slot[row], self.energy[row], self.number[row])


def in_force(known: Sequence[Agreement], view: MasterView, first: int, end: int) -> Cells:
    """Return the agreed values of the slots [first, end); of several for a cell the one entered last."""
    parts = [_cells(each, view) for each in known if each.withdrawn is None and each.first < end and each.end > first]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.empty(0, np.int64)] * 4
    position, slot, energy, number = columns
    order = np.lexsort((number, slot, position))
    position, slot, energy, number = (column[order] for column in columns)
    last = np.ones(len(order), np.bool_)
    last[:-1] = (position[1:] != position[:-1]) | (slot[1:] != slot[:-1])
    last &= (slot >= first) & (slot < end) & (position >= 0)
    return Cells(position[last].astype(np.uint32), slot[last].astype(np.int32), energy[last], number[last])


def _cells(each: Agreement, view: MasterView) -> tuple[NDArray[np.int64], ...]:
    """Return (position, slot, energy, number) of an agreement's slots."""
    slots = each.end - each.first
    energy = np.empty(slots, np.int64)
    share(each.energy_dwh, np.ones(slots, np.int64), energy)
    position, number = np.full(slots, position_of(view, each.point_id)), np.full(slots, each.number)
    return position, np.arange(each.first, each.end), energy, number
