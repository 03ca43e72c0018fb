# SPDX-License-Identifier: Apache-2.0
"""Texts as numbers and times, held against Python's own reading."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from koma.slots import parse_jst
from pipeline.master.text_kernels import BAD, EMPTY, GOOD, read_decimal, read_times, read_whole

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def column(texts: list[str]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    encoded = [each.encode() for each in texts]
    off = np.cumsum([0, *(len(each) for each in encoded)]).astype(np.int32)
    return off, np.frombuffer(b"".join(encoded) + b"\0", np.uint8)


def time_of(text: str) -> int | None:
    value, status = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    read_times(*column([text]), value, status)
    return int(value[0]) if status[0] == GOOD else None


zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones)  # noqa: DTZ001


@given(moments, st.sampled_from(["auto", "minutes", "seconds", "milliseconds"]), st.sampled_from("T "))
def test_zoned_times_are_instants(moment: datetime, detail: str, separator: str) -> None:
    text = moment.isoformat(separator, detail)

    assert time_of(text) == (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))  # noqa: DTZ001
def test_times_without_zone_are_jst(moment: datetime) -> None:
    assert time_of(moment.isoformat()) == parse_jst(moment.isoformat())
    assert time_of(f"{moment:%Y-%m-%d}".zfill(10)) == parse_jst(moment.date().isoformat())


@pytest.mark.parametrize(
    "text", ["20260822", "20260822T163000Z", "2026-08-22T16", "2026-08-22 16:30+0900", " 2026-08-22 "]
)
def test_other_spellings_of_iso_8601_are_read(text: str) -> None:
    assert time_of(text) == parse_jst(text)


NO_TIMES = """
2023-02-29 2026-13-01 2026-00-01 0000-01-01 2026-8-2 22.8.2026 x 2026-08-22T 2026-08-22T24:00 2026-08-22T16:60
2026-08-22T16:30:60 2026-08-22X16:00 2026-08-22T16:30+9 2026-08-22T16:30:00.
"""


@pytest.mark.parametrize("text", NO_TIMES.split())
def test_what_is_no_time_is_refused(text: str) -> None:
    assert time_of(text) is None


@given(st.lists(st.one_of(st.decimals(0, 10**8, places=4), st.integers(0, 10**8).map(Decimal)), min_size=1))
def test_decimals_are_read_exactly(numbers: list[Decimal]) -> None:
    value, status = np.zeros(len(numbers), np.int64), np.full(len(numbers), BAD, np.uint8)
    read_decimal(*column([f" {each:f}" for each in numbers]), 10**13, value, status)

    assert status.tolist() == [GOOD] * len(numbers)
    assert value.tolist() == [int(each * 10**4) for each in numbers]


@pytest.mark.parametrize(
    "text", ["-1", "+1", "1e3", "1,5", "1.00001", ".", "1.2.3", "１", "1000000000000000000000", "10.1"]
)
def test_what_is_no_decimal_or_too_large_is_refused(text: str) -> None:
    value, status = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    read_decimal(*column([text]), 100_000, value, status)

    assert status[0] == BAD


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1))
def test_whole_numbers_are_read(numbers: list[int]) -> None:
    value, status = np.zeros(len(numbers), np.int64), np.full(len(numbers), BAD, np.uint8)
    read_whole(*column([str(each) for each in numbers]), -(10**12), 10**12, value, status)

    assert value.tolist() == numbers
    assert not status.any()


@pytest.mark.parametrize(
    ("text", "expected"), [("", EMPTY), ("  ", EMPTY), ("-", BAD), ("1.0", BAD), ("8", BAD), ("+7", GOOD)]
)
def test_whole_numbers_keep_to_their_limits(text: str, expected: int) -> None:
    value, status = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    read_whole(*column([text]), 0, 7, value, status)

    assert status[0] == expected
