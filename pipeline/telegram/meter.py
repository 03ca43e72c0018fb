# SPDX-License-Identifier: Apache-2.0
"""What the properties of class 0x0288 (低圧スマート電力量メータ) mean, by ECHONET Lite MRA 1.3.1, Release R.

A register is a count in the meter's own unit: kWh = register x coefficient (D3) x 10^unit_exponent (E1).
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from koma.limits import COEFFICIENT_MAX, NO_DATA, REGISTER_DIGITS_MAX, REGISTER_MAX
from koma.slots import JST
from pipeline.telegram.frame import SERVICES, TELLING, Header, Property, Refusal, parse_header, walk_properties

HISTORY_REGISTERS: Final = 48
HISTORY_DAY_MAX: Final = 99
PAIRS_MAX: Final = 12
UNIT_EXPONENTS: Final = {0: 0, 1: -1, 2: -2, 3: -3, 4: -4, 0x0A: 1, 0x0B: 2, 0x0C: 3, 0x0D: 4}
"""E1: the code of a unit and its power of ten in kWh."""

_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_SLOT: Final = timedelta(minutes=30)
_DATE_NOT_SET: Final = b"\xff" * 6
_HISTORY_NOT_SET: Final = 0x00FF
_DAY_NOT_SET: Final = 0xFF
_WATT_NO_DATA: Final = 0x7FFFFFFE
_AMPERE_NO_DATA: Final = 0x7FFE

Meaning = dict[str, object]


class _WrongError(Exception):
    """Data that cannot be what its EPC says: offset in the data (-1 its length, PDC) and reason."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def explain(frame: bytes) -> dict[str, object]:
    """Frame as `koma decode --hex` prints it: `esv`, `seoj`, `properties`; or `error` with offset and reason.

    Properties carry `epc` and `edt` as hex, and their meaning where the frame comes from a low-voltage meter. The
    meter's no-data value, and what it has not set, is None. Properties are judged in order, each whole, as the bulk
    decoder does it; and here also those that it leaves out.

    >>> frame = explain(bytes.fromhex("1081000102880105FF017201E70400000278"))
    >>> frame["seoj"], frame["properties"]
    ('028801', [{'epc': 'E7', 'edt': '00000278', 'watt': 632}])
    """
    header = parse_header(frame)
    if isinstance(header, Refusal):
        return _refused(header)
    known = {
        "esv": f"{header.service:02X}",
        "service": SERVICES.get(header.service),
        "seoj": header.source.hex().upper(),
        "deoj": header.destination.hex().upper(),
        "tid": header.transaction,
    }
    properties: list[Meaning] = []
    for each in walk_properties(frame, header.service):
        if isinstance(each, Refusal):
            return known | _refused(each)
        meaning = _meaning(header, each)
        if isinstance(meaning, Refusal):
            return known | _refused(meaning)
        properties.append({"epc": f"{each.epc:02X}", "edt": each.edt.hex().upper()} | meaning)
    return known | {"properties": properties}


def _refused(refusal: Refusal) -> dict[str, object]:
    return {"error": {"offset": refusal.offset, "reason": refusal.reason}}


def _meaning(header: Header, each: Property) -> Meaning | Refusal:
    """Meaning of a property; a request, or what the meter refused to tell, has no data and none."""
    reader = _READERS.get(each.epc)
    if reader is None or not header.of_meter or (not each.edt and header.service not in TELLING):
        return {}
    size, read = reader
    if size not in {None, len(each.edt)}:
        return Refusal(each.offset + 1, f"EPC {each.epc:02X}: PDC {len(each.edt)}: it has {size} bytes")
    try:
        return read(each.edt)
    except _WrongError as wrong:
        return Refusal(each.offset + 2 + wrong.offset, f"EPC {each.epc:02X}: {wrong.reason}")


def _register(edt: bytes, at: int) -> int | None:
    register = int.from_bytes(edt[at : at + 4])
    if register == NO_DATA:
        return None
    if register > REGISTER_MAX:
        raise _WrongError(at, f"register {register} is not in 0 to {REGISTER_MAX}")
    return register


def _moment(edt: bytes, at: int, *, seconds: bool) -> datetime:
    year, second = int.from_bytes(edt[at : at + 2]), edt[at + 6] if seconds else 0
    month, day, hour, minute = edt[at + 2 : at + 6]
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=JST)
        moment.astimezone(UTC)  # the first hours of the year 1 have no name there
    except (ValueError, OverflowError) as error:
        text = f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}"
        raise _WrongError(at, f"there is no {text}") from error
    return moment


def _number(name: str, last: int) -> Callable[[bytes], Meaning]:
    def read(edt: bytes) -> Meaning:
        number = int.from_bytes(edt)
        if number > last:
            raise _WrongError(0, f"{name} {number} is above {last}")
        return {name: number}

    return read


