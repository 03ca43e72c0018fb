# SPDX-License-Identifier: Apache-2.0
"""Why a cell differs: the table of causes, what each means and what to do, and which holds for which cells.

A cause is given only where the data shows it. What a single cell could show by chance (a ratio, a rounding, the value
of the slot before) counts only where the same point shows it in a neighbouring slot too; else it is `unexplained`.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.compare.cells import Cells
from pipeline.quality import BACKWARD, MISSING, NO_METER, NO_TELEMETRY, REMOVED, ROLLOVER, SPIKE, WITHDRAWN

_DWH_PLACES: Final = (10, 100, 1_000, 10_000)
"""Places an energy may be rounded to: 0.001, 0.01, 0.1 and 1 kWh."""
_TENS: Final = tuple(10**k for k in range(1, 9))
_COEFFICIENT_MAX: Final = 999_999
_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for which a cell may differ."""

    code: str
    means: str
    do: str


CAUSES: Final = (
    Cause("revision", "one side stands at another revision of the same value", "Compare again when both have closed"),
    Cause("retailer", "the cell goes to different retailers", "Hold supply.csv against the contracts"),
    Cause("unknown_point", "our master does not know the point", "Import the point"),
    Cause("voltage", "our master has the point at high voltage", "Correct `voltage` of points.csv"),
    Cause("not_supplied", "no supply row of ours covers the slot", "Import the supply row, or ask why it was closed"),
    Cause("not_issued", "expected here, but not issued yet", "Compare again when the slot has closed"),
    Cause("unreadable", "a file of theirs for the slot cannot be read", "Get the file again"),
    Cause("absent", "they have no such cell", "Ask whether they know the point; else supply.csv has one too many"),
    Cause("no_value", "they have no value and we do", "Nothing, if their collection is behind"),
    Cause("missing", "a register did not reach us", "Look for the read in their collection, quarantine, held"),
    Cause(
        "backward",
        "our register runs backward in the slot or beside it",
        "Look for an exchange the master does not know",
    ),
    Cause("no_meter", "our master has no meter at the point", "Import the installation"),
    Cause("removed", "our master has the meter removed", "Import the meter that followed"),
    Cause("no_telemetry", "our master has the point without telemetry", "Correct `telemetry`"),
    Cause("shifted", "they have our value of the slot before or after", "Ask whether they name slots by their end"),
    Cause(
        "boundary", "both slots around a stamp differ, their sum does not", "Compare the register at the common stamp"
    ),
    Cause("unit", "a power of ten lies between the values", "Hold unit_exponent against the meter"),
    Cause("coefficient", "a whole factor lies between the values", "Hold coefficient against the meter"),
    Cause("rounding", "they have our value rounded", "Nothing, if they deliver fewer places"),
    Cause("rollover", "the register rolled over; they count it otherwise", "Hold digits against the meter"),
    Cause("spike", "more than the contract allows; they hold it back", "Look at the reads of the meter"),
    Cause("unexplained", "none of the above", "Compare the registers of both ends, meter by meter"),
)
"""In the order of the table that people see."""
CODES: Final = tuple(each.code for each in CAUSES)
NUMBER: Final = {code: number for number, code in enumerate(CODES)}
_OURS_WITHOUT: Final = {
    MISSING: "missing",
    BACKWARD: "backward",
    NO_METER: "no_meter",
    REMOVED: "removed",
    NO_TELEMETRY: "no_telemetry",
}


class Beside(NamedTuple):
    """Both sides of one retailer and slot: what holds in the end, and every revision."""

    ours: Cells
    theirs: Cells
    ours_ever: Cells
    theirs_ever: Cells


