# SPDX-License-Identifier: Apache-2.0
"""Small random worlds: a few points and slots with everything that happens to meters, retailers, reads and registers.

A world is what was true, what the master learned when, and which reads were handed over in which landing.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from pipeline.carried import carry_reads
from pipeline.home import Home
from pipeline.intake import finish_moves, take_in
from pipeline.journal import Journal
from pipeline.master import settle
from pipeline.monthly import issue_monthly
from tests.homes import MINUTE_MS, SLOT_MS, Read, Row, at, hand_over, iso, point, settings_of
from tests.reference_model import ALWAYS, FOREVER, Handed, MasterRow, MeterRow, PointRow, SupplyRow
from tests.reference_times import DAY, jst_day

STARTS = ("2026-10-06T22:30", "2026-10-06T05:00", "2026-12-31T22:30", "2028-02-28T23:00")
FORMATS = (".arrow", ".csv", ".parquet")
EVENINGS = ("2026-10-06T22:30", "2026-12-31T22:30", "2028-02-28T23:00", "2026-10-30T23:00")
"""Before a midnight at which meters are read."""
RETAILERS = ("11113", "22223", "33333")
DELAYS_MIN = (1, 2, 2, 2, 2, 2, 9, 12, 25, 44, 46, 80, 300, 600)
DAYS_MIN = (1500, 3000, 5000)
STEPS = (0, 1, 1, 5, 7, 20, 60, 61, 400, -3)
SMALL_CAP_DWH = 60_000  # 3 kW: 60 raw units of a meter in 0.1 kWh


def day_of(ms: int) -> int:
    return jst_day(ms).day


@dataclass(slots=True)
class World:
    """`imports[k]` is learned before `landings[k]`."""

    start_ms: int
    slots: int
    imports: list[list[MasterRow]]
    landings: list[list[Read]]
    rows_per_file: int = 100_000
    points: list[str] = field(default_factory=list)


class Maker:
    """Draws one world."""

    def __init__(self, draw: st.DrawFn, *, conflicts: bool, months: bool) -> None:
        """Draw its frame: when, how long, in how many landings; with `months` meters are read on days that move."""
        self.moves = 3 * months
        self.draw = draw
        self.conflicts = conflicts
        self.start_ms = at(draw(st.sampled_from(EVENINGS if months else STARTS)))
        self.slots = draw(st.integers(3, 9) if months else st.integers(1, 6))
        landings = draw(st.integers(2 if months else 1, 3))
        self.world = World(
            self.start_ms,
            self.slots,
            [[] for _ in range(landings)],
            [[] for _ in range(landings)],
            draw(st.sampled_from([1, 2, 100_000])),
        )
        long = draw(st.sampled_from([False, False, False, True]))  # every slot that passes meanwhile costs files
        self.delays = (*DELAYS_MIN, *(DAYS_MIN if long else ()))
        self.cuts = sorted(
            self.stamp(0) + 10 * MINUTE_MS * draw(st.integers(0, 3 * self.slots + 6)) for _ in range(landings - 1)
        )

    def stamp(self, k: int) -> int:
        return self.start_ms + k * SLOT_MS

    def boundary(self) -> int:
        """Draw a slot boundary inside the window."""
        return self.stamp(self.draw(st.integers(0, self.slots)))

    def late(self) -> int:
        """Draw the import in which a late fact is learned."""
        return self.draw(st.integers(0, len(self.world.imports) - 1))

    def learn(self, row: MasterRow, before: int) -> None:
        if before:
            recorded = self.draw(st.sampled_from([None, self.start_ms, self.stamp(2), self.stamp(500)]))
            row = replace(row, recorded_ms=recorded)
        self.world.imports[before].append(row)

    def change(self, known: MasterRow, changed: MasterRow, *also: MasterRow) -> None:
        """Let the master know a change from the start, or learn it late."""
        before = self.late()
        if before:
            self.learn(known, 0)
            recorded = self.draw(st.sampled_from([None, self.start_ms, self.stamp(2), self.stamp(500)]))
            self.world.imports[before] += [replace(each, recorded_ms=recorded) for each in (changed, *also)]
        else:
            self.world.imports[0] += [changed, *also]

    # ---- the master

    def read_day(self) -> int:
        """Draw a day on which a meter is read: none, or one of those after the start."""
        after = self.draw(st.sampled_from([1] * 7 + [0, 2, 31])) if self.moves else 0
        return day_of(self.start_ms + after * DAY) if 0 < after < 31 else after

    def attributes(self, name: str) -> None:
        row = PointRow(name, cap_dwh=self.draw(st.sampled_from([2_000_000, SMALL_CAP_DWH])), read_day=self.read_day())
        kind = self.draw(st.sampled_from(["plain"] * 6 + ["HV", "silent", "becomes HV"] + ["moves"] * self.moves))
        if kind == "HV":
            row = replace(row, voltage="HV")
        if kind == "silent":
            row = replace(row, telemetry=False)
        if kind == "becomes HV":
            self.change(row, replace(row, voltage="HV"))
        elif kind == "moves":
            for rows in self.world.imports:
                rows.append(replace(row, read_day=self.read_day()))
        else:
            self.learn(row, 0)

    def supply(self, name: str) -> None:
        ref = self.draw(st.sampled_from(["", "C-1", "需要者"]))
        row = SupplyRow(name, self.draw(st.sampled_from(RETAILERS)), at("2020-01-01T00:00"), ref=ref)
        kind = self.draw(st.sampled_from(["one", "one", "switch", "switch", "ends", "none", "starts"]))
        if kind in {"switch", "ends"}:
            day = self.boundary()
            after = SupplyRow(name, self.draw(st.sampled_from(RETAILERS)), day, ref="new")
            self.change(row, replace(row, to_ms=day), *([after] if kind == "switch" else []))
        elif kind == "starts":
            self.learn(replace(row, from_ms=self.boundary()), self.late())
        elif kind == "one":
            self.learn(row, 0)

    def meters(self, number: int, name: str) -> None:
        kind = self.draw(
            st.sampled_from(
                ["plain"] * 4
                + ["exchange"] * 3
                + ["none", "removed", "learned late", "solar", "renumbered", "dated anew"]
            )
        )
        if kind == "none":
            return
        row = MeterRow(
            name,
            f"M{number}",
            digits=self.draw(st.sampled_from([3, 6, 8])),
            unit_exponent=self.draw(st.sampled_from([-1, -1, -2, 0])),
            coefficient=self.draw(st.sampled_from([1, 1, 10])),
        )
        exporting = kind == "solar"
        removed_ms = FOREVER
        if kind in {"exchange", "removed"}:
            removed_ms = self.boundary() + self.draw(st.sampled_from([0, 0, 7 * MINUTE_MS]))
        last = self.registers(row, self.start_ms, min(removed_ms, self.stamp(self.slots)), exporting=exporting)
        if kind == "exchange":
            self.exchange(row, removed_ms, last, number)
        elif kind == "removed":
            self.change(row, replace(row, removed_ms=removed_ms))
        elif kind == "solar":
            self.learn(row, 0)
            generation = point(100 + number)
            self.world.points.append(generation)
            self.attributes(generation)
            self.supply(generation)
            self.learn(replace(row, point=generation, register="export"), self.late())
        elif kind == "renumbered":
            self.renumber(row, point(200 + number))
        elif kind == "dated anew":
            self.date_anew(row)
        else:
            self.learn(row, self.late() if kind == "learned late" else 0)

    def exchange(self, row: MeterRow, at_ms: int, last: int, number: int) -> None:
        successor = MeterRow(
            row.point,
            f"N{number}",
            installed_ms=at_ms,
            digits=self.draw(st.sampled_from([3, 6, 8])),
            unit_exponent=self.draw(st.sampled_from([-1, -2])),
        )
        begin = self.draw(st.sampled_from([0, 7, 998]))
        told = self.draw(st.sampled_from(["neither", "both", "both", "last", "first"]))
        differs = self.draw(st.sampled_from([0, 0, 0, 1]))
        self.registers(successor, at_ms, self.stamp(self.slots), begin=begin)
        self.change(
            row,
            replace(
                row, removed_ms=at_ms, last=(last + differs) % 10**row.digits if told in {"both", "last"} else None
            ),
            replace(successor, first=begin if told in {"both", "first"} else None),
        )

    def renumber(self, row: MeterRow, name: str) -> None:
        """Let the meter feed a point of another number from some time on; it may come back later."""
        self.world.points.append(name)
        self.attributes(name)
        self.supply(name)
        at_ms = self.boundary() + self.draw(st.sampled_from([0, 0, 7 * MINUTE_MS]))
        successor = replace(row, point=name, installed_ms=at_ms)
        self.change(row, replace(row, removed_ms=at_ms), successor)
        last = len(self.world.imports) - 1
        told_then = any(each.key == successor.key for each in self.world.imports[last])  # twice would contradict
        if not told_then and self.draw(st.booleans()):
            # recorded when learned: at a time stated before, it would contradict what was recorded then
            self.world.imports[last] += [replace(successor, removed_ms=at_ms), replace(row, installed_ms=at_ms)]

    def date_anew(self, row: MeterRow) -> None:
        """Let the time of the installation be corrected, to an earlier or a later one."""
        wrong, right = self.boundary(), self.boundary()
        known = replace(row, installed_ms=wrong)
        if wrong == right:
            self.learn(known, 0)
        else:
            self.change(known, replace(known, removed_ms=wrong), replace(row, installed_ms=right))

    # ---- the reads

    def registers(
        self, row: MeterRow, from_ms: int, to_ms: int, *, begin: int | None = None, exporting: bool = False
    ) -> int:
        """Let a meter count from one time to another and hand over its reads; returns its last register."""
        modulus = 10**row.digits
        value = self.draw(st.sampled_from([0, 500, modulus - 8, modulus - 70])) if begin is None else begin
        last, export = value, 10
        stamp = -(-from_ms // SLOT_MS) * SLOT_MS
        while stamp <= to_ms:
            self.read(Read(row.meter, stamp, 0, value, export if exporting else None), modulus)
            last = value
            value = (value + self.draw(st.sampled_from(STEPS))) % modulus
            export += 3
            stamp += SLOT_MS
        return last if stamp - SLOT_MS == to_ms else value

    def read(self, read: Read, modulus: int) -> None:
        fate = self.draw(
            st.sampled_from(["plain"] * 9 + ["lost", "twice", "differs", "skew", "off the grid", "future"])
        )
        if fate == "lost":
            return
        delay = MINUTE_MS * self.draw(st.sampled_from(self.delays))
        read = replace(read, received_ms=read.read_at_ms + delay)
        if fate == "skew":
            read = replace(read, read_at_ms=read.read_at_ms + self.draw(st.sampled_from([-180_000, -1, 1, 59_000])))
        if fate == "off the grid":
            read = replace(read, read_at_ms=read.read_at_ms + self.draw(st.sampled_from([-180_001, 900_000])))
        if fate == "future":
            read = replace(read, received_ms=read.read_at_ms - 180_000 - self.draw(st.sampled_from([0, 1])))
        self.land(read)
        if fate in {"twice", "differs"}:
            again = self.draw(st.sampled_from([0, 1, 10 * MINUTE_MS, 400 * MINUTE_MS]))
            other = replace(read, received_ms=read.received_ms + again)
            if fate == "differs" and self.conflicts and read.value is not None:
                other = replace(other, value=(read.value + self.draw(st.sampled_from([1, 50, modulus - 1]))) % modulus)
            self.land(other)

    def land(self, read: Read) -> None:
        """Put a read into the landing of its arrival, or a later one."""
        natural = sum(read.received_ms > cut for cut in self.cuts)
        straggles = self.draw(st.sampled_from([0] * (2 if self.moves else 9) + [1]))
        self.world.landings[min(natural + straggles, len(self.cuts))].append(read)


@st.composite
def worlds(draw: st.DrawFn, *, conflicts: bool = True, months: bool = False) -> World:
    maker = Maker(draw, conflicts=conflicts, months=months)
    for number in range(draw(st.integers(3 if months else 1, 6))):
        name = point(number)
        maker.world.points.append(name)
        maker.attributes(name)
        maker.supply(name)
        maker.meters(number, name)
    if draw(st.booleans()):
        maker.read(Read("UNKNOWN", maker.stamp(1), 0, 5), 1000)
    return maker.world


def handed(reads: list[Read]) -> list[Handed]:
    """One entry for each register of each row."""

    def registers(read: Read) -> Iterator[Handed]:
        for name, value in (("import", read.value), ("export", read.export)):
            if value is not None:
                yield Handed(read.meter, name, read.read_at_ms, read.received_ms, value)

    return [each for read in reads for each in registers(read)]


def tables(rows: list[MasterRow]) -> dict[str, list[Row]]:
    """Give master rows as the rows of the files of an import."""

    def time(ms: int | None) -> str:
        return "" if ms is None or ms in {ALWAYS, FOREVER} else iso(ms)

    found: dict[str, list[Row]] = {"points": [], "meters": [], "supply": []}
    for row in rows:
        recorded = {"recorded_at": time(row.recorded_ms)}
        if isinstance(row, PointRow):
            facts: dict[str, object] = {"voltage": row.voltage, "telemetry": int(row.telemetry)}
            facts["contract_kw"] = row.cap_dwh * 2 // 4 // 10_000
            facts["meter_read_day"] = row.read_day or ""
            found["points"].append({"point_id": row.point, **facts, **recorded})
        elif isinstance(row, MeterRow):
            facts = {"point_id": row.point, "meter_id": row.meter, "register": row.register}
            facts |= {"installed_at": time(row.installed_ms), "removed_at": time(row.removed_ms)}
            facts |= {"digits": row.digits, "unit_exponent": row.unit_exponent, "coefficient": row.coefficient}
            facts |= {"install_register": row.first, "removal_register": row.last}
            found["meters"].append({**facts, **recorded})
        else:
            facts = {"point_id": row.point, "retailer_code": row.retailer, "customer_ref": row.ref}
            facts |= {"valid_from": time(row.from_ms), "valid_to": time(row.to_ms)}
            found["supply"].append({**facts, **recorded})
    return found


def land(home: Home, name: str, reads: list[Read], seed: int, parts: int = 2) -> None:
    """Hand over reads in random order in a few files."""
    chance = random.Random(seed)  # noqa: S311
    shuffled = chance.sample(reads, len(reads))
    for part in range(parts):
        if mine := shuffled[part::parts]:
            hand_over(home, f"{name}-{part}{chance.choice(FORMATS)}", mine)


def months_until(home: Home, to_ms: int, **changes: Any) -> None:
    """Take in what has landed, and issue the monthly files until a time; those of slots and days are left out."""
    settings = settings_of(home, **changes)
    journal = Journal(home.path("journal"))
    try:
        finish_moves(home, journal)
        take_in(home, journal, settings, accept_clock=True)
        settle(home.root, journal.state.next_fact_ms)
        if journal.state.first_slot is not None and to_ms > journal.state.issued_ms:
            master = carry_reads(home, journal)
            intent = {"to": to_ms, "batches": journal.state.batches, "master": master, "extra": False}
            journal.append({"kind": "intent"} | intent)
            journal.append({"kind": "issued", "to": to_ms, "extra": False})
            issue_monthly(home, journal, settings)
    finally:
        journal.close()
