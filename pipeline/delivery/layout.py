# SPDX-License-Identifier: Apache-2.0
"""The form of a product's XML, read from a data file of tags and turned into constant text and row programs.

A row program says for one kind of row (with or without customer_ref, with or without energy) which constant text
stands where, and which field follows it; `pipeline.delivery.kernels` runs it.
"""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from koma.errors import DeliveryError
from koma.slots import JST, slot_code, slot_date
from pipeline.delivery import kernels
from pipeline.delivery.file import DeliveryFile

TAGS_PATH: Final = Path(__file__).with_name("tags.toml")
SCHEMA_PATH: Final = Path(__file__).with_name("w41110.xsd")
DAILY_SCHEMA_PATH: Final = Path(__file__).with_name("w41120.xsd")
MONTHLY_SCHEMA_PATH: Final = Path(__file__).with_name("w51220.xsd")

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_CHANGING: Final = {"receiver_code": 5, "created": 14, "date": 8, "month": 6, "time_code": 2}
"""Values that change from file to file, and their length."""
_FILE_VALUES: Final = frozenset(_CHANGING) | {"information_code", "sender_code"}
_POINT_FIELDS: Final = {
    "point_id": kernels.FIELD_POINT,
    "customer_ref": kernels.FIELD_REF,
    "energy_kwh": kernels.FIELD_ENERGY,
}
_POINT_VALUES: Final = frozenset(_POINT_FIELDS) | {"availability"}
_MONTH_VALUES: Final = _POINT_VALUES | {"next_reading"}
_FIELD_CHARS: Final = {
    kernels.FIELD_END: 0,
    kernels.FIELD_POINT: kernels.POINT_ID_CHARS,
    kernels.FIELD_REF: 0,
    kernels.FIELD_ENERGY: kernels.ENERGY_CHARS_MAX,
}

_Form = TypeVar("_Form")

Piece = tuple[str, int]
"""Constant text and the field that follows it."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the data file: a tag with a named value or a constant text."""

    tag: str
    value: str
    text: str
    length: int

    def head(self, fixed: dict[str, str]) -> str:
        """Give the element with a field for a value that changes, else with its text; nothing where that is empty."""
        if self.value in _CHANGING:
            self._fits("0" * _CHANGING[self.value])
            return f"<{self.tag}>{{{self.value}}}</{self.tag}>"
        return self.constant(fixed[self.value] if self.value else self.text).replace("{", "{{").replace("}", "}}")

    def constant(self, content: str) -> str:
        """Give the element around a text; nothing where it is empty."""
        self._fits(content)
        return f"<{self.tag}>{escape(content)}</{self.tag}>" if content else ""

    def _fits(self, content: str) -> None:
        if len(content) > self.length:
            message = f"{self.tag} holds at most {self.length} characters, not {content!r}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, eq=False)
class RowPrograms:
    """Row programs as columns for the kernel, one line for each variant of `kernels.WITH_*`."""

    blocks: NDArray[np.uint8]
    """Constant text, each piece padded to whole blocks."""
    steps: NDArray[np.int64]
    """Equally many for each variant."""
    room: int
    """Bytes a row can take beside its customer_ref, what is written past its end included."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The form of the XML of one product."""

    head: str
    """All text in front of the first row, with the values that change from file to file as `str.format` fields."""
    foot: bytes
    """All text behind the last row."""
    rows: RowPrograms

    def opening(self, file: DeliveryFile) -> bytes:
        """Give all text in front of the first row."""
        return self.head.format_map(_changing(file.retailer_code, file.issued_ms, file.slot_id)).encode()


