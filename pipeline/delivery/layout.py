# SPDX-License-Identifier: Apache-2.0
"""The form of a W41110 XML, read from a data file of tags and turned into constant text and row programs.

A row program says for one kind of row (with or without customer_ref, with or without energy) which constant text
stands where, and which field follows it; `pipeline.delivery.kernels` runs it.
"""

import re
import tomllib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final, cast
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from koma.errors import DeliveryError
from koma.slots import JST, slot_code, slot_date
from pipeline.delivery import kernels
from pipeline.delivery.file import DeliveryFile

TAGS_PATH: Final = Path(__file__).with_name("tags.toml")
SCHEMA_PATH: Final = Path(__file__).with_name("w41110.xsd")

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_FILE_VALUES: Final = frozenset({"information_code", "sender_code", "receiver_code", "created", "date", "time_code"})
_POINT_FIELDS: Final = {
    "point_id": kernels.FIELD_POINT,
    "customer_ref": kernels.FIELD_REF,
    "energy_kwh": kernels.FIELD_ENERGY,
}
_POINT_VALUES: Final = frozenset(_POINT_FIELDS) | {"availability"}
_FIELD_CHARS: Final = {
    kernels.FIELD_END: 0,
    kernels.FIELD_POINT: kernels.POINT_ID_CHARS,
    kernels.FIELD_REF: 0,
    kernels.FIELD_ENERGY: kernels.ENERGY_CHARS_MAX,
}

Piece = tuple[str, int]
"""Constant text and the field that follows it."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the data file: a tag with a named value or a constant text."""

    tag: str
    value: str
    text: str
    length: int

    def render(self, values: dict[str, str]) -> str:
        """Give the element with its value; nothing where the value is empty."""
        content = values[self.value] if self.value else self.text
        if len(content) > self.length:
            message = f"{self.tag} holds at most {self.length} characters, not {content!r}"
            raise DeliveryError(message, hint="Correct length or text in the file of tags")
        return f"<{self.tag}>{escape(content)}</{self.tag}>" if content else ""


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

    information_code: str
    sender_code: str
    root: tuple[str, ...]
    header_tag: str
    header: tuple[Element, ...]
    message_tag: str
    message: tuple[Element, ...]
    group_tag: str
    rows: RowPrograms

    def opening(self, file: DeliveryFile) -> bytes:
        """Give all text in front of the first row."""
        created = datetime.fromtimestamp(file.issued_ms // 1000, JST)
        values = {
            "information_code": self.information_code,
            "sender_code": self.sender_code,
            "receiver_code": file.retailer_code,
            "created": f"{created:%Y%m%d%H%M%S}",
            "date": f"{slot_date(file.slot_id):%Y%m%d}",
            "time_code": f"{slot_code(file.slot_id):02d}",
        }
        header = "".join(element.render(values) for element in self.header)
        message = "".join(element.render(values) for element in self.message)
        root = "".join(f"<{tag}>" for tag in self.root)
        group = f"<{self.header_tag}>{header}</{self.header_tag}>" if header else ""
        return f"{_DECLARATION}{root}{group}<{self.message_tag}>{message}<{self.group_tag}>".encode()

    def closing(self) -> bytes:
        """Give all text behind the last row."""
        tags = (self.group_tag, self.message_tag, *reversed(self.root))
        return "".join(f"</{tag}>" for tag in tags).encode()


@cache
def read_layout(path: Path = TAGS_PATH) -> Layout:
    """Read a file of tags.

    Raises DeliveryError where the file cannot be read, or names a tag or a value that does not exist.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        points = document["points"]
        elements = _elements(points, _POINT_VALUES)
        return Layout(
            information_code=str(document["information_code"]),
            sender_code=str(document["sender_code"]),
            root=tuple(_name(tag) for tag in document["root"]),
            header_tag=_name(document["header"]["tag"]),
            header=_elements(document["header"], _FILE_VALUES),
            message_tag=_name(document["message"]["tag"]),
            message=_elements(document["message"], _FILE_VALUES),
            group_tag=_name(points["group"]),
            rows=_compile(_name(points["tag"]), elements),
        )
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: {error}"
        raise DeliveryError(message, hint="Correct the file of tags") from error
    except (KeyError, TypeError, ValueError) as error:
        message = f"{path}: {type(error).__name__} {error}"
        raise DeliveryError(message, hint="Correct the file of tags; the one in the package shows its form") from error


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
            text += element.render({"availability": availability})
    pieces.append((f"{text}</{tag}>", kernels.FIELD_END))
    return pieces