class _Pair(NamedTuple):
    """Energy of the same points on both sides, and where there is one."""

    ours: NDArray[np.int64]
    theirs: NDArray[np.int64]
    ours_known: NDArray[np.bool_]
    theirs_known: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where both sides have an energy."""
        return self.ours_known & self.theirs_known


def standing(cells: Cells) -> Cells:
    """Return the cells that were not taken back."""
    return cells.take(cells.quality != WITHDRAWN)


def causes_of(
    points: Cells, ours: NDArray[np.int64], theirs: NDArray[np.int64], here: Beside, before: Beside, after: Beside
) -> NDArray[np.uint8]:
    """Say why cells that both sides have differ.

    Args:
        points: the cells, as ours.
        ours: their rows in `here.ours`.
        theirs: their rows in `here.theirs`.
        here: both sides of the slot.
        before: of the slot before.
        after: of the slot after.

    Returns:
        Numbers of causes, one for each of `points`.

    """
    valued, theirs_valued = here.ours.available[ours], here.theirs.available[theirs]
    now = _Pair(here.ours.energy[ours], here.theirs.energy[theirs], valued, theirs_valued)
    both = now.known
    past, coming = _pair(points, before), _pair(points, after)
    quality = points.quality
    found = np.full(len(points), NUMBER["unexplained"], np.uint8)
    for code, holds in (  # what comes later in this list wins
        ("spike", both & (quality == SPIKE)),
        ("rollover", both & (quality == ROLLOVER)),
        ("rounding", both & _rounded(now, past, coming)),
        ("coefficient", both & _whole_factor(now, past, coming)),
        ("unit", both & _power_of_ten(now, past, coming)),
        ("boundary", both & (_same_sum(now, past) | _same_sum(now, coming))),
        ("shifted", both & _shifted(now, past, coming)),
        ("backward", both & (_is_backward(before.ours, points) | _is_backward(after.ours, points))),
        *((code, ~valued & (quality == each)) for each, code in _OURS_WITHOUT.items()),
        ("no_value", valued & ~theirs_valued),
        ("spike", valued & ~theirs_valued & (quality == SPIKE)),
        ("rollover", valued & ~theirs_valued & (quality == ROLLOVER)),
        (
            "revision",
            _ever(here.ours_ever, points, here.theirs, theirs) | _ever(here.theirs_ever, points, here.ours, ours),
        ),
    ):
        found[holds] = NUMBER[code]
    return found


def _pair(points: Cells, other: Beside) -> _Pair:
    """Look the points up in a neighbouring slot."""
    columns, known = [], []
    for side in (other.ours, other.theirs):
        rows = side.beside(points)
        columns.append(_at(side.energy, rows))
        known.append(_at(side.available, rows))
    return _Pair(columns[0], columns[1], known[0], known[1])


def _at(column: NDArray[_Value], rows: NDArray[np.int64]) -> NDArray[_Value]:
    """Take the rows of a column; 0 for -1."""
    out = np.zeros(len(rows), column.dtype)
    out[rows >= 0] = column[rows[rows >= 0]]
    return out


def _is_backward(side: Cells, points: Cells) -> NDArray[np.bool_]:
    rows = side.beside(points)
    return _at(side.quality == BACKWARD, rows)


def _same_sum(now: _Pair, other: _Pair) -> NDArray[np.bool_]:
    moved = other.known & (other.ours != other.theirs)
    same: NDArray[np.bool_] = moved & (now.ours + other.ours == now.theirs + other.theirs)
    return same


def _shifted(now: _Pair, past: _Pair, coming: _Pair) -> NDArray[np.bool_]:
    late = past.ours_known & coming.theirs_known & (now.theirs == past.ours) & (coming.theirs == now.ours)
    early = coming.ours_known & past.theirs_known & (now.theirs == coming.ours) & (past.theirs == now.ours)
    either: NDArray[np.bool_] = late | early
    return either


def _power_of_ten(now: _Pair, past: _Pair, coming: _Pair) -> NDArray[np.bool_]:
    found = np.zeros(len(now.ours), np.bool_)
    for ten in _TENS:
        for up in (True, False):
            found |= _times(now, ten, up=up) & (_times(past, ten, up=up) | _times(coming, ten, up=up))
    return found


def _times(pair: _Pair, factor: int, *, up: bool) -> NDArray[np.bool_]:
    small, large = (pair.ours, pair.theirs) if up else (pair.theirs, pair.ours)
    holds: NDArray[np.bool_] = pair.known & (large != 0) & (large % factor == 0) & (large // factor == small)
    return holds


def _whole_factor(now: _Pair, past: _Pair, coming: _Pair) -> NDArray[np.bool_]:
    factor, up = _factor(now)
    found = np.zeros(len(now.ours), np.bool_)
    for other in (past, coming):
        same, same_up = _factor(other)
        found |= other.known & (factor > 1) & (factor == same) & (up == same_up)
    return found


def _factor(pair: _Pair) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the whole factor between the values, 0 where there is none, and whether theirs is the larger one."""
    up = pair.theirs > pair.ours
    large, small = np.maximum(pair.ours, pair.theirs), np.minimum(pair.ours, pair.theirs)
    divisor = np.where(small > 0, small, 1)
    factor = np.where((small > 0) & (large % divisor == 0), large // divisor, 0)
    return np.where(factor <= _COEFFICIENT_MAX, factor, 0), up


def _rounded(now: _Pair, past: _Pair, coming: _Pair) -> NDArray[np.bool_]:
    found = np.zeros(len(now.ours), np.bool_)
    for place in _DWH_PLACES:
        found |= _rounds(now, place) & (_rounds(past, place) | _rounds(coming, place))
    return found


def _rounds(pair: _Pair, place: int) -> NDArray[np.bool_]:
    down = pair.ours // place * place
    near = (pair.ours + place // 2) // place * place
    holds: NDArray[np.bool_] = pair.known & (pair.ours != down) & ((pair.theirs == down) | (pair.theirs == near))
    return holds


def _ever(every: Cells, points: Cells, other: Cells, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which points were once, on this side, what they are on the other."""
    if not len(every):
        return np.zeros(len(points), np.bool_)
    kind = [("high", np.uint64), ("low", np.uint64), ("available", np.uint64), ("energy", np.uint64)]
    names = np.dtype(kind)

    def packed(keys: Cells, values: Cells) -> NDArray[np.void]:
        out = np.empty(len(keys), names)
        out["high"], out["low"] = keys.high, keys.low
        out["available"], out["energy"] = values.available, values.energy.view(np.uint64)
        return out.view(f"V{names.itemsize}")

    return np.isin(packed(points, other.take(rows)), packed(every, every))
