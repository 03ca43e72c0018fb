# SPDX-License-Identifier: Apache-2.0
"""Histories of any size from one seed: meters that count, and all that is learned of them, early, late, wrongly first.

A history is a list of facts in the order in which they were recorded, and the reads. A fact is the rows that belong
together; points come before. Who learns the facts in another order ends in the same state, as each row says when it was
recorded. Registers count on and on; no read says anything false, but reads are lost, come twice, late and in disorder.
"""

import random
from dataclasses import dataclass, field, replace

from tests.homes import MINUTE_MS, SLOT_MS, Read, at, point
from tests.reference_model import FOREVER, MasterRow, MeterRow, PointRow, SupplyRow

START = at("2026-12-27T00:00")
RETAILERS = ("11113", "22223", "33333")
RECORDED = at("2026-11-01T00:00")
INSIDE = 7 * MINUTE_MS
OTHER = 500
"""Numbers of points that meters come to feed later stand so far behind."""


@dataclass(slots=True)
class History:
    """What happened to some points over some slots."""

    points: int
    slots: int
    chance: random.Random
    first: list[MasterRow] = field(default_factory=list)
    facts: list[list[MasterRow]] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let it happen."""
        for number in range(self.points):
            self.first.append(PointRow(point(number)))
            self._supply(point(number))
            self._meter(number)

    def stamp(self, k: int) -> int:
        return START + k * SLOT_MS

    def learn(self, *rows: MasterRow) -> None:
        """Record a fact, later than all before it."""
        recorded = RECORDED + len(self.facts) * MINUTE_MS
        self.facts.append([replace(row, recorded_ms=recorded) for row in rows])

    def _place(self) -> int:
        return self.chance.randrange(2, self.slots - 2)

    # ---- retailers

    def _supply(self, name: str) -> None:
        """Supply a point; perhaps it is switched, and perhaps the day of the switch turns out to be another one."""
        one, other = self.chance.sample(RETAILERS, 2)
        row = SupplyRow(name, one, at("2020-01-01T00:00"))
        self.learn(row)
        if self.chance.random() < 0.5:
            return
        wrong, right = self.stamp(self._place()), self.stamp(self._place())
        after = SupplyRow(name, other, wrong)
        self.learn(replace(row, to_ms=wrong), after)
        fate = self.chance.choice(["stays", "moves", "never was"])
        if fate == "never was":
            self.learn(row, replace(after, to_ms=wrong))
        elif fate == "moves" and wrong != right:
            self.learn(replace(row, to_ms=right), replace(after, to_ms=wrong), replace(after, from_ms=right))

    # ---- meters

    def _meter(self, number: int) -> None:
        chance = self.chance
        row = MeterRow(point(number), f"M{number}", digits=chance.choice([4, 6]), coefficient=chance.choice([1, 10]))
        fate = chance.choice(["stays", "stays", "exchanged", "exchanged", "dated wrongly", "renumbered", "corrected"])
        if fate == "exchanged":
            self._exchange(row, number)
            return
        self._count(row, 0, self.slots)
        if fate == "dated wrongly":
            wrong, right = chance.sample(range(2, self.slots - 2), 2)
            known = replace(row, installed_ms=self.stamp(wrong))
            self.learn(known)
            self.learn(replace(known, removed_ms=known.installed_ms), replace(row, installed_ms=self.stamp(right)))
        elif fate == "renumbered":
            self._renumber(row, number)
        elif fate == "corrected":
            self.learn(replace(row, coefficient=11 - row.coefficient))
            self.learn(row)
        else:
            self.learn(row)

    def _exchange(self, row: MeterRow, number: int) -> None:
        """Exchange a meter on a boundary or inside a slot; the master learns it with the registers of the exchange."""
        place, inside = self._place(), self.chance.choice([0, INSIDE])
        when = self.stamp(place) + inside
        last = self._count(row, 0, place)
        if inside:
            last = (last + 2) % 10**row.digits
        successor = MeterRow(row.point, f"N{number}", installed_ms=when, unit_exponent=-2, first=5)
        self._count(successor, place + (inside > 0), self.slots, begin=5 + 3 * (inside > 0))
        self.learn(row)
        self.learn(replace(row, removed_ms=when, last=last), successor)

    def _renumber(self, row: MeterRow, number: int) -> None:
        """Let the meter feed a point of another number; the time of that may turn out to be another one."""
        other = point(OTHER + number)
        self.first.append(PointRow(other))
        self._supply(other)
        wrong, right = self.chance.sample(range(2, self.slots - 2), 2)
        after = replace(row, point=other, installed_ms=self.stamp(wrong))
        self.learn(row)
        self.learn(replace(row, removed_ms=after.installed_ms), after)
        if self.chance.random() < 0.5:
            later = replace(after, installed_ms=self.stamp(right), removed_ms=FOREVER)
            closed = replace(row, removed_ms=later.installed_ms)
            self.learn(closed, replace(after, removed_ms=after.installed_ms), later)

    # ---- reads

    def _count(self, row: MeterRow, first: int, last: int, begin: int | None = None) -> int:
        """Let a meter count over stamps; most of its reads come soon, some late, twice or never. Its last register."""
        chance, modulus = self.chance, 10**row.digits
        value = chance.randrange(modulus) if begin is None else begin
        for k in range(first, last + 1):
            if k > first:
                value = (value + chance.choice([0, 1, 1, 4, 9])) % modulus
            if chance.random() < 0.03:
                continue
            late = chance.random() < 0.05
            delay = chance.randrange(50, 60 * 30) if late else chance.randrange(1, 9)
            read = Read(row.meter, self.stamp(k), self.stamp(k) + delay * MINUTE_MS, value)
            self.reads.append(read)
            if chance.random() < 0.05:
                self.reads.append(replace(read, received_ms=read.received_ms + chance.randrange(90) * MINUTE_MS))
        return value

    # ---- telling it

    def told(self, portions: int) -> list[tuple[list[list[MasterRow]], list[Read]]]:
        """Cut it into portions as life would: facts as recorded, reads as they arrive, some of both a portion late."""
        cut: list[tuple[list[list[MasterRow]], list[Read]]] = [([], []) for _ in range(portions)]
        at_portion = sorted(self.chance.randrange(portions) for _ in self.facts)
        for place, fact in zip(at_portion, self.facts, strict=True):
            cut[place][0].append(fact)
        for read in self.reads:
            place = (read.received_ms - START) * portions // (self.slots * SLOT_MS)
            cut[min(portions - 1, place + (self.chance.random() < 0.03))][1].append(read)
        return cut

    def told_in_disorder(self, portions: int) -> list[tuple[list[list[MasterRow]], list[Read]]]:
        """Cut it anyhow: facts and reads in any order."""
        cut: list[tuple[list[list[MasterRow]], list[Read]]] = [([], []) for _ in range(portions)]
        for fact in self.chance.sample(self.facts, len(self.facts)):
            cut[self.chance.randrange(portions)][0].append(fact)
        for read in self.reads:
            cut[self.chance.randrange(portions)][1].append(read)
        return cut
