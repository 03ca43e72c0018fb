# SPDX-License-Identifier: Apache-2.0
"""Groups of concentrators: which points report over the same equipment, as the operator says in a file.

The master knows no concentrator. A CSV file with the columns `point_id` and `group` names the group of each point, so
that a dead piece of equipment shows as one line and not as a few hundred points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from koma.errors import TelemetryError
from koma.slots import MS_PER_SLOT, SLOTS_PER_DAY, slot_start_ms
from pipeline.home import Home
from pipeline.ledger.book import read_missing, read_record, surveyed_slots
from pipeline.ledger.model import NAMING_MS, GroupLine
from pipeline.master import MasterView, open_master
from pipeline.master.points import PointIndex, ids_of

GROUPS_MAX: Final = 1000
"""A label of a metric is bounded: a group is a substation or a feeder, not one of a hundred thousand concentrators."""
SILENT_SHARE: Final = 0.5
"""A group of which more than this is missing does not report: no weather does that, equipment does."""
_HINT: Final = "columns point_id and group; see docs/operating/telemetry.md"
LOOKED_BACK: Final = SLOTS_PER_DAY
"""Slots back to which a silent group is followed."""
_NO_GROUP: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """The groups of a file, held against a master."""

    names: tuple[str, ...]
    of_position: NDArray[np.int32]
    """Group of each point, by position; -1 for none."""
    points: NDArray[np.int64]
    """Points of each group."""
    areas: tuple[str, ...]
    """Area of each group: that of its first point."""

    def missing(self, home: Home, slot: int) -> NDArray[np.int64] | None:
        """Count the points of each group that a slot misses; None where it was not surveyed."""
        table = read_missing(home, slot)
        if table is None:
            return None
        group = self.of_position[table["position"].to_numpy()]
        return np.bincount(group[group >= 0], minlength=len(self.names))

    def line(self, number: int, counts: Sequence[tuple[int, NDArray[np.int64]]]) -> GroupLine:
        """Return a group as of the first of some slots (start in ms, missing by group), which go back in time."""
        points, since_ms = int(self.points[number]), None
        for start_ms, missing in counts:
            if missing[number] <= SILENT_SHARE * points:
                break
            since_ms = start_ms
        return GroupLine(self.names[number], self.areas[number], points, int(counts[0][1][number]), since_ms)


def groups_of(home: Home, path: Path, last: int) -> tuple[GroupLine, ...]:
    """Return each group of a file as of the newest slot up to `last` whose missing points are named.

    Raises:
        TelemetryError: see `read_groups`.

    """
    groups = read_groups(path, home)
    counts: list[tuple[int, NDArray[np.int64]]] = []
    for slot in reversed(surveyed_slots(home, last, LOOKED_BACK)):
        record = read_record(home, slot)
        late = record is not None and record.instant_ms >= slot_start_ms(slot) + MS_PER_SLOT + NAMING_MS
        missing = groups.missing(home, slot) if late else None
        if missing is not None:
            counts.append((slot_start_ms(slot), missing))
    if not counts:
        return ()
    return tuple(groups.line(number, counts) for number in range(len(groups.names)) if groups.points[number])


def read_groups(path: Path, home: Home) -> Groups:
    """Read the groups of a file; points that the master does not know are left out.

    Raises:
        TelemetryError: it cannot be read, a point has two groups, or there are more than a metric may show.

    """
    view = open_master(home.root)
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError as error:
        raise TelemetryError(f"{path} cannot be read: {error.strerror}", hint=_HINT) from error
    return _held_against(path, changed_ns, home.root, view.version)


@lru_cache(maxsize=2)
def _held_against(path: Path, _changed_ns: int, root: Path, _version: int) -> Groups:
    view = open_master(root)
    options = pcsv.ConvertOptions(
        column_types={"point_id": pa.string(), "group": pa.string()}, include_columns=["point_id", "group"]
    )
    try:
        table = pcsv.read_csv(path, convert_options=options)
    except (OSError, KeyError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise TelemetryError(f"{path} holds no groups: {error}", hint=_HINT) from error
    if not pc.all(pc.match_substring_regex(table["point_id"], r"^[0-9]{22}$"), min_count=0).as_py():
        raise TelemetryError(f"{path} holds a point id that has not 22 digits", hint=_HINT)
    coded = table["group"].combine_chunks().dictionary_encode()
    names = tuple(coded.dictionary.to_pylist())
    if len(names) > GROUPS_MAX:
        raise TelemetryError(
            f"{path} names {len(names):,} groups, more than {GROUPS_MAX:,}", hint="name larger groups, such as feeders"
        )
    return _placed(path, view, table["point_id"], names, coded.indices.to_numpy())


def _placed(
    path: Path, view: MasterView, points: pa.ChunkedArray, names: tuple[str, ...], group: NDArray[Any]
) -> Groups:
    place = PointIndex.of(view).positions(ids_of(points)) if len(points) else np.empty(0, np.int64)
    known = place >= 0
    place, group = place[known], group[known]
    of_position = np.full(view.n_points, _NO_GROUP, np.int32)
    of_position[place] = group
    if (of_position[place] != group).any():
        raise TelemetryError(f"{path} names two groups for a point", hint="name each point once")
    some = of_position[of_position >= 0]
    first = np.zeros(len(names), np.int64)
    first[group[::-1]] = place[::-1]
    return Groups(
        names=names,
        of_position=of_position,
        points=np.bincount(some, minlength=len(names)),
        areas=tuple(f"{int(view.area[position]):02d}" for position in first) if view.n_points else (),
    )
