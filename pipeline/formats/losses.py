# SPDX-License-Identifier: Apache-2.0
"""What a format cannot carry: refused by name, or, if asked, written in its nearest form and counted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from koma.errors import FormatError


@dataclass(slots=True)
class Losses:
    """The losses of one file that is written.

    Args:
        nearest: write the nearest form where there is one; else the first loss is an error.

    """

    nearest: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, what: str, rows: int) -> None:
        """Take up rows that lose something on this way; does nothing for none.

        Raises:
            FormatError: losses are not wanted.

        """
        if not rows:
            return
        if not self.nearest:
            raise FormatError(f"the format cannot carry {what} ({rows} rows)", hint="Write Parquet, or allow --nearest")
        self.counts[what] = self.counts.get(what, 0) + rows

    def columns(self, table: Any, names: Iterable[str]) -> None:
        """Take up columns that the format has no place for, where they hold anything."""
        for name in names:
            column = table[name]
            self.note(name, len(column) - column.null_count)
