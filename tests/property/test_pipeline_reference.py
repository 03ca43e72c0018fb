# SPDX-License-Identifier: Apache-2.0
"""The whole line against a slow reference in plain Python, over small random worlds."""

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st

from pipeline.home import Home
from pipeline.journal import NEVER, read_state
from tests.homes import MINUTE_MS, SLOT_MS, at, digests, iso, learn, new_home, run
from tests.independent_reader import Cell, closings, daily_files, files, read_days, read_tree
from tests.property.worlds import World, handed, land, tables, worlds
from tests.reference_model import ALWAYS, FOREVER, MasterRow, MeterRow, PointRow, Reference
from tests.reference_times import DAY, HOUR

FEW = settings(max_examples=settings().max_examples // 4)  # each runs the line a few times
Issued = tuple[str, str, int, int, str, tuple[tuple[str, int | None, str, str], ...]]
Cells = Mapping[tuple[str, str, str], Cell]


def issued(home: Home) -> list[Issued]:
    return [
        (f.retailer, f.slot_start, f.revision, f.split, f.issued_at,
         tuple((r.point_id, r.energy_dwh, r.quality, r.customer_ref) for r in f.rows))
        for f in files(home.deliveries)
    ]  # fmt: skip


def expected(reference: Reference) -> list[Issued]:
    found = [
        (f.retailer, iso(f.slot_ms), f.revision, f.split, iso(f.issued_ms),
         tuple((row.point, row.energy, row.quality, row.ref) for row in f.rows))
        for f in reference.files
    ]  # fmt: skip
    return sorted(found, key=lambda f: (f[0], f[1][:10], f[4], f[1], f[2], f[3]))


Daily = tuple[str, str, int, int, str, tuple[tuple[str, tuple[tuple[str, int | None, str, str], ...]], ...]]


def issued_days(home: Home) -> list[Daily]:
    return [
        (f.retailer, f.day_start, f.revision, f.split, f.issued_at,
         tuple((start, tuple((r.point_id, r.energy_dwh, r.quality, r.customer_ref) for r in rows))
               for start, rows in f.slots.items()))
        for f in daily_files(home.deliveries)
    ]  # fmt: skip


def expected_days(reference: Reference) -> list[Daily]:
    found = [
        (f.retailer, iso(f.day_ms), f.revision, f.split, iso(f.issued_ms),
         tuple((iso(slot), tuple((row.point, row.energy, row.quality, row.ref) for row in rows))
               for slot, rows in f.slots))
        for f in reference.days
    ]  # fmt: skip
    return sorted(found, key=lambda f: (f[0], f[1], f[4], f[2], f[3]))


def holders(home: Home, cells: Cells) -> dict[tuple[str, str], tuple[str, int | None]]:
    """Who has each cell of a slot past its closing, and its energy; nobody shares one."""
    issued_ms = read_state(home.path("journal")).issued_ms
    found: dict[tuple[str, str], tuple[str, int | None]] = {}
    for (retailer, start, name), cell in cells.items():
        if cell.quality != "withdrawn" and start <= iso(max(issued_ms - SLOT_MS - 45 * MINUTE_MS, 0)):
            assert (start, name) not in found, f"{name} at {start} belongs to {retailer} and {found[start, name]}"
            found[start, name] = (retailer, cell.energy_dwh)
    return found


def hold_to_registers(world: World, reference: Reference, cells: Cells) -> None:
    """Energies of slots in a row add up to the difference of the registers at their ends."""
    known = [row for row in reference.known(FOREVER) if isinstance(row, MeterRow)]
    energies = {(name, start): cell.energy_dwh for (_, start, name), cell in cells.items() if cell.available}
    for meter in known:
        if len([row for row in known if row.point == meter.point]) > 1 or meter.installed_ms > ALWAYS:
            continue
        factor = meter.coefficient * 10 ** (meter.unit_exponent + 4)
        for first in range(world.slots):
            total, slot = 0, world.start_ms + first * SLOT_MS
            begin = reference.register(meter.meter, meter.register, slot, FOREVER)
            while slot + SLOT_MS < meter.removed_ms and (energy := energies.get((meter.point, iso(slot)))) is not None:
                total += energy
                slot += SLOT_MS
                end = reference.register(meter.meter, meter.register, slot, FOREVER)
                assert begin is not None
                assert end is not None
                assert (total - (end - begin) * factor) % (10**meter.digits * factor) == 0


@FEW
@given(worlds(), st.integers(0, 1000))
def test_what_is_issued_is_what_the_contract_says(world: World, seed: int) -> None:
    reference = Reference(rows_per_file=world.rows_per_file)
    with tempfile.TemporaryDirectory() as folder:
        home = new_home(Path(folder) / "home")
        for number, (rows, reads) in enumerate(zip(world.imports, world.landings, strict=True)):
            if rows:
                note(f"learned: {rows}")
                report = learn(home, **tables(rows))
                assert report.quarantined == 0, report
                reference.learn(rows)
            note(f"landed: {reads}")
            land(home, f"landing{number}", reads, seed)
            found = run(home, rows_per_file=world.rows_per_file).summary()
            counts = reference.run(handed(reads))
            assert counts == {name: found[name] for name in counts}
        assert expected(reference) == issued(home)
        assert expected_days(reference) == issued_days(home)
        said = {
            (retailer, iso(slot_ms)): (line.expected, line.available, line.missing, iso(line.issued_ms))
            for (retailer, slot_ms), line in reference.closed.items()
        }
        lines = {k: (c.expected, c.available, c.missing, c.issued_at) for k, c in closings(home.deliveries).items()}
        assert said == lines
        cells = read_tree(home.deliveries)
        holders(home, cells)
        hold_to_registers(world, reference, cells)
        before = digests(home.deliveries)
        assert run(home, rows_per_file=world.rows_per_file).summary()["files"] == 0
        assert before == digests(home.deliveries)


def finally_known(world: World) -> list[MasterRow]:
    """Rows of somebody who knew everything from the start."""
    latest: dict[tuple[object, ...], MasterRow] = {}
    for rows in world.imports:
        latest |= {row.key: row for row in rows}
    return sorted(latest.values(), key=lambda row: not isinstance(row, PointRow))


@FEW
@given(worlds(conflicts=False), st.integers(0, 1000))
def test_other_portions_end_in_the_same_values(world: World, seed: int) -> None:
    finals = []
    together = [read for landing in world.landings for read in landing]
    portions = [(world.imports, world.landings), ([finally_known(world)], [together])]
    with tempfile.TemporaryDirectory() as folder:
        for name, (imports, landings) in zip(("cut", "whole"), portions, strict=True):
            home = new_home(Path(folder) / name)
            for number, (rows, reads) in enumerate(zip(imports, landings, strict=True)):
                if rows:
                    note(f"{name} learned: {rows}")
                    learn(home, **tables(rows))
                note(f"{name} landed: {reads}")
                land(home, f"{name}{number}", reads, seed)
                run(home, first_slot=world.start_ms // SLOT_MS)
            finals.append(holders(home, read_tree(home.deliveries)))
    ends = [max((start for start, _ in final), default="") for final in finals]
    common = [{key: value for key, value in final.items() if key[0] <= min(ends)} for final in finals]
    assert common[0] == common[1]


@FEW
@given(worlds(months=True), st.integers(0, 1000))
def test_slots_days_and_months_agree_to_the_dwh(world: World, seed: int) -> None:
    """A few mornings after the last read all kinds of files have had an instant for all that arrived."""
    with tempfile.TemporaryDirectory() as folder:
        home = new_home(Path(folder) / "home")
        for number, (rows, reads) in enumerate(zip(world.imports, world.landings, strict=True)):
            if rows:
                learn(home, **tables(rows))
            land(home, f"landing{number}", reads, seed)
            run(home)
        now_ms = read_state(home.path("journal")).now_ms
        if now_ms == NEVER:
            return
        run(home, wall_ms=(now_ms + 9 * HOUR) // DAY * DAY - 9 * HOUR + 5 * DAY + 375 * MINUTE_MS)
        out = read_state(home.path("journal")).daily_ms
        slots, days = read_tree(home.deliveries), read_days(home.deliveries)
        assert held_values(days) == {
            key: value for key, value in held_values(slots).items() if at(key[1][:10]) + DAY + 375 * MINUTE_MS <= out
        }
        sums: list[dict[tuple[str, str, str], int]] = [defaultdict(int), defaultdict(int)]
        for total, cells in zip(sums, (slots, days), strict=True):
            for (retailer, start, name), cell in cells.items():
                if (retailer, start, name) in days:
                    total[retailer, start[:10], name] += cell.energy_dwh or 0
        assert sums[0] == sums[1]


def held_values(cells: Cells) -> dict[tuple[str, str, str], tuple[int | None, bool]]:
    """Values that retailers hold; a day's first file comes later than its slots, so that it may never tell of a cell
    that was withdrawn before."""
    return {key: (cell.energy_dwh, cell.available) for key, cell in cells.items() if cell.quality != "withdrawn"}
