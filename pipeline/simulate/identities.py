# SPDX-License-Identifier: Apache-2.0
"""Made-up ids, written in bulk: well-formed, scattered so that no order shows through, and plainly nobody's.

Supply points carry `999999` behind their area, meters begin with K, operators with 9. Texts are rows of a byte table of
fixed width, so that 28 million of them are a few array operations.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from koma.limits import METER_ID_BYTES, POINT_ID_DIGITS
from koma.slots import JST_OFFSET_MINUTES, MS_PER_MINUTE

Text = NDArray[np.uint8]
"""(n, width) ASCII or UTF-8 bytes."""

_MODULUS: Final = 10_000_000_000
_POINT_STRIDE: Final = 3_874_204_897  # coprime to 10: every number below 10^10 comes once
_METER_STRIDE: Final = 2_718_281_829
_OPERATOR_FIRST: Final = 9_001


def _five_digits() -> NDArray[np.uint8]:
    number = np.arange(100_000, dtype=np.int64)
    return np.stack([number // 10**place % 10 + ord("0") for place in (4, 3, 2, 1, 0)], axis=1).astype(np.uint8)


_FIVE_DIGITS: Final = _five_digits()


def ten_digits(numbers: NDArray[np.int64]) -> Text:
    """Return numbers below 10^10 as ten digits."""
    return np.concatenate([_FIVE_DIGITS[numbers // 100_000], _FIVE_DIGITS[numbers % 100_000]], axis=1)


def _prefixed(prefix: bytes, numbers: NDArray[np.int64]) -> Text:
    text = np.empty((len(numbers), len(prefix) + 10), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    text[:, len(prefix) :] = ten_digits(numbers)
    return text


def point_ids(areas: tuple[str, ...], area: NDArray[np.uint8], number: NDArray[np.int64], seed: int) -> Text:
    """Return (n, 22) supply-point ids of points by number; no two alike for one seed."""
    scattered = (number * _POINT_STRIDE + seed % _MODULUS) % _MODULUS
    text = _prefixed(b"00999999" + b"0" * (POINT_ID_DIGITS - 18), scattered)
    text[:, :2] = np.frombuffer("".join(areas).encode(), np.uint8).reshape(-1, 2)[area]
    return text


def meter_ids(number: NDArray[np.int64], seed: int) -> Text:
    """Return (n, 11) meter ids of meters by number: K and ten digits."""
    return _prefixed(b"K", (number * _METER_STRIDE + seed % _MODULUS) % _MODULUS)


def meter_keys(number: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Return (n, 2) meter ids as hand-over batches hold them: sixteen NUL-padded bytes as two words."""
    padded = np.zeros((len(number), METER_ID_BYTES), np.uint8)
    padded[:, :11] = meter_ids(number, seed)
    return padded.view("<u8").astype(np.uint64, copy=False)


def customer_refs(operator: NDArray[np.uint16], number: NDArray[np.int64]) -> Text:
    """Return (n, 16) references by which a retailer knows a customer."""
    text = np.empty((len(number), 16), np.uint8)
    text[:, 0] = ord("C")
    text[:, 1:5] = _FIVE_DIGITS[operator][:, 1:]
    text[:, 5] = ord("-")
    text[:, 6:] = ten_digits(number * _METER_STRIDE % _MODULUS)
    return text


def retailer_codes(areas: tuple[str, ...], retailers: int) -> list[str]:
    """Return the code of operator r in area a at r x areas + a: four digits and the area's last digit."""
    return [f"{_OPERATOR_FIRST + operator}{area[-1]}" for operator in range(retailers) for area in areas]


def text_array(text: Text, valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return rows of a byte table as an Arrow string array without touching one of them in Python."""
    count, width = text.shape
    offsets = np.arange(0, (count + 1) * width, width, dtype=np.int32)
    bitmap = None
    if valid is not None and not valid.all():
        bitmap = pa.py_buffer(np.packbits(valid, bitorder="little"))
    data = pa.py_buffer(np.ascontiguousarray(text))
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), data, bitmap)


def jst_texts(times_ms: NDArray[np.int64]) -> Text:
    """Return (n, 19) ISO 8601 texts in JST, whole seconds, without zone."""
    local = (times_ms + JST_OFFSET_MINUTES * MS_PER_MINUTE) // 1000
    distinct, place = np.unique(local, return_inverse=True)
    texts = np.datetime_as_string(distinct.astype("datetime64[s]"))
    table: NDArray[Any] = texts.astype("S19").view(np.uint8).reshape(-1, 19)
    return table[place]
