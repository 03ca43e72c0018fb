# SPDX-License-Identifier: Apache-2.0
"""The rules that need more than one row: known points, contradictions, overlaps, and the quarantine of whole points.

A bad row takes all rows of its point in the import with it. That may leave an installation open which the import would
have closed, so that another point's row becomes bad in turn: the rules run until nothing more falls.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.master.ledger import Columns, Ledger, Moment
from pipeline.master.ledger_kernels import UNCHANGED, mark_shared, overlap_in_groups, overlap_in_points
from pipeline.master.points import Ids, PointIndex
from pipeline.master.rows import Rows
from pipeline.master.rules import Fault
from pipeline.master.text_kernels import GOOD, read_points

DATED_TABLES = ("points", "supply", "meters")


QUIET_ROWS_MIN = 100_000
"""From so many rows on, those of a file that say nothing new are put aside before the other files are looked at."""


@dataclass(slots=True)
class Judgement:
    """The rows of an import beside what is known, and which of them are bad."""

    index: PointIndex
    known: Callable[[str], Columns]
    """Gives the rows known of a table, read anew each time: they are large."""
    moment: Moment
    rows: dict[str, Rows] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    bad: NDArray[np.bool_] = field(init=False)
    """By position: all rows of the point in this import wait in quarantine."""
    malformed: dict[str, list[int]] = field(default_factory=dict)
    """Position of each malformed row, -1 where its point cannot be told."""

    def __post_init__(self) -> None:
        """Begin without bad points."""
        self.bad = np.zeros(len(self.index), bool)

    def take(self, rows: Rows) -> None:
        """Take the rows of a file in; files come in the order of `TABLES`: points before what is said of them."""
        name = rows.source.table.name
        self.rows[name] = rows
        loose, readable = _loose_ids(rows)
        if name == "points":
            ids = Ids(rows.columns["high"], rows.columns["low"]).take(rows.columns["readable"])
            more = loose.take(readable)
            self.index.add(Ids(np.concatenate([ids.high, more.high]), np.concatenate([ids.low, more.low])))
            self.bad = np.zeros(len(self.index), bool)
        malformed = np.where(readable, self.index.positions(loose), -1)
        self.malformed[name] = malformed.tolist()
        self._spread(malformed)
        if name not in DATED_TABLES:
            return
        position = self.index.positions(Ids(rows.columns.pop("high"), rows.columns.pop("low")))
        position[~rows.columns.pop("readable")] = -1
        rows.columns["position"] = position.astype(np.int32)
        rows.fault[(position < 0) & (rows.fault == Fault.NONE)] = Fault.POINT_UNKNOWN
        self._spread(position[rows.fault != Fault.NONE])
        if len(rows) >= QUIET_ROWS_MIN and len(self.index.known):
            ledger = self._ledger(name)
            ledger.active[ledger.n_old :] = rows.fault == Fault.NONE
            ledger.classify()
            quiet = (ledger.status == UNCHANGED) & (ledger.clash[ledger.n_old :] < 0)
            del ledger
            rows.put_aside(quiet)

    def judge(self) -> None:
        """Judge all rows: afterwards `Rows.fault` and `Rows.quiet`, the ledgers' status and `bad` are final."""
        for name in DATED_TABLES:
            if name in self.rows and len(self.rows[name]):
                self.ledgers[name] = self._ledger(name)
        while True:
            self._activate()
            contradictions = self._contradictions()
            if not contradictions and not self._meter_overlaps():
                break
        for rows in self.rows.values():
            rows.quiet.resting = self._is_bad(rows.quiet.position)
        for name, ledger in self.ledgers.items():
            resting = (self.rows[name].fault == Fault.NONE) & self._is_bad(ledger.position[ledger.n_old :])
            self.rows[name].fault[resting] = Fault.POINT_IN_QUARANTINE

    def _ledger(self, name: str) -> Ledger:
        return Ledger(name, self.known(name), self.rows[name].columns, len(self.index), self.moment)

    def _spread(self, position: NDArray[np.signedinteger]) -> None:
        self.bad[position[position >= 0]] = True

    def _is_bad(self, position: NDArray[np.signedinteger]) -> NDArray[np.bool_]:
        if not self.bad.any():
            return np.zeros(len(position), bool)
        bad: NDArray[np.bool_] = self.bad[np.maximum(position, 0)] & (position >= 0)
        return bad

    def _activate(self) -> None:
        """Let only rows take part that are good and whose point is."""
        for name, ledger in self.ledgers.items():
            good = self.rows[name].fault == Fault.NONE
            ledger.active[ledger.n_old :] = good & ~self._is_bad(ledger.position[ledger.n_old :])

    def _contradictions(self) -> bool:
        """Find what contradicts within a point; whether there was anything."""
        found = False
        for name, ledger in self.ledgers.items():
            if ledger.classify():
                self._fail(name, Fault.DUPLICATE)
                found = True
        if "supply" not in self.ledgers:
            return found
        ledger = self.ledgers["supply"]
        start, end = ledger.column("from_slot"), ledger.column("to_slot")
        if overlap_in_points(ledger.of, ledger.order, start, end, ledger.current, ledger.n_old, ledger.clash):
            self._fail("supply", Fault.SUPPLY_OVERLAP)
            found = True
        return found

    def _fail(self, name: str, fault: Fault) -> None:
        """Note the fault in the rows whose clash the ledger has found, and spread it over their points."""
        ledger, rows = self.ledgers[name], self.rows[name]
        found = (ledger.clash[ledger.n_old :] >= 0) & (rows.fault == Fault.NONE)
        rows.fault[found] = fault
        self._spread(ledger.position[ledger.n_old :][found])

    def _meter_overlaps(self) -> bool:
        """Find registers that are installed twice at a time."""
        if "meters" not in self.ledgers:
            return False
        ledger = self.ledgers["meters"]
        k0, k1, register = (ledger.column(each) for each in ("k0", "k1", "register"))
        start, end = ledger.column("from_ms"), ledger.column("to_ms")
        table = np.full(1 << (2 * len(ledger)).bit_length(), -1, np.int32)
        shared = np.zeros(len(ledger), bool)
        if not mark_shared(k0, k1, register, ledger.current, table, shared):
            return False
        rows = np.flatnonzero(shared)
        rows = rows[np.lexsort((start[rows], register[rows], k1[rows], k0[rows]))]
        same = np.ones(len(rows) - 1, bool)
        for each in (k0, k1, register):
            same &= each[rows[1:]] == each[rows[:-1]]
        group = np.cumsum(np.concatenate([[False], ~same]))
        if not overlap_in_groups(rows, group, start, end, ledger.n_old, ledger.clash):
            return False
        self._fail("meters", Fault.METER_OVERLAP)
        return True


def _loose_ids(rows: Rows) -> tuple[Ids, NDArray[np.bool_]]:
    """Ids that malformed rows carry in the place of point_id, and whether they can be read."""
    texts = [rows.source.values(each.text).get("point_id", "").encode() for each in rows.source.malformed]
    count = len(texts)
    off = np.cumsum([0, *(len(each) for each in texts)]).astype(np.int32)
    high, low, status = np.zeros(count, np.uint16), np.zeros(count, np.uint64), np.zeros(count, np.uint8)
    read_points(off, np.frombuffer(b"".join(texts) + b"\0", np.uint8), high, low, status)
    return Ids(high, low), status == GOOD
