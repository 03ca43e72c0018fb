# SPDX-License-Identifier: Apache-2.0
"""What an import did: counts by table, and every refused row with its place, its code and what to do."""

import heapq
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from koma.errors import InstantError
from koma.slots import format_jst, slot_start_ms
from pipeline.master.judge import Judgement
from pipeline.master.ledger import Ledger
from pipeline.master.ledger_kernels import CANCELLED, NEW, OLDER, SUPERSEDING, UNCHANGED
from pipeline.master.rows import Rows
from pipeline.master.rules import Fault
from pipeline.master.view import ALWAYS_MS

BAD_ROWS_SHOWN = 20
_CONTRADICTIONS = (Fault.DUPLICATE, Fault.SUPPLY_OVERLAP, Fault.METER_OVERLAP)


@dataclass(frozen=True, slots=True)
class TableCounts:
    """Rows of one file by what became of them; `rows` is the sum of the others."""

    rows: int
    new: int
    """First row of its key."""
    superseding: int
    """Takes over from an earlier row of its key."""
    unchanged: int
    """Says what is known already."""
    older: int
    """Recorded no later than what is known of its key, and different: kept in the log, out of current knowledge."""
    cancelled: int
    """Its end is its start: takes what is known of its key back."""
    quarantined: int
    """Bad, or of a point with a bad row."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """One refused row."""

    file: str
    line: int
    code: str
    detail: str
    point_id: str
    row: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did."""

    version: int
    """The current version afterwards."""
    applied: bool
    """Whether the import made that version."""
    first: bool
    strict: bool
    tables: dict[str, TableCounts]
    codes: dict[str, int]
    """Refused rows by code."""
    bad: tuple[BadRow, ...]
    """The first `BAD_ROWS_SHOWN` refused rows."""
    quarantine: Path | None
    """File with all refused rows; None where there are none, and under `--strict`."""
    ignored_columns: dict[str, list[str]]
    """Columns without meaning, by file."""

    @property
    def quarantined(self) -> int:
        """Refused rows in all files."""
        return sum(each.quarantined for each in self.tables.values())

    @property
    def refused(self) -> bool:
        """Whether `--strict` kept everything out."""
        return self.strict and self.quarantined > 0

    @property
    def what_to_do(self) -> str:
        """What the refused rows ask of a person; empty where there are none."""
        if not self.quarantined:
            return ""
        if self.refused:
            return "correct these rows and import again, or leave out --strict to apply the rest"
        return "correct them at their source and import them again, with all rows of their points that wait with them"

    def as_dict(self) -> dict[str, object]:
        """What `--json` prints."""
        return {
            "version": self.version,
            "applied": self.applied,
            "refused": self.refused,
            "first": self.first,
            **{name: asdict(counts) for name, counts in self.tables.items()},
            "quarantined": self.quarantined,
            "codes": self.codes,
            "quarantine": None if self.quarantine is None else str(self.quarantine),
            "what_to_do": self.what_to_do,
            "ignored_columns": self.ignored_columns,
            "bad": [asdict(each) for each in self.bad],
        }


def count_rows(rows: Rows, status: NDArray[np.uint8]) -> TableCounts:
    """Count one file's rows; each falls into exactly one class."""
    good = rows.fault == Fault.NONE
    by_status = {each: int(np.count_nonzero(status[good] == each)) for each in range(CANCELLED + 1)}
    resting = int(rows.quiet.resting.sum())
    counts = TableCounts(
        rows=len(rows) + len(rows.malformed_lines) + len(rows.quiet.line),
        new=by_status[NEW],
        superseding=by_status[SUPERSEDING],
        unchanged=by_status[UNCHANGED] + len(rows.quiet.line) - resting,
        older=by_status[OLDER],
        cancelled=by_status[CANCELLED],
        quarantined=int(np.count_nonzero(~good)) + len(rows.malformed_lines) + resting,
    )
    assert counts.rows == sum(asdict(counts).values()) - counts.rows, counts
    return counts


def count_codes(rows: dict[str, Rows]) -> dict[str, int]:
    """Count refused rows by code."""
    counts = np.zeros(len(Fault), np.int64)
    for each in rows.values():
        counts += np.bincount(each.fault, minlength=len(Fault))
        counts[Fault.COLUMNS] += len(each.malformed_lines)
        counts[Fault.POINT_IN_QUARANTINE] += each.quiet.resting.sum()
    return {fault.code: int(counts[fault]) for fault in Fault if fault != Fault.NONE and counts[fault]}


