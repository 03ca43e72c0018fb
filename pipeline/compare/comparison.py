# SPDX-License-Identifier: Apache-2.0
"""The comparison itself: slots that both sides have, retailer by retailer, cell by cell."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.slots import format_jst, slot_start_ms
from pipeline.compare.causes import CODES, NUMBER, Beside, causes_of, standing
from pipeline.compare.cells import NONE, Cells, joined, latest, point_ids
from pipeline.compare.expected import Expected
from pipeline.compare.side import Side, our_side, their_side
from pipeline.quality import QUALITIES

SCHEMA: Final = pa.schema(
    [
        pa.field("retailer_code", pa.string(), nullable=False),
        pa.field("point_id", pa.string(), nullable=False),
        pa.field("slot_start", pa.timestamp("ms", "Asia/Tokyo"), nullable=False),
        pa.field("ours_dwh", pa.int64()),
        pa.field("theirs_dwh", pa.int64()),
        pa.field("our_quality", pa.string()),
        pa.field("our_revision", pa.int16()),
        pa.field("their_revision", pa.int16()),
        pa.field("cause", pa.string(), nullable=False),
    ]
)
"""Of the file of differences: a side that has no such cell, or no value, is null."""
_EMPTY: Final = Beside(NONE, NONE, NONE, NONE)
_KEPT: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Differences:
    """Cells of a retailer and slot that differ, ascending by point; a side that lacks them stands as the other does."""

    retailer: str
    slot: int
    points: Cells
    ours: Cells
    theirs: Cells
    has_ours: bool
    has_theirs: bool
    cause: NDArray[np.uint8]


@dataclass(slots=True)
class Comparison:
    """What came of it."""

    slots: int = 0
    retailers: int = 0
    only_ours: list[str] = field(default_factory=list)
    """Starts of slots that only we have files of."""
    only_theirs: list[str] = field(default_factory=list)
    cells: int = 0
    """Of a retailer, point and slot, that one side has at least."""
    refused: dict[Path, str] = field(default_factory=dict)
    """Files that could not be read, and why."""
    differences: pa.Table = field(default_factory=SCHEMA.empty_table)

    @property
    def different(self) -> int:
        """Cells that differ."""
        return int(self.differences.num_rows)

    @property
    def equal(self) -> int:
        """Cells that do not."""
        return self.cells - self.different

    def causes(self) -> dict[str, dict[str, Any]]:
        """Give for each cause that occurs its cells, theirs less ours in dWh, and one cell as an example."""
        told = {}
        for code in CODES:
            rows = self.differences.filter(pa.compute.equal(self.differences["cause"], code))
            if not rows.num_rows:
                continue
            theirs, ours = (pa.compute.sum(rows[name]).as_py() or 0 for name in ("theirs_dwh", "ours_dwh"))
            first = rows.slice(0, 1).to_pylist()[0]
            example = f"{first['retailer_code']} {first['point_id']} {first['slot_start'].isoformat()}"
            told[code] = {"cells": rows.num_rows, "theirs_less_ours_dwh": theirs - ours, "example": example}
        return told

    def write(self, path: Path) -> None:
        """Write every difference as Parquet."""
        pq.write_table(self.differences, path, compression="zstd")


def compare(home: Path, theirs: Path, *, workers: int = 2) -> Comparison:
    """Hold the home's deliveries against the incumbent's.

    Args:
        home: of the shadow run.
        theirs: folder with the incumbent's W41110 zips, of any depth.
        workers: threads.

    Raises:
        CompareError: there is nothing to read at `theirs`.

    """
    sides = our_side(home / "deliveries"), their_side(theirs)
    retailers = sorted({code for side in sides for code in side.files})
    held = [set().union(*(side.slots(code) for code in retailers)) for side in sides]
    common = sorted(held[0] & held[1])
    result = Comparison(slots=len(common), retailers=len(retailers))
    for name, lone in (("only_ours", held[0] - held[1]), ("only_theirs", held[1] - held[0])):
        setattr(result, name, [format_jst(slot_start_ms(slot)) for slot in sorted(lone)])
    found: list[_Differences] = []
    with ThreadPoolExecutor(workers) as pool:
        for cells, differences in pool.map(_compared, repeat(sides), retailers, repeat(common)):
            result.cells += cells
            found += differences
    _name_other_retailers(found)
    _name_unexpected(found, Expected(home))
    result.refused = sides[0].refused | sides[1].refused
    result.differences = pa.concat_tables([SCHEMA.empty_table(), *map(_table, found)]).sort_by(
        [("slot_start", "ascending"), ("point_id", "ascending"), ("retailer_code", "ascending")]
    )
    return result


def _compared(sides: tuple[Side, Side], retailer: str, slots: Iterable[int]) -> tuple[int, list[_Differences]]:
    """Compare a retailer's slots; return how many cells there are, and those that differ."""
    ours, theirs = sides

    @lru_cache(maxsize=_KEPT)
    def beside(slot: int) -> Beside:
        ours_ever, theirs_ever = ours.cells(retailer, slot), theirs.cells(retailer, slot)
        return Beside(standing(latest(ours_ever)), latest(theirs_ever), ours_ever, theirs_ever)

    cells = 0
    found: list[_Differences] = []
    known = set(slots)
    for slot in slots:
        around = [beside(each) if each in known else _EMPTY for each in (slot - 1, slot, slot + 1)]
        here = around[1]
        unreadable = any(path in theirs.refused for _, path in theirs.files.get(retailer, {}).get(slot, ()))
        found += _differing(retailer, slot, around, "unreadable" if unreadable else "absent")
        both = np.count_nonzero(here.theirs.beside(here.ours) >= 0)
        cells += len(here.ours) + len(here.theirs) - int(both)
    return cells, found


