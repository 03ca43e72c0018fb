# SPDX-License-Identifier: Apache-2.0
"""A home that stands where another one stood: nothing of the other one is remembered."""

import shutil
from pathlib import Path

from tests.homes import MINUTE_MS, SLOT_MS, Read, at, digests, hand_over, new_home, point, run

T = at("2026-10-06T12:00")


def delivered(root: Path, energy: int, *, again: bool = False) -> dict[str, str]:
    home = new_home(
        root,
        points=[{"point_id": point(0)}],
        meters=[{"point_id": point(0), "meter_id": "M", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(0), "retailer_code": "10001", "valid_from": "2020-01-01"}],
    )
    registers = {T: 0, T + SLOT_MS: energy, T + 3 * SLOT_MS: energy}
    for number, (stamp, value) in enumerate(registers.items()):
        hand_over(home, f"{number}.arrow", [Read("M", stamp, stamp + 50 * MINUTE_MS, value)])
        if again:
            run(home)
    run(home)
    return digests(home.deliveries)


def test_a_home_in_another_one_s_place_delivers_its_own(tmp_path: Path) -> None:
    """Its register files bear the names of the other one's, and hold other stamps."""
    delivered(tmp_path / "home", 5, again=True)
    shutil.rmtree(tmp_path / "home")

    assert delivered(tmp_path / "home", 7) == delivered(tmp_path / "elsewhere", 7)
