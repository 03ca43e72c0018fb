# SPDX-License-Identifier: Apache-2.0
"""The records of a NEM12 file, judged one by one: a 300 with its 400s is a day, taken or refused whole.

Dates and times of the file are taken as JST wall time: NEM12 has no zone in it, and neither clock changes in summer.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from koma.errors import IdentifierError
from koma.ids import parse_point_id
from koma.slots import JST
from pipeline.formats.refusals import Refusals
from pipeline.formats.words import of_nem12

MINUTES: Final = (5, 10, 15, 30)
UNITS: Final = {"WH": 1, "KWH": 4, "MWH": 7}
"""dWh in a unit are 10 to this; other units are no energy."""
DIRECTIONS: Final = {"E": "import", "B": "export"}
DEFAULT_SUFFIX: Final = {"import": "E1", "export": "B1"}
"""A channel of this suffix is the point's only one and has no name in the table."""
LINE_BYTES_MAX: Final = 65_536
_NMI: Final = re.compile(r"[0-9A-Za-z]{1,10}")
_QUALITY: Final = re.compile(r"([AEFNSV])([0-9]{2})?")
_REASON: Final = re.compile(r"[0-9]{0,3}")
_TIME: Final = re.compile(r"[0-9]{12}(?:[0-9]{2})?")


class RecordError(Exception):
    """A record cannot be taken; said once, with what to do."""

    def __init__(self, code: str, reason: str, fix: str) -> None:
        """Keep the three apart."""
        super().__init__(code, reason, fix)
        self.why = (code, reason, fix)


@dataclass(frozen=True, slots=True)
class Channel:
    """What a 200 opens; None in `exponent` says that it measures no energy."""

    point_id: str
    register: str
    suffix: str
    minutes: int
    exponent: int | None

    @property
    def intervals(self) -> int:
        """Intervals of a day."""
        return 24 * 60 // self.minutes


@dataclass(frozen=True, slots=True)
class Stretch:
    """Intervals in a row that have one quality."""

    intervals: int
    word: str
    method: str
    reason: str
    reason_text: str


@dataclass(slots=True)
class Day:
    """A 300 and what its 400s say."""

    line: int
    channel: Channel
    start_ms: int
    values: list[str]
    recorded_ms: int | None
    variable: bool
    stretches: list[Stretch] = field(default_factory=list)


def channel_of(fields: list[str]) -> Channel:
    """Judge a 200.

    Raises:
        RecordError: it cannot be taken.

    """
    if len(fields) < 9:
        raise RecordError("fields", f"a 200 with {len(fields)} fields", "It has at least 9, up to IntervalLength")
    point, suffix, unit, length = fields[1], fields[4].upper(), fields[7].upper(), fields[8]
    if not nmi_serves(point):
        raise RecordError(
            "nmi", f"{point[:30]!r} is no NMI", "It has up to 10 letters and digits; 22 digits for a supply point"
        )
    if unit not in UNITS:
        return Channel(point, "", suffix, 0, None)
    if suffix[:1] not in DIRECTIONS or len(suffix) != 2:
        raise RecordError(
            "suffix", f"NMI suffix {suffix[:10]!r} is neither E. nor B.", "Energy stands in E. (import) or B."
        )
    if length not in {str(each) for each in MINUTES}:
        raise RecordError("interval", f"intervals of {length[:10]!r} minutes", "NEM12 has 5, 10, 15 and 30")
    return Channel(point, DIRECTIONS[suffix[0]], suffix, int(length), UNITS[unit])


def nmi_serves(point: str) -> bool:
    """Whether an id can stand as NMI: up to ten letters and digits, or a supply point id (our extension)."""
    if _NMI.fullmatch(point):
        return True
    try:
        return parse_point_id(point) == point
    except IdentifierError:
        return False