def _differing(retailer: str, slot: int, around: list[Beside], alone: str) -> Iterator[_Differences]:
    before, here, after = around
    row = here.theirs.beside(here.ours)
    both = np.flatnonzero(row >= 0)
    other = row[both]
    differs = (here.ours.available[both] != here.theirs.available[other]) | (
        here.ours.energy[both] != here.theirs.energy[other]
    )
    both, other = both[differs], other[differs]
    if len(both):
        points = here.ours.take(both)
        cause = causes_of(points, both, other, here, before, after)
        yield _Differences(retailer, slot, points, points, here.theirs.take(other), True, True, cause)  # noqa: FBT003  has both
    for side, opposite, code in ((here.ours, here.theirs, alone), (here.theirs, here.ours, "not_issued")):
        lone = side.take(opposite.beside(side) < 0)
        if len(lone):
            mine = side is here.ours
            cause = np.full(len(lone), NUMBER[code], np.uint8)
            yield _Differences(retailer, slot, lone, lone, lone, mine, not mine, cause)


def _name_other_retailers(found: list[_Differences]) -> None:
    """Give cells that the sides deliver to different retailers their cause."""
    by_slot: dict[int, tuple[list[_Differences], list[_Differences]]] = {}
    for each in found:
        if not (each.has_ours and each.has_theirs):
            by_slot.setdefault(each.slot, ([], []))[int(each.has_theirs)].append(each)
    for ours, theirs in by_slot.values():
        for some, others in ((ours, theirs), (theirs, ours)):
            whole = joined([each.points for each in others])
            for each in some:
                each.cause[whole.beside(each.points) >= 0] = NUMBER["retailer"]


def _name_unexpected(found: list[_Differences], expected: Expected) -> None:
    """Say of cells that only they have why we do not expect them."""
    for each in found:
        open_rows = np.flatnonzero(each.cause == NUMBER["not_issued"])
        if len(open_rows):
            each.cause[open_rows] = expected.why_not(each.points.take(open_rows), each.retailer, each.slot)


def _table(each: _Differences) -> pa.Table:
    rows = len(each.points)
    no_ours, no_theirs = np.full(rows, not each.has_ours), np.full(rows, not each.has_theirs)
    quality = pa.DictionaryArray.from_arrays(
        pa.array(each.ours.quality, pa.uint8(), mask=no_ours | (each.ours.quality >= len(QUALITIES))),
        pa.array(QUALITIES, pa.string()),
    )
    cause = pa.DictionaryArray.from_arrays(pa.array(each.cause, pa.uint8()), pa.array(CODES, pa.string()))
    return pa.Table.from_arrays(
        [
            pa.array([each.retailer] * rows, pa.string()),
            point_ids(each.points),
            pa.array(np.full(rows, slot_start_ms(each.slot)), SCHEMA.field("slot_start").type),
            pa.array(each.ours.energy, pa.int64(), mask=no_ours | ~each.ours.available),
            pa.array(each.theirs.energy, pa.int64(), mask=no_theirs | ~each.theirs.available),
            quality.cast(pa.string()),
            pa.array(each.ours.revision.astype(np.int16), pa.int16(), mask=no_ours),
            pa.array(each.theirs.revision.astype(np.int16), pa.int16(), mask=no_theirs),
            cause.cast(pa.string()),
        ],
        schema=SCHEMA,
    )