@dataclass(frozen=True, slots=True, eq=False)
class DailyLayout:
    """The form of the XML of a day: slots, and in each its rows."""

    head: str
    """All text in front of the first slot, as in `Layout`."""
    slot_head: str
    """All text of a slot in front of its first row; its time code as a field."""
    slot_foot: bytes
    foot: bytes
    rows: RowPrograms

    def opening(self, retailer_code: str, issued_ms: int, slot_id: int) -> bytes:
        """Give all text in front of the first slot; `slot_id` is any slot of the day."""
        return self.head.format_map(_changing(retailer_code, issued_ms, slot_id)).encode()

    def slot_opening(self, slot_id: int) -> bytes:
        """Give all text of a slot in front of its first row."""
        return self.slot_head.format_map({"time_code": f"{slot_code(slot_id):02d}"}).encode()


@dataclass(frozen=True, slots=True, eq=False)
class MonthlyLayout:
    """The form of the XML of months: an element of a point is left out where it has no value."""

    head: str
    """All text in front of the first row, as in `Layout`."""
    foot: bytes
    row_tag: str
    elements: tuple[Element, ...]
    """Of a row."""

    def opening(self, retailer_code: str, issued_ms: int, slot_id: int) -> bytes:
        """Give all text in front of the first row; `slot_id` is the first slot of the meter-reading day."""
        return self.head.format_map(_changing(retailer_code, issued_ms, slot_id)).encode()


