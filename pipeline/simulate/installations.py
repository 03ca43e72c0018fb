# SPDX-License-Identifier: Apache-2.0
"""The installations of a block: one row for each register of each meter that feeds a point for a time."""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE, MS_PER_SLOT
from pipeline.simulate.fleet import INSTALLED_AFTER_MIN, REMOVED_AFTER_MIN, Fleet, meter_numbers
from pipeline.simulate.options import Options
from pipeline.simulate.population import NO_METER, Block

_FITTERS_COME_MIN: Final = 10 * 60  # meters that stood before the window were put in at ten in the morning


@dataclass(frozen=True, slots=True)
class Installations:
    """Columns of meters.csv, ascending by point and time; times in UTC ms, registers in the meter's unit."""

    point: NDArray[np.int64]
    meter: NDArray[np.int64]
    installed_ms: NDArray[np.int64]
    removed_ms: NDArray[np.int64]
    removed: NDArray[np.bool_]
    digits: NDArray[np.uint8]
    unit_exponent: NDArray[np.int8]
    coefficient: NDArray[np.int16]
    install_register: NDArray[np.int64]
    install_given: NDArray[np.bool_]
    removal_register: NDArray[np.int64]
    removal_given: NDArray[np.bool_]


def installations(options: Options, block: Block, fleet: Fleet) -> Installations:
    """Return the installations of a block after the window is over, when the registers of old meters are known."""
    old, new = _standing(options, block, fleet), _successors(options, block, fleet)
    columns = {each.name: np.concatenate([getattr(old, each.name), getattr(new, each.name)]) for each in fields(old)}
    order = np.argsort(columns["point"], kind="stable")
    return Installations(**{name: column[order] for name, column in columns.items()})


def _change_ms(options: Options, block: Block, minutes: int) -> NDArray[np.int64]:
    """Return when meters go or come: at their stamp, or `minutes` into their slot."""
    changes = block.changes
    return options.start_ms + changes.at * MS_PER_SLOT + np.where(changes.inside, minutes * MS_PER_MINUTE, 0)


def _standing(options: Options, block: Block, fleet: Fleet) -> Installations:
    """Return the meters that stand at the start of the window."""
    changes = block.changes
    point = np.flatnonzero(block.fate != NO_METER)
    midnight = options.start_ms - (options.start_ms + JST_OFFSET_MINUTES * MS_PER_MINUTE) % MS_PER_DAY
    before = block.installed_day[point].astype(np.int64) * MS_PER_DAY

    def per_point(values: NDArray[Any]) -> NDArray[Any]:
        """Spread values of changes over points; zero where nothing changes."""
        spread = np.zeros(block.count, values.dtype)
        spread[changes.point] = values
        return spread[point]

    return Installations(
        point=point,
        meter=meter_numbers(options, block, successor=False)[point].astype(np.int64),
        installed_ms=midnight - before + _FITTERS_COME_MIN * MS_PER_MINUTE,
        removed_ms=per_point(_change_ms(options, block, REMOVED_AFTER_MIN)),
        removed=per_point(np.ones(len(changes.point), np.bool_)),
        digits=block.meters.digits[point],
        unit_exponent=block.meters.unit_exponent[point],
        coefficient=block.meters.coefficient[point],
        install_register=np.zeros(len(point), np.int64),
        install_given=np.ones(len(point), np.bool_),
        removal_register=per_point(fleet.removal_register),
        removal_given=per_point(changes.removal_given),
    )


def _successors(options: Options, block: Block, fleet: Fleet) -> Installations:
    """Return the meters that come in the window and stay."""
    changes = block.changes
    rows = np.flatnonzero(changes.successor)
    point = changes.point[rows]
    return Installations(
        point=point,
        meter=meter_numbers(options, block, successor=True)[point].astype(np.int64),
        installed_ms=_change_ms(options, block, INSTALLED_AFTER_MIN)[rows],
        removed_ms=np.zeros(len(rows), np.int64),
        removed=np.zeros(len(rows), np.bool_),
        digits=changes.meters.digits[rows],
        unit_exponent=changes.meters.unit_exponent[rows],
        coefficient=changes.meters.coefficient[rows],
        install_register=fleet.install_register[rows],
        install_given=changes.install_given[rows],
        removal_register=np.zeros(len(rows), np.int64),
        removal_given=np.zeros(len(rows), np.bool_),
    )
