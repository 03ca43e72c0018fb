# SPDX-License-Identifier: Apache-2.0
"""Thresholds of rules as dated data: which value holds on which day, and where it comes from.

They stand in `thresholds.csv` beside this module; a file of that name in the home stands in its place.
"""

import csv
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self

from koma.errors import SettingError

FILE: Final = "thresholds.csv"
OWN: Final = Path(__file__).with_name(FILE)
_COLUMNS: Final = ["key", "valid_from", "value", "unit", "source"]
_HINT: Final = f"write the columns {', '.join(_COLUMNS)}, as the file that comes with Koma does"


@dataclass(frozen=True, slots=True, order=True)
class Threshold:
    """A value that holds from a day on, until another one of its key does."""

    key: str
    valid_from: date
    value: int
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All thresholds, ascending by key and day."""

    rows: tuple[Threshold, ...]

    @classmethod
    def of_home(cls, home: Path) -> Self:
        """Read the home's own thresholds if it has some, else those that come with Koma.

        Raises:
            SettingError: the file cannot be read, or lacks a threshold.

        """
        own = home / FILE
        found = cls.read(own) if own.exists() else cls.read(OWN)
        lacking = {each.key for each in cls.read(OWN).rows} - {each.key for each in found.rows}
        if lacking:
            raise SettingError(f"{own} has no row of {', '.join(sorted(lacking))}", hint=_HINT)
        return found

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of thresholds.

        Raises:
            SettingError: a line cannot be read.

        """
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if not rows or rows[0] != _COLUMNS:
            raise SettingError(f"{path} line 1: not the columns of thresholds", hint=_HINT)
        found = []
        for number, row in enumerate(rows[1:], 2):
            try:
                key, since, value, unit, source = row
                found.append(Threshold(key, date.fromisoformat(since), int(value), unit, source))
            except ValueError as error:
                raise SettingError(f"{path} line {number}: {error}", hint=_HINT) from error
        return cls(tuple(sorted(found)))

    def of(self, key: str) -> tuple[Threshold, ...]:
        """Return the values of a key, the earliest first."""
        return tuple(each for each in self.rows if each.key == key)

    def at(self, day: date) -> dict[str, int]:
        """Return the value of each key on a day; a key that has none yet has its first one."""
        found: dict[str, int] = {}
        for each in self.rows:
            if each.key not in found or each.valid_from <= day:
                found[each.key] = each.value
        return found
