# SPDX-License-Identifier: Apache-2.0
"""Demand and generation by the registers of a point."""

from pathlib import Path

from pipeline.directions import area_and_direction, areas_by_direction
from pipeline.master import open_master
from tests.homes import new_home, point

REGISTERS = {1: ("import",), 2: ("export",), 3: ("import", "export"), 4: (), 5: ("import", "import")}


def test_a_point_is_counted_by_import_by_export_by_both_or_by_nothing_known(tmp_path: Path) -> None:
    home = new_home(
        tmp_path / "home",
        points=[{"point_id": point(n, "10")} for n in REGISTERS],
        meters=[
            {"point_id": point(n, "10"), "meter_id": f"M{n}{k}", "register": each, "digits": 6, "unit_exponent": -1}
            for n, registers in REGISTERS.items()
            for k, each in enumerate(registers)
        ],
    )

    numbers = areas_by_direction(open_master(home.root, None)).tolist()

    names = ["demand", "generation", "mixed", "unknown", "demand"]
    assert [area_and_direction(each) for each in numbers] == [(10, name) for name in names]
