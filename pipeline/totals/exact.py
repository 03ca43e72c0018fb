# SPDX-License-Identifier: Apache-2.0
"""Exact arithmetic of totals: energy at the generation end is a fraction, and is rounded once, at the very edge.

kWh / (1 - loss rate) is hardly ever a whole number of dWh. So it stays a fraction of whole numbers as long as anything
is added to it, and nothing that was rounded is ever added up to be used again.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from koma.energy import DWH_PER_KWH
from koma.errors import TotalsError

HALF_UP, HALF_EVEN, UP, DOWN = "half_up", "half_even", "up", "down"
MODES: Final = (HALF_UP, HALF_EVEN, UP, DOWN)
"""Of the size of a number: what lies below zero is rounded as its opposite is."""
_RATE: Final = re.compile(r"0(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rounding:
    """How energy becomes settlement kWh: in whole multiples of `unit_kwh`."""

    unit_kwh: int = 1
    mode: str = HALF_UP

    def kwh(self, dwh: Fraction) -> int:
        """Return the settlement kWh of some energy.

        >>> Rounding().kwh(Fraction(5_000)), Rounding().kwh(Fraction(-5_000)), Rounding().kwh(Fraction(4_999))
        (1, -1, 0)
        """
        size = abs(dwh) / (DWH_PER_KWH * self.unit_kwh)
        whole, rest = size.numerator // size.denominator, size % 1
        up = {
            HALF_UP: rest >= Fraction(1, 2),
            HALF_EVEN: rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1),
            UP: rest > 0,
            DOWN: False,
        }[self.mode]
        units = whole + up
        return (-units if dwh < 0 else units) * self.unit_kwh


def whole_dwh(dwh: Fraction) -> int:
    """Return the nearest whole dWh, halves up: for people to read, never to be added up."""
    return Rounding(1, HALF_UP).kwh(dwh * DWH_PER_KWH)


def parse_rate(text: str) -> Fraction:
    """Return a loss rate, from 0 to below 1, written as a decimal.

    Raises:
        TotalsError: it is none.

    >>> parse_rate("0.069")
    Fraction(69, 1000)
    """
    if _RATE.fullmatch(text) is None:
        raise TotalsError(f"{text[:40]!r} is no loss rate", hint="write a decimal below 1 such as 0.05, no percentage")
    return Fraction(text)


def at_generation_end(dwh: int, rate: Fraction) -> Fraction:
    """Return the energy that had to be generated for some energy at the customer's end.

    >>> at_generation_end(9_310, parse_rate("0.069"))
    Fraction(10000, 1)
    """
    return Fraction(dwh) / (1 - rate)


def exact_text(dwh: Fraction) -> str:
    """Return a fraction of dWh as text without loss.

    >>> exact_text(Fraction(7, 2)), exact_text(Fraction(4))
    ('7/2', '4')
    """
    return str(dwh)
