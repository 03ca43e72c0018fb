# SPDX-License-Identifier: Apache-2.0
"""A11, I3: an interconnector is missing from the formula and the sign of an area's balance turns; a plant is imported
twice. Each is named with its slot and source, stops no delivery, and is gone once it is put right."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.alarms import latest_alarms
from pipeline.journal import read_state
from pipeline.totals.records import record
from tests.balanced import (
    AREA,
    BALANCE_DWH,
    CONTROL,
    ENERGY_KWH,
    LINK,
    PLANT,
    RATES,
    SLOTS,
    SOLAR,
    SOURCES,
    WITHOUT_LINK_DWH,
    balanced_home,
    checked,
    declare,
    energy,
    found,
    source,
)
from tests.homes import digests, run
from tests.unguarded import Guard, break_without, differing, hold

WELL, NO_LINK, TWICE, SIGN = range(SLOTS)
ROOF = "ROOF"
RIGHT = "a slot that lacks nothing is balanced to the dWh; energy of a source that was taken back is named"
APART = "generation is taken from demand in no total"
LEDGER = "the ledger tells demand and generation of an area apart"
MISSING = "the missing interconnector is named"
TURNED = "the turned sign of the balance is an alarm"
ONCE = "a plant that was imported twice counts once"
NAMED = "a plant that was imported twice is named"
AGAINST = "a source against its direction is named"
METERED = "a source that has a meter here is named, and left out"
KEPT = "what is found is an alarm of the home until it is put right"
DELIVERED = "no delivery changes by any of it"


def story(folder: Path) -> Mapping[str, str]:
    home = balanced_home(folder / "home")
    before = digests(home.deliveries)
    roof = source(ROOF, "plant", "in", point_id=SOLAR)
    declare(home, loss_rates=RATES, sources=[*SOURCES, roof], source_energy=energy(WELL, of=ENERGY_KWH | {ROOF: "3"}))
    metered = checked(home)[WELL]
    declare(home, sources=[roof | {"valid_to": roof["valid_from"]}])
    declare(home, source_energy=energy(NO_LINK, of={PLANT: "1158", CONTROL: "-197"}))
    declare(home, source_energy=energy(TWICE))
    declare(home, source_energy=energy(TWICE, of={PLANT: "1158"}))
    declare(home, source_energy=energy(SIGN, of=ENERGY_KWH | {PLANT: "-1158"}))
    slots = checked(home)
    as_of_ms = read_state(home.path("journal")).issued_ms
    record(home, [each.as_json() for each in slots], as_of_ms)
    alarms = {(each["code"], each["source"]) for each in latest_alarms(home)}
    run(home)
    delivered = digests(home.deliveries)

    ledger = (home.path("ledger") / "slots-20261006.jsonl").read_text().splitlines()
    (apart, *_) = [line["directions"][AREA] for line in map(json.loads, ledger) if line["available"] == 2]
    declare(home, source_energy=energy(NO_LINK, of={LINK: "-358"}))
    declare(home, replace=True, source_energy=energy(TWICE, SIGN))
    right = checked(home)
    record(home, [each.as_json() for each in right], as_of_ms)
    balances = [each.balances[0].exact_dwh for each in slots]
    well = slots[WELL].balances[0]
    wanted = {("source_absent", LINK), ("balance_sign", CONTROL), ("source_twice", PLANT), ("source_sign", PLANT)}
    return {
        RIGHT: differing((balances[WELL], found(slots[WELL])), (BALANCE_DWH, {"source_undeclared": ROOF})),
        APART: differing((well.demand, well.generation), (10_000_000, 30_000)),
        LEDGER: differing(apart, {"demand": [1, 1, 9_500_000], "generation": [1, 1, 30_000]}),
        MISSING: differing(found(slots[NO_LINK]).get("source_absent"), LINK),
        TURNED: differing((balances[NO_LINK], found(slots[NO_LINK]).get("balance_sign")), (WITHOUT_LINK_DWH, CONTROL)),
        ONCE: differing(balances[TWICE], BALANCE_DWH),
        NAMED: differing(found(slots[TWICE]), {"source_twice": PLANT}),
        AGAINST: differing(found(slots[SIGN]).get("source_sign"), PLANT),
        METERED: differing((metered.balances[0].exact_dwh, found(metered)), (BALANCE_DWH, {"source_metered": ROOF})),
        KEPT: differing((wanted - alarms, found(right[NO_LINK]), found(right[SIGN])), (set(), {}, {})),
        DELIVERED: differing(delivered, before),
    }


def _nothing(*_: Any) -> Iterator[Any]:
    return iter(())


def _all_demand(view: Any, first: int, last: int, slot: int, instant_ms: int) -> Any:
    del slot, instant_ms
    return view.area[first:last] * 0


GUARDS = [
    Guard("pipeline.totals.sources.absent", _nothing, MISSING),
    Guard("pipeline.totals.balance.against_reference", _nothing, TURNED),
    Guard("pipeline.totals.sources.once", lambda mine: sum(each.energy_dwh for each in mine), ONCE),
    Guard("pipeline.totals.sources.twice", _nothing, NAMED),
    Guard("pipeline.totals.sources.against_direction", _nothing, AGAINST),
    Guard("pipeline.totals.sources.has_meter", lambda *_: False, METERED),
    Guard("pipeline.totals.cells._directions", _all_demand, APART),
    Guard("pipeline.directions._of_points", lambda offsets, _: np.zeros(len(offsets) - 1, np.uint8), LEDGER),
    Guard("pipeline.alarms.standing", lambda _: [], KEPT),
]


def test_an_area_s_balance_is_checked_slot_by_slot(tmp_path: Path) -> None:
    hold(story, tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
