# SPDX-License-Identifier: Apache-2.0
"""Which loss rate and which rounding hold in a slot. A rate that nobody declared is a state with a name, never 0."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Self

from pipeline.totals.declared import RATES, ROUNDING, Declared
from pipeline.totals.exact import Rounding, parse_rate

_Dated = dict[Hashable, tuple[list[int], list[Any]]]


@dataclass(frozen=True, slots=True)
class Rate:
    """A loss rate as it was written, and as a number."""

    text: str
    value: Fraction


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates by area and voltage class, rounding by area, each from a slot on until another one holds."""

    _rates: _Dated = field(default_factory=dict)
    _rounding: _Dated = field(default_factory=dict)

    @classmethod
    def of(cls, known: Declared) -> Self:
        """Return those that are declared."""
        rates = [
            ((row["area"], row["voltage"]), row, row["rate"] and Rate(row["rate"], parse_rate(row["rate"])))
            for row in known.of(RATES)
        ]
        rounding = [(row["area"], row, Rounding(row["unit_kwh"], row["mode"])) for row in known.of(ROUNDING)]
        return cls(_dated(rates), _dated(rounding))

    def rate(self, area: str, voltage: str, slot: int) -> Rate | None:
        """Return the loss rate of a slot; None where none is declared."""
        found: Rate | None = _at(self._rates, (area, voltage), slot)
        return found

    def rounding(self, area: str, slot: int) -> Rounding:
        """Return how energy of a slot is rounded for settlement: to 1 kWh, halves up, where nothing is declared."""
        found: Rounding | None = _at(self._rounding, area, slot)
        return found or Rounding()


def _dated(rows: Sequence[tuple[Hashable, Mapping[str, Any], Any]]) -> _Dated:
    found: _Dated = defaultdict(lambda: ([], []))
    for key, row, value in sorted(rows, key=lambda each: each[1]["slot"]):
        slots, values = found[key]
        slots.append(row["slot"])
        values.append(value)
    return dict(found)


def _at(dated: _Dated, key: Hashable, slot: int) -> Any:
    slots, values = dated.get(key, ((), ()))
    place = bisect_right(slots, slot)
    return values[place - 1] if place else None
