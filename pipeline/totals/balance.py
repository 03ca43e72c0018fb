# SPDX-License-Identifier: Apache-2.0
"""The balance of an area in a slot: generation and other sources less demand at the generation end; and its checks.

Nothing is put right here: what is wrong is named, with what to do. No delivery waits for it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from koma.energy import format_kwh
from koma.slots import format_jst, slot_start_ms
from pipeline.directions import DEMAND, GENERATION
from pipeline.totals.cells import AREA, SlotSums
from pipeline.totals.declared import Contribution
from pipeline.totals.exact import exact_text, whole_dwh
from pipeline.totals.rates import Rates
from pipeline.totals.rows import ALL, NO_DIRECTION, NO_RATE, Total, slot_totals
from pipeline.totals.sources import EVERYWHERE, Brought, Finding, Source, brought


@dataclass(frozen=True, slots=True)
class Balance:
    """The balance of an area in a slot, dWh.

    Attributes:
        slot: of it.
        area: code.
        demand: at the generation end; None where a part of it has no loss rate.
        generation: of the points.
        sources: by id, positive into the area.
        missing: cells without a value, which count for nothing.
        references: what it is held against, by id.
    """

    slot: int
    area: str
    demand: Fraction | None
    generation: int
    sources: dict[str, int]
    missing: int
    references: dict[str, int] = field(default_factory=dict)

    @property
    def exact_dwh(self) -> Fraction | None:
        """Return what is over, positive, or lacking; None where demand is not known."""
        return None if self.demand is None else self.generation + sum(self.sources.values()) - self.demand

    def as_json(self) -> dict[str, Any]:
        """Return it as it is told and recorded."""
        exact, demand = self.exact_dwh, self.demand
        return {
            "slot_start": format_jst(slot_start_ms(self.slot)),
            "area": self.area,
            "demand_dwh": None if demand is None else whole_dwh(demand),
            "generation_dwh": self.generation,
            "sources_dwh": sum(self.sources.values()),
            "sources": self.sources,
            "missing": self.missing,
            "balance_exact_dwh": None if exact is None else exact_text(exact),
            "balance_dwh": None if exact is None else whole_dwh(exact),
            "references": self.references,
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """The balances of a slot, and everything that is wrong with it.

    Attributes:
        slot: of them.
        balances: by area.
        findings: what is wrong.
        declarations: how many imports of declarations were known.
        given: how many energies of sources were known for the slot.
    """

    slot: int
    balances: tuple[Balance, ...]
    findings: tuple[Finding, ...]
    declarations: int = 0
    given: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as it is recorded."""
        return {
            "slot_start": format_jst(slot_start_ms(self.slot)),
            "balances": [each.as_json() for each in self.balances],
            "findings": [each.as_json() for each in self.findings],
            "declarations": self.declarations,
            "given": self.given,
        }


def check_slot(
    sums: SlotSums,
    rates: Rates,
    sources: dict[str, Source],
    given: Sequence[Contribution],
    metered: Callable[[str], bool],
) -> Checked:
    """Balance each area of a slot, and check it.

    Args:
        sums: of its points.
        rates: loss rates.
        sources: expected in it.
        given: what was imported of sources for it, in that order.
        metered: says whether a supply point is among those of the master.

    """
    others = brought(sources, sums.slot, given, metered)
    rows = [each for each in slot_totals(sums, rates) if each.by == AREA and each.key.voltage == ALL]
    areas = sorted({each.key.area for each in rows} | {each.area for each in sources.values()})
    found, balances = [*conservation(sums), *others.findings], []
    for area in areas:
        mine = [each for each in rows if each.key.area == area]
        balance = _balance(area, mine, others)
        balances.append(balance)
        found += _of_demand(sums.slot, area, mine)
        found += against_reference(balance, others.references.get(area, ()))
    return Checked(sums.slot, tuple(balances), tuple(found))


def _balance(area: str, rows: Sequence[Total], others: Brought) -> Balance:
    by_direction = {each.key.direction: each for each in rows}
    demand, generation = by_direction.get(DEMAND), by_direction.get(GENERATION)
    return Balance(
        slot=others.slot,
        area=area,
        demand=Fraction(0) if demand is None else demand.generation_end_dwh,
        generation=0 if generation is None else generation.sum.energy_dwh,
        sources=others.of_area(area),
        missing=sum(each.sum.cells - each.sum.available for each in rows),
        references={source.source_id: energy for source, energy in others.references.get(area, ())},
    )


def conservation(sums: SlotSums) -> Iterator[Finding]:
    """Say where the points of a slot come to something else by another way of adding them up."""
    differing = sums.unbalanced()
    if differing:
        told = ", ".join(f"{name} {each.cells}/{each.available}/{each.energy_dwh}" for name, each in differing.items())
        do = "keep the home as it is for whoever looks for the cause; settle nothing on these totals"
        detail = f"cells/available/dWh differ by what they are added up over: {told}"
        yield Finding("conservation", sums.slot, EVERYWHERE, "", detail, do)


def _of_demand(slot: int, area: str, rows: Sequence[Total]) -> Iterator[Finding]:
    lacking: Counter[str] = Counter()
    for each in rows:
        lacking.update(each.lacking)
    if NO_RATE in lacking:
        told = f"{format_kwh(lacking[NO_RATE])} kWh of demand have no loss rate: the area has no balance"
        do = "import a row of loss_rates.csv for each of its voltage classes"
        yield Finding("no_loss_rate", slot, area, "", told, do)
    if NO_DIRECTION in lacking:
        told = f"{format_kwh(lacking[NO_DIRECTION])} kWh are of points that count import and export at once: left out"
        do = "give import and export registers points of their own in the master"
        yield Finding("no_direction", slot, area, "", told, do)


def against_reference(balance: Balance, references: Sequence[tuple[Source, int]]) -> Iterator[Finding]:
    """Say where a balance has another sign than what it is held against, or lies too far from it."""
    exact = balance.exact_dwh
    if exact is None:
        return
    for source, energy in references:
        told = f"the balance is {format_kwh(whole_dwh(exact))} kWh, {source.source_id} says {format_kwh(energy)} kWh"
        if exact * energy < 0:
            do = "look for a source that the sum lacks or has twice, or a sign; settle nothing on this balance"
            yield Finding("balance_sign", balance.slot, balance.area, source.source_id, told, do)
        elif source.tolerance_dwh is not None and abs(exact - energy) > source.tolerance_dwh:
            do = "look for a source that the sum lacks or has twice, and for missing cells"
            yield Finding("balance_off", balance.slot, balance.area, source.source_id, told, do)
