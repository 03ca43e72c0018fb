# SPDX-License-Identifier: Apache-2.0
"""A home whose master is learned import by import, from rows written as plain objects."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from koma.slots import parse_jst, slot_at_ms
from pipeline.master import ImportReport, MasterView, import_master, open_master
from pipeline.master.view import VOLTAGES

Row = Mapping[str, object]


def point(number: int, area: str = "03") -> str:
    return f"{area}{number:020d}"


def slot(text: str) -> int:
    return slot_at_ms(parse_jst(text))


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV; columns in the order in which they appear."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_folder(folder: Path, tables: Mapping[str, Iterable[Row] | str | bytes]) -> Path:
    """Write master files: rows, or a file's text or bytes as they are."""
    folder.mkdir(parents=True)
    for name, content in tables.items():
        path = folder / f"{name}.csv"
        if isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            write_csv(path, list(content))
    return folder


@dataclass(slots=True)
class Desk:
    """One home and the imports into it."""

    root: Path
    imports: int = 0

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def view(self) -> MasterView:
        return open_master(self.home)

    def learn(
        self,
        *,
        now: str | None = None,
        issued: str | None = None,
        strict: bool = False,
        **tables: Iterable[Row] | str | bytes,
    ) -> ImportReport:
        """Import rows when the home's clock stands at `now` and what was due by `issued` is out."""
        self.imports += 1
        folder = write_folder(self.root / f"import-{self.imports}", tables)
        return import_master(
            self.home,
            folder,
            now_ms=None if now is None else parse_jst(now),
            first=open_master(self.home).version == 0,
            strict=strict,
            issued_ms=None if issued is None else parse_jst(issued),
        )

    def attributes(self, number: int, at: str) -> list[tuple[str, int, int]]:
        """Voltage, telemetry and cap of a point as known at an instant."""
        view, rows = self.view, self._rows("attr", number, at)
        columns = zip(view.attr_voltage[rows], view.attr_telemetry[rows], view.attr_cap_dwh[rows], strict=True)
        return [(VOLTAGES[voltage], int(telemetry), int(cap)) for voltage, telemetry, cap in columns]

    def supply(self, number: int, at: str) -> list[tuple[str, int, int]]:
        """Retailer, first slot and end slot of a point's supply as known at an instant."""
        view, rows = self.view, self._rows("supply", number, at)
        columns = zip(view.supply_retailer[rows], view.supply_from[rows], view.supply_to[rows], strict=True)
        return [(view.retailers[retailer], int(first), int(end)) for retailer, first, end in columns]

    def installs(self, number: int, at: str) -> list[dict[str, int]]:
        """Installations of a point as known at an instant, without their recorded times."""
        rows = self._rows("install", number, at)
        names = ("local", "from_ms", "to_ms", "modulus", "factor", "first", "last", "register")
        return [{name: int(getattr(self.view, f"install_{name}")[row]) for name in names} for row in rows]

    def _rows(self, table: str, number: int, at: str) -> list[int]:
        view: Any = self.view
        (position,) = (view.point_id.view("S22").ravel() == point(number).encode()).nonzero()[0]
        instant = parse_jst(at)
        rec_from, rec_to = getattr(view, f"{table}_rec_from"), getattr(view, f"{table}_rec_to")
        of = getattr(view, f"{table}_of")
        return [row for row in range(of[position], of[position + 1]) if rec_from[row] <= instant < rec_to[row]]
