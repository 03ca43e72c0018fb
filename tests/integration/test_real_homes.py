# SPDX-License-Identifier: Apache-2.0
"""Energy of real homes: registers in three formats, shuffled and repeated, come out as exact energy."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.handover import ReadBatch
from pipeline.home import Home
from tests.homes import SLOT_MS, Row, iso, learn, new_home, point, run
from tests.independent_reader import Cell, closings, read_tree
from tests.real_homes import Homes, check, land, master, part_of, read_homes, reads

RETAILERS = 4
EXCHANGED, SWITCHED = 3, 8  # homes
NEW_METER = "NEWMETER"


@pytest.mark.timeout(600)
def test_a_month_of_real_homes_is_exact_to_the_last_unit(real_data: Path, tmp_path: Path) -> None:
    homes = read_homes(real_data, "2013-04-01", "2013-05-01")
    home = new_home(tmp_path / "home", **master(homes, RETAILERS))
    batch = reads(homes, np.random.default_rng(20130401))
    land(home, batch)

    facts = run(home).summary()
    counts = check(homes, read_tree(home.deliveries, parquet=False), RETAILERS)

    assert facts["received"] == len(batch)
    assert facts["accepted"] == int(homes.known.sum())
    assert facts["duplicate"] == len(batch) - facts["accepted"]
    assert counts["missing"] > 0
    assert counts["rolled_over"] > 0
    for retailer, slot in closings(home.deliveries):
        assert retailer in {homes.retailer(h, RETAILERS) for h in range(homes.count)}
        assert slot >= homes.slot_start(0)


def test_late_reads_and_a_late_master_end_in_the_values_of_one_landing(real_data: Path, tmp_path: Path) -> None:
    homes = read_homes(real_data, "2013-04-03", "2013-04-08")
    chance = np.random.default_rng(20130403)
    changed_ms = homes.start_ms + 2 * 48 * SLOT_MS  # both happen at a midnight
    batch = _with_new_meter(homes, reads(homes, chance, longest_ms=SLOT_MS * 48 * 2), changed_ms)
    late = (chance.random(len(batch)) < 0.03) | (batch.received_ms > homes.start_ms + 4 * 48 * SLOT_MS)
    changes = _changes(homes, changed_ms)

    at_once = new_home(tmp_path / "at-once", **_merged(master(homes, RETAILERS), changes))
    land(at_once, batch)
    run(at_once)
    in_two = new_home(tmp_path / "in-two", **master(homes, RETAILERS))
    land(in_two, part_of(batch, np.flatnonzero(~late)), name="first")
    first = run(in_two).summary()
    learn(in_two, **changes)
    land(in_two, part_of(batch, np.flatnonzero(late)), name="second")
    second = run(in_two).summary()

    assert first["held"] > 0  # the new meter was not known yet
    assert second["accepted"] > first["held"]  # and is now
    finals = [_final(home) for home in (at_once, in_two)]
    common = finals[0].keys() & finals[1].keys()
    assert len(common) >= (homes.slots - 2) * homes.count
    assert {key: finals[0][key] for key in common} == {key: finals[1][key] for key in common}
    for slot in range(homes.slots - 2):
        whose = homes.retailer(SWITCHED + 1 if slot >= 2 * 48 else SWITCHED, RETAILERS)
        assert finals[1][homes.slot_start(slot), point(SWITCHED)][0] == whose
        if homes.known[EXCHANGED, slot : slot + 2].all():
            energy = int(homes.energy()[EXCHANGED, slot])
            assert finals[1][homes.slot_start(slot), point(EXCHANGED)][1] == energy


def _with_new_meter(homes: Homes, batch: ReadBatch, changed_ms: int) -> ReadBatch:
    """Let a new meter in 0.01 kWh, counting from 0, take over from one home's meter."""
    old = np.frombuffer(homes.meter(EXCHANGED).encode().ljust(16, b"\0"), np.uint64)
    new = np.frombuffer(NEW_METER.encode().ljust(16, b"\0"), np.uint64)
    mine = (batch.keys == old).all(axis=1)
    taken_over = mine & (batch.read_at_ms > changed_ms)
    begin = int(homes.register[EXCHANGED, (changed_ms - homes.start_ms) // SLOT_MS])
    keys, register = batch.keys.copy(), batch.import_register.astype(np.int64)
    keys[taken_over] = new
    register[taken_over] = (register[taken_over] - begin) % 1_000_000 * 10
    return replace(batch, keys=keys, import_register=register.astype(np.uint32))


def _changes(homes: Homes, changed_ms: int) -> Mapping[str, list[Row]]:
    begin = int(homes.register[EXCHANGED, (changed_ms - homes.start_ms) // SLOT_MS])
    when = iso(changed_ms)
    meter = {"point_id": point(EXCHANGED), "digits": 6, "unit_exponent": -1, "meter_id": homes.meter(EXCHANGED)}
    old = {**meter, "installed_at": "", "removed_at": when, "install_register": "", "removal_register": begin}
    new = {**meter, "meter_id": NEW_METER, "unit_exponent": -2, "installed_at": when, "removed_at": ""}
    supply = {"point_id": point(SWITCHED), "retailer_code": homes.retailer(SWITCHED, RETAILERS)}
    before = {**supply, "valid_from": "2010-01-01T00:00", "valid_to": when}
    after = {**supply, "valid_from": when, "valid_to": "", "retailer_code": homes.retailer(SWITCHED + 1, RETAILERS)}
    return {"meters": [old, {**new, "install_register": 0, "removal_register": ""}], "supply": [before, after]}


def _merged(known: Mapping[str, list[Row]], changes: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """Give the master of somebody who knew the changes from the start."""
    merged = dict(known)
    for table, rows in changes.items():
        changed = {row["point_id"] for row in rows}
        columns = dict.fromkeys(rows[0], "")
        kept = [{**columns, **row} for row in known[table] if row["point_id"] not in changed]
        merged[table] = [*kept, *rows]
    return merged


def _final(home: Home) -> dict[tuple[str, str], tuple[str, int | None]]:
    """Return who has each cell, and its energy; withdrawn ones belong to nobody."""
    cells: dict[tuple[str, str], tuple[str, int | None]] = {}
    for (retailer, start, name), cell in read_tree(home.deliveries).items():
        if _held(cell):
            assert (start, name) not in cells, f"{name} at {start} belongs to two retailers"
            cells[start, name] = (retailer, cell.energy_dwh)
    return cells


def _held(cell: Cell) -> bool:
    return cell.quality != "withdrawn"