@dataclass(slots=True)
class BadRows:
    """All refused rows of an import, in the order of files and lines. Reads the files again, for these rows only."""

    judged: Judgement

    def __iter__(self) -> Iterator[BadRow]:
        culprits = self._culprits()
        for name in self.judged.rows:
            kinds = (self._malformed(name), self._faulty(name, culprits), self._resting(name, culprits))
            yield from heapq.merge(*kinds, key=lambda bad: bad.line)

    def lines(self, number: int) -> Iterator[str]:
        """Lines of the quarantine file of import `number`."""
        for bad in self:
            yield json.dumps({"import": number, **asdict(bad)}, ensure_ascii=False) + "\n"

    def _culprits(self) -> dict[int, str]:
        """File and line of the first bad row of each point in quarantine, by position."""
        culprits: dict[int, str] = {}
        for name, rows in self.judged.rows.items():
            if name in self.judged.ledgers:
                bad = np.flatnonzero((rows.fault != Fault.NONE) & (rows.fault != Fault.POINT_IN_QUARANTINE))
                positions, firsts = np.unique(rows.columns["position"][bad], return_index=True)
                for position, line in zip(positions.tolist(), rows.line[bad[firsts]].tolist(), strict=True):
                    culprits.setdefault(position, f"{rows.source.name} line {line}")
            for position, line in zip(self.judged.malformed[name], rows.malformed_lines, strict=True):
                culprits.setdefault(position, f"{rows.source.name} line {line}")
        return culprits

    def _malformed(self, name: str) -> Iterator[BadRow]:
        rows = self.judged.rows[name]
        for each, line in zip(rows.source.malformed, rows.malformed_lines, strict=True):
            point = rows.source.values(each.text).get("point_id", "")
            fault = Fault.COLUMNS
            yield BadRow(rows.source.name, line, fault.code, fault.detail("", "", ""), point, each.text)

    def _faulty(self, name: str, culprits: dict[int, str]) -> Iterator[BadRow]:
        rows = self.judged.rows[name]
        bad = np.flatnonzero(rows.fault != Fault.NONE)
        for row, (line, text) in zip(bad.tolist(), rows.source.texts(rows.line[bad]), strict=True):
            fault = Fault(int(rows.fault[row]))
            values = rows.source.values(text)
            column = rows.source.table.columns[rows.column[row]]
            point = values.get("point_id", "").strip()
            other = ""
            if fault in _CONTRADICTIONS:
                other = self._other(name, row)
            elif fault == Fault.POINT_IN_QUARANTINE:
                other = culprits[int(rows.columns["position"][row])]
            value = point if fault == Fault.POINT_UNKNOWN else values.get(column, "")
            yield BadRow(rows.source.name, line, fault.code, fault.detail(column, value, other), point, text)

    def _resting(self, name: str, culprits: dict[int, str]) -> Iterator[BadRow]:
        rows, fault = self.judged.rows[name], Fault.POINT_IN_QUARANTINE
        quiet = rows.quiet
        positions = quiet.position[quiet.resting].tolist()
        for position, (line, text) in zip(positions, rows.source.texts(quiet.line[quiet.resting]), strict=True):
            point = rows.source.values(text).get("point_id", "").strip()
            detail = fault.detail("", "", culprits[position])
            yield BadRow(rows.source.name, line, fault.code, detail, point, text)

    def _other(self, name: str, row: int) -> str:
        """Say which row a row contradicts."""
        rows = self.judged.rows[name]
        if name not in self.judged.ledgers:
            return "another row of the file"
        ledger = self.judged.ledgers[name]
        other = int(ledger.clash[ledger.n_old + row])
        where = _described(ledger, other, self.judged.index.text(int(ledger.position[other])))
        if other >= ledger.n_old:
            return f"{rows.source.name} line {rows.line[other - ledger.n_old]} ({where})"
        return f"a row known from an earlier import ({where})"


def _described(ledger: Ledger, row: int, point: str) -> str:
    if ledger.name == "supply":
        return f"point {point}, valid_from {format_jst(slot_start_ms(int(ledger.column('from_slot')[row])))}"
    if ledger.name == "meters":
        return f"point {point}, installed_at {_time_text(int(ledger.column('from_ms')[row]))}"
    return f"point {point}"


def _time_text(ms: int) -> str:
    if ms == ALWAYS_MS:
        return "always"
    try:
        return format_jst(ms)
    except InstantError:
        return f"{ms} ms"
