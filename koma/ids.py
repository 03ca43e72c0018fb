# SPDX-License-Identifier: Apache-2.0
"""Ids of supply points, meters, retailers, balancing groups and areas: parse, validate, print.

All ids are texts: leading zeros count. No check digit is known for any of them, so form is all that can be checked;
whether an id exists is a question for the master.
"""

import re
from dataclasses import dataclass

from koma.errors import IdentifierError
from koma.limits import BG_CODE_CHARS, METER_ID_BYTES, POINT_ID_DIGITS, RETAILER_CODE_DIGITS

UNASSIGNED_RETAILER = "00000"
"""Stands in totals for cells that no supply row covers; never a retailer."""

_SHOWN_CHARS = 40
_WORD_BYTES = METER_ID_BYTES // 2
_GROUPED_POINT = re.compile(r"[0-9]{2}(?:-[0-9]{4}){5}", re.ASCII)
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Area:
    """A transmission operator's area (供給区域)."""

    number: int
    name_ja: str
    name_en: str

    @property
    def code(self) -> str:
        """Two digits, as they open a supply point's id."""
        return f"{self.number:02d}"


AREAS: tuple[Area, ...] = (
    Area(1, "北海道", "Hokkaido"),
    Area(2, "東北", "Tohoku"),
    Area(3, "東京", "Tokyo"),
    Area(4, "中部", "Chubu"),
    Area(5, "北陸", "Hokuriku"),
    Area(6, "関西", "Kansai"),
    Area(7, "中国", "Chugoku"),
    Area(8, "四国", "Shikoku"),
    Area(9, "九州", "Kyushu"),
    Area(10, "沖縄", "Okinawa"),
)
"""The ten areas, by number."""


def area(number: int) -> Area:
    """Area of a number 1..10.

    Raises:
        IdentifierError: no such area.

    """
    if not 1 <= number <= len(AREAS):
        raise IdentifierError(f"area {number} does not exist", hint=f"Areas run from 01 to {len(AREAS)}")
    return AREAS[number - 1]


def parse_area(text: str) -> Area:
    """Area of a code of one or two digits.

    Raises:
        IdentifierError: not a number, or no such area.

    >>> parse_area("03").name_en
    'Tokyo'
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 2):
        raise IdentifierError(f"{_shown(text)} is not an area code", hint="Write 01 to 10")
    return area(int(text))


def parse_point_id(text: str) -> str:
    """供給地点特定番号 as 22 digits; the grouping by hyphens that bills print is taken away.

    Raises:
        IdentifierError: not 22 digits, or the first two name no area.

    >>> parse_point_id("03-0011-0000-0000-0000-1234")
    '0300110000000000001234'
    """
    digits = text.replace("-", "") if _GROUPED_POINT.fullmatch(text) else text
    if not (digits.isascii() and digits.isdigit() and len(digits) == POINT_ID_DIGITS):
        raise IdentifierError(
            f"{_shown(text)} is not a supply point id", hint=f"It has {POINT_ID_DIGITS} digits, the first two the area"
        )
    parse_area(digits[:2])
    return digits


def format_point_id(point_id: str) -> str:
    """Supply point id in the groups that bills print.

    >>> format_point_id("0300110000000000001234")
    '03-0011-0000-0000-0000-1234'
    """
    return "-".join([point_id[:2], *(point_id[start : start + 4] for start in range(2, POINT_ID_DIGITS, 4))])


def point_area(point_id: str) -> Area:
    """Area of a supply point id.

    Raises:
        IdentifierError: the first two digits name no area.

    """
    return parse_area(point_id[:2])


def parse_meter_id(text: str) -> str:
    """計器番号: 1 to 16 printable ASCII characters, blanks inside only.

    Raises:
        IdentifierError: empty, too long, or not printable ASCII.

    """
    if len(text) > METER_ID_BYTES or _PRINTABLE.fullmatch(text) is None:
        raise IdentifierError(
            f"{_shown(text)} is not a meter id", hint=f"It has 1 to {METER_ID_BYTES} printable ASCII characters"
        )
    return text


def meter_key(meter_id: str) -> tuple[int, int]:
    """Meter id as two words: its bytes, NUL-padded to 16, as little-endian unsigned 64-bit integers.

    >>> meter_key("A")
    (65, 0)
    """
    padded = meter_id.encode("ascii").ljust(METER_ID_BYTES, b"\0")
    return int.from_bytes(padded[:_WORD_BYTES], "little"), int.from_bytes(padded[_WORD_BYTES:], "little")


def meter_id_of_key(low: int, high: int) -> str:
    """Meter id of its two words.

    >>> meter_id_of_key(65, 0)
    'A'
    """
    padded = low.to_bytes(_WORD_BYTES, "little") + high.to_bytes(_WORD_BYTES, "little")
    return padded.rstrip(b"\0").decode("ascii")


def parse_retailer_code(text: str) -> str:
    """小売電気事業者コード: five digits, four of the operator and one of the area.

    Raises:
        IdentifierError: not five digits, or 00000, which stands for no retailer.

    """
    if not (text.isascii() and text.isdigit() and len(text) == RETAILER_CODE_DIGITS):
        raise IdentifierError(
            f"{_shown(text)} is not a retailer code", hint="It has five digits: four of the operator, one of the area"
        )
    if text == UNASSIGNED_RETAILER:
        raise IdentifierError(f"retailer code {text} stands for no retailer", hint="Leave the supply row out instead")
    return text


def parse_balancing_group(text: str) -> str:
    """バランシンググループコード: 1 to 16 printable ASCII characters; operators publish no other rule.

    Raises:
        IdentifierError: empty, too long, or not printable ASCII.

    """
    if len(text) > BG_CODE_CHARS or _PRINTABLE.fullmatch(text) is None:
        raise IdentifierError(
            f"{_shown(text)} is not a balancing group", hint=f"It has 1 to {BG_CODE_CHARS} printable ASCII characters"
        )
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…")
