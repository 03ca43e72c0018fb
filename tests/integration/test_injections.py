# SPDX-License-Identifier: Apache-2.0
"""A month of real homes with every class of fault at known places: found, classified and repaired as the list says."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.home import Home
from pipeline.repair import entries
from tests.homes import HOUR_MS, SLOT_MS, hand_over, learn, new_home, run
from tests.injections import KINDS, judged, places, plant
from tests.real_homes import Homes, Registers, land, master, read_homes

EACH_KIND = 12
FILES = 8
LAST_OPEN = 4
"""Slots at the end of the month that no arrival closes."""
PLAIN = "actual"


def delivered(home: Home, homes: Homes) -> tuple[Registers, np.ndarray[tuple[int, int], np.dtype[np.object_]]]:
    """Apply the files as a retailer does: dWh (-1 for no value) and quality by home and slot."""
    energy = np.full((homes.count, homes.slots), -1, np.int64)
    quality = np.full((homes.count, homes.slots), "", object)
    for path in sorted(home.deliveries.glob("*/*/W41110*.parquet")):  # names ascend by slot, then revision
        table = pq.read_table(path, columns=["point_id", "slot_start", "energy_dwh", "quality"])
        which = np.array([int(each) % 10_000 for each in table["point_id"].to_pylist()])
        slot = (int(table["slot_start"][0].value) - homes.start_ms) // SLOT_MS
        if 0 <= slot < homes.slots:
            energy[which, slot] = table["energy_dwh"].fill_null(-1).to_numpy()
            quality[which, slot] = table["quality"].to_pylist()
    return energy, quality


def not_plain(quality: np.ndarray[tuple[int, int], np.dtype[np.object_]], slots: int) -> dict[tuple[int, int], str]:
    return {(h, s): str(quality[h, s]) for h, s in np.argwhere(quality[:, :slots] != PLAIN).tolist()}


@pytest.mark.timeout(600)
def test_every_planted_fault_is_found_and_nothing_else_is(real_data: Path, tmp_path: Path) -> None:
    true = read_homes(real_data, "2013-04-01", "2013-05-01")
    planted = plant(true, places(true, np.random.default_rng(20130401), EACH_KIND))
    slots = true.slots - LAST_OPEN
    home = new_home(tmp_path / "home", **master(true, 1))
    land(home, planted.reads, FILES)

    found = run(home, xml=False, accept_clock=True).summary()
    energy, quality = delivered(home, true)

    assert {name: found[name] for name in planted.counts} == dict(planted.counts)
    quarantine = Counter((e.row["code"], e.row["meter_id"], round(e.row["read_at"].timestamp() * 1000))
                         for e in entries(home))  # fmt: skip
    assert quarantine == planted.quarantined()
    wanted = {key: each for key, each in planted.qualities().items() if key[1] < slots}
    seen = not_plain(quality, slots)
    scores = {each: scored for each, *scored in judged(wanted, seen)}
    assert scores == {each: [1.0, 1.0] for each in ("backward", "missing", "rollover", "spike")}
    assert seen == wanted
    with_value = np.isin(quality[:, :slots], [PLAIN, "rollover", "spike"])
    assert (energy[:, :slots][with_value] == planted.homes.energy()[:, :slots][with_value]).all()
    assert (energy[:, :slots][~with_value] == -1).all()
    assert {each.kind for each in planted.injections} == set(KINDS)

    hand_over(home, "again.arrow", planted.asked_again(true.start_ms + true.slots * SLOT_MS + HOUR_MS))
    assert learn(home, meters=planted.exchanges(true)).quarantined == 0
    run(home, xml=False)
    energy, quality = delivered(home, true)

    rest = {key: each for key, each in planted.unrepaired().items() if key[1] < slots}
    assert not_plain(quality, slots) == rest
    whole = quality[:, :slots] != "missing"
    assert (energy[:, :slots][whole] == true.energy()[:, :slots][whole]).all()
