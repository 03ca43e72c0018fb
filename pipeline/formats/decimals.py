# SPDX-License-Identifier: Apache-2.0
"""Columns of decimal texts to whole dWh and back, exactly: what is no whole dWh gets a fault, never a rounding."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

KWH: Final = 4
"""A kWh is 10^4 dWh; other units by the same rule: Wh is 1, MWh 7."""

FAULTS: Final[tuple[tuple[str, str], ...]] = (
    ("", ""),
    ("is not a decimal number", "Write digits with a point, without exponent or separators"),
    ("is not a whole number of 0.1 Wh", "Give the energy in steps of 0.0001 kWh"),
    ("does not fit", "Give at most 18 digits of 0.1 Wh"),
)
"""Index to what is wrong and what to do."""
_NO_NUMBER, _TOO_FINE, _TOO_LARGE = 1, 2, 3
_DIGITS_MAX = 18


def to_dwh(texts: Any, exponent: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Read texts of one unit.

    Args:
        texts: string array without nulls.
        exponent: dWh in the unit are 10 to this, which may be negative.

    Returns:
        Values, 0 where there is a fault; and index into `FAULTS`.

    """
    good = pc.match_substring_regex(texts, r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)$")
    texts = pc.if_else(good, texts, "0")
    negative = pc.starts_with(texts, "-")
    parts = pc.extract_regex(texts, r"^-?(?P<whole>[0-9]*)\.?(?P<rest>[0-9]*)$")
    whole, rest = pc.struct_field(parts, "whole"), pc.utf8_rtrim(pc.struct_field(parts, "rest"), "0")
    places = max(exponent, 0)
    fine = pc.greater(pc.utf8_length(rest), places)
    rest = pc.if_else(fine, "", rest)
    digits = pc.binary_join_element_wise(whole, pc.utf8_rpad(rest, places, "0") if places else rest, "")
    if exponent < 0:
        zeros = "0" * -exponent
        digits = pc.utf8_lpad(digits, -exponent + 1, "0")
        fine = pc.or_(fine, pc.invert(pc.ends_with(digits, zeros)))
        digits = pc.utf8_slice_codeunits(digits, 0, exponent)
    digits = pc.utf8_lpad(pc.utf8_ltrim(digits, "0"), 1, "0")
    large = pc.greater(pc.utf8_length(digits), _DIGITS_MAX)
    values = np.array(pc.cast(pc.if_else(large, "0", digits), pa.int64()))
    values = np.where(np.array(negative), -values, values)
    fault = np.zeros(len(values), np.uint8)
    fault[np.array(large)] = _TOO_LARGE
    fault[np.array(fine)] = _TOO_FINE
    fault[~np.array(good)] = _NO_NUMBER
    values[fault != 0] = 0
    return values, fault


def to_kwh(values: Any) -> Any:
    """Write a column of dWh as the shortest decimal texts in kWh; null stays null."""
    size = pc.abs(values)
    whole = pc.divide(size, 10**KWH)
    rest = pc.utf8_lpad(pc.cast(pc.subtract(size, pc.multiply(whole, 10**KWH)), pa.string()), KWH, "0")
    rest = pc.utf8_rtrim(rest, "0")
    point = pc.if_else(pc.equal(rest, ""), "", ".")
    sign = pc.if_else(pc.less(values, 0), "-", "")
    return pc.binary_join_element_wise(sign, pc.cast(whole, pa.string()), point, rest, "")
