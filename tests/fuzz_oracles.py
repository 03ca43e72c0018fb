# SPDX-License-Identifier: Apache-2.0
"""What a telegram and a line of CSV say, read once more without the decoders: slowly, and by the contract's words."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from koma.limits import METER_ID_BYTES, NO_DATA, NO_READ, REGISTER_MAX
from pipeline.telegram.time_kernels import FIRST_MS, LAST_MS

SLOT_MS, DAY_MS, JST_MS = 1_800_000, 86_400_000, 32_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LENGTHS = {0x97: 2, 0x98: 4, 0xD0: 15, 0xD3: 4, 0xD7: 1, 0xE0: 4, 0xE1: 1, 0xE2: 194, 0xE3: 4, 0xE4: 194, 0xE5: 1,
            0xE7: 4, 0xE8: 4, 0xEA: 11, 0xEB: 11, 0xED: 7}  # fmt: skip
_NOT_SET = b"\xff" * 6
_FIELD = rb'(?:"(?:[^"]|"")*"|[^,"]*)'
_LINE = re.compile(rb"%b(?:,%b)*" % (_FIELD, _FIELD), re.DOTALL)
_FIELDS = re.compile(rb'(?:^|,)((?:"(?:[^"]|"")*"|[^,"]*))', re.DOTALL)
_TIME = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?: (?=.))?([Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(rb"(-?)(\d+)", re.ASCII)

Row = tuple[int, int, int, int]
"""Stamp and received_at in UTC ms, import and export register."""


Series = tuple[int | None, list[tuple[int, ...]]]
"""Stamp of the first registers (of a history: the day it counts back) and the registers of each stamp."""


@dataclass(slots=True)
class Said:
    """What a record says: rows, codes of refusals with the reads each counts for, what is filtered.

    `beyond`: its frame is refused for a history that leaves the calendar, which may be due to received_at.
    """

    rows: list[Row] = field(default_factory=list)
    refused: list[tuple[str, int]] = field(default_factory=list)
    filtered: Counter[str] = field(default_factory=Counter)
    beyond: bool = False


class _RefusedError(Exception):
    """The record is refused as a whole, with this code."""


def id_is_sound(text: bytes) -> bool:
    """Tell whether a meter id is 1 to 16 printable ASCII characters without a blank at an end."""
    printable = all(0x20 <= each <= 0x7E for each in text)
    return 1 <= len(text) <= METER_ID_BYTES and printable and text == text.strip(b" ")


def moment_ms(*parts: int) -> int:
    """UTC ms of a date and time as if it were UTC's; a ValueError where there is none such."""
    return (datetime(*parts, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)  # type: ignore[misc, arg-type]


def _in_calendar(utc_ms: int) -> int:
    if not FIRST_MS <= utc_ms <= LAST_MS:
        raise ValueError(utc_ms)
    return utc_ms


def telegram_says(rest: bytes) -> tuple[bytes, Said]:
    """Return meter id and content of a record behind its length."""
    said = Said()
    if len(rest) < 24:
        said.refused.append(("frame", 1))
        return b"", said
    meter, received = rest[:16].rstrip(b"\0"), int.from_bytes(rest[16:24], signed=True)
    frame = rest[24:]
    try:
        properties = _properties(frame)
        if frame[4:6] != b"\x02\x88" or frame[10] not in {0x72, 0x73, 0x74}:
            said.filtered["class" if frame[4:6] != b"\x02\x88" else "esv"] += 1
            return meter, said
        series = [_series(epc, edt) for epc, edt in properties]
        beyond = _beyond(properties, series, received)
    except (_RefusedError, ValueError):
        said.refused.append(("frame", 1))
        return meter, said
    reads = sum(len(each[1]) * (1 if epc != 0xEC else 2) for (epc, _), each in zip(properties, series, strict=True))
    if not id_is_sound(meter):
        said.refused.append(("meter_id", max(1, reads)))
    elif not FIRST_MS <= received <= LAST_MS:
        said.refused.append(("received_at", max(1, reads)))
    elif beyond:
        said.beyond = True
        said.refused.append(("frame", 1))
    else:
        _put(said, [epc for epc, _ in properties], series, received)
    return meter, said


def _today(epcs: list[int], series: list[Series], received: int) -> int:
    """Midnight in Japan that histories count back from."""
    times = [each[0] for epc, each in zip(epcs, series, strict=True) if epc in {0xEA, 0xEB}]
    return ((times[0] if times and times[0] is not None else received) + JST_MS) // DAY_MS * DAY_MS - JST_MS


def _beyond(properties: list[tuple[int, bytes]], series: list[Series], received: int) -> bool:
    """Tell whether a history has a stamp that is not in the years 1 to 9999."""
    today = _today([epc for epc, _ in properties], series, received)
    days = [each[0] for (epc, _), each in zip(properties, series, strict=True) if epc in {0xE2, 0xE4}]
    starts = [today - day * DAY_MS for day in days if day is not None]
    return any(start < FIRST_MS or start + 47 * SLOT_MS > LAST_MS for start in starts)


def _properties(frame: bytes) -> list[tuple[int, bytes]]:
    if len(frame) < 12 or frame[:2] != b"\x10\x81":
        raise _RefusedError
    found, at, lists = [], 11, 1
    ours = frame[4:6] == b"\x02\x88" and frame[10] in {0x72, 0x73, 0x74}
    if frame[10] in {0x5E, 0x6E, 0x7E}:
        lists = 2
    for _ in range(lists):
        if at >= len(frame):
            raise _RefusedError
        count = frame[at]
        at += 1
        for _ in range(count):
            if at + 2 > len(frame) or at + 2 + frame[at + 1] > len(frame):
                raise _RefusedError
            found.append((frame[at], frame[at + 2 : at + 2 + frame[at + 1]]))
            at += 2 + frame[at + 1]
    wrong = any(_LENGTHS.get(epc, len(edt)) != len(edt) for epc, edt in found) if ours else False
    if at != len(frame) or not found or wrong:
        raise _RefusedError
    return found


def _series(epc: int, edt: bytes) -> Series:
    def word(at: int) -> int:
        return int.from_bytes(edt[at : at + 4])

    if epc in {0xEA, 0xEB}:
        return _in_calendar(moment_ms(int.from_bytes(edt[:2]), *edt[2:7]) - JST_MS), [(word(7),)]
    if epc in {0xE2, 0xE4}:
        day = int.from_bytes(edt[:2])
        if day == 0xFF:
            return None, []
        if day > 99:
            raise _RefusedError
        return day, [(word(2 + 4 * index),) for index in range(48)]
    if epc == 0xEC:
        if len(edt) < 7 or not 1 <= edt[6] <= 12 or len(edt) != 7 + 8 * edt[6]:
            raise _RefusedError
        if edt[:6] == _NOT_SET:
            return None, []
        newest = moment_ms(int.from_bytes(edt[:2]), *edt[2:6]) - JST_MS
        _in_calendar(newest - (edt[6] - 1) * SLOT_MS)
        return newest, [(word(7 + 8 * index), word(11 + 8 * index)) for index in range(edt[6])]
    return None, []


def _put(said: Said, epcs: list[int], series: list[Series], received: int) -> None:
    today = _today(epcs, series, received)
    ea_row = -1
    for epc, (start, registers) in zip(epcs, series, strict=True):
        if start is None:
            said.filtered["not_set" if epc in {0xE2, 0xE4, 0xEC} else "property"] += 1
            continue
        stamp, step = (start, -SLOT_MS) if epc not in {0xE2, 0xE4} else (today - start * DAY_MS, SLOT_MS)
        before = len(said.rows)
        for index, each in enumerate(registers):
            at = stamp + index * step
            forward, reverse = each if epc == 0xEC else (NO_READ, *each) if epc in {0xEB, 0xE4} else (*each, NO_READ)
            if any(value > REGISTER_MAX and value != NO_DATA for value in each):
                said.refused.append(("register_range", len(each)))
            elif epc == 0xEB and ea_row >= 0 and said.rows[ea_row][0] == at and said.rows[ea_row][3] == NO_READ:
                said.rows[ea_row] = (*said.rows[ea_row][:3], reverse)
            else:
                said.rows.append((at, received, forward, reverse))
        if epc == 0xEA and len(said.rows) > before:
            ea_row = before


def line_says(line: bytes, order: tuple[int, ...], fields: int) -> tuple[bytes, Said]:
    """Return meter id and content of a line of CSV; `order` says which field our five columns are."""
    said = Said()
    line = line.removesuffix(b"\r")
    if not line:
        return b"", said
    texts = [each.group(1) for each in _FIELDS.finditer(line)] if _LINE.fullmatch(line) else []
    if len(texts) != fields:
        said.refused.append(("row", 1))
        return b"", said
    texts = [text[1:-1] if text[:1] == b'"' else text for text in (texts[each] for each in order)]
    meter = texts[0].replace(b'""', b'"')
    read_at, forward_text, reverse_text, received_at = (each.strip(b" ") for each in texts[1:])
    read_ms, received_ms = _time(read_at, JST_MS), _time(received_at, 0)
    forward, reverse = _register(forward_text), _register(reverse_text)
    reads = max(1, (forward != NO_READ) + (reverse != NO_READ))
    code = ""
    if not id_is_sound(meter):
        code = "meter_id"
    elif read_ms is None or received_ms is None:
        code = "read_at" if read_ms is None else "received_at"
    elif any(each > REGISTER_MAX and each not in {NO_READ, NO_DATA} for each in (forward, reverse)):
        code = "register_range"
    else:
        said.rows.append((read_ms, received_ms, forward, reverse))
    if code:
        said.refused.append((code, reads))
    return meter, said


def _time(text: bytes, ahead_ms: int) -> int | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    *parts, fraction, zone = match.groups()
    if zone is not None:
        digits = zone[1:].replace(b":", b"").ljust(4, b"0")
        hours, minutes = (0, 0) if zone in {b"Z", b"z"} else (int(digits[:2]), int(digits[2:]))
        if hours > 23 or minutes > 59:
            return None
        ahead_ms = (-1 if zone[:1] == b"-" else 1) * (hours * 60 + minutes) * 60_000
    try:
        at = moment_ms(*(int(each or b"0") for each in parts))
        return _in_calendar(at + int((fraction or b"").ljust(3, b"0")[:3]) - ahead_ms)
    except ValueError:
        return None


def _register(text: bytes) -> int:
    """Register; what is no number or out of range is some number that no register is."""
    if not text or text.lower() == b"null":
        return NO_READ
    match = _NUMBER.fullmatch(text)
    if match is None:
        return REGISTER_MAX + 1
    number = int(match[2])
    return REGISTER_MAX + 1 if number == NO_READ or (match[1] and number) else number
