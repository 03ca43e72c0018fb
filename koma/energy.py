# SPDX-License-Identifier: Apache-2.0
"""Energy as whole dWh (0.1 Wh = 10^-4 kWh, the smallest ECHONET Lite unit) and its exact decimal text in kWh.

No float ever carries energy: a text goes in and out digit by digit.
"""

import re

from koma.errors import EnergyError

DWH_PER_KWH = 10_000
"""Whole dWh in one kWh."""

_DECIMALS = 4
_INT64_MAX = 2**63 - 1
_INT64_DIGITS = 19
_KWH = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def parse_kwh(text: str) -> int:
    """Energy in dWh of a decimal text in kWh.

    Raises:
        EnergyError: not a plain decimal, finer than 0.0001 kWh, or beyond 64 bits.

    >>> parse_kwh("0.1"), parse_kwh("12"), parse_kwh("-3.0405")
    (1000, 120000, -30405)
    """
    match = _KWH.fullmatch(text)
    if match is None:
        message = f"{text[:40]!r} is not an energy in kWh"
        raise EnergyError(message, hint="Write a plain decimal such as 12.3456, without exponent or separators")
    sign, whole, decimals = match[1], match[2].lstrip("0"), (match[3] or "").rstrip("0")
    if len(decimals) > _DECIMALS:
        message = f"{text[:40]!r} kWh is finer than 0.1 Wh"
        raise EnergyError(message, hint="Give at most four decimals")
    dwh = int(whole + decimals.ljust(_DECIMALS, "0")) if len(whole) <= _INT64_DIGITS else _INT64_MAX + 1
    if dwh > _INT64_MAX:
        message = f"{text[:40]!r} kWh does not fit 64 bits"
        raise EnergyError(message, hint="The largest energy is 922337203685477.5807 kWh")
    return -dwh if sign else dwh


def format_kwh(dwh: int) -> str:
    """Shortest decimal text in kWh: no exponent, no trailing zeros.

    >>> format_kwh(1000), format_kwh(120000), format_kwh(0), format_kwh(-30405)
    ('0.1', '12', '0', '-3.0405')
    """
    whole, rest = divmod(abs(dwh), DWH_PER_KWH)
    sign = "-" if dwh < 0 else ""
    decimals = f"{rest:0{_DECIMALS}d}".rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
