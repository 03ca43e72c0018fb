# SPDX-License-Identifier: Apache-2.0
"""Totals as rows: what a retailer, balancing group or area comes to over some slots, at the generation end and settled.

Demand is told at the generation end: its energy over 1 less the loss rate. Generation is measured there already. Both
are exact fractions; settlement kWh are made of them in the last two columns, and no column is made of those.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from koma.energy import format_kwh
from koma.slots import format_jst, slot_start_ms
from pipeline.directions import DEMAND, GENERATION
from pipeline.totals.cells import BY, NOTHING, Key, SlotSums, Sum
from pipeline.totals.exact import Rounding, at_generation_end, exact_text, whole_dwh
from pipeline.totals.rates import Rates

ALL: Final = "all"
"""As voltage: over all voltage classes; as code: over all codes of an area."""
ADJUSTED, NO_RATE, NO_DIRECTION = "adjusted", "no_rate", "no_direction"
"""States of a row: whole; some of its energy has no loss rate, or no direction that says what it is."""


@dataclass(slots=True)
class Total:
    """A row: sums of one key over slots.

    Attributes:
        by: one of `BY`.
        key: of it; `ALL` as voltage or code.
        first: slot.
        end: slot, exclusive.
        sum: cells, available ones, energy at the customer's end.
        rates: loss rates that were used, as written.
        exact_dwh: energy at the generation end, as far as it is known.
        lacking: states other than `ADJUSTED`, with their energy at the customer's end.
        rounding: in force in the last slot.
        parts_kwh: the settlement kWh of its parts added up: of its slots, or of the codes of an area.
    """

    by: str
    key: Key
    first: int
    end: int
    sum: Sum = NOTHING
    rates: set[str] = field(default_factory=set)
    exact_dwh: Fraction = Fraction(0)
    lacking: dict[str, int] = field(default_factory=dict)
    rounding: Rounding = field(default_factory=Rounding)
    parts_kwh: int = 0

    @property
    def state(self) -> str:
        """Say whether all of it could be told at the generation end."""
        return "+".join(sorted(self.lacking)) or ADJUSTED

    @property
    def generation_end_dwh(self) -> Fraction | None:
        """Return the exact energy at the generation end; None where a part of it is not known."""
        return None if self.lacking else self.exact_dwh

    @property
    def settlement_kwh(self) -> int | None:
        """Return what is settled: the exact sum, rounded once."""
        return None if self.lacking else self.rounding.kwh(self.exact_dwh)

    def add(self, other: "Total") -> None:
        """Add what another row comes to; parts and rounding are the caller's."""
        self.sum = self.sum.plus(other.sum)
        self.rates |= other.rates
        self.exact_dwh += other.exact_dwh
        for state, energy in other.lacking.items():
            self.lacking[state] = self.lacking.get(state, 0) + energy

    def as_json(self) -> dict[str, Any]:
        """Return it as it is told."""
        exact = self.generation_end_dwh
        return {
            "from": format_jst(slot_start_ms(self.first)),
            "to": format_jst(slot_start_ms(self.end)),
            "by": self.by,
            "code": self.key.code,
            "area": self.key.area,
            "voltage": self.key.voltage,
            "direction": self.key.direction,
            "cells": self.sum.cells,
            "available": self.sum.available,
            "missing": self.sum.cells - self.sum.available,
            "energy_dwh": self.sum.energy_dwh,
            "energy_kwh": format_kwh(self.sum.energy_dwh),
            "loss_rates": sorted(self.rates),
            "state": self.state,
            "generation_end_exact_dwh": None if exact is None else exact_text(exact),
            "generation_end_dwh": None if exact is None else whole_dwh(exact),
            "settlement_kwh": self.settlement_kwh,
            "parts_settlement_kwh": None if self.lacking else self.parts_kwh,
        }


def slot_totals(sums: SlotSums, rates: Rates) -> Iterator[Total]:
    """Yield the rows of one slot: of each code by voltage class, then over all of them."""
    for by in BY:
        whole: dict[Key, Total] = {}
        for key, each in sums.by[by].items():
            row = _adjusted(by, key, sums.slot, each, rates)
            yield row
            over = key._replace(voltage=ALL)
            whole.setdefault(over, Total(by, over, sums.slot, sums.slot + 1, rounding=row.rounding)).add(row)
        yield from whole.values()


def _adjusted(by: str, key: Key, slot: int, each: Sum, rates: Rates) -> Total:
    row = Total(by, key, slot, slot + 1, each, rounding=rates.rounding(key.area, slot))
    if key.direction == GENERATION:
        row.exact_dwh = Fraction(each.energy_dwh)
    elif key.direction != DEMAND:
        if each.available:
            row.lacking[NO_DIRECTION] = each.energy_dwh
    elif (rate := rates.rate(key.area, key.voltage, slot)) is None:
        row.lacking[NO_RATE] = each.energy_dwh
    else:
        row.rates.add(rate.text)
        row.exact_dwh = at_generation_end(each.energy_dwh, rate.value)
    return row


@dataclass(slots=True)
class Period:
    """Rows over slots, added up slot by slot."""

    first: int
    end: int
    rows: dict[tuple[str, Key], Total] = field(default_factory=dict)

    def add(self, slot_rows: Iterable[Total]) -> None:
        """Add the rows of a slot."""
        for each in slot_rows:
            mine = self.rows.setdefault((each.by, each.key), Total(each.by, each.key, self.first, self.end))
            mine.add(each)
            mine.rounding = each.rounding
            mine.parts_kwh += each.settlement_kwh or 0  # a row that lacks something tells none of it

    def totals(self) -> list[Total]:
        """Return the rows, ascending, and behind them what the codes of each area come to together."""
        found = [self.rows[key] for key in sorted(self.rows)]
        whole: dict[tuple[str, Key], Total] = {}
        for each in found:
            if each.key.voltage == ALL:
                key = each.key._replace(code=ALL)
                over = whole.setdefault(
                    (each.by, key), Total(each.by, key, self.first, self.end, rounding=each.rounding)
                )
                over.add(each)
                over.parts_kwh += each.settlement_kwh or 0
        return [*found, *(whole[key] for key in sorted(whole))]
