# SPDX-License-Identifier: Apache-2.0
"""Read delivery manifests: which files were issued together, and which slots were closed.

A file is visible when its manifest line is; what only lies in the folder is not. Lines of one instant, slot and
revision are one release. A product has a manifest of its own in each folder; in those of days and months no line
closes anything.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.errors import ManifestError
from gateway.names import DAYS, PRODUCTS, RETAILER, SLOTS, ObjectName, Product, parse_day, parse_object
from koma.errors import KomaError
from koma.slots import first_slot_of_day, parse_jst, slot_at_ms, slot_date

SPLIT, CLOSING, REVISION, DAILY, MONTHLY = "split", "closing", "revision", "daily", "monthly"


@dataclass(frozen=True, slots=True)
class Closed:
    """What a slot held when it was closed."""

    expected: int
    available: int
    missing: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """One file as a manifest line or its own bytes tell it."""

    object: ObjectName
    rows: int
    available: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Issue:
    """What one retailer got for one slot, day or month, and revision, at one instant."""

    retailer_code: str
    slot_id: int
    """The slot; the first of the day, or of the meter-reading day."""
    revision: int
    issued_ms: int
    files: tuple[Delivered, ...]
    """Zips by split, without the Parquet files beside them."""
    closed: Closed | None
    product: Product = SLOTS

    @property
    def kind(self) -> str:
        """`split` before the slot is closed, `closing` at that instant, `revision` afterwards; `daily`, `monthly`."""
        if self.product is not SLOTS:
            return DAILY if self.product is DAYS else MONTHLY
        if self.revision:
            return REVISION
        return SPLIT if self.closed is None else CLOSING


@dataclass(frozen=True, slots=True)
class Tail:
    """How far a manifest has been read: its first `length` bytes have this digest."""

    length: int = 0
    sha256: str = hashlib.sha256().hexdigest()


def find_manifests(deliveries: Path) -> Iterable[tuple[str, str, Path]]:
    """Retailer code, day and path of every manifest below `deliveries/`."""
    for retailer in sorted(_folders(deliveries)):
        if RETAILER.fullmatch(retailer.name):
            for day in sorted(_folders(retailer)):
                if parse_day(day.name) is None:
                    continue
                for product in PRODUCTS.values():
                    file = day / product.manifest
                    if file.is_file():
                        yield retailer.name, day.name, file


def product_of(manifest: str) -> Product:
    """Product of a manifest's file name."""
    return next(each for each in PRODUCTS.values() if each.manifest == manifest)


def read_issues(retailer_code: str, file: Path, tail: Tail) -> tuple[list[Issue], Tail]:
    """Issues of the lines that are new since `tail`, oldest first.

    A last line without its newline is being written and waits. Where the part read before has changed, the whole is
    read again: what is known is known by name.

    Raises:
        ManifestError: a line is not of the form, with file and line number.

    """
    data = file.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    known = hashlib.sha256(data[: tail.length]).hexdigest() == tail.sha256 and len(data) >= tail.length
    start = tail.length if known else 0
    first = data.count(b"\n", 0, start) + 1
    product = product_of(file.name)
    groups: dict[tuple[int, int, int], Issue] = {}
    for number, line in enumerate(data[start:].splitlines(), first):
        try:
            _add(groups, retailer_code, product, file.parent.name, json.loads(line))
        except (KomaError, ValueError, KeyError, TypeError) as error:
            raise ManifestError(f"{file} line {number}: {error}") from error
    issues = sorted(groups.values(), key=lambda each: (each.issued_ms, each.slot_id, each.revision))
    return issues, Tail(len(data), hashlib.sha256(data).hexdigest())


def _folders(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()] if folder.is_dir() else []


def _add(
    groups: dict[tuple[int, int, int], Issue], retailer_code: str, product: Product, day: str, line: dict[str, object]
) -> None:
    slot_id, issued_ms = slot_at_ms(parse_jst(str(line["slot_start"]))), parse_jst(str(line["issued_at"]))
    if slot_date(slot_id).strftime("%Y%m%d") != day:
        raise ValueError("slot_start is of another day")
    if product is not SLOTS and (line.get("closed") or slot_id != first_slot_of_day(slot_date(slot_id))):
        raise ValueError("not a line of a whole day")
    revision = 0 if line.get("closed") else _count(line, "revision")
    place = (issued_ms, slot_id, revision)
    issue = groups.get(place) or Issue(retailer_code, slot_id, revision, issued_ms, (), None, product)
    if line.get("closed"):
        closed = Closed(_count(line, "expected"), _count(line, "available"), _count(line, "missing"))
        groups[place] = replace(issue, closed=closed)
    else:
        groups[place] = replace(issue, files=(*issue.files, _delivered(retailer_code, product, slot_id, line)))


def _delivered(retailer_code: str, product: Product, slot_id: int, line: dict[str, object]) -> Delivered:
    named = parse_object(retailer_code, str(line["file"]))
    if named is None or named.suffix != "zip" or named.product is not product or named.slot_id != slot_id:
        raise ValueError("file is not named as the line says")
    if (named.revision, named.split) != (line["revision"], line["split"]):
        raise ValueError("file is not named as the line says")
    sha256 = str(line["sha256"])
    if len(bytes.fromhex(sha256)) != 32:
        raise ValueError("sha256 has no 64 digits")
    return Delivered(named, _count(line, "rows"), _count(line, "available"), _count(line, "bytes"), sha256)


def _count(line: dict[str, object], name: str) -> int:
    value = line[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is not a count")
    return value
