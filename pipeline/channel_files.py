# SPDX-License-Identifier: Apache-2.0
"""What channels tell of a day, as tables: the finer values of points, and main points less their device points.

Nothing here is issued to retailers, and nothing issued rests on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import HomeError
from koma.ids import parse_point_id
from koma.limits import POINT_ID_DIGITS, SHARD_LOCAL_BITS, SLOT_MINUTES
from koma.slots import MS_PER_MINUTE, first_slot_of_day, slot_start_ms
from pipeline.channels import DayValues, Known, day_values, lengths_of
from pipeline.columns import sync_directory
from pipeline.master import MasterView
from pipeline.master.view import OPEN_MS, REGISTERS
from pipeline.quality import QUALITIES, has_value

NEGATIVE: Final = "negative"
"""The devices measured more than the main point: a meter, or the order of the points, is wrong. No value."""
UNKNOWN_MAIN: Final = "unknown_main"
"""The master does not know the main point."""
OTHER_REGISTER: Final = "other_register"
"""A device counts the other direction than its main point, or a point counts both: nothing to subtract from."""

_DAY_MINUTES: Final = 24 * 60
_ID: Final = f"S{POINT_ID_DIGITS}"
_Cells = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Told:
    """A table of a day, and how many of its slots do not add up to their half-hour or have no value."""

    rows: pa.Table
    missing: int
    unequal: int = 0


def fine_values(known: Known, day: date, points: Sequence[str] = (), minutes: int | None = None) -> Told:
    """Return the values of points in slots finer than half-hours, each at its own length or all at one.

    Args:
        known: the home, as known now.
        day: JST.
        points: ids; all that have a finer register unless given.
        minutes: length of the slots; those of points that are not read so often are missing.

    Raises:
        HomeError: a point is not known.

    """
    position = _positions(known.view, points)
    lengths = lengths_of(known.view, position, day)
    if not points:
        position, lengths = position[lengths < SLOT_MINUTES], lengths[lengths < SLOT_MINUTES]
    tables, unequal = [_fine_rows(known.view, [], day)], 0
    for length in [minutes] if minutes else np.unique(lengths).tolist():
        mine = position if minutes else position[lengths == length]
        for values in day_values(known, mine, day, length):
            (whole,) = day_values(known, values.position, day, SLOT_MINUTES)
            added = values.coarser(SLOT_MINUTES)
            both = has_value(added.quality) & has_value(whole.quality)
            unequal += int(np.count_nonzero(both & (added.energy != whole.energy)))
            tables.append(_fine_rows(known.view, [values], day))
    rows = pa.concat_tables(tables).sort_by([("point_id", "ascending"), ("slot_start", "ascending")])
    return Told(rows, pc.sum(pc.invert(rows["available"])).as_py() or 0, unequal)


def net_values(known: Known, day: date) -> Told:
    """Return main points less the device points behind them, slot by slot, import and export apart.

    A slot is as long as the longest of its points. Where a point has no value, or the devices come to more than the
    main point, there is no net value, and `quality` says why.
    """
    view = known.view
    mains, group = np.unique(view.device_main, axis=0, return_inverse=True)
    places = _places(view, mains)
    families = [_Family(main, view.device_position[group == number]) for number, main in enumerate(places.tolist())]
    lengths = np.array([_length(view, family, day) for family in families], np.int64)
    tables = [_net_rows([], day)]
    for length in np.unique(lengths).tolist():
        mine = np.flatnonzero(lengths == length).tolist()
        points = np.unique(np.concatenate([families[number].points for number in mine]))
        cells = {
            position: (values.quality[row], values.energy[row])
            for values in day_values(known, points, day, length)
            for row, position in enumerate(values.position.tolist())
        }
        nets = [_net(view, mains[number].tobytes().decode(), families[number], cells, length) for number in mine]
        tables.append(_net_rows(nets, day))
    rows = pa.concat_tables(tables).sort_by([("main_point_id", "ascending"), ("slot_start", "ascending")])
    return Told(rows, pc.sum(pc.invert(rows["available"])).as_py() or 0)


def write_table(path: Path, rows: pa.Table) -> None:
    """Write a table as CSV or Parquet, by the name's ending; whole or not at all.

    Raises:
        HomeError: another ending, or the file cannot be written.

    """
    if path.suffix not in {".csv", ".parquet"}:
        raise HomeError(f"{path} ends neither in .csv nor in .parquet", hint="the ending of --out says the format")
    hidden = path.with_name(f".{path.name}")
    try:
        if path.suffix == ".csv":
            texts = pc.strftime(rows["slot_start"], format="%Y-%m-%dT%H:%M:00+09:00")
            place = rows.schema.get_field_index("slot_start")
            pacsv.write_csv(rows.set_column(place, "slot_start", texts), hidden)
        else:
            pq.write_table(rows, hidden)
        hidden.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise HomeError(f"{path} cannot be written: {error}", hint="name a file in a writable folder") from error


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """A main point, -1 where the master does not know it, and the device points behind it."""

    main: int
    devices: NDArray[np.uint32]

    @property
    def points(self) -> NDArray[np.uint32]:
        """All of them that are known."""
        return self.devices if self.main < 0 else np.concatenate([[self.main], self.devices]).astype(np.uint32)


@dataclass(frozen=True, slots=True, eq=False)
class _Net:
    """The slots of a main point less its devices."""

    main: str
    register: str
    minutes: int
    devices: int
    main_dwh: NDArray[np.int64]
    devices_dwh: NDArray[np.int64]
    known: NDArray[np.bool_]
    quality: NDArray[np.object_]


def _length(view: MasterView, family: _Family, day: date) -> int:
    return int(lengths_of(view, family.points, day).max())


def _net(view: MasterView, main: str, family: _Family, cells: Mapping[int, _Cells], minutes: int) -> _Net:
    mine = [cells[position] for position in family.points.tolist()]
    quality, energy = (np.stack(each) for each in zip(*mine, strict=True))
    registers = _registers_of(view, family.points)
    words = np.array(QUALITIES, object)[quality]
    why, there = words[-1], has_value(quality)
    for row in range(len(mine) - 2, -1, -1):
        why = np.where(
            there[row] & ~there[row + 1 :].all(axis=0), why, words[row]
        )  # a main point's reason before others
    first = 0 if family.main < 0 else 1
    main_dwh = energy[:first].sum(axis=0)
    devices_dwh = energy[first:].sum(axis=0)
    known = there.all(axis=0) & (main_dwh >= devices_dwh)
    why = np.where(there.all(axis=0) & ~known, NEGATIVE, why)
    for wrong, reason in ((len(registers) > 1, OTHER_REGISTER), (family.main < 0, UNKNOWN_MAIN)):
        if wrong:
            known, why = np.zeros(len(known), bool), np.full(len(known), reason, object)
    name = REGISTERS[registers.pop()] if len(registers) == 1 else ""
    return _Net(main, name, minutes, len(family.devices), main_dwh, devices_dwh, known, why)


def _registers_of(view: MasterView, position: NDArray[np.uint32]) -> set[int]:
    """Return which registers count at some points, as known today."""
    begin, end = view.install_of[position], view.install_of[position + 1]
    rows = np.concatenate([np.arange(*span) for span in zip(begin.tolist(), end.tolist(), strict=True)])
    rows = rows[view.install_rec_to[rows] == OPEN_MS]
    return set(view.install_register[rows].tolist())


def _fine_rows(view: MasterView, some: Sequence[DayValues], day: date) -> pa.Table:
    """Return the rows of some points of one length; none where none are given."""
    minutes = some[0].minutes if some else SLOT_MINUTES
    quality = np.concatenate([np.zeros((0, _DAY_MINUTES // minutes), np.uint8), *(each.quality for each in some)])
    energy = np.concatenate([np.zeros((0, quality.shape[1]), np.int64), *(each.energy for each in some)])
    ids = [_id(view, position) for each in some for position in each.position.tolist()]
    there = has_value(quality).ravel()
    return pa.table(
        {
            "point_id": _repeated(ids, quality.shape[1]),
            **_slots(len(quality), minutes, day),
            "energy_dwh": pa.array(energy.ravel(), pa.int64(), mask=~there),
            "available": pa.array(there),
            "quality": pa.array(QUALITIES).take(pa.array(quality.ravel())),
        }
    )


def _net_rows(nets: Sequence[_Net], day: date) -> pa.Table:
    """Return the rows of some main points whose slots have one length; none where none are given."""
    minutes = nets[0].minutes if nets else SLOT_MINUTES
    count = _DAY_MINUTES // minutes
    main, devices = (_joined([getattr(net, name) for net in nets], np.int64) for name in ("main_dwh", "devices_dwh"))
    known = _joined([net.known for net in nets], bool)
    return pa.table(
        {
            "main_point_id": _repeated([net.main for net in nets], count),
            "register": _repeated([net.register for net in nets], count),
            **_slots(len(nets), minutes, day),
            "devices": pa.array(np.repeat(np.array([net.devices for net in nets], np.int32), count)),
            "main_dwh": pa.array(main),
            "devices_dwh": pa.array(devices),
            "net_dwh": pa.array(main - devices, pa.int64(), mask=~known),
            "available": pa.array(known),
            "quality": pa.array(_joined([net.quality for net in nets], object), pa.string()),
        }
    )


def _slots(rows: int, minutes: int, day: date) -> dict[str, pa.Array]:
    """Return start, length and code of a day's slots, as often as there are rows."""
    count = _DAY_MINUTES // minutes
    start = slot_start_ms(first_slot_of_day(day)) + np.arange(count) * minutes * MS_PER_MINUTE
    return {
        "slot_start": pa.array(np.tile(start, rows), pa.timestamp("ms", "Asia/Tokyo")),
        "minutes": pa.array(np.full(rows * count, minutes, np.int16)),
        "slot_code": pa.array(np.tile(_codes(count), rows)),
    }


