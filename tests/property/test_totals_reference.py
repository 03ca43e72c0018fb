# SPDX-License-Identifier: Apache-2.0
"""Totals against plain Python over small random worlds: by retailer, group and area, demand and generation apart."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import floor
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.totals.asking import Question, question, sums_of
from pipeline.totals.cells import BY, Key, Sum
from pipeline.totals.declared import import_declared
from pipeline.totals.rates import Rates
from pipeline.totals.rows import ALL, Period, Total, slot_totals
from tests.homes import SLOT_MS, learn, new_home, run, write_master
from tests.property.worlds import World, handed, land, tables, worlds
from tests.reference_model import MasterRow, MeterRow, PointRow, Reference, SupplyRow

FEW = settings(max_examples=max(5, settings().max_examples // 4))  # each runs the line a few times
SLOTS_MAX = 8
LV, HV = Fraction(69, 1000), Fraction(5, 100)
RATES = [
    {"area": "03", "voltage": "LV", "rate": "0.069", "valid_from": "2020-01-01T00:00"},
    {"area": "03", "voltage": "HV", "rate": "0.05", "valid_from": "2020-01-01T00:00"},
]


def group_of(point: str, retailer: str) -> str:
    """Balancing group of a supply row, none for one retailer."""
    return "" if retailer == "33333" else f"G{retailer[0]}-{int(point[-1]) % 2}"


def with_groups(rows: list[MasterRow]) -> dict[str, list[Mapping[str, object]]]:
    found: dict[str, list[Mapping[str, object]]] = {name: list(each) for name, each in tables(rows).items()}
    found["supply"] = [
        {**row, "bg_code": group_of(str(row["point_id"]), str(row["retailer_code"]))} for row in found["supply"]
    ]
    return found


def direction_of(installs: Sequence[MeterRow], slot_ms: int) -> str:
    inside = [row for row in installs if row.installed_ms < slot_ms + SLOT_MS and row.removed_ms > slot_ms]
    registers = {row.register for row in inside or installs}
    if len(registers) == 2:
        return "mixed"
    return {"import": "demand", "export": "generation"}[registers.pop()] if registers else "unknown"


def cells_of(reference: Reference, slot_ms: int, instant_ms: int) -> Iterator[tuple[dict[str, Key], int | None]]:
    """Give each cell of any voltage: its keys, and its energy."""
    known = reference.known(instant_ms)
    for row in known:
        if not isinstance(row, PointRow):
            continue
        installs = [each for each in known if isinstance(each, MeterRow) and each.point == row.point]
        energy, _ = reference.energy(installs, slot_ms, row.cap_dwh, instant_ms)
        owners = [
            each.retailer
            for each in known
            if isinstance(each, SupplyRow) and each.point == row.point and each.from_ms <= slot_ms < each.to_ms
        ]
        group = group_of(row.point, owners[-1]) if owners else ""
        rest = ("03", row.voltage, direction_of(installs, slot_ms))
        codes = {"retailer": owners[-1] if owners else "00000", "balancing_group": group, "area": "03"}
        yield {name: Key(code, *rest) for name, code in codes.items()}, energy


def expected(reference: Reference, slot_ms: int, instant_ms: int) -> dict[str, dict[Key, Sum]]:
    found: dict[str, dict[Key, Sum]] = {name: defaultdict(lambda: Sum(0, 0, 0)) for name in BY}
    for keys, energy in cells_of(reference, slot_ms, instant_ms):
        for name, key in keys.items():
            found[name][key] = found[name][key].plus(Sum(1, energy is not None, energy or 0))
    return {name: dict(sums) for name, sums in found.items()}


def played(world: World, home: Home, seed: int) -> Reference:
    reference = Reference()
    for number, (rows, reads) in enumerate(zip(world.imports, world.landings, strict=True)):
        if rows:
            learn(home, **with_groups(rows))
            reference.learn(rows)
        land(home, f"landing{number}", reads, seed)
        run(home, xml=False)
        reference.run(handed(reads))
    return reference


def slots_of(what: Question, instant_ms: int) -> range:
    """Slots that had ended by an instant, a few; none where it lies before the first one's end."""
    first = what.asked.state.first_slot_kept or 0
    return range(first, min(instant_ms // SLOT_MS, first + SLOTS_MAX))


@FEW
@given(worlds(), st.integers(0, 1000), st.integers(0, 20))
def test_totals_are_those_of_plain_python_now_and_as_of_an_earlier_instant(
    world: World, seed: int, earlier: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = new_home(Path(folder) / "home")
        reference = played(world, home, seed)
        state = read_state(home.path("journal"))
        if state.first_slot is None:
            return
        for as_of_ms in (None, state.issued_ms - earlier * SLOT_MS // 2):
            what = question(home, 2, as_of_ms)
            slots = slots_of(what, what.instant_ms)
            for sums in sums_of(what, slots.start, slots.stop) if slots else ():
                assert sums.by == expected(reference, sums.slot * SLOT_MS, what.instant_ms)
                assert sums.unbalanced() == {}


@FEW
@given(worlds(), st.integers(0, 1000))
def test_energy_at_the_generation_end_is_exact_and_rounded_only_in_the_last_columns(world: World, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = new_home(Path(folder) / "home")
        played(world, home, seed)
        write_master(Path(folder) / "declared", loss_rates=RATES)
        import_declared(home, Path(folder) / "declared", by="test", replace=False, now_ms=0)
        if read_state(home.path("journal")).first_slot is None:
            return
        what = question(home, 2)
        slots = slots_of(what, what.instant_ms)
        if not slots:
            return
        period, each_slot = Period(slots.start, slots.stop), []
        for sums in sums_of(what, slots.start, slots.stop):
            rows = list(slot_totals(sums, Rates.of(what.declared)))
            each_slot.append(rows)
            period.add(rows)
    found = {(row.by, row.key): row for row in period.totals()}
    for (by, key), row in found.items():
        if row.lacking or key.code == ALL:
            continue
        parts = [each for rows in each_slot for each in rows if (each.by, each.key) == (by, key)]
        assert row.exact_dwh == sum(map(at_the_end, parts_of(key, by, each_slot)))
        assert row.settlement_kwh == floor(row.exact_dwh / 10_000 + Fraction(1, 2))
        assert row.parts_kwh == sum(floor(each.exact_dwh / 10_000 + Fraction(1, 2)) for each in parts)
    for direction in ("demand", "generation"):
        whole = [found.get((by, Key(ALL, "03", ALL, direction))) for by in BY]
        assert len({row and (row.sum, row.generation_end_dwh, row.settlement_kwh) for row in whole}) == 1


def parts_of(key: Key, by: str, each_slot: list[list[Total]]) -> list[Total]:
    """Rows by slot and voltage class that a row is made of."""
    return [
        each
        for rows in each_slot
        for each in rows
        if each.by == by
        and each.key.voltage != ALL
        and each.key._replace(voltage=key.voltage) == key
        and key.voltage in {ALL, each.key.voltage}
    ]


def at_the_end(row: Total) -> Fraction:
    """Energy of one slot and voltage class at the generation end, worked out anew."""
    if row.key.direction == "generation":
        return Fraction(row.sum.energy_dwh)
    return row.sum.energy_dwh / (1 - {"LV": LV, "HV": HV}[row.key.voltage])
