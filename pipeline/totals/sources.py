# SPDX-License-Identifier: Apache-2.0
"""What other sources bring to an area's balance: which are expected in a slot, and what each of them counts for.

A source counts at most once in a slot: a second import of it, a second source of the same supply point, and a source
whose supply point has a meter of its own here are told and left out.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from koma.energy import format_kwh
from koma.slots import format_jst, slot_start_ms
from pipeline.totals.declared import IN, OUT, REFERENCE, SOURCES, Contribution, Declared

EVERYWHERE: Final = "all"
"""Area of what no area can be said of."""
_AGAIN: Final = "import the right energy of the slot with --replace, which stands in place of all before"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a slot that a person has to look at."""

    code: str
    slot: int
    area: str
    source: str
    detail: str
    do: str

    def as_json(self) -> dict[str, Any]:
        """Return it as it is told and recorded."""
        return {
            "code": self.code,
            "slot_start": format_jst(slot_start_ms(self.slot)),
            "area": self.area,
            "source": self.source,
            "detail": self.detail,
            "do": self.do,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """A source as it is declared for a slot."""

    source_id: str
    kind: str
    area: str
    direction: str
    point_id: str = ""
    tolerance_dwh: int | None = None


@dataclass(slots=True)
class Brought:
    """What sources bring to a slot.

    Attributes:
        slot: of it.
        counted: dWh by source, positive into its area.
        areas: of each source.
        references: sources that balances are held against, by area.
        findings: what is wrong.
    """

    slot: int
    counted: dict[str, int] = field(default_factory=dict)
    areas: dict[str, str] = field(default_factory=dict)
    references: dict[str, list[tuple[Source, int]]] = field(default_factory=lambda: defaultdict(list))
    findings: list[Finding] = field(default_factory=list)

    def of_area(self, area: str) -> dict[str, int]:
        """Return what counts in an area, by source."""
        return {name: energy for name, energy in self.counted.items() if self.areas[name] == area}


def expected(known: Declared, slot: int) -> dict[str, Source]:
    """Return the sources that have to bring something to a slot, by id."""
    names = ("source_id", "kind", "area", "direction", "point_id", "tolerance_dwh")
    rows = [row for row in known.of(SOURCES) if row["slot"] <= slot < row["end"]]
    return {row["source_id"]: Source(**{name: row[name] for name in names}) for row in rows}


def brought(
    sources: Mapping[str, Source], slot: int, given: Iterable[Contribution], metered: Callable[[str], bool]
) -> Brought:
    """Return what sources bring to a slot.

    Args:
        sources: expected ones.
        slot: of which `given` holds what was imported, in that order.
        given: contributions.
        metered: says whether a supply point is among those of the master.

    """
    found = Brought(slot)
    by_source: dict[str, list[Contribution]] = defaultdict(list)
    for each in given:
        before = by_source[each.source_id]
        if each.replaces:
            before[:] = [other for other in before if other.number == each.number]
        before.append(each)
    for name in sorted(by_source.keys() - sources.keys()):
        told = f"{by_source[name][0].number} brings energy of a source that is not declared for this slot"
        do = "declare it in sources.csv, or correct its id; until then it counts for nothing"
        found.findings.append(Finding("source_undeclared", slot, EVERYWHERE, name, f"import {told}", do))
    there: dict[Source, int] = {}
    for name, source in sorted(sources.items()):
        mine = by_source.get(name, [])
        found.findings += absent(source, slot, mine)
        found.findings += twice(source, slot, mine)
        if mine:
            there[source] = once(mine)
            found.findings += against_direction(source, slot, there[source])
    _count(found, there, metered)
    return found


def once(mine: Sequence[Contribution]) -> int:
    """Return what a source that was imported several times counts for: its first import alone."""
    return mine[0].energy_dwh


def absent(source: Source, slot: int, mine: Sequence[Contribution]) -> Iterator[Finding]:
    """Say where an expected source brings nothing."""
    if not mine:
        told = f"the {source.kind} is expected and brings nothing: the balance is not that of the area"
        do = "import its energy of the slot, 0 if it was 0; or end its row in sources.csv"
        yield Finding("source_absent", slot, source.area, source.source_id, told, do)


def against_direction(source: Source, slot: int, energy_dwh: int) -> Iterator[Finding]:
    """Say where a source brings energy against the direction it is declared with."""
    if (source.direction == IN and energy_dwh < 0) or (source.direction == OUT and energy_dwh > 0):
        told = f"{format_kwh(energy_dwh)} kWh is against its direction, {source.direction}; it counts as it is"
        do = f"energy into the area is positive, out of it negative: {_AGAIN}"
        yield Finding("source_sign", slot, source.area, source.source_id, told, do)


def twice(source: Source, slot: int, mine: Sequence[Contribution]) -> Iterator[Finding]:
    """Say where a source was imported several times."""
    if len(mine) > 1:
        told = ", ".join(f"import {each.number} line {each.line}: {format_kwh(each.energy_dwh)} kWh" for each in mine)
        detail = f"it was imported {len(mine)} times ({told}); the first alone counts"
        yield Finding("source_twice", slot, source.area, source.source_id, detail, _AGAIN)


def _count(found: Brought, there: Mapping[Source, int], metered: Callable[[str], bool]) -> None:
    """Count each source once, also where it comes under two names or has a meter here."""
    by_point: dict[str, str] = {}
    for source, energy in there.items():
        name, point = source.source_id, source.point_id
        if source.kind == REFERENCE:
            found.references[source.area].append((source, energy))
            continue
        if point and has_meter(point, metered):
            told = f"its supply point {point} has a meter here, whose energy is among the points; it is left out"
            do = "end its row in sources.csv, or take point_id out if the meter is another one"
            found.findings.append(Finding("source_metered", found.slot, source.area, name, told, do))
        elif point and (first := by_point.setdefault(point, name)) != name:
            told = f"it is the supply point {point}, as {first} is, which counts; it is left out"
            do = "end the row of one of them in sources.csv"
            found.findings.append(Finding("source_twice", found.slot, source.area, name, told, do))
        else:
            found.counted[name], found.areas[name] = energy, source.area


def has_meter(point: str, metered: Callable[[str], bool]) -> bool:
    """Say whether a source's supply point is measured here as well."""
    return metered(point)
