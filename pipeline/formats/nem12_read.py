# SPDX-License-Identifier: Apache-2.0
"""NEM12 in: days of channels, joined into columns; no value is looked at by itself."""

from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from koma.errors import FormatError
from koma.slots import MS_PER_MINUTE
from pipeline.formats import decimals
from pipeline.formats.nem12_records import (
    DEFAULT_SUFFIX,
    Channel,
    Day,
    RecordError,
    channel_of,
    close,
    day_of,
    lines_of,
    take_range,
)
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import assemble, empty, settle


class _Reader:
    """Goes from record to record; a day is complete when something other than its 400s comes."""

    def __init__(self, file: str, refusals: Refusals) -> None:
        self.file, self.refusals = file, refusals
        self.days: list[Day] = []
        self.ended = True
        self._seen: set[tuple[Channel, int]] = set()
        self._channel: Channel | None = None
        self._day: Day | None = None
        self._refused_day = False

    def take(self, line: int, fields: list[str]) -> None:
        """Take one record up, or refuse it."""
        kind = fields[0]
        try:
            if kind == "400":
                self._range(fields)
                return
            if kind == "500":
                self.refusals.pass_over("B2B details (500)")
                return
            self.close()
            self._refused_day = False
            if kind == "200":
                self._channel = None
                self._channel = channel_of(fields)
            elif kind == "300":
                self._open(line, fields)
            elif kind in {"100", "900"}:
                self._border(kind)
            else:
                what = f"a record {kind[:10]!r}"
                self.refusals.add(self.file, line, "record", what, "NEM12 has 100, 200, 300, 400, 500 and 900")
        except RecordError as bad:
            self.refusals.add(self.file, line, *bad.why)

    def close(self) -> None:
        """Take the open day to the others, or refuse it."""
        day, self._day = self._day, None
        if day is None:
            return
        try:
            close(day)
            self._seen.add((day.channel, day.start_ms))
            self.days.append(day)
        except RecordError as bad:
            self.refusals.add(self.file, day.line, *bad.why)

    def _border(self, kind: str) -> None:
        if (kind == "100") != self.ended:
            raise RecordError("record", f"a {kind} where none may stand", "A file goes from one 100 to one 900")
        self.ended = kind == "900"
        self._channel = None

    def _open(self, line: int, fields: list[str]) -> None:
        self._refused_day = True
        if self._channel is None:
            raise RecordError("record", "a 300 without a 200 that could be taken", "See the refusal of its 200")
        if self._channel.exponent is None:
            self.refusals.pass_over("channels of other units (300)")
            return
        day = day_of(line, fields, self._channel)
        if (day.channel, day.start_ms) in self._seen:
            raise RecordError("repeated", "a second 300 of a channel and day", "Leave one; a file states each day once")
        self._day, self._refused_day = day, False

    def _range(self, fields: list[str]) -> None:
        if self._day is None:
            if self._refused_day:
                self.refusals.pass_over("ranges of days not taken (400)")
                return
            raise RecordError("range", "a 400 without a 300", "It follows a 300 whose flag is V")
        try:
            take_range(self._day, fields)
        except RecordError:
            self._day, self._refused_day = None, True
            raise


def read(data: bytes, file: str, refusals: Refusals) -> Any:
    """Read one file.

    Raises:
        FormatError: it does not begin as NEM12 does.

    """
    records = lines_of(data, file, refusals)
    if not records or records[0][1][:2] != ["100", "NEM12"]:
        line = records[0][0] if records else 1
        raise FormatError(
            f"{file} line {line}: no header 100,NEM12", hint="NEM13 and files without header are not read"
        )
    reader = _Reader(file, refusals)
    for line, fields in records:
        reader.take(line, fields)
    reader.close()
    if not reader.ended:
        refusals.add(file, records[-1][0], "end", "no 900 at the end", "The file may be cut off; fetch it again")
    return _table(reader.days, file, refusals)


def _table(days: list[Day], file: str, refusals: Refusals) -> Any:
    """Join days: what a day or a stretch says is repeated over its intervals, values are read as one column a unit."""
    if not days:
        return empty()
    counts = np.array([len(day.values) for day in days])
    of_day = np.repeat(np.arange(len(days)), counts)
    texts = pa.array(list(chain.from_iterable(day.values for day in days)), pa.string())
    exponents = np.array([day.channel.exponent for day in days])
    energy = np.zeros(len(of_day), np.int64)
    fault = np.zeros(len(of_day), np.uint8)
    for exponent in np.unique(exponents):
        rows = np.flatnonzero(exponents[of_day] == exponent)
        energy[rows], fault[rows] = decimals.to_dwh(texts.take(pa.array(rows)), int(exponent))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    number = np.arange(len(of_day)) - first[of_day]
    good = _judge(days, of_day, number, energy, fault, file, refusals)
    stretches = [each for day in days for each in day.stretches]
    of_stretch = pa.array(np.repeat(np.arange(len(stretches)), [each.intervals for each in stretches]))
    minutes = np.array([day.channel.minutes for day in days])[of_day]
    start_ms = np.array([day.start_ms for day in days])[of_day] + number * minutes * MS_PER_MINUTE
    words = pa.array([each.word for each in stretches]).take(of_stretch)
    missing = np.array([each.word == "missing" for each in stretches])[np.array(of_stretch)]
    index = pa.array(of_day)
    table = assemble(
        {
            "point_id": pa.array([day.channel.point_id for day in days]).take(index),
            "register": pa.array([day.channel.register for day in days]).take(index),
            "channel": pa.array([_name(day.channel) for day in days], pa.string()).take(index),
            "slot_start": pa.array(start_ms),
            "interval_minutes": pa.array(minutes),
            "energy_dwh": pa.array(energy, mask=missing),
            "available": pa.array(~missing),
            "quality": words,
            "method": pa.array([each.method or None for each in stretches], pa.string()).take(of_stretch),
            "reason": pa.array([each.reason or None for each in stretches], pa.string()).take(of_stretch),
            "reason_text": pa.array([each.reason_text or None for each in stretches], pa.string()).take(of_stretch),
            "recorded_at": pa.array([day.recorded_ms for day in days], pa.int64()).take(index),
        }
    )
    lines = np.array([day.line for day in days])[of_day]
    return settle(table.filter(pa.array(good[of_day])), lines[good[of_day]], file, refusals)


def _name(channel: Channel) -> str | None:
    return None if channel.suffix == DEFAULT_SUFFIX[channel.register] else channel.suffix


def _judge(days: list[Day], of_day: Any, number: Any, energy: Any, fault: Any, file: str, refusals: Refusals) -> Any:
    """Refuse the days in which a value is none, with the first such interval; return a mask of the others."""
    good = np.ones(len(days), bool)
    bad = np.flatnonzero((fault != 0) | (energy < 0))
    for at in bad[np.unique(of_day[bad], return_index=True)[1]]:
        day = days[of_day[at]]
        reason, fix = decimals.FAULTS[fault[at]] if fault[at] else ("is negative", "NEM12 has export in channels B")
        text = day.values[number[at]][:20]
        refusals.add(file, day.line, "energy", f"interval {number[at] + 1}: {text!r} {reason}", fix)
        good[of_day[at]] = False
    return good
