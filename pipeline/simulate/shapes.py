# SPDX-License-Identifier: Apache-2.0
"""Load shapes: mean energy of a half-hour by kind of point and time of day, and the equipment each kind has.

The mix is meant to look like a low-voltage area: mostly homes with a morning and an evening peak, shops, all-electric
homes that heat at night, rooftop solar with a generation point beside the demand point, a few steady generators (fuel
cell, small hydro) that feed in at night too, and a few high-voltage points that stand in the master. The numbers are
ours.
"""

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import SLOTS_PER_DAY


class Kind(IntEnum):
    """Kind of a point."""

    HOME = 0
    SHOP = 1
    ALL_ELECTRIC = 2
    SOLAR_HOME = 3
    SOLAR = 4
    STEADY_GENERATION = 5
    HIGH_VOLTAGE = 6


GENERATION: Final = (Kind.SOLAR, Kind.STEADY_GENERATION)

DWH_PER_WH: Final = 10

_HOURS: Final = {  # Wh in a half-hour, one number an hour from 00:00
    Kind.HOME: "110 95 85 80 85 110 190 260 230 180 160 160 175 160 150 155 180 250 340 390 380 330 250 165",
    Kind.SHOP: "350 330 320 320 330 380 520 800 1300 1900 2200 2350 "
    "2400 2350 2300 2250 2250 2300 2250 2000 1500 900 560 420",
    Kind.ALL_ELECTRIC: "1050 1150 1200 1200 1150 900 520 380 280 220 190 190 "
    "210 190 180 190 230 330 440 480 450 400 420 800",
    Kind.SOLAR_HOME: "140 120 110 105 110 130 170 150 90 50 35 30 35 35 45 70 130 270 390 430 410 350 280 190",
    Kind.SOLAR: "0 0 0 0 0 15 110 360 720 1050 1300 1420 1400 1250 980 620 250 40 0 0 0 0 0 0",
    Kind.STEADY_GENERATION: "260 " * 24,
    Kind.HIGH_VOLTAGE: "14000 13500 13000 13000 13500 15000 20000 32000 52000 64000 68000 69000 "
    "66000 69000 70000 69000 66000 58000 44000 32000 24000 19000 16500 15000",
}


def _table() -> NDArray[np.int64]:
    table = np.zeros((len(Kind), SLOTS_PER_DAY), np.int64)
    for kind, hours in _HOURS.items():
        values = np.array([int(each) for each in hours.split()], np.int64)
        table[kind, 0::2] = values
        table[kind, 1::2] = (values + np.roll(values, -1)) // 2
    return table * DWH_PER_WH


MEAN_DWH: Final = _table()
"""(kind, time code - 1): mean energy of a half-hour in dWh for a point of scale one."""

SCALE_ONE: Final = 256

CONTRACT_KW_PER_SCALE: Final = np.array([4, 15, 8, 5, 5, 2, 250], np.int64)
"""(kind,): contract power in kW of a point of scale one."""
CONTRACT_KW_RANGE: Final = np.array([[2, 10], [3, 49], [6, 15], [3, 10], [3, 10], [1, 5], [50, 1999]], np.int64)
"""(kind, 2): lowest and highest contract power in kW; low voltage ends below 50 kW."""


def window_mean_dwh(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the mean energy (kind,) over a window, given the time code less one of each of its slots."""
    total: NDArray[np.int64] = MEAN_DWH[:, codes].sum(axis=1)
    return total
