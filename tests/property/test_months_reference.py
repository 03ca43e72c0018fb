# SPDX-License-Identifier: Apache-2.0
"""Monthly files against a slow reference in plain Python, over small random worlds whose reading days move."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st

from pipeline.home import Home
from tests.homes import MINUTE_MS, iso, learn, new_home
from tests.independent_months import monthly_files, read_months
from tests.property.worlds import World, handed, land, months_until, tables, worlds
from tests.reference_months import MonthReference, midnight
from tests.reference_times import DAY, month_instants

FEW = settings(max_examples=settings().max_examples // 2)
Issued = tuple[str, str, int, int, str, tuple[tuple[object, ...], ...]]


def issued(home: Home) -> list[Issued]:
    return [
        (f.retailer, f.reading, f.revision, f.split, f.issued_at, tuple(tuple(row) for row in f.rows))
        for f in monthly_files(home.deliveries)
    ]  # fmt: skip


def expected(reference: MonthReference) -> list[Issued]:
    found = [
        (f.retailer, iso(f.reading_ms), f.revision, f.split, iso(f.issued_ms),
         tuple((r.point, r.ref, iso(r.start_ms), iso(r.end_ms), *r[4:]) for r in f.rows))
        for f in reference.months
    ]  # fmt: skip
    return sorted(found, key=lambda f: (f[0], f[1], f[4], f[2], f[3]))


def stops(world: World, chosen: list[int]) -> Iterator[int]:
    """Give a time for each landing: at and after the first monthly instants, seldom before."""
    instants = [
        each
        for day in range(1, 4)
        for each in month_instants(midnight(world.start_ms) + day * DAY)[: 9 if day < 3 else 1]
    ]
    every = sorted({*instants, *(each + 7 * MINUTE_MS for each in instants)})
    every.append(every.pop() + DAY)
    yield from (every[min(number, len(every) - 1)] for number in sorted(chosen)[: len(world.landings) - 1])
    yield every[-1]


@FEW
@given(worlds(months=True), st.lists(st.integers(0, 40), min_size=2, max_size=2), st.integers(0, 1000))
def test_the_months_that_are_issued_are_those_of_the_reference(world: World, chosen: list[int], seed: int) -> None:
    reference = MonthReference(rows_per_file=world.rows_per_file)
    with tempfile.TemporaryDirectory() as folder:
        home = new_home(Path(folder) / "home")
        portions = zip(world.imports, world.landings, stops(world, chosen), strict=True)
        for number, (rows, reads, to_ms) in enumerate(portions):
            if rows:
                note(f"learned: {rows}")
                assert learn(home, **tables(rows)).quarantined == 0
                reference.learn(rows)
            note(f"landed: {reads}, issued until {iso(to_ms)}")
            land(home, f"landing{number}", reads, seed)
            months_until(home, to_ms, rows_per_file=world.rows_per_file)
            reference.take(handed(reads))
            reference.issue_until(to_ms)
        assert expected(reference) == issued(home)
        hold_to_periods(home)


def hold_to_periods(home: Home) -> None:
    """Periods of a point neither overlap nor leave a gap between them, whoever was its retailer."""
    parts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for (_, _, name), (_, row) in read_months(home.deliveries).items():
        if row.quality != "withdrawn":
            parts.setdefault((name, ""), []).append((row.start, row.end))
    for spans in parts.values():
        for (_, end), (start, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
            assert end <= start, spans
