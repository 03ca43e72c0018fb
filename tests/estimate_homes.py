# SPDX-License-Identifier: Apache-2.0
"""Homes of several days for tests of estimates, and their files of estimates as plain rows."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.estimates.day_run import Estimated, estimate_day
from pipeline.home import Home
from tests.homes import Read, Row, at, hand_over, new_home, point, run, settings_of

START = at("2026-09-28T00:00")
"""A Monday."""
DAYS = 11
DAY = date(2026, 10, 7)
"""A Wednesday; what the tests of a day lose is lost then."""
FIRST = 9 * 48
"""Its first slot, and stamp, from `START` on."""
STAMPS = DAYS * 48 + 1
RETAILER, OTHER = "90013", "90023"


def register(stamp: int, number: int = 0) -> int:
    """Give the register of a meter in 0.1 kWh: every day is like the others, in steps of four hours."""
    whole, rest = divmod(stamp, 48)
    day = sum(_step(code, number) for code in range(48))
    return 1000 + whole * day + sum(_step(code, number) for code in range(rest))


def _step(code: int, number: int) -> int:
    return code // 8 + number


def reads(number: int, lost: Sequence[int] = ()) -> list[Read]:
    """Give the reads of meter `number`; those of the stamps `lost` never come."""
    gone = set(lost)
    return [
        Read(f"M{number}", START + k * 1_800_000, START + k * 1_800_000 + 120_000, register(k, number))
        for k in range(STAMPS)
        if k not in gone
    ]


def metered(number: int, meter: str = "", **facts: object) -> Row:
    none = dict.fromkeys(("installed_at", "removed_at", "install_register", "removal_register"))
    same = {"point_id": point(number), "meter_id": meter or f"M{number}", "digits": 6, "unit_exponent": -1}
    return same | none | facts


def supplied(number: int, retailer: str = RETAILER, since: str = "2020-01-01T00:00", until: str | None = None) -> Row:
    return {"point_id": point(number), "retailer_code": retailer, "valid_from": since, "valid_to": until}


def estimate_home(
    root: Path,
    *lost: Sequence[int],
    supply: Sequence[Row] | None = None,
    meters: Sequence[Row] | None = None,
    given: Sequence[Read] | None = None,
) -> Home:
    """Make a home of as many meters as there are lists of lost stamps, and issue all of its days.

    Its reads are those that are `given`, else all but the lost ones.
    """
    numbers = range(len(lost))
    home = new_home(
        root,
        points=[{"point_id": point(k), "contract_kw": 10} for k in numbers],
        meters=[metered(k) for k in numbers] if meters is None else meters,
        supply=[supplied(k) for k in numbers] if supply is None else supply,
    )
    every = [read for k, each in enumerate(lost) for read in reads(k, each)]
    hand_over(home, "all.arrow", every if given is None else given)
    run(home, xml=False)
    return home


def estimated(home: Home, day: date = DAY, **changes: Any) -> Estimated:
    return estimate_day(home, settings_of(home, **changes), day)


def rows(home: Home, day: date = DAY, **changes: Any) -> list[dict[str, Any]]:
    """Estimate a day and return the rows of its latest file."""
    found: list[dict[str, Any]] = pq.read_table(estimated(home, day, **changes).file).to_pylist()
    return found


def code(row: dict[str, Any]) -> int:
    """Number of a row's slot in its day, from 0."""
    return int(row["slot_start"].hour * 2 + row["slot_start"].minute // 30)


def told(home: Home, number: int, day: date = DAY, **changes: Any) -> dict[int, tuple[str, int | None]]:
    """Give (method, dWh) by slot of a point."""
    mine = [row for row in rows(home, day, **changes) if row["point_id"] == point(number)]
    return {code(row): (row["method"], row["energy_dwh"]) for row in mine}
