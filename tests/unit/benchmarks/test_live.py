# SPDX-License-Identifier: Apache-2.0
"""The measurement of a watch under load: its clock, its registers, its quantiles."""

import numpy as np

from benchmarks.live import _quantile, _summed
from benchmarks.measuring.area import DIGITS, make_area
from benchmarks.measuring.head_end import ScaledClock, register_at


def test_the_fast_clock_and_the_steady_one_agree_in_both_directions() -> None:
    clock = ScaledClock(1_000_000, 5_000_000_000, 90.0)
    assert clock.real_ns(1_000_000) == 5_000_000_000
    assert clock.real_ns(1_000_000 + 90_000) == 6_000_000_000


def test_every_slot_has_the_same_energy_and_meters_roll_over() -> None:
    area = make_area(5_000, 1)
    before, after = register_at(area, 30).astype(np.int64), register_at(area, 31).astype(np.int64)
    used = (after - before) % 10**DIGITS
    assert int((used * area.factor()).sum()) == int(area.energy_dwh().sum())
    assert int(after.max()) < 10**DIGITS


def test_quantiles_count_points_and_not_files() -> None:
    pairs = [(1.0, 98), (5.0, 1), (9.0, 1)]
    assert [_quantile(pairs, share) for share in (0.5, 0.99, 1.0)] == [1.0, 5.0, 9.0]
    assert _summed({0: pairs, 1: [(2.0, 1)]})["beyond_s_last_quarter"] == {"p50": 2.0, "p99": 2.0, "max": 2.0}
