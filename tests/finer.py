# SPDX-License-Identifier: Apache-2.0
"""Meters that are read every 30, 15, 5 and 1 minutes, for tests of channels."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.home import Home
from tests.homes import MINUTE_MS, Read, at, new_home, point

DAY = "2026-08-22"
START_MS = at(f"{DAY}T00:00")
LENGTHS = (30, 15, 5, 1)


def finer_home(root: Path, meters: Iterable[Mapping[str, object]], **points: Mapping[str, object]) -> Home:
    """Make a home of installations, each as `interval`, and of their points, supplied by one retailer."""
    rows = list(meters)
    names = sorted({str(row["point_id"]) for row in rows})
    return new_home(
        root,
        points=[{"point_id": name, "contract_kw": "60", "main_point_id": "", **points.get(name, {})} for name in names],
        meters=rows,
        supply=[{"point_id": name, "retailer_code": "11113", "valid_from": "2026-08-01"} for name in names],
    )


def interval(number: int, minutes: int, **more: object) -> dict[str, object]:
    """Give the installation of a meter `M<number>`, read so often, at the point of that number."""
    return {
        "point_id": point(number),
        "meter_id": f"M{number}",
        "register": "import",
        "installed_at": "2026-08-01T00:00",
        "removed_at": "",
        "digits": 6,
        "unit_exponent": -2,
        "coefficient": 1,
        "install_register": "",
        "removal_register": "",
        "interval_minutes": minutes,
        **more,
    }


def reads_every(meter: str, minutes: int, registers: Iterable[int | None], *, first_ms: int = START_MS) -> list[Read]:
    """Give a meter's reads, minutes apart, each in hand two minutes later; None is a lost read."""
    return [
        Read(meter, first_ms + k * minutes * MINUTE_MS, first_ms + (k * minutes + 2) * MINUTE_MS, value)
        for k, value in enumerate(registers)
        if value is not None
    ]
