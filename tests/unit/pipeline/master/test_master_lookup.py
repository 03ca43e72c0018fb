# SPDX-License-Identifier: Apache-2.0
"""Finding installations by meter id."""

import numpy as np
import pytest

from koma.ids import meter_key
from koma.limits import SHARD_LOCAL_BITS
from pipeline.master.lookup import build_table, find, first_stamps, last_stamps
from pipeline.master.view import ALWAYS_MS, CHAINED, FIRST_SLOT, NO_INSTALL, OPEN_MS, OPEN_SLOT, MasterView
from tests.unit.pipeline.master.desk import Desk, point, slot

METER = {"digits": 6, "unit_exponent": -1}


def row_of(view: MasterView, meter: str) -> tuple[int, int, int, int] | None:
    """Import, export, lo, hi of a meter's row."""
    k0, k1 = meter_key(meter)
    at = find(view.table, view.mask, np.uint64(k0), np.uint64(k1))
    if at < 0:
        return None
    pair, span = int(view.table[at, 2]), view.table[at, 3:].view(np.int32)
    return pair & 0xFFFFFFFF, pair >> 32, int(span[0]), int(span[1])


def test_a_meter_on_one_register(desk: Desk) -> None:
    desk.learn(points=[{"point_id": point(1)}], meters=[METER | {"point_id": point(1), "meter_id": "A"}])

    assert row_of(desk.view, "A") == (0, NO_INSTALL, FIRST_SLOT, OPEN_SLOT)
    assert row_of(desk.view, "B") is None
    assert len(desk.view.chain_lo) == 0


def test_a_house_with_solar_has_both_registers_in_one_row(desk: Desk) -> None:
    both = METER | {"meter_id": "1234567890123456", "installed_at": "2026-04-01T00:10"}
    desk.learn(
        points=[{"point_id": point(1)}, {"point_id": point(2)}],
        meters=[both | {"point_id": point(1)}, both | {"point_id": point(2), "register": "export"}],
    )

    assert row_of(desk.view, "1234567890123456") == (0, 1, slot("2026-04-01T00:30"), OPEN_SLOT)


def test_a_meter_that_moves_needs_chain_rows_and_the_common_stamp_belongs_to_both(desk: Desk) -> None:
    moved = METER | {"meter_id": "A"}
    desk.learn(
        points=[{"point_id": point(1)}, {"point_id": point(2)}],
        meters=[
            moved | {"point_id": point(1), "removed_at": "2026-04-01"},
            moved | {"point_id": point(2), "installed_at": "2026-04-01"},
        ],
    )
    view, boundary = desk.view, slot("2026-04-01")

    assert row_of(view, "A") == (CHAINED, 0, 2, 0)
    assert (view.chain_lo.tolist(), view.chain_hi.tolist()) == ([FIRST_SLOT, boundary], [boundary, OPEN_SLOT])
    assert view.chain_install.tolist() == [0, 1]


def test_registers_that_cover_other_times_need_chain_rows(desk: Desk) -> None:
    desk.learn(
        points=[{"point_id": point(1)}, {"point_id": point(2)}, {"point_id": point(3)}],
        meters=[
            METER | {"point_id": point(1), "meter_id": "A"},
            METER | {"point_id": point(2), "meter_id": "A", "register": "export", "installed_at": "2026-04-01"},
            METER | {"point_id": point(3), "meter_id": "B"},
        ],
    )
    view = desk.view

    assert row_of(view, "A") == (CHAINED, 0, 2, 0)
    assert view.chain_register.tolist() == [0, 1]
    assert row_of(view, "B") == (2, NO_INSTALL, FIRST_SLOT, OPEN_SLOT)


def test_the_table_covers_current_knowledge_only(desk: Desk) -> None:
    desk.learn(points=[{"point_id": point(1)}], meters=[METER | {"point_id": point(1), "meter_id": "A"}])
    desk.learn(
        now="2026-06-01",
        meters=[
            METER | {"point_id": point(1), "meter_id": "A", "removed_at": "2026-05-01T00:29:59.999"},
            METER | {"point_id": point(1), "meter_id": "B", "installed_at": "2026-05-01T00:30:00.001"},
        ],
    )

    assert row_of(desk.view, "A") == (0, NO_INSTALL, FIRST_SLOT, slot("2026-05-01"))
    assert row_of(desk.view, "B") == (1, NO_INSTALL, slot("2026-05-01T01:00"), OPEN_SLOT)


def test_stamps_of_bounds() -> None:
    times = np.array([ALWAYS_MS, -1_800_001, -1, 0, 1, OPEN_MS])

    assert first_stamps(times[:-1]).tolist() == [FIRST_SLOT, -1, 0, 0, 1]
    assert last_stamps(times[1:]).tolist() == [-2, -1, 0, 0, OPEN_SLOT]


@pytest.mark.parametrize("pattern", ["{}", "{:010d}", "{:016d}", "M{:08d}", "{:06d}-00000000"])
def test_numbers_in_a_row_spread_over_the_table(pattern: str) -> None:
    ids = np.array([pattern.format(number) for number in range(20_000)], "S16")
    keys = ids.view(np.uint64).reshape(-1, 2)
    k0, k1 = np.ascontiguousarray(keys[:, 0]), np.ascontiguousarray(keys[:, 1])
    register, install = np.zeros(len(ids), np.uint8), np.arange(len(ids), dtype=np.uint32)
    table = build_table(k0, k1, register, install, np.zeros(len(ids), np.int32), np.ones(len(ids), np.int32)).table

    longest, run = 0, 0
    for used in (table[:, 0] != 0).tolist():
        run = run + 1 if used else 0
        longest = max(longest, run)
    assert len(table) == 65_536
    assert longest < 60  # a poor hash leaves runs of hundreds


def test_shard_and_local_index_stand_side_by_side(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.master.build.SHARD_INSTALLATIONS", 1)
    desk.learn(
        points=[{"point_id": point(1)}, {"point_id": point(2)}],
        meters=[METER | {"point_id": point(number), "meter_id": f"M{number}"} for number in (1, 2)],
    )

    found = row_of(desk.view, "M2")
    assert found is not None
    assert found[0] == 1 << SHARD_LOCAL_BITS
