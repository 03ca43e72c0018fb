# SPDX-License-Identifier: Apache-2.0
"""The words that say why a cell has the value it has, or none; stored as small integers, printed as words."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

QUALITIES: Final[tuple[str, ...]] = (
    "actual",
    "rollover",
    "spike",
    "missing",
    "backward",
    "no_meter",
    "removed",
    "no_telemetry",
    "withdrawn",
    "digits",
)
"""Index to word. The order is stored in files and only ever grows at the end."""

ACTUAL: Final = 0
"""Difference of two registers, end not below start."""
ROLLOVER: Final = 1
"""The register passed its highest value inside the slot; the modulo difference is within the cap."""
SPIKE: Final = 2
"""End not below start but above the cap: flagged, delivered."""
MISSING: Final = 3
"""A register at one end is not known."""
BACKWARD: Final = 4
"""End below start and no plausible roll-over: no value."""
NO_METER: Final = 5
"""No installation feeds the point in the slot."""
REMOVED: Final = 6
"""The point's meter was removed before the slot."""
NO_TELEMETRY: Final = 7
"""The point has no remote reading."""
WITHDRAWN: Final = 8
"""The cell was issued to this retailer and now belongs to another."""

DIGITS: Final = 9
"""A register has more digits than the meter: the difference modulo the meter's digits; flagged, delivered."""

WITH_VALUE: Final = (ACTUAL, ROLLOVER, SPIKE, DIGITS)
"""Qualities that carry a value; the others never do."""


def has_value(quality: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each quality whether it carries a value."""
    found: NDArray[np.bool_] = (quality <= SPIKE) | (quality == DIGITS)
    return found
