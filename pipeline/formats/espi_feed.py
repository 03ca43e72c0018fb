# SPDX-License-Identifier: Apache-2.0
"""The entries of a Green Button feed, read from XML as from a stranger: no entities, no document type, bounded depth.

Readings are gathered as columns of texts; nothing is judged here but the XML itself.
"""

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from koma.errors import FormatError

ATOM: Final = "http://www.w3.org/2005/Atom"
ESPI: Final = "http://naesb.org/espi"
DEPTH_MAX: Final = 32
TEXT_CHARS_MAX: Final = 4_096
_READING: Final = {"start", "duration", "value", "quality"}
_TYPE: Final = {
    "accumulationBehaviour",
    "commodity",
    "flowDirection",
    "intervalLength",
    "powerOfTenMultiplier",
    "uom",
}


@dataclass(slots=True)
class Readings:
    """The IntervalReadings of a block; an element that is not there is an empty text."""

    line: list[int] = field(default_factory=list)
    start: list[str] = field(default_factory=list)
    duration: list[str] = field(default_factory=list)
    value: list[str] = field(default_factory=list)
    quality: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """One entry: its links, what its content is, and what of it matters."""

    line: int
    self_link: str = ""
    up_link: str = ""
    related: list[str] = field(default_factory=list)
    updated: str = ""
    kind: str = ""
    reading_type: dict[str, str] = field(default_factory=dict)
    readings: Readings = field(default_factory=Readings)


class _Parser:
    """Expat's handlers; the path of open elements says where a text belongs."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.entries: list[Entry] = []
        self._path: list[str] = []
        self._texts: list[str] = []
        self._chars = 0
        self._entry: Entry | None = None
        self._reading: dict[str, str] | None = None
        self._reading_line = 0
        self._expat = expat.ParserCreate(namespace_separator=" ")
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text
        self._expat.StartDoctypeDeclHandler = self._doctype
        self._expat.EntityDeclHandler = self._doctype

    def parse(self, data: bytes) -> None:
        try:
            self._expat.Parse(data, True)  # noqa: FBT003  expat knows it by place only
        except expat.ExpatError as error:
            what = expat.errors.messages.get(error.code, "no XML")
            raise FormatError(f"{self.file} line {error.lineno}: {what}", hint="Fetch the file again") from None

    def _refuse(self, what: str) -> None:
        raise FormatError(f"{self.file} line {self._expat.CurrentLineNumber}: {what}", hint="No such feed is read")

    def _doctype(self, *_what: object) -> None:
        self._refuse("a document type or entity")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._path) >= DEPTH_MAX:
            self._refuse(f"elements nested deeper than {DEPTH_MAX}")
        self._path.append(name)
        self._texts, self._chars = [], 0
        line = self._expat.CurrentLineNumber
        space, _, local = name.rpartition(" ")
        if space == ATOM:
            if local == "entry":
                self._entry = Entry(line)
            elif local == "link" and self._entry is not None:
                self._link(self._entry, attributes.get("rel", ""), attributes.get("href", ""))
        elif space == ESPI and self._entry is not None:
            if self._path[-2] == f"{ATOM} content":
                self._entry.kind = self._entry.kind or local
            if local == "IntervalReading":
                self._reading, self._reading_line = {}, line

    def _link(self, entry: Entry, relation: str, target: str) -> None:
        if relation == "self":
            entry.self_link = target
        elif relation == "up":
            entry.up_link = target
        elif relation == "related":
            entry.related.append(target)

    def _text(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > TEXT_CHARS_MAX:
            self._refuse(f"a text longer than {TEXT_CHARS_MAX} characters")
        self._texts.append(text)

    def _end(self, name: str) -> None:
        text = "".join(self._texts).strip()
        self._texts, self._chars = [], 0
        self._path.pop()
        space, _, local = name.rpartition(" ")
        entry = self._entry
        if entry is None:
            return
        if space == ATOM:
            if local == "entry":
                self.entries.append(entry)
                self._entry = None
            elif local == "updated":
                entry.updated = text
        elif space == ESPI:
            self._element(entry, local, text)

    def _element(self, entry: Entry, local: str, text: str) -> None:
        reading = self._reading
        if reading is None:
            if local in _TYPE and self._path[-1] == f"{ESPI} ReadingType":
                entry.reading_type[local] = text
            return
        if local == "IntervalReading":
            rows, self._reading = entry.readings, None
            rows.line.append(self._reading_line)
            rows.start.append(reading.get("start", ""))
            rows.duration.append(reading.get("duration", ""))
            rows.value.append(reading.get("value", ""))
            rows.quality.append(reading.get("quality", ""))
        elif local in _READING:
            reading[local] = text if reading.get(local, text) == text else f"{reading[local]} and {text}"


def entries_of(data: bytes, file: str) -> list[Entry]:
    """Read the entries of a feed, in their order.

    Raises:
        FormatError: no XML, or XML that is not read on purpose.

    """
    parser = _Parser(file)
    parser.parse(data)
    return parser.entries
