# SPDX-License-Identifier: Apache-2.0
"""Why the master does not expect a cell that the incumbent delivered."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.compare import expected_kernels, text_kernels
from pipeline.compare.causes import NUMBER
from pipeline.compare.cells import NONE, Cells
from pipeline.master import open_master

_CAUSES: Final = np.array(
    [NUMBER[code] for code in ("unknown_point", "voltage", "not_supplied", "retailer", "not_issued")], np.uint8
)
"""By the reason of the kernel."""


class Expected:
    """What the home's present master expects; looked at only where something is asked."""

    def __init__(self, home: Path) -> None:
        """Open the master."""
        self._master = open_master(home)
        self._points: Cells | None = None

    def why_not(self, points: Cells, retailer: str, slot: int) -> NDArray[np.uint8]:
        """Give the number of a cause for each cell that only the incumbent delivered to a retailer."""
        master = self._master
        rows = self._known().beside(points)
        positions = np.full(len(points), -1, np.int64)
        positions[rows >= 0] = master.order[rows[rows >= 0]]
        index = master.retailers.index(retailer) if retailer in master.retailers else -1
        out = np.empty(len(points), np.uint8)
        expected_kernels.reasons(
            positions,
            index,
            slot,
            (master.attr_of, master.attr_voltage, master.attr_rec_to),
            (master.supply_of, master.supply_from, master.supply_to, master.supply_retailer, master.supply_rec_to),
            out,
        )
        reasons: NDArray[np.uint8] = _CAUSES[out]
        return reasons

    def _known(self) -> Cells:
        """Give the points of the master, ascending."""
        master, count = self._master, self._master.n_points
        if self._points is None:
            high, low = np.empty(count, np.uint64), np.empty(count, np.uint64)
            text_kernels.read_ids(master.point_id.reshape(-1), high, low)
            none = (np.broadcast_to(getattr(NONE, name).dtype.type(0), count) for name in Cells.__slots__[2:])
            self._points = Cells(high[master.order], low[master.order], *none)
        return self._points
