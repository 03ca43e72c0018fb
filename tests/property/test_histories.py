# SPDX-License-Identifier: Apache-2.0
"""Random histories of exchange, switch, correction, loss, duplication and disorder, at any size, from a printed seed.

What retailers hold after applying all files is what a slow reference in plain Python says of the facts, whatever the
order in which they were learned.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from pipeline.home import Home
from pipeline.journal import read_state
from tests.histories import START, History
from tests.homes import MINUTE_MS, SLOT_MS, Read, iso, learn, new_home, run
from tests.independent_reader import read_tree
from tests.property.worlds import handed, land, tables
from tests.reference_model import FOREVER, Cell, Handed, MasterRow, MeterRow, Reference

Told = list[tuple[list[list[MasterRow]], list[Read]]]
Held = dict[tuple[str, str], tuple[str, int | None]]
"""Slot start and point → retailer and dWh."""
SEEDS = st.integers(0, 2**32 - 1)


@dataclass(slots=True)
class Final(Reference):
    """What the facts come to in the end; it issues nothing, and is told what was out when something was learned."""

    def _issue(self) -> None:
        return

    def take(self, reads: list[Handed], issued_ms: int) -> None:
        """Take reads in after an instant is out."""
        self.issued_ms = issued_ms
        self.run(reads)


def held(home: Home) -> Held:
    """Apply all files as retailers do; no cell has two."""
    found: Held = {}
    for (retailer, start, name), cell in read_tree(home.deliveries).items():
        if cell.quality != "withdrawn":
            assert (start, name) not in found, f"{name} at {start} has two retailers"
            found[start, name] = (retailer, cell.energy_dwh)
    return found


def play(folder: Path, history: History, told: Told, seed: int) -> tuple[Home, Final]:
    home, reference = new_home(folder, points=tables(history.first)["points"]), Final()
    reference.learn(history.first)
    for number, (facts, reads) in enumerate(told):
        for fact in facts:
            report = learn(home, **tables(fact))
            assert report.quarantined == 0, report
            reference.learn(_newest(reference, fact))
        land(home, f"portion{number}", reads, seed)
        before_ms = read_state(home.path("journal")).issued_ms
        run(home, first_slot=START // SLOT_MS, accept_clock=True)
        reference.take(handed(reads), before_ms)
    return home, reference


def _newest(reference: Reference, fact: list[MasterRow]) -> list[MasterRow]:
    """Leave out what was recorded before what is known of its key."""
    known: dict[tuple[object, ...], int] = {}
    for _, row in reference.facts:
        known[row.key] = max(row.recorded_ms or 0, known.get(row.key, 0))
    return [row for row in fact if (row.recorded_ms or 0) >= known.get(row.key, 0)]


def settled(home: Home, history: History) -> list[int]:
    """Give the slots whose closing is out, with all that was learned since."""
    until_ms = read_state(home.path("journal")).issued_ms - 75 * MINUTE_MS
    return [START + k * SLOT_MS for k in range(history.slots) if START + (k + 1) * SLOT_MS <= until_ms]


def hold_to_reference(found: Held, cells: Mapping[int, Mapping[str, Cell]]) -> None:
    for slot_ms, mine in cells.items():
        wanted = {name: (cell.retailer, cell.energy) for name, cell in mine.items() if cell.retailer}
        got = {name: found.get((iso(slot_ms), name)) for name in wanted}
        assert got == wanted, iso(slot_ms)


def hold_to_registers(reference: Final, cells: Mapping[int, Mapping[str, Cell]]) -> None:
    """Energies of slots in a row add up to the registers at their ends, wherever both are known."""
    checked = 0
    slots = sorted(cells)
    for meter in [row for row in reference.known(FOREVER) if isinstance(row, MeterRow)]:
        factor, modulus = meter.coefficient * 10 ** (meter.unit_exponent + 4), 10**meter.digits
        begin, total = None, 0
        for slot_ms in slots:
            cell = cells[slot_ms][meter.point]
            inside = meter.installed_ms <= slot_ms and slot_ms + SLOT_MS <= meter.removed_ms
            ends = [reference.register(meter.meter, "import", at_ms, FOREVER) for at_ms in (slot_ms, slot_ms + SLOT_MS)]
            if not inside or None in ends:
                begin, total = None, 0
                continue
            assert cell.energy is not None, f"{meter.point} at {iso(slot_ms)} has both registers"
            begin = ends[0] if begin is None else begin
            total += cell.energy
            assert (total - ((ends[1] or 0) - (begin or 0)) * factor) % (modulus * factor) == 0
            checked += 1
    assert checked > len(slots)


def hold_history(seed: int, points: int, slots: int, portions: int) -> None:
    """Play a history in its own order and in another."""
    finals: list[Held] = []
    lasting: list[set[str]] = []
    with TemporaryDirectory() as folder:
        for order in ("as it came", "in disorder"):
            history = History(points, slots, random.Random(seed))  # noqa: S311
            told = history.told(portions) if order == "as it came" else history.told_in_disorder(portions)
            note(f"{order}: {[len(facts) for facts, _ in told]} facts, {[len(reads) for _, reads in told]} reads")
            home, reference = play(Path(folder) / order.replace(" ", "-"), history, told, seed)
            found = held(home)
            cells = {slot_ms: reference.cells(slot_ms, FOREVER) for slot_ms in settled(home, history)}
            assert len(cells) > slots // 2
            hold_to_reference(found, cells)
            hold_to_registers(reference, cells)
            finals.append(found)
            lasting.append({iso(slot_ms) for slot_ms in cells})
            assert run(home, first_slot=START // SLOT_MS).summary()["files"] == 0
    common = lasting[0] & lasting[1]
    one, other = ({key: value for key, value in final.items() if key[0] in common} for final in finals)
    assert one == other


@settings(max_examples=2, phases=[Phase.explicit, Phase.generate])
@given(SEEDS)
def test_a_history_ends_in_what_the_reference_says(seed: int) -> None:
    hold_history(seed, points=8, slots=96, portions=3)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@settings(max_examples=3, phases=[Phase.explicit, Phase.generate])
@given(SEEDS)
def test_a_history_of_50_points_and_10_days_does_too(seed: int) -> None:
    hold_history(seed, points=50, slots=480, portions=5)
