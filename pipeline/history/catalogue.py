# SPDX-License-Identifier: Apache-2.0
"""The catalogue: which parts make up the store, and how far it goes. A new one replaces the last as a whole.

Parts are never changed. Who writes makes new parts first, then the next catalogue, which lists them in place of others;
those stay a while for whoever still reads by the catalogue before. So a reader sees the store before a change or after
it, never between.
"""

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

from koma.errors import HistoryError
from pipeline.history.files import Files

LAYOUT: Final = 1
FOLDER: Final = "catalogue"
PARTS: Final = "parts"
KEPT: Final = 3
"""Catalogues that stay, so that a reader who has just listed them finds one."""
NEVER: Final = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Part:
    """Some files of rows: a folder below parts/.

    Attributes:
        name: of the folder.
        level: how often its rows were put together with others: 0 as taken, 1 a day, 2 a month.
        first_slot: earliest slot in it.
        last_slot: latest slot in it; of the same JST month.
        latest_ms: latest instant of issue in it.
        rows: how many.
        bytes: of its files.
    """

    name: str
    level: int
    first_slot: int
    last_slot: int
    latest_ms: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the store is made of.

    Attributes:
        number: counts catalogues, and names parts that come with it.
        until_ms: all that was issued up to this instant is in it.
        parts: in the order they came.
        gone: parts that the catalogue before listed, with the second of the machine's clock at which they went.
        seen: size of each day's ledger when it was looked at last, bytes by day.
    """

    number: int = 0
    until_ms: int = NEVER
    parts: tuple[Part, ...] = ()
    gone: tuple[tuple[str, int], ...] = ()
    seen: tuple[tuple[str, int], ...] = ()

    def next(self, add: Iterable[Part], drop: Iterable[Part], now_s: int, **changes: Any) -> Self:
        """Return the catalogue that lists further parts and no longer some others."""
        dropped = {each.name for each in drop}
        parts = (*(each for each in self.parts if each.name not in dropped), *add)
        gone = (*self.gone, *((name, now_s) for name in sorted(dropped)))
        return replace(self, number=self.number + 1, parts=parts, gone=gone, **changes)


def newest(files: Files) -> Catalogue:
    """Return the store's newest catalogue; an empty one where there is none.

    Raises:
        HistoryError: it cannot be read, or is of another Koma.

    """
    while True:
        names = files.names(FOLDER)
        if not names:
            return Catalogue()
        try:
            return _read(files, names[-1])
        except FileNotFoundError:
            continue  # it was removed since: there are newer ones


def _read(files: Files, name: str) -> Catalogue:
    place = f"{files.address}/{FOLDER}/{name}"
    try:
        body, checksum = files.read(f"{FOLDER}/{name}").splitlines()
        facts = json.loads(body)
        if facts["layout"] != LAYOUT:
            raise HistoryError(
                f"{place} has layout {facts['layout']}, this Koma knows {LAYOUT}",
                hint="use the Koma that wrote it, or make the history anew: koma history rebuild",
            )
        if zlib.crc32(body) != int(checksum, 16):
            raise ValueError("its checksum does not hold")  # noqa: TRY301  said below, as any damage
        return Catalogue(
            facts["number"],
            facts["until_ms"],
            tuple(Part(**each) for each in facts["parts"]),
            tuple((gone, at) for gone, at in facts["gone"]),
            tuple((day, size) for day, size in facts["seen"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise HistoryError(
            f"{place} is damaged: {error}", hint="remove it: the one before it counts, and the next update goes on"
        ) from None


def reveal(files: Files, catalogue: Catalogue) -> None:
    """Make a catalogue the newest, durably with all its parts, and remove those long past."""
    body = json.dumps({"layout": LAYOUT} | asdict(catalogue), separators=(",", ":")).encode()
    files.reveal(f"{FOLDER}/{catalogue.number:010d}.json", body + f"\n{zlib.crc32(body):08x}\n".encode())
    for name in files.names(FOLDER)[:-KEPT]:
        files.remove(f"{FOLDER}/{name}")
