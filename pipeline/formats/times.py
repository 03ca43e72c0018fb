# SPDX-License-Identifier: Apache-2.0
"""Columns of ISO 8601 texts to milliseconds and back; a text without zone is JST."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE

_FORM: Final = (
    r"^(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    r"(?:[T ](?P<h>[0-9]{2}):(?P<n>[0-9]{2})(?::(?P<s>[0-9]{2})(?:\.(?P<f>[0-9]{1,3}))?)?"
    r"(?P<z>Z|[+-][0-9]{2}:[0-9]{2})?)?$"
)


def to_ms(texts: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read texts without nulls as ms since the epoch; the mask says which are times at all."""
    parts = pc.extract_regex(texts, _FORM)
    good = np.array(pc.is_valid(parts), bool)
    y, m, d, h, n, s, f, z = (pc.fill_null(pc.struct_field(parts, each), "") for each in "ymdhnsfz")
    month = (_ints(y) - 1970) * 12 + _ints(m) - 1
    first = month.astype("datetime64[M]").astype("datetime64[D]")
    day = first + (_ints(d) - 1).astype("timedelta64[D]")
    good &= (_ints(m) >= 1) & (_ints(m) <= 12) & (day.astype("datetime64[M]") == first.astype("datetime64[M]"))
    good &= (_ints(h) < 24) & (_ints(n) < 60) & (_ints(s) < 60)
    zone = pc.if_else(pc.equal(z, "Z"), "+00:00", pc.if_else(pc.equal(z, ""), "+09:00", z))
    offset = _ints(pc.utf8_slice_codeunits(zone, 1, 3)) * 60 + _ints(pc.utf8_slice_codeunits(zone, 4, 6))
    good &= offset < 24 * 60
    offset = np.where(np.array(pc.starts_with(zone, "-"), bool), -offset, offset)
    minutes = _ints(h) * 60 + _ints(n) - offset
    fraction = _ints(pc.utf8_rpad(f, 3, "0"))
    ms = day.astype(np.int64) * MS_PER_DAY + minutes * MS_PER_MINUTE + _ints(s) * 1000 + fraction
    return np.where(good, ms, 0), good


def _ints(texts: Any) -> NDArray[np.int64]:
    return np.array(pc.cast(pc.if_else(pc.equal(texts, ""), "0", texts), pa.int64()), np.int64)


def jst_texts(times: Any) -> Any:
    """Write times as JST wall time with its zone, to the millisecond only where it is not a whole second."""
    return _texts(times, JST_OFFSET_MINUTES, "+09:00")


def utc_texts(times: Any) -> Any:
    """Write times in UTC."""
    return _texts(times, 0, "Z")


def _texts(times: Any, offset_minutes: int, zone: str) -> Any:
    ms = pc.add(pc.cast(times, pa.int64()), offset_minutes * MS_PER_MINUTE)
    text = pc.strftime(pc.cast(ms, pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%S")
    return pc.binary_join_element_wise(pc.replace_substring(text, ".000", ""), zone, "")


def dates(days: NDArray[np.int64], separator: str) -> Any:
    """Write days since the epoch as dates."""
    return pc.strftime(pa.array(days.astype("datetime64[D]")), f"%Y{separator}%m{separator}%d")
