# SPDX-License-Identifier: Apache-2.0
"""Names of what can be fetched. The policy names the object; nobody ever compares path prefixes.

A request path becomes an `ObjectName` through a strict expression, or is not found. What is opened in the end is put
together from the parts of an `ObjectName`, never from the path that was sent.
"""

import re
from dataclasses import dataclass
from datetime import date

from koma.errors import KomaError
from koma.slots import first_slot_of_day, slot_code, slot_of

RETAILER = re.compile(r"[0-9]{5}", re.ASCII)
CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9._-]+)+/?|/", re.ASCII)
"""What a request path may look like at all: no escape, no empty segment."""

_OBJECT = re.compile(r"W41110([0-9]{8})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{4})\.(zip|parquet)", re.ASCII)
_DAY = re.compile(r"[0-9]{8}", re.ASCII)
_CODE = re.compile(r"[0-9]{2}", re.ASCII)

MEDIA_TYPES = {"zip": "application/zip", "parquet": "application/vnd.apache.parquet"}


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A delivery file of one retailer, by the parts of its name."""

    retailer_code: str
    day: str
    """Folder: JST date of the slot's start, YYYYMMDD."""
    slot_id: int
    revision: int
    split: int
    suffix: str

    @property
    def stem(self) -> str:
        """Name without its ending."""
        minutes = (slot_code(self.slot_id) - 1) * 30
        return f"W41110{self.day}{minutes // 60:02d}{minutes % 60:02d}{self.revision:02d}{self.split:04d}"

    @property
    def name(self) -> str:
        """File name."""
        return f"{self.stem}.{self.suffix}"

    @property
    def place(self) -> str:
        """Path below `deliveries/`."""
        return f"{self.retailer_code}/{self.day}/{self.name}"

    @property
    def media_type(self) -> str:
        """Content type."""
        return MEDIA_TYPES[self.suffix]


def parse_day(text: str) -> date | None:
    """Date of a text YYYYMMDD; None where it is no date.

    >>> parse_day("20260229") is None
    True
    """
    if not _DAY.fullmatch(text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def parse_slot(day_text: str, code_text: str) -> int | None:
    """Slot of a date YYYYMMDD and a two-digit time code 01..48; None where there is none."""
    day = parse_day(day_text)
    if day is None or not _CODE.fullmatch(code_text):
        return None
    try:
        return slot_of(day, int(code_text))
    except KomaError:
        return None


def parse_object(retailer_code: str, name: str) -> ObjectName | None:
    """Object of a retailer code and a file name; None for anything that no delivery could be called.

    >>> parse_object("10013", "W41110202608221630000001.zip").place
    '10013/20260822/W41110202608221630000001.zip'
    >>> parse_object("10013", "../10021/W41110202608221630000001.zip") is None
    True
    """
    match = _OBJECT.fullmatch(name)
    if match is None or not RETAILER.fullmatch(retailer_code):
        return None
    day_text, hour, minute, revision, split, suffix = match.groups()
    day = parse_day(day_text)
    if day is None or int(hour) > 23 or minute not in {"00", "30"} or split == "0000":
        return None
    slot_id = first_slot_of_day(day) + int(hour) * 2 + int(minute) // 30
    return ObjectName(retailer_code, day_text, slot_id, int(revision), int(split), suffix)
