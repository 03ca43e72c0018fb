# SPDX-License-Identifier: Apache-2.0
"""One batch of a master file: its columns read as numbers, words and times, with the first fault of each row."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from koma.errors import IdentifierError
from koma.ids import parse_balancing_group
from koma.limits import RETAILER_CODE_DIGITS, TIME_MS_MAX
from pipeline.master.rules import Fault
from pipeline.master.source import Table, text_buffers
from pipeline.master.text_kernels import (
    EMPTY,
    GOOD,
    judge_texts,
    mix_empty,
    mix_numbers,
    mix_texts,
    read_codes,
    read_decimal,
    read_meters,
    read_points,
    read_times,
    read_whole,
    read_words,
)

_JST_MS = 32_400_000
_MS_PER_DAY = 86_400_000


@dataclass(slots=True)
class Batch:
    """Rows of one record batch under judgement.

    Every reader returns one value a row; where a row's text is bad it notes the fault, and the value means nothing.
    """

    table: Table
    columns: pa.RecordBatch
    fault: NDArray[np.uint8] = field(init=False)
    column: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with rows in which nothing is wrong."""
        self.fault = np.zeros(len(self.columns), np.uint8)
        self.column = np.zeros(len(self.columns), np.uint8)

    def __len__(self) -> int:
        return len(self.columns)

    def has(self, name: str) -> bool:
        """Say whether the file has the column."""
        return name in self.columns.schema.names

    def fail(self, where: NDArray[Any], fault: Fault, column: str) -> None:
        """Note `fault` in the rows `where`, unless an earlier one is noted."""
        where = where.astype(bool) & (self.fault == Fault.NONE)
        self.fault[where] = fault
        self.column[where] = self.table.columns.index(column)

    def points(self) -> tuple[NDArray[np.uint16], NDArray[np.uint64], NDArray[np.bool_]]:
        """High and low part of point_id, and whether it could be read."""
        high, low, status = np.zeros(len(self), np.uint16), np.zeros(len(self), np.uint64), self._status()
        read_points(*self._text("point_id"), high, low, status)
        self.fail(status != GOOD, Fault.POINT_ID, "point_id")
        return high, low, status == GOOD

    def main_points(self) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
        """High and low part of main_point_id, zero where none is given."""
        high, low, status = np.zeros(len(self), np.uint16), np.zeros(len(self), np.uint64), self._status()
        if self.has("main_point_id"):
            trimmed = pc.utf8_trim(self.columns["main_point_id"], " ")
            read_points(*text_buffers(trimmed), high, low, status)
            given = pc.not_equal(trimmed, "").to_numpy(zero_copy_only=False)
            self.fail(given & (status != GOOD), Fault.MAIN_POINT_ID, "main_point_id")
            high[~given], low[~given] = 0, 0
        return high, low

    def meters(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Two words of meter_id."""
        k0, k1, status = np.zeros(len(self), np.uint64), np.zeros(len(self), np.uint64), self._status()
        read_meters(*self._text("meter_id"), k0, k1, status)
        self.fail(status != GOOD, Fault.METER_ID, "meter_id")
        return k0, k1

    def codes(self, name: str) -> NDArray[np.int64]:
        """Retailer code as a number, its leading zeros implied."""
        value, status = np.zeros(len(self), np.int64), self._status()
        read_codes(*self._text(name), RETAILER_CODE_DIGITS, value, status)
        self.fail((status != GOOD) | (value == 0), Fault.RETAILER_CODE, name)
        return value

    def whole(
        self, name: str, limits: tuple[int, int], default: NDArray[np.int64] | int | None, fault: Fault
    ) -> NDArray[np.int64]:
        """Whole number between the limits; without a default it must be given."""
        value, status = np.zeros(len(self), np.int64), self._status()
        if self.has(name):
            read_whole(*self._text(name), *limits, value, status)
        return self._settled(name, value, status, default, fault)

    def decimal(self, name: str, most: int, default: int, fault: Fault) -> NDArray[np.int64]:
        """Decimal number from 0 to `most` / 10^4, as its 10^4-fold."""
        value, status = np.zeros(len(self), np.int64), self._status()
        if self.has(name):
            read_decimal(*self._text(name), most, value, status)
        return self._settled(name, value, status, default, fault)

    def words(self, name: str, words: tuple[str, ...], default: int, fault: Fault) -> NDArray[np.int64]:
        """Place of a word in `words`, which are upper-case."""
        value, status = np.zeros(len(self), np.uint8), self._status()
        if self.has(name):
            ends = np.cumsum([0, *(len(each) for each in words)]).astype(np.int32)
            read_words(*self._text(name), ends, np.frombuffer("".join(words).encode(), np.uint8), value, status)
        return self._settled(name, value.astype(np.int64), status, default, fault)

    def times(self, name: str, default: int | None) -> NDArray[np.int64]:
        """Milliseconds since the epoch; JST where no zone is given."""
        value, status = np.zeros(len(self), np.int64), self._status()
        if self.has(name):
            column = self.columns[name]
            if pa.types.is_string(column.type):
                read_times(*text_buffers(column), value, status)
            else:
                value = _native_ms(column)
                status = np.where(column.is_null().to_numpy(zero_copy_only=False), EMPTY, GOOD)
        settled = self._settled(name, value, status, default, Fault.TIME)
        self.fail((settled > TIME_MS_MAX) | (settled < -TIME_MS_MAX), Fault.TIME, name)
        return settled

    def text(self, name: str, chars_max: int) -> pa.StringArray | None:
        """Text without blanks around it; None where the file has no such column."""
        if not self.has(name):
            return None
        column = pc.utf8_trim(self.columns[name], " ")
        status = self._status()
        judge_texts(*text_buffers(column), chars_max, status)
        self.fail(status > EMPTY, Fault.TEXT, name)
        return column

    def groups(self, name: str, known: dict[str, int]) -> NDArray[np.int64]:
        """Number of a balancing group in `known`, which grows; 0 where none is given."""
        if not self.has(name):
            return np.zeros(len(self), np.int64)
        coded = pc.dictionary_encode(pc.utf8_trim(self.columns[name], " "))
        numbers = np.array([_group_number(each, known) for each in coded.dictionary.to_pylist()], np.int64)
        value: NDArray[np.int64] = numbers[coded.indices.to_numpy()]
        self.fail(value < 0, Fault.BG_CODE, name)
        return value

    def digest(
        self, numbers: tuple[NDArray[np.int64], ...], texts: Iterable[pa.StringArray | None]
    ) -> NDArray[np.uint64]:
        """64 bits that stand for a row's content, so that two rows of one key can be compared without their texts.

        A missing column counts as one of empty texts.
        """
        mixed = np.full(len(self), 0x9E3779B97F4A7C15, np.uint64)
        for each in numbers:
            mix_numbers(each, mixed)
        for column in texts:
            if column is None:
                mix_empty(mixed)
            else:
                mix_texts(*text_buffers(column), mixed)
        return mixed

    def _text(self, name: str) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        return text_buffers(self.columns[name])

    def _status(self) -> NDArray[np.uint8]:
        return np.full(len(self), EMPTY, np.uint8)

    def _settled(
        self,
        name: str,
        value: NDArray[np.int64],
        status: NDArray[Any],
        default: NDArray[np.int64] | int | None,
        fault: Fault,
    ) -> NDArray[np.int64]:
        """Put the default where nothing was given and note the fault where what was given is bad."""
        self.fail(status > EMPTY if default is not None else status != GOOD, fault, name)
        return value if default is None else np.where(status == EMPTY, default, value)


def _group_number(code: str, known: dict[str, int]) -> int:
    if not code:
        return 0
    if code not in known:
        try:
            known[parse_balancing_group(code)] = len(known)
        except IdentifierError:
            return -1
    return known[code]


def _native_ms(column: pa.Array) -> NDArray[np.int64]:
    """Timestamps and dates as ms since the epoch; those without a zone are JST. Nulls become 0."""
    naive = not (pa.types.is_timestamp(column.type) and column.type.tz)
    ms = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    value: NDArray[np.int64] = pc.fill_null(ms, 0).to_numpy(zero_copy_only=False)
    return value - _JST_MS if naive else value
