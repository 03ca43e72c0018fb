# SPDX-License-Identifier: Apache-2.0
"""A5 and I1b: exchanges that the master learns of one and ten days late, or dates wrongly at first.

Only the slots from the exchange on are computed anew; they go out with the next revision, each once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.home import Home
from pipeline.master.carries import Carries
from pipeline.master.changes import _CHANGES, Changes
from tests.homes import SLOT_MS, Row, at, hand_over, iso, learn, new_home, point, reads_of, run
from tests.independent_reader import files, read_tree
from tests.unguarded import Guard, break_without, differing, hold

START = at("2026-10-06T09:00")
DAYS = 10
SLOTS = 48 * DAYS + 4
SUPPLIER = "11113"
IN_TIME, A_DAY_LATE, TEN_DAYS_LATE, DATED_WRONGLY = range(4)
AT = {IN_TIME: 20, A_DAY_LATE: SLOTS - 52, TEN_DAYS_LATE: 4, DATED_WRONGLY: SLOTS - 60}
"""Slot of the exchange."""
WRONG = AT[DATED_WRONGLY] + 6
VALUES = "every slot has the energy of the meter that stood there"
REISSUED = "what is issued again is exactly what changed, once"
SUMS = "the slots of a point add up to the registers of both meters"
LISTED = "the manifest lists the old issue and the new one"


def meter(number: int, name: str, **facts: object) -> Row:
    whole = {"point_id": point(number), "meter_id": name, "installed_at": "", "removed_at": "", "digits": 6}
    return whole | {"unit_exponent": -1, "install_register": "", "removal_register": ""} | facts


def stamp(slot: int) -> str:
    return iso(START + slot * SLOT_MS)


def exchange(number: int, slot: int) -> list[Row]:
    """Give both rows of an exchange: the old meter shows 3 a slot from 1000 on, the new one 5 from 20 on."""
    when = stamp(slot)
    return [
        meter(number, f"M{number}", removed_at=when, removal_register=1000 + 3 * slot),
        meter(number, f"N{number}", installed_at=when, install_register=20),
    ]


def wrong_exchange() -> list[Row]:
    """Give the exchange as it was registered first: some slots too late, with the register of nobody's reading."""
    when = stamp(WRONG)
    return [meter(DATED_WRONGLY, f"M{DATED_WRONGLY}", removed_at=when),
            meter(DATED_WRONGLY, f"N{DATED_WRONGLY}", installed_at=when)]  # fmt: skip


def correction() -> list[Row]:
    cancelled = {"installed_at": stamp(WRONG), "removed_at": stamp(WRONG)}
    return [*exchange(DATED_WRONGLY, AT[DATED_WRONGLY]), meter(DATED_WRONGLY, f"N{DATED_WRONGLY}", **cancelled)]


def issued_home(folder: Path) -> Home:
    late = (A_DAY_LATE, TEN_DAYS_LATE)
    home = new_home(
        folder / "home",
        points=[{"point_id": point(n)} for n in range(4)],
        meters=[*exchange(IN_TIME, AT[IN_TIME]), *(meter(n, f"M{n}") for n in late), *wrong_exchange()],
        supply=[{"point_id": point(n), "retailer_code": SUPPLIER, "valid_from": "2020-01-01T00:00"} for n in range(4)],
    )
    for n in range(4):
        hand_over(home, f"M{n}.arrow", reads_of(f"M{n}", START, range(1000, 1001 + 3 * AT[n], 3)))
        fresh = range(20, 21 + 5 * (SLOTS - AT[n]), 5)
        hand_over(home, f"N{n}.arrow", reads_of(f"N{n}", START + AT[n] * SLOT_MS, fresh))
    run(home)
    return home


def story(folder: Path) -> Mapping[str, str]:
    home = issued_home(folder)
    learn(home, meters=[row for n in (A_DAY_LATE, TEN_DAYS_LATE) for row in exchange(n, AT[n])] + correction())
    run(home)
    cells = read_tree(home.deliveries, parquet=False)
    closed = SLOTS - 2  # at the last instant of the first run
    truth = {(n, k): 3_000 if k < AT[n] else 5_000 for n in range(4) for k in range(closed)}
    found = {(n, k): cells[SUPPLIER, stamp(k), point(n)].energy_dwh for n, k in truth}
    again = [(file.slot_start, row.point_id, file.revision) for file in files(home.deliveries, parquet=False)
             if file.revision for row in file.rows]  # fmt: skip
    changed = {(stamp(k), point(n), 1) for n, k in truth if n and AT[n] <= k < (WRONG if n == DATED_WRONGLY else SLOTS)}
    differ = [key for key in truth if found[key] != truth[key]]
    sums = [sum(found[n, k] or 0 for k in range(closed)) for n in range(4)]
    registers = [1_000 * (3 * AT[n] + 5 * (closed - AT[n])) for n in range(4)]
    both = {file.revision for file in files(home.deliveries, parquet=False) if file.slot_start == stamp(AT[A_DAY_LATE])}
    return {
        VALUES: f"{differ[:3]}" if differ else "",
        REISSUED: differing(sorted(again), sorted(changed)) and f"{len(again)} cells, not {len(changed)}",
        SUMS: differing(sums, registers),
        LISTED: differing(both, {0, 1}),
    }


def _nothing(*given: Any) -> Changes:
    del given
    none = np.zeros(0, np.int32)
    return Changes(none.astype(np.int64), none, none)


def _no_carries(*given: Any) -> Carries:
    del given
    none = np.zeros(0, np.uint32)
    return Carries(none, none, none.astype(np.int32), none.astype(np.int32))


GUARDS = [
    Guard("pipeline.master.changes._CHANGES", _CHANGES | {"meters": _nothing}, REISSUED),  # type: ignore[arg-type]
    Guard("pipeline.master.changes._CHANGES", _CHANGES | {"meters": _nothing}, LISTED),  # type: ignore[arg-type]
    Guard("pipeline.intake.may_rejudge", lambda *_: False, VALUES),
    Guard("pipeline.master.build.carries_of", _no_carries, SUMS),
]


def test_late_exchanges_are_issued_again_from_their_slot_on(tmp_path: Path) -> None:
    hold(story, tmp_path)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.function}: {guard.keeps}")
def test_it_is_seen_when_a_guard_is_off(guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_without(guard, story, tmp_path, monkeypatch)
