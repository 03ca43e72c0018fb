# SPDX-License-Identifier: Apache-2.0
"""Every cell of a day, read from the files a retailer gets, against the truth of the simulation and against each other.

A day is a dense grid of slots and points. Each product fills one of its own: the last revision of a cell counts. What
is compared is (owner, available, dWh); strings are looked at once, where point ids become places in the grid.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.slots import MS_PER_DAY, MS_PER_SLOT, format_jst, parse_jst
from pipeline.home import Home
from pipeline.simulate import Options

SLOTS, DAYS, MONTHS = "manifest.jsonl", "manifest-W41120.jsonl", "manifest-W51220.jsonl"
SLOTS_A_DAY: Final = 48
ABSENT, MISSING, AVAILABLE = range(3)
NOBODY: Final = -1
_COLUMNS: Final = ["point_id", "slot_start", "energy_dwh", "available"]


@dataclass(slots=True)
class Grid:
    """The cells of a day: (slots, points) each.

    Attributes:
        owner: number of the retailer, `NOBODY` where no file holds the cell.
        state: `ABSENT`, `MISSING` or `AVAILABLE`.
        energy_dwh: 0 where there is none.
    """

    owner: NDArray[np.int16]
    state: NDArray[np.int8]
    energy_dwh: NDArray[np.int64]

    @classmethod
    def empty(cls, points: int) -> "Grid":
        """Return a day of which nothing is known."""
        shape = (SLOTS_A_DAY, points)
        return cls(np.full(shape, NOBODY, np.int16), np.zeros(shape, np.int8), np.zeros(shape, np.int64))

    def save(self, path: Path) -> None:
        """Keep it."""
        np.savez(path, owner=self.owner, state=self.state, energy_dwh=self.energy_dwh)

    def differing(self, other: "Grid") -> NDArray[np.int64]:
        """Return (slot, place) of each cell that is not the same."""
        same = (self.owner == other.owner) & (self.state == other.state) & (self.energy_dwh == other.energy_dwh)
        return np.argwhere(~same)

    def cell(self, at: NDArray[np.int64]) -> tuple[int, int, int]:
        """Return owner, state and energy of a cell."""
        slot, place = int(at[0]), int(at[1])
        return int(self.owner[slot, place]), int(self.state[slot, place]), int(self.energy_dwh[slot, place])


@dataclass(slots=True)
class Area:
    """The simulated area: its truth, and the place of each point and retailer in a grid."""

    folder: Path
    options: Options
    points: Any  # a pyarrow array of the point ids, in the order of the truth
    codes: list[str] = field(default_factory=list)
    _groups: int = 1  # row groups of a slot

    @classmethod
    def of(cls, truth: Path, options: Options) -> "Area":
        """Open the truth of a simulation."""
        groups = -(-options.points // options.block_points)
        rows = pq.ParquetFile(truth).read_row_groups(list(range(groups)), columns=["point_id"])
        points = rows["point_id"].combine_chunks()
        assert len(points) == options.points
        return cls(truth.parent, options, points, [], groups)

    def number(self, code: str) -> int:
        """Return the number of a retailer."""
        if code not in self.codes:
            self.codes.append(code)
        return self.codes.index(code)

    def places(self, points: Any) -> NDArray[np.int64]:
        """Return the places of some points; a point that there is not is an error."""
        found = pc.index_in(points, value_set=self.points)
        assert found.null_count == 0, "a file holds a point that the area does not have"
        places: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return places

    def start_ms(self, day: int) -> int:
        """Return when a day begins."""
        return self.options.start_ms + day * MS_PER_DAY

    def truth(self, day: int) -> Grid:
        """Return what a day must come to once everything has arrived."""
        grid, file = Grid.empty(len(self.points)), pq.ParquetFile(self.folder / "truth.parquet")
        for slot in range(SLOTS_A_DAY):
            first = (day * SLOTS_A_DAY + slot) * self._groups
            rows = file.read_row_groups(list(range(first, first + self._groups)))
            assert rows["slot_start"].cast(pa.int64())[0].as_py() == self.start_ms(day) + slot * MS_PER_SLOT
            expected = rows["expected"].to_numpy()
            codes = rows["retailer_code"].combine_chunks().dictionary_encode()
            numbers = np.array([self.number(code) for code in codes.dictionary.to_pylist()], np.int16)
            known = rows["energy_dwh"].is_valid().to_numpy() & expected
            grid.owner[slot] = np.where(expected, numbers[codes.indices.to_numpy()], NOBODY)
            grid.state[slot] = np.where(known, AVAILABLE, np.where(expected, MISSING, ABSENT))
            grid.energy_dwh[slot] = np.where(known, rows["energy_dwh"].fill_null(0).to_numpy(), 0)
        return grid


@dataclass(slots=True)
class Looked:
    """A day that was looked at."""

    grid: Grid
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def lines_of(home: Home, day: str, manifest: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (retailer, line) of a day's manifests."""
    for path in sorted(home.deliveries.glob(f"*/{day}/{manifest}")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield path.parent.parent.name, json.loads(line)


def looked_at(home: Home, area: Area, day: int) -> Looked:
    """Fill the grids of both products of a day from the deliveries, and hold them against truth and ledger."""
    name = format_jst(area.start_ms(day))[:10].replace("-", "")
    slots, days = list(lines_of(home, name, SLOTS)), list(lines_of(home, name, DAYS))
    truth = area.truth(day)
    found = Looked(_filled(home, area, day, [each for each in slots if "file" in each[1]], name))
    daily = _filled(home, area, day, days, name)
    found.wrong += _told_apart(area, name, "the slots' files and the truth", found.grid, truth)
    found.wrong += _told_apart(area, name, "the daily files and those of the slots", daily, found.grid)
    found.wrong += _closings(area, name, slots, truth)
    found.wrong += _ledger(home, area, day, name, truth)
    found.counts["expected"] = int((found.grid.state != ABSENT).sum())
    found.counts["available"] = int((found.grid.state == AVAILABLE).sum())
    found.counts["missing"] = int((found.grid.state == MISSING).sum())
    found.counts["energy_dwh"] = int(found.grid.energy_dwh.sum())
    found.counts["true_expected"] = int((truth.state != ABSENT).sum())
    found.counts["true_energy_dwh"] = int(truth.energy_dwh.sum())
    found.counts["daily_cells"] = int((daily.state != ABSENT).sum())
    found.counts["revised_cells"] = sum(line["rows"] for _, line in slots if line.get("revision"))
    return found


def _filled(home: Home, area: Area, day: int, lines: Iterable[tuple[str, dict[str, Any]]], name: str) -> Grid:
    """Apply files in the order of their revisions, those of a slot together."""
    grid = Grid.empty(len(area.points))
    together: dict[tuple[int, str], list[tuple[str, str]]] = defaultdict(list)
    for code, line in lines:
        together[line["revision"], line["slot_start"]].append((code, line["file"]))
    for revision, start in sorted(together):
        tables = []
        for code, file in together[revision, start]:
            rows = pq.read_table(home.deliveries / code / name / f"{file[: -len('.zip')]}.parquet", columns=_COLUMNS)
            tables.append(rows.append_column("owner", pa.array(np.full(len(rows), area.number(code), np.int16))))
        _apply(grid, area, day, pa.concat_tables(tables), first=revision == 0)
    return grid


def _apply(grid: Grid, area: Area, day: int, rows: Any, *, first: bool) -> None:
    slot = (rows["slot_start"].cast(pa.int64()).to_numpy() - area.start_ms(day)) // MS_PER_SLOT
    key = slot * len(area.points) + area.places(rows["point_id"])
    available, owner = rows["available"].to_numpy(), rows["owner"].to_numpy()
    assert len(np.unique(key)) == len(key), "a point stands twice in a revision"
    before = grid.owner.ravel()[key]
    assert not first or (before == NOBODY).all(), "a point stands in two files of revision 00"
    assert first or (before == owner).all(), "a revision holds a cell that the retailer never had"
    grid.owner.ravel()[key] = owner
    grid.state.ravel()[key] = np.where(available, AVAILABLE, MISSING)
    grid.energy_dwh.ravel()[key] = np.where(available, rows["energy_dwh"].fill_null(0).to_numpy(), 0)


def _told_apart(area: Area, day: str, what: str, one: Grid, other: Grid) -> list[str]:
    differ = one.differing(other)
    if not len(differ):
        return []
    at = differ[0]
    place = f"point {area.points[int(at[1])]} slot {at[0] + 1}"
    cells = f"(owner, state, dWh) {one.cell(at)}, {other.cell(at)}"
    return [f"{day}: {what} differ in {len(differ):,} cells, first at {place}: {cells}"]


def _sums(area: Area, slot: int, grid: Grid) -> dict[str, tuple[int, int]]:
    """Return (expected, available) by retailer of a slot."""
    here = grid.state[slot] != ABSENT
    owner, size = grid.owner[slot], len(area.codes)
    expected = np.bincount(owner[here], minlength=size)
    available = np.bincount(owner[grid.state[slot] == AVAILABLE], minlength=size)
    return {code: (int(expected[k]), int(available[k])) for k, code in enumerate(area.codes) if expected[k]}


def _closings(area: Area, day: str, lines: list[tuple[str, dict[str, Any]]], truth: Grid) -> list[str]:
    """Hold that each slot was closed once for each retailer, with as many points as it had, each issued first once."""
    closed, first = defaultdict(list), Counter[tuple[str, str]]()
    for code, line in lines:
        if "closed" in line:
            closed[code, line["slot_start"]].append(line)
        elif line["revision"] == 0:
            first[code, line["slot_start"]] += line["rows"]
    wrong = []
    start_ms = parse_jst(f"{day[:4]}-{day[4:6]}-{day[6:]}T00:00")
    for slot in range(SLOTS_A_DAY):
        start = format_jst(start_ms + slot * MS_PER_SLOT)
        for code, (expected, _) in _sums(area, slot, truth).items():
            told = closed.pop((code, start), [])
            facts = [(each["expected"], each["available"] + each["missing"]) for each in told]
            if facts != [(expected, expected)] or first[code, start] != expected:
                wrong.append(f"{code} {start}: closed as {facts} with {first[code, start]} rows, expected {expected}")
    return [*wrong, *(f"{code} {start} was closed and had no points" for code, start in closed)]


def _ledger(home: Home, area: Area, day: int, name: str, truth: Grid) -> list[str]:
    """Hold the last line of each slot of the ledger against the truth."""
    text = (home.path("ledger") / f"slots-{name}.jsonl").read_text(encoding="utf-8")
    last = {line["slot_start"]: line for line in map(json.loads, text.splitlines())}
    wrong = []
    for slot in range(SLOTS_A_DAY):
        start = format_jst(area.start_ms(day) + slot * MS_PER_SLOT)
        sums = _sums(area, slot, truth)
        expected, available = (sum(each[k] for each in sums.values()) for k in (0, 1))
        wanted = (expected, available, expected - available, int(truth.energy_dwh[slot].sum()))
        line = last.get(start, {})
        told = tuple(line.get(key) for key in ("expected", "available", "missing", "energy_dwh"))
        if told != wanted:
            wrong.append(f"ledger {start}: expected, available, missing, dWh are {told}, not {wanted}")
    return wrong


@dataclass(frozen=True, slots=True)
class MonthlyFiles:
    """The monthly files of a home, if it has any, against the days that were kept.

    A row is what a point used from `period_start` to `period_end` while the retailer was responsible. Where each of
    these slots has a value, it is their sum, to the dWh; where some have none, the registers may still tell of more.
    """

    home: Home
    kept: Path
    area: Area

    def wrong(self, counts: Counter[str]) -> list[str]:
        """Say which rows of monthly files are not what the slots' files say; counts what was compared."""
        paths = sorted(self.home.deliveries.glob(f"*/*/{MONTHS}"))
        return [each for path in paths for each in self._manifest(path, counts)]

    def _manifest(self, path: Path, counts: Counter[str]) -> Iterator[str]:
        """Look at the last revision of each row of a retailer and reading day."""
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        files = [path.with_name(f"{line['file'][: -len('.zip')]}.parquet") for line in lines if "file" in line]
        rows = pa.concat_tables(pq.read_table(file) for file in files)
        place = self.area.places(rows["point_id"])
        start, end = (rows[name].cast(pa.int64()).to_numpy() for name in ("period_start", "period_end"))
        order = np.lexsort((rows["revision"].to_numpy(), start, place))
        last = np.append((np.diff(place[order]) != 0) | (np.diff(start[order]) != 0), True)
        rows, place, start, end = (rows.take(order[last]), *(each[order[last]] for each in (place, start, end)))
        owner = self.area.number(path.parent.parent.name)
        for first, until in np.unique(np.stack([start, end]), axis=1).T:
            mine = np.flatnonzero((start == first) & (end == until))
            yield from self._period(path, owner, (int(first), int(until)), rows.take(mine), place[mine], counts)

    def _period(
        self, path: Path, owner: int, period: tuple[int, int], rows: Any, place: NDArray[np.int64], counts: Counter[str]
    ) -> Iterator[str]:
        """Hold the rows of one period against the sum of its slots."""
        known = np.zeros((3, len(place)), np.int64)  # slots, those that are missing, dWh
        for slot in range(*((each - self.area.options.start_ms) // MS_PER_SLOT for each in period)):
            grid = _kept_grid(self.kept, slot // SLOTS_A_DAY)
            if grid is None:
                return
            hour = slot % SLOTS_A_DAY
            here = grid.owner[hour, place] == owner
            known += here * np.stack([here, grid.state[hour, place] != AVAILABLE, grid.energy_dwh[hour, place]]).astype(
                np.int64
            )
        told = [rows[name].fill_null(0).to_numpy() for name in ("slots", "missing_slots", "energy_dwh")]
        whole, available = known[1] == 0, rows["available"].to_numpy()
        right = (told[0] == known[0]) & (told[1] == known[1])
        right &= np.where(whole, available & (told[2] == known[2]), ~available | (told[2] >= known[2]))
        counts["monthly_rows"] += len(place)
        counts["monthly_rows_of_whole_periods"] += int(whole.sum())
        counts["monthly_dwh_of_whole_periods"] += int(told[2][whole].sum())
        for row in np.flatnonzero(~right)[:3]:
            said, wanted = ([int(each[row]) for each in some] for some in (told, known))
            point = self.area.points[int(place[row])]
            yield f"{path.parent}: {point}: slots, missing, dWh are {said} a month, {wanted} by slots"


@lru_cache(maxsize=4)
def _kept_grid(folder: Path, day: int) -> Grid | None:
    """Return a day that was looked at; None outside the window."""
    path = folder / f"{day:03d}.npz"
    if not path.exists():
        return None
    with np.load(path) as columns:
        return Grid(columns["owner"], columns["state"], columns["energy_dwh"])
