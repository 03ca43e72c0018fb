# SPDX-License-Identifier: Apache-2.0
"""Proof of duty, file by file: issued, to be had, fetched first. It stands beside what was issued, never in it.

When a file was issued is the instant that its manifest says. When its retailer could have it, and had it, is what the
gateway recorded by the machine's clock; without a gateway neither is known.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from koma.errors import HomeError
from koma.slots import MS_PER_MINUTE, MS_PER_SLOT, format_jst, parse_jst, slot_at_ms, slot_start_ms
from pipeline.home import Home
from pipeline.ledger.fetched import INDEX, fetches, has_gateway
from pipeline.manifests import SLOTS

DUTY_MINUTES = 60
"""After a slot's end its first revision has to be to be had."""
_QUERY = (
    "select slot, issued_ms, min(published_ms) from release"
    " where product = 'W41110' and retailer = ? and day = ? group by slot, issued_ms"
)


@dataclass(frozen=True, slots=True)
class Duty:
    """What became of a file; times in ms UTC, None where they are not known."""

    file: str
    slot: int
    revision: int
    rows: int
    issued_ms: int
    visible_ms: int | None
    fetched_ms: int | None

    @property
    def due_ms(self) -> int | None:
        """Until when it had to be to be had; what was revised later had no such time."""
        return (self.slot + 1) * MS_PER_SLOT + DUTY_MINUTES * MS_PER_MINUTE if self.revision == 0 else None

    @property
    def in_time(self) -> bool | None:
        """Whether it could be had in time; by its instant where no gateway tells."""
        if self.due_ms is None:
            return None
        return (self.issued_ms if self.visible_ms is None else self.visible_ms) <= self.due_ms

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        times = {"issued_at": self.issued_ms, "due_at": self.due_ms, "visible_at": self.visible_ms}
        return {
            "file": self.file,
            "slot_start": format_jst(slot_start_ms(self.slot)),
            "revision": self.revision,
            "rows": self.rows,
            **{name: None if ms is None else format_jst(ms) for name, ms in times.items()},
            "fetched_at": None if self.fetched_ms is None else format_jst(self.fetched_ms),
            "in_time": self.in_time,
        }


def duties(home: Home, retailer: str, day: str) -> list[Duty]:
    """Return what became of each file of a retailer's day, in the order of issue.

    Raises:
        HomeError: nothing is kept of it, or its manifest is damaged.

    """
    folder = home.deliveries / retailer / day
    if len(day) != len("20261007") or not day.isdecimal() or not (folder / SLOTS).exists():
        raise HomeError(
            f"nothing that {retailer} was issued for {day} is kept", hint="look at the code and the day (YYYYMMDD)"
        )
    lines = list(_lines(home, retailer, day))
    visible: dict[tuple[int, int], int] = {}
    found: dict[str, int] = {}
    if has_gateway(home) and lines:
        visible = _visible(home, retailer, day)
        found = fetches(home, min(issued for *_, issued in lines))
    made = []
    for name, slot, revision, rows, issued_ms in lines:
        stem = name.removesuffix(".zip")
        times = [at for ending in ("zip", "parquet") if (at := found.get(f"{retailer}/{day}/{stem}.{ending}"))]
        made.append(
            Duty(name, slot, revision, rows, issued_ms, visible.get((slot, issued_ms)), min(times, default=None))
        )
    return made


def _lines(home: Home, retailer: str, day: str) -> Iterator[tuple[str, int, int, int, int]]:
    path = home.deliveries / retailer / day / SLOTS
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            told = json.loads(line)
            if "file" in told:
                slot = slot_at_ms(parse_jst(told["slot_start"]))
                yield told["file"], slot, told["revision"], told["rows"], parse_jst(told["issued_at"])
        except (ValueError, KeyError, TypeError) as error:
            raise HomeError(
                f"{path} is damaged in line {number}: {error}", hint="restore it from a copy of the home"
            ) from None


def _visible(home: Home, retailer: str, day: str) -> dict[tuple[int, int], int]:
    with closing(sqlite3.connect(f"file:{home.root / INDEX}?mode=ro", uri=True, timeout=10)) as index:
        return {(slot, issued): shown for slot, issued, shown in index.execute(_QUERY, (retailer, day))}
