# SPDX-License-Identifier: Apache-2.0
"""What a rule is: a code, what it looks at, what it says, its threshold, and examples that the tests run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Stage = Literal["row", "cell", "day"]
"""A row of a hand-over file, a cell, or the day of a point."""
Severity = Literal["info", "warning", "error"]
"""Nothing to do; look at it; a value is lost or wrong until somebody acts."""

METER: Final = "A"
"""The meter of an example unless it names another."""


@dataclass(frozen=True, slots=True)
class Hung:
    """An installation of an example: hung and removed at times of the example's day, as HH:MM, empty for always."""

    registers: tuple[int | None, ...] = ()
    """Reads of a cell at the slot's start and end, those of a day at its 49 stamps; None is lost."""
    since: str = ""
    until: str = ""
    digits: int = 6
    unit_exponent: int = -1
    coefficient: int = 1
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class RowExample:
    """Rows of a hand-over file, and what they are counted as.

    A row is (meter, read at, received at, import register, export register), times of 2026-10-06 in JST; meter A is
    known with its import register, meter B is not.
    """

    given: str
    rows: tuple[tuple[str, str, str, int | None, int | None], ...]
    then: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CellExample:
    """A point in a slot from 12:00 to 12:30, and its quality and dWh."""

    given: str
    meters: tuple[Hung, ...]
    then: tuple[str, int]
    cap_dwh: int = 2_000_000
    telemetry: int = 1


@dataclass(frozen=True, slots=True)
class DayExample:
    """A point on a day, and the flags of the rule: slot's number in the day (-1 for none) and amount."""

    given: str
    meters: tuple[Hung, ...]
    then: tuple[tuple[int, int], ...]
    supplied: tuple[int, int] = (0, 48)
    """Slots of the day in which a retailer supplies the point; from 0 on since always, up to 48 for good."""
    days_before: tuple[int | None, int | None] = (None, None)
    """Registers eight and seven days before the day's end."""
    exports: tuple[int, ...] = ()
    """Registers that the export side of the meter showed at the day's first stamps, with no generation point on it."""


Example = RowExample | CellExample | DayExample


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        code: stable; stands in quarantine, in counters and in the flags of a day.
        stage: what it looks at.
        severity: who has to act.
        says: what it has found, and what to do.
        routes: what becomes of what it finds.
        threshold: name of a setting (`KOMA_...`) or of rows of `thresholds.csv`; empty where it has none.
        fixed: a threshold that the public contract fixes, in words.
        examples: what comes in, what comes out.
    """

    code: str
    stage: Stage
    severity: Severity
    says: str
    routes: str
    threshold: str = ""
    fixed: str = ""
    examples: tuple[Example, ...] = field(default=())