def _codes(count: int) -> NDArray[np.int16]:
    """Return the slot codes of a day of so many slots, which start at 00:00 with 1."""
    return np.arange(1, count + 1, dtype=np.int16)


def _joined(columns: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *columns])


def _repeated(words: Sequence[str], times: int) -> pa.Array:
    return pa.array(words, pa.string()).take(pa.array(np.repeat(np.arange(len(words)), times)))


def _id(view: MasterView, position: int) -> str:
    text: str = view.point_id[position].tobytes().decode()
    return text


def _places(view: MasterView, ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the positions of (n, 22) digits, -1 for what the master does not know."""
    known = np.ascontiguousarray(view.point_id[view.order]).view(_ID).ravel()
    wanted = np.ascontiguousarray(ids).view(_ID).ravel()
    if not len(known):
        return np.full(len(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, view.order[place].astype(np.int64), -1)


def _positions(view: MasterView, points: Sequence[str]) -> NDArray[np.uint32]:
    """Return the positions of some points; of all with a finer register where none are named."""
    if not points:
        owners = np.unique(view.fine_install >> np.uint32(SHARD_LOCAL_BITS))
        spans = [np.arange(*view.shard_points[each : each + 2].tolist()) for each in owners.tolist()]
        return np.concatenate([np.zeros(0, np.uint32), *spans]).astype(np.uint32)
    ids = [parse_point_id(each) for each in points]
    found = _places(view, np.array(ids, _ID).view(np.uint8).reshape(len(ids), POINT_ID_DIGITS))
    if (found < 0).any():
        missing = ids[int(np.flatnonzero(found < 0)[0])]
        raise HomeError(f"the master does not know point {missing}", hint="import it, or correct the id")
    return np.unique(found).astype(np.uint32)