def _changing(retailer_code: str, issued_ms: int, slot_id: int) -> dict[str, str]:
    created = datetime.fromtimestamp(issued_ms // 1000, JST).strftime("%Y%m%d%H%M%S")
    date, time_code = slot_date(slot_id).strftime("%Y%m%d"), f"{slot_code(slot_id):02d}"
    changing = {"receiver_code": retailer_code, "created": created, "date": date, "time_code": time_code}
    return changing | {"month": date[:6]}


@cache
def read_layout(path: Path = TAGS_PATH) -> Layout:
    """Read the form of W41110 from a file of tags.

    Raises DeliveryError where the file cannot be read, or names a tag or a value that does not exist.
    """
    return _read(path, _layout)


@cache
def read_daily_layout(path: Path = TAGS_PATH) -> DailyLayout:
    """Read the form of W41120 from a file of tags; raises as `read_layout` does."""
    return _read(path, _daily_layout)


@cache
def read_monthly_layout(path: Path = TAGS_PATH) -> MonthlyLayout:
    """Read the form of W51220 from a file of tags; raises as `read_layout` does."""
    return _read(path, _monthly_layout)


@cache
def read_tags(path: Path = TAGS_PATH) -> dict[str, str]:
    """Tags of W41110 by the value they carry, that of a point's row as `row`, for readers; raises as `read_layout`."""
    return _read(path, _tags)


def _read(path: Path, form: Callable[[dict[str, Any]], _Form]) -> _Form:
    try:
        return form(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: {error}"
        raise DeliveryError(message, hint="Correct the file of tags") from error
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path}: {type(error).__name__} {error}"
        raise DeliveryError(message, hint="Correct the file of tags; the one in the package shows its form") from error


def _layout(document: dict[str, Any]) -> Layout:
    points, message = document["points"], document["message"]
    head, foot = _frame(document, message, document["information_code"], points["group"])
    return Layout(head, foot, _compile(_name(points["tag"]), _elements(points, _POINT_VALUES)))


def _tags(document: dict[str, Any]) -> dict[str, str]:
    points, message = document["points"], document["message"]
    elements = (*_elements(message, _FILE_VALUES), *_elements(points, _POINT_VALUES))
    return {each.value: each.tag for each in elements if each.value} | {"row": _name(points["tag"])}


def _daily_layout(document: dict[str, Any]) -> DailyLayout:
    daily = document["daily"]
    points, slots = daily["points"], daily["slots"]
    head, foot = _frame(document, daily["message"], daily["information_code"], slots["group"])
    tag, group = _name(slots["tag"]), _name(points["group"])
    time_code = "".join(element.head({}) for element in _elements(slots, frozenset({"time_code"})))
    rows = _compile(_name(points["tag"]), _elements(points, _POINT_VALUES))
    return DailyLayout(head, f"<{tag}>{time_code}<{group}>", f"</{group}></{tag}>".encode(), foot, rows)


def _monthly_layout(document: dict[str, Any]) -> MonthlyLayout:
    monthly = document["monthly"]
    points = monthly["points"]
    head, foot = _frame(document, monthly["message"], monthly["information_code"], points["group"])
    return MonthlyLayout(head, foot, _name(points["tag"]), _elements(points, _MONTH_VALUES))


def _name(tag: object) -> str:
    if not isinstance(tag, str) or not _NAME.fullmatch(tag):
        message = f"{tag!r} is no tag"
        raise ValueError(message)
    return tag


def _elements(section: dict[str, object], values: frozenset[str]) -> tuple[Element, ...]:
    found = []
    for entry in cast("list[dict[str, object]]", section["elements"]):
        value, text = str(entry.get("value", "")), str(entry.get("text", ""))
        if bool(value) == bool(text) or (value and value not in values):
            message = f"{entry['tag']!r} needs a text or one of the values {', '.join(sorted(values))}"
            raise ValueError(message)
        found.append(Element(_name(entry["tag"]), value, text, int(cast("int", entry["length"]))))
    return tuple(found)


def _frame(document: dict[str, Any], message: dict[str, Any], code: object, rows_group: object) -> tuple[str, bytes]:
    """Give the text around the rows, the one in front with fields for what changes from file to file."""
    fixed = {"information_code": str(code), "sender_code": str(document["sender_code"])}
    root = [_name(tag) for tag in document["root"]]
    header, group = document["header"], _name(rows_group)
    parts = [_DECLARATION, *(f"<{tag}>" for tag in root)]
    for section, close in ((header, True), (message, False)):
        tag = _name(section["tag"])
        elements = "".join(element.head(fixed) for element in _elements(section, _FILE_VALUES))
        parts.append(f"<{tag}>{elements}" + (f"</{tag}>" if close else ""))
    foot = "".join(f"</{tag}>" for tag in (group, message["tag"], *reversed(root)))
    return "".join((*parts, f"<{group}>")), foot.encode()


def _compile(tag: str, elements: tuple[Element, ...]) -> RowPrograms:
    programs = [_program(tag, elements, variant) for variant in range(kernels.VARIANTS)]
    steps = np.full((kernels.VARIANTS, max(len(program) for program in programs)), kernels.FIELD_END, np.int64)
    blocks = bytearray()
    for variant, program in enumerate(programs):
        for step, (text, field) in enumerate(program):
            size = len(text.encode())
            steps[variant, step] = field | size << kernels.STEP_SIZE | len(blocks) << kernels.STEP_AT
            blocks += text.encode().ljust(-(-size // kernels.BLOCK) * kernels.BLOCK)
    room = max(sum(len(text.encode()) + _FIELD_CHARS[field] for text, field in program) for program in programs)
    columns = (np.frombuffer(bytes(blocks), np.uint8), steps.reshape(-1))
    for column in columns:
        column.flags.writeable = False
    return RowPrograms(*columns, room=room + kernels.OVERRUN)


def _program(tag: str, elements: tuple[Element, ...], variant: int) -> list[Piece]:
    """Give the pieces of one kind of row, the last one followed by FIELD_END."""
    left_out = set()
    if not variant & kernels.WITH_REF:
        left_out.add("customer_ref")
    if not variant & kernels.WITH_ENERGY:
        left_out.add("energy_kwh")
    availability = "0" if variant & kernels.WITH_ENERGY else "1"
    pieces: list[Piece] = []
    text = f"<{tag}>"
    for element in elements:
        if element.value in left_out:
            continue
        if element.value in _POINT_FIELDS:
            pieces.append((f"{text}<{element.tag}>", _POINT_FIELDS[element.value]))
            text = f"</{element.tag}>"
        else:
            text += element.constant(availability if element.value else element.text)
    pieces.append((f"{text}</{tag}>", kernels.FIELD_END))
    return pieces
