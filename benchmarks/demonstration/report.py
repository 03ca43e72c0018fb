# SPDX-License-Identifier: Apache-2.0
"""What the demonstration shows at its end: tables for people on standard output."""

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.demonstration.slots import SlotFacts
from benchmarks.demonstration.sums import Sums, Verdict

_DWH_PER_KWH = 10_000
_TIME = re.compile(r"T\+")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the line, over all steps of the replay: what it worked on, and the seconds each step took."""

    name: str
    unit: str
    count: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Retailer:
    """One retailer's account: how its files came to it, how many, and how they compare with the truth."""

    code: str
    door: str
    files: int
    verdict: Verdict


def slots_table(slots: dict[str, SlotFacts]) -> Table:
    """Return the table of slots: what stood at the closing, what changed since, and when the points went out."""
    columns = ("slot", "expected", "received", "published", "missing", "revised", "missing now", "half", "90 %", "all")
    rows = [
        (
            start[11:16],
            *(facts.expected, facts.received, facts.published, facts.missing, facts.revised, facts.missing_now),
            *(_minutes(facts.minutes_until(share)) for share in (0.5, 0.9, 1.0)),
        )
        for start, facts in slots.items()
    ]
    return _table("Per slot, at its closing and since; when its points went out after its end T", columns, rows)


def stages_table(stages: Iterable[Stage]) -> Table:
    """Return the table of stage latencies."""
    columns = ("stage", "of", "count", "median s", "longest s", "a second")
    rows = [
        (
            stage.name,
            stage.unit,
            stage.count,
            f"{median(stage.seconds):.2f}",
            f"{max(stage.seconds):.2f}",
            round(stage.count / max(sum(stage.seconds), 1e-9)),
        )
        for stage in stages
    ]
    return _table("Per stage, for each half-hour of arrivals, on this machine", columns, rows)


def retailers_table(retailers: Sequence[Retailer]) -> Table:
    """Return the table of retailers, with a line for all of them."""
    columns = ("retailer", "came by", "files", "cells", "kWh it holds", "kWh of the truth", "off by dWh", "exact slots")
    rows = [_account(each.code, each.door, each.files, each.verdict) for each in retailers]
    verdicts = [each.verdict for each in retailers]
    whole = Verdict(
        Sums(*(sum(column) for column in zip(*(each.held for each in verdicts), strict=True))),
        Sums(*(sum(column) for column in zip(*(each.true for each in verdicts), strict=True))),
        sum(each.slots for each in verdicts),
        sum(each.exact for each in verdicts),
    )
    rows.append(_account("all", "", sum(each.files for each in retailers), whole))
    return _table("Per retailer, after all revisions", columns, rows)


def show(*parts: Table | str) -> None:
    """Print tables and lines on standard output; where that is no terminal, as wide as they need."""
    console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 120)
    for part in parts:
        console.print(part)


def _account(code: str, door: str, files: int, verdict: Verdict) -> tuple[object, ...]:
    held, true = verdict.held, verdict.true
    return (
        *(code, door, files, held.points, _kwh(held.energy_dwh), _kwh(true.energy_dwh)),
        *(held.energy_dwh - true.energy_dwh, f"{verdict.exact} of {verdict.slots}"),
    )


def _kwh(dwh: int) -> str:
    """Return an energy as exact decimal text in kWh, with thousands marked."""
    return f"{dwh // _DWH_PER_KWH:,}.{dwh % _DWH_PER_KWH:04d}"


def _minutes(minutes: int | None) -> str:
    return "-" if minutes is None else f"T+{minutes}"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table in which numbers stand to the right."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        words = place == 0 or bool(rows and str(rows[0][place])[:1].isalpha() and not _TIME.match(str(rows[0][place])))
        table.add_column(column, justify="left" if words else "right")
    for row in rows:
        table.add_row(*(f"{each:,}" if isinstance(each, int) else str(each) for each in row))
    return table