def _digits(edt: bytes) -> Meaning:
    if not 1 <= edt[0] <= REGISTER_DIGITS_MAX:
        raise _WrongError(0, f"{edt[0]} digits are not in 1 to {REGISTER_DIGITS_MAX}")
    return {"digits": edt[0]}


def _unit(edt: bytes) -> Meaning:
    if edt[0] not in UNIT_EXPONENTS:
        raise _WrongError(0, f"{edt[0]:02X} is no code of a unit")
    return {"unit_exponent": UNIT_EXPONENTS[edt[0]]}


def _cumulative(edt: bytes) -> Meaning:
    return {"register": _register(edt, 0)}


def _history(edt: bytes) -> Meaning:
    day = int.from_bytes(edt[:2])
    if day > HISTORY_DAY_MAX and day != _HISTORY_NOT_SET:
        raise _WrongError(0, f"day {day} is not in 0 to {HISTORY_DAY_MAX}")
    if day == _HISTORY_NOT_SET:
        return {"day": None, "registers": None}
    return {"day": day, "registers": [_register(edt, 2 + 4 * index) for index in range(HISTORY_REGISTERS)]}


def _history_day(edt: bytes) -> Meaning:
    if edt[0] > HISTORY_DAY_MAX and edt[0] != _DAY_NOT_SET:
        raise _WrongError(0, f"day {edt[0]} is not in 0 to {HISTORY_DAY_MAX}")
    return {"day": None if edt[0] == _DAY_NOT_SET else edt[0]}


def _time(edt: bytes) -> Meaning:
    hour, minute = edt
    if hour > 23 or minute > 59:
        raise _WrongError(0, f"there is no {hour:02d}:{minute:02d}")
    return {"time": f"{hour:02d}:{minute:02d}"}


def _date(edt: bytes) -> Meaning:
    return {"date": _moment(edt + bytes(2), 0, seconds=False).date().isoformat()}


def _power(edt: bytes) -> Meaning:
    watt = int.from_bytes(edt, signed=True)
    return {"watt": None if watt == _WATT_NO_DATA else watt}


def _current(edt: bytes) -> Meaning:
    tenths = [int.from_bytes(edt[at : at + 2], signed=True) for at in (0, 2)]
    ampere_r, ampere_t = (None if each == _AMPERE_NO_DATA else each / 10 for each in tenths)
    return {"ampere_r": ampere_r, "ampere_t": ampere_t}


def _fixed_time(edt: bytes) -> Meaning:
    return {"read_at": _moment(edt, 0, seconds=True).isoformat(), "register": _register(edt, 7)}


def _minute(edt: bytes) -> Meaning:
    stamp = _moment(edt, 0, seconds=True).isoformat()
    return {"read_at": stamp, "import_register": _register(edt, 7), "export_register": _register(edt, 11)}


def _pairs(edt: bytes) -> Meaning:
    if len(edt) < 7:
        raise _WrongError(-1, f"PDC {len(edt)}: it has at least 7 bytes")
    count = edt[6]
    if not 1 <= count <= PAIRS_MAX:
        raise _WrongError(6, f"{count} pairs are not in 1 to {PAIRS_MAX}")
    if len(edt) != 7 + 8 * count:
        raise _WrongError(-1, f"PDC {len(edt)}: {count} pairs have {7 + 8 * count} bytes")
    if edt[:6] == _DATE_NOT_SET:
        return {"read_at": None, "registers": None}
    newest = _moment(edt, 0, seconds=False)
    if newest < _FIRST + (count - 1) * _SLOT:
        raise _WrongError(0, f"{count} half-hours back from {newest.isoformat()} there is no calendar")
    pairs = [[_register(edt, 7 + 8 * index), _register(edt, 11 + 8 * index)] for index in range(count)]
    return {"read_at": newest.isoformat(), "registers": pairs}


def _pairs_wanted(edt: bytes) -> Meaning:
    newest = None if edt[:6] == _DATE_NOT_SET else _moment(edt, 0, seconds=False).isoformat()
    if not 1 <= edt[6] <= PAIRS_MAX:
        raise _WrongError(6, f"{edt[6]} pairs are not in 1 to {PAIRS_MAX}")
    return {"read_at": newest, "count": edt[6]}


_READERS: Final[dict[int, tuple[int | None, Callable[[bytes], Meaning]]]] = {
    0x97: (2, _time),
    0x98: (4, _date),
    0xD0: (15, _minute),
    0xD3: (4, _number("coefficient", COEFFICIENT_MAX)),
    0xD7: (1, _digits),
    0xE0: (4, _cumulative),
    0xE1: (1, _unit),
    0xE2: (194, _history),
    0xE3: (4, _cumulative),
    0xE4: (194, _history),
    0xE5: (1, _history_day),
    0xE7: (4, _power),
    0xE8: (4, _current),
    0xEA: (11, _fixed_time),
    0xEB: (11, _fixed_time),
    0xEC: (None, _pairs),
    0xED: (7, _pairs_wanted),
}
"""EPC: bytes of its data (None: it tells itself) and the reader of them."""
