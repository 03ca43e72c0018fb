# SPDX-License-Identifier: Apache-2.0
"""What retailers have fetched of a slot: the gateway's record of releases and its index, read as the files they are.

A file counts as fetched once the gateway has let it go, as zip or as Parquet. Where no gateway has ever served the
home nothing is known, which is not the same as nothing fetched.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from koma.slots import format_utc, parse_utc
from pipeline.home import Home
from pipeline.ledger.published import File, Published
from pipeline.manifests import day_name

INDEX: Final = Path("gateway", "inner", "releases.sqlite")
_AUDIT: Final = Path("gateway", "inner", "audit.jsonl")
_CHUNK: Final = 1 << 20
_RELEASED: Final = b'"decision":"release"'
_QUERY: Final = (
    "select retailer, issued_ms, min(published_ms) from release where product = 'W41110' and slot = ?"
    " group by retailer, issued_ms"
)


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A delivery file that its retailer has not fetched."""

    retailer_code: str
    slot: int
    name: str
    rows: int
    since_ms: int
    """When it could be fetched first."""


@dataclass(slots=True)
class Fetched:
    """What was fetched of a slot: by retailer the rows with a value; latencies with rows; files that wait."""

    available: dict[str, int] = field(default_factory=dict)
    latencies: list[tuple[int, int]] = field(default_factory=list)
    waiting: list[WaitingFile] = field(default_factory=list)


def has_gateway(home: Home) -> bool:
    """Say whether a gateway has served the home."""
    return (home.root / INDEX).exists()


def fetches(home: Home, since_ms: int) -> dict[str, int]:
    """Return when each file was let go first since a time, by its place below the deliveries."""
    found: dict[str, int] = {}
    since = format_utc(since_ms)
    for line in _backwards(home.root / _AUDIT):
        with suppress(ValueError, KeyError):  # a line that a crash tore
            if _RELEASED in line:
                told = json.loads(line)
                if told["reason"] == "GET":
                    found[told["object"]] = parse_utc(told["at"])
                if told["at"] < since:
                    break
    return found


def _backwards(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that only grows, the last first, reading no more of it than is asked for."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        place, rest = file.seek(0, 2), b""
        while place > 0:
            size = min(_CHUNK, place)
            place -= size
            file.seek(place)
            first, *lines = (file.read(size) + rest).split(b"\n")
            rest = first
            yield from reversed(lines)
        yield rest


def fetched_of(home: Home, slot: int, published: Mapping[str, Published], found: Mapping[str, int]) -> Fetched:
    """Hold what was published of a slot against what was let go."""
    shown = _published_ms(home, slot)
    result, day = Fetched(), day_name(slot)
    for code, out in published.items():
        for file in out.files:
            since_ms = shown.get((code, file.issued_ms))
            at_ms = _first(found, f"{code}/{day}/", file)
            if at_ms is not None:
                result.available[code] = result.available.get(code, 0) + file.available
                if since_ms is not None:
                    result.latencies.append((at_ms - since_ms, file.available))
            elif since_ms is not None:
                result.waiting.append(WaitingFile(code, slot, file.name, file.rows, since_ms))
    return result


def _first(found: Mapping[str, int], folder: str, file: File) -> int | None:
    stem = file.name.removesuffix(".zip")
    times = [found[place] for ending in ("zip", "parquet") if (place := f"{folder}{stem}.{ending}") in found]
    return min(times, default=None)


def _published_ms(home: Home, slot: int) -> dict[tuple[str, int], int]:
    """Return when the gateway showed what each retailer was issued at an instant."""
    with closing(sqlite3.connect(f"file:{home.root / INDEX}?mode=ro", uri=True, timeout=10)) as index:
        return {(code, issued): shown for code, issued, shown in index.execute(_QUERY, (slot,))}