def day_of(line: int, fields: list[str], channel: Channel) -> Day:
    """Judge a 300.

    Raises:
        RecordError: it cannot be taken.

    """
    count = channel.intervals
    place = count + 2
    if len(fields) <= place or not _QUALITY.fullmatch(fields[place]):
        place = next((at for at in range(2, len(fields)) if _QUALITY.fullmatch(fields[at])), len(fields))
        reason = f"{place - 2} values before the quality flag, {channel.minutes} minutes want {count}"
        raise RecordError("count", reason, "Give one value an interval, then the flag")
    tail = [*fields[place + 1 : place + 5], "", "", "", ""]
    if any(fields[place + 5 :]):
        raise RecordError("fields", "more fields than a 300 has", "After the flag stand reason, text and two times")
    day_ms = _time_ms(fields[1] + "0000") if len(fields[1]) == 8 else None
    if day_ms is None:
        raise RecordError("date", f"{fields[1][:12]!r} is no date", "Write YYYYMMDD")
    recorded_ms = _time_ms(tail[2]) if tail[2] else None
    if tail[2] and recorded_ms is None:
        raise RecordError("time", f"update time {tail[2][:20]!r} is no time", "Write YYYYMMDDhhmmss, or leave it empty")
    day = Day(line, channel, day_ms, fields[2:place], recorded_ms, fields[place] == "V")
    if not day.variable:
        day.stretches.append(_stretch(count, fields[place], tail[0], tail[1]))
    return day


def take_range(day: Day, fields: list[str]) -> None:
    """Take a 400 up into its day.

    Raises:
        RecordError: it does not go on where the one before ended, or says nothing.

    """
    if not day.variable:
        raise RecordError("range", "a 400 below a 300 whose flag is not V", "Say V in the 300")
    if len(fields) < 4 or not (
        _REASON.fullmatch(fields[1]) and _REASON.fullmatch(fields[2]) and fields[1] and fields[2]
    ):
        raise RecordError("range", "a 400 without first and last interval and flag", "Write 400,1,48,A")
    first, last = int(fields[1]), int(fields[2])
    done = sum(each.intervals for each in day.stretches)
    if first != done + 1 or not first <= last <= day.channel.intervals:
        reason = f"range {first} to {last} after {done} of {day.channel.intervals} intervals"
        raise RecordError("range", reason, "The 400s of a day follow each other from 1 to the last interval")
    tail = [*fields[4:6], "", ""]
    if fields[3] == "V":
        raise RecordError("quality", "a 400 with the flag V", "Name the quality of the range")
    day.stretches.append(_stretch(last - first + 1, fields[3], tail[0], tail[1]))


def close(day: Day) -> None:
    """Judge a day whose 400s are all there.

    Raises:
        RecordError: they do not tile it, or a value stands where the flag says none.

    """
    done = sum(each.intervals for each in day.stretches)
    if done != day.channel.intervals:
        reason = f"the 400s reach interval {done} of {day.channel.intervals}"
        raise RecordError("range", reason, "The 400s of a day follow each other from 1 to the last interval")
    at = 0
    for each in day.stretches:
        if each.word == "missing":
            if any(set(value) - set("0.") for value in day.values[at : at + each.intervals]):
                raise RecordError("quality", "a value other than 0 where the flag is N", "Give the flag of the value")
            day.values[at : at + each.intervals] = ["0"] * each.intervals
        at += each.intervals


def _stretch(intervals: int, quality: str, reason: str, text: str) -> Stretch:
    match = _QUALITY.fullmatch(quality)
    word = of_nem12(match[1], match[2] or "") if match else None
    if match is None or word is None or (match[1] in "AN" and match[2]):
        raise RecordError(
            "quality", f"{quality[:10]!r} is no quality", "Write A, E, F, N, S or V; E, F and S with their method"
        )
    if not _REASON.fullmatch(reason):
        raise RecordError("reason", f"{reason[:10]!r} is no reason code", "It has up to three digits")
    return Stretch(intervals, word, match[2] or "", reason, text)


def _time_ms(text: str) -> int | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.strptime(text.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=JST)
    except ValueError:
        return None
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000


def lines_of(data: bytes, file: str, refusals: Refusals) -> list[tuple[int, list[str]]]:
    """Cut a file into records: number of the line and its fields; lines that are no text are refused."""
    records = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = raw.rstrip(b"\r")
        if len(line) > LINE_BYTES_MAX:
            refusals.add(file, number, "line", f"a line of {len(line)} bytes", f"At most {LINE_BYTES_MAX}")
        elif b"\0" in line:
            refusals.add(file, number, "line", "a line with a NUL", "This is no text; see where the file comes from")
        elif line:
            try:
                fields = line.decode("utf-8").split(",")
                records.append((number, [each.strip() for each in fields] if b" " in line else fields))
            except UnicodeDecodeError:
                refusals.add(file, number, "line", "a line that is not UTF-8", "Save the file as UTF-8")
    return records
