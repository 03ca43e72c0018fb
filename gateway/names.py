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

_DAY = re.compile(r"[0-9]{8}", re.ASCII)
_CODE = re.compile(r"[0-9]{2}", re.ASCII)

MEDIA_TYPES = {"zip": "application/zip", "parquet": "application/vnd.apache.parquet"}


@dataclass(frozen=True, slots=True)
class Product:
    """What a retailer gets, as its files' names begin."""

    name: str
    manifest: str
    """File that names its deliveries, in the folder of their day."""
    form: re.Pattern[str]
    """Of a file name: day, hour, minute, revision, split, ending. A day's and a month's hour and minute are zeros."""
    split_digits: int

    def stem(self, day: str, slot_id: int, revision: int, split: int) -> str:
        """Name of a file without its ending."""
        minutes = (slot_code(slot_id) - 1) * 30
        time = "" if self is MONTHS else f"{minutes // 60:02d}{minutes % 60:02d}"
        return f"{self.name}{day}{time}{revision:02d}{split:0{self.split_digits}d}"


def _form(text: str) -> re.Pattern[str]:
    return re.compile(rf"{text}([0-9]{{2}})([0-9]{{4,5}})\.(zip|parquet)", re.ASCII)


SLOTS = Product("W41110", "manifest.jsonl", _form("W41110([0-9]{8})([0-9]{2})([0-9]{2})"), 4)
"""30-minute energy, slot by slot."""
DAYS = Product("W41120", "manifest-W41120.jsonl", _form("W41120([0-9]{8})(00)(00)"), 4)
"""The same, all slots of a day."""
MONTHS = Product("W51220", "manifest-W51220.jsonl", _form("W51220([0-9]{8})()()"), 5)
"""Energy from one meter-reading day to the next; the day is the one it ends on."""
PRODUCTS = {each.name: each for each in (SLOTS, DAYS, MONTHS)}


@dataclass(frozen=True, slots=True)
class ObjectName:
    """A delivery file of one retailer, by the parts of its name."""

    retailer_code: str
    day: str
    """Folder: JST date of the slot's start, YYYYMMDD; the day itself; the meter-reading day."""
    slot_id: int
    """The slot; the first of the day."""
    revision: int
    split: int
    suffix: str
    product: Product = SLOTS

    @property
    def stem(self) -> str:
        """Name without its ending."""
        return self.product.stem(self.day, self.slot_id, self.revision, self.split)

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
    product = PRODUCTS.get(name[:6])
    match = product.form.fullmatch(name) if product is not None else None
    if product is None or match is None or not RETAILER.fullmatch(retailer_code):
        return None
    day_text, hour, minute, revision, split, suffix = match.groups()
    day = parse_day(day_text)
    if day is None or int(hour or 0) > 23 or (minute or "00") not in {"00", "30"}:
        return None
    if len(split) != product.split_digits or not int(split):
        return None
    slot_id = first_slot_of_day(day) + int(hour or 0) * 2 + int(minute or 0) // 30
    return ObjectName(retailer_code, day_text, slot_id, int(revision), int(split), suffix, product)
