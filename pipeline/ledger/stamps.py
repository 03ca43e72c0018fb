# SPDX-License-Identifier: Apache-2.0
"""When a running pipeline did what, by its own clock: beside everything that is delivered, and in none of it.

`sla/stamps-YYYYMMDD.jsonl` has a line for each intake and each issue of a watch. It follows from nothing else and is
not synced: what a crash takes away is a latency that nobody knows.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from koma.slots import MS_PER_DAY, slot_at_ms
from pipeline.home import Home
from pipeline.manifests import day_name


@dataclass(frozen=True, slots=True)
class Intake:
    """An intake: when it was durable; of each of its files when it was seen in landing, and its rows."""

    at_ms: int
    files: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Out:
    """An issue of the instants in (from_ms, to_ms]: when its cells were computed, when its files could be fetched."""

    from_ms: int
    to_ms: int
    computed_ms: int
    out_ms: int


@dataclass(slots=True)
class Stamps:
    """What is known of some days."""

    intakes: list[Intake] = field(default_factory=list)
    outs: list[Out] = field(default_factory=list)

    def out_of(self, instant_ms: int) -> Out | None:
        """Return the first issue that had an instant among its own; None where no watch issued it."""
        return next((each for each in self.outs if each.from_ms < instant_ms <= each.to_ms), None)


def stamp_intake(home: Home, at_ms: int, files: Iterable[tuple[int, int]]) -> None:
    """Note that files, each seen at a time and of so many rows, became durable."""
    _append(home, at_ms, {"what": "intake", "at": at_ms, "files": [list(each) for each in files]})


def stamp_issue(home: Home, out: Out) -> None:
    """Note that an issue is out."""
    line = {"what": "issue", "at": out.out_ms, "from": out.from_ms, "to": out.to_ms, "computed": out.computed_ms}
    _append(home, out.out_ms, line)


def _append(home: Home, at_ms: int, line: dict[str, Any]) -> None:
    with suppress(OSError):  # the same disk stops the work itself, which says so
        path = home.path("sla") / f"stamps-{day_name(slot_at_ms(at_ms))}.jsonl"
        with path.open("ab") as file:
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def read_stamps(home: Home, from_ms: int, to_ms: int) -> Stamps:
    """Return the stamps of the days of some time."""
    found = Stamps()
    days = sorted({day_name(slot_at_ms(ms)) for ms in (*range(from_ms, to_ms, MS_PER_DAY), to_ms)})
    for day in days:
        path = home.path("sla") / f"stamps-{day}.jsonl"
        for line in path.read_bytes().splitlines() if path.exists() else ():
            with suppress(ValueError, KeyError):  # a line that a crash tore
                _take(found, json.loads(line))
    return found


def _take(found: Stamps, line: dict[str, Any]) -> None:
    if line["what"] == "intake":
        found.intakes.append(Intake(line["at"], tuple((seen, rows) for seen, rows in line["files"])))
    else:
        found.outs.append(Out(line["from"], line["to"], line["computed"], line["at"]))
