# SPDX-License-Identifier: Apache-2.0
"""A home that stands where another one stood: nothing of the other one is remembered."""

import shutil
from pathlib import Path

from tests.homes import MINUTE_MS, SLOT_MS, Read, at, digests, hand_over, new_home, point, run

T = at("2026-10-06T12:00")


def delivered(root: Path, energy: int) -> dict[str, str]:
    home = new_home(
        root,
        points=[{"point_id": point(0)}],
        meters=[{"point_id": point(0), "meter_id": "M", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(0), "retailer_code": "10001", "valid_from": "2020-01-01"}],
    )
    for name, stamp, value in (("a", T, 0), ("b", T + SLOT_MS, energy)):
        hand_over(home, f"{name}.arrow", [Read("M", stamp, stamp + MINUTE_MS, value)])
    hand_over(home, "c.arrow", [Read("M", T + 3 * SLOT_MS, T + 3 * SLOT_MS + 50 * MINUTE_MS, energy)])
    run(home)
    return digests(home.deliveries)


def test_a_home_in_another_one_s_place_delivers_its_own(tmp_path: Path) -> None:
    delivered(tmp_path / "home", 5)
    shutil.rmtree(tmp_path / "home")

    assert delivered(tmp_path / "home", 7) == delivered(tmp_path / "elsewhere", 7)
