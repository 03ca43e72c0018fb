# SPDX-License-Identifier: Apache-2.0
"""The arrays of the version that an import makes, and what it adds to the log.

Tables are built one after the other, so that only one of them is in memory twice.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from koma.errors import MasterError
from koma.limits import POINT_ID_DIGITS, RETAILERS_MAX, SHARD_INSTALLATIONS, SHARD_LOCAL_BITS, SLOT_MINUTES
from koma.slots import MS_PER_SLOT
from pipeline.master.carries import carries_of
from pipeline.master.changes import changes_of
from pipeline.master.judge import Judgement
from pipeline.master.ledger import Dated, Ledger
from pipeline.master.ledger_kernels import OLDER, count_new_runs, cut_shards, give_locals
from pipeline.master.log import APPLIED, PUT_ASIDE
from pipeline.master.lookup import build_table, first_stamps, last_stamps
from pipeline.master.points import Ids
from pipeline.master.rows import Rows
from pipeline.master.view import OPEN_MS, MasterView

_NO_SHARD = 0xFFFF
_SHARDS_MAX = (1 << (32 - SHARD_LOCAL_BITS)) - 1
_PREFIX = {"points": "attr", "meters": "install", "supply": "supply"}

Arrays = dict[str, NDArray[Any]]


@dataclass(slots=True)
class Layout:
    """Where the points of the new version stand."""

    known: int
    alive: NDArray[np.bool_]
    """By new point: whether it stays."""
    final: NDArray[np.int64]
    """By provisional position: the position."""
    shard: NDArray[np.uint16]
    """By provisional position; `_NO_SHARD` for points that do not stay."""
    taken: NDArray[np.int32]
    """Local indexes given out, by shard."""
    local: NDArray[np.uint32] | None
    """Local index by row of the meters' ledger; None where the import has no meters."""
    shard_points: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Count the points of each shard."""
        counts = np.bincount(self.shard[self.shard != _NO_SHARD], minlength=len(self.taken))
        self.shard_points = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @property
    def grown(self) -> bool:
        """Whether there are new points."""
        return bool(self.alive.any())


def lay_out(view: MasterView, judged: Judgement) -> Layout:
    """Give new points their shards and new installations their local indexes.

    Raises:
        MasterError: a shard has no room for more installations, or there are too many shards.

    """
    known = view.n_points
    alive = ~judged.bad[known:]
    final = np.concatenate([np.arange(known), known + np.cumsum(alive) - 1])
    shard = np.full(len(judged.index), _NO_SHARD, np.uint16)
    shard[:known] = np.repeat(np.arange(view.n_shards, dtype=np.uint16), np.diff(view.shard_points))
    meters = judged.ledgers.get("meters")
    installs = np.zeros(len(alive), np.int64)
    applied = meters.applied() if meters is not None else np.zeros(0, bool)
    if meters is not None:
        count_new_runs(meters.of, meters.order, meters.keys, applied, known, installs)
    last = view.n_shards - 1
    points = int(view.shard_points[-1] - view.shard_points[-2]) if view.n_shards else 0
    used = int(view.shard_installs[-1]) if view.n_shards else 0
    shards = cut_shards(installs, alive, last, points, used, SHARD_INSTALLATIONS, shard[known:])
    if shards > _SHARDS_MAX:
        raise MasterError(f"{shards} shards are more than can be numbered", hint="Divide the master over two homes")
    taken = np.zeros(shards, np.int32)
    taken[: view.n_shards] = view.shard_installs
    local = None
    if meters is not None:
        local = meters.locals()
        give_locals(meters.of, meters.order, meters.keys, applied, shard, taken, local)
    if shards and int(taken.max()) >= 1 << SHARD_LOCAL_BITS:
        raise MasterError(
            f"shard {int(taken.argmax())} has no room for more installations",
            hint="Import into a new home: points are laid out afresh there",
        )
    return Layout(known, alive, final, shard, taken, local)


def number_codes(view: MasterView, judged: Judgement, bgs: dict[str, int]) -> tuple[list[str], list[str]]:
    """Turn the retailers and balancing groups of the rows that stay into numbers; returns all codes by number.

    Raises:
        MasterError: more codes than can be numbered.

    """
    codes, groups = list(view.retailers), list(view.bgs)
    names = {number: code for code, number in bgs.items()}
    supply = judged.ledgers.get("supply")
    stays = supply.applied()[supply.n_old :] if supply is not None else np.zeros(0, bool)
    used = [np.unique(supply.delta["retailer"][stays])] if supply is not None else []
    if "retailers" in judged.rows:
        listed = judged.rows["retailers"]
        used.append(np.unique(listed.columns["retailer"][listed.fault == 0]))
    found = {f"{number:05d}" for each in used for number in each.tolist()}
    codes += sorted(found - set(codes))
    if supply is not None:
        met = {names[number] for number in np.unique(supply.delta["bg"][stays]).tolist()}
        groups += sorted(met - set(groups))
        by_code, by_group = np.zeros(100_000, np.uint16), np.zeros(len(bgs), np.uint16)
        by_code[[int(code) for code in codes[: RETAILERS_MAX + 1]]] = np.arange(len(codes[: RETAILERS_MAX + 1]))
        for number, code in enumerate(groups[: RETAILERS_MAX + 1]):
            by_group[bgs[code]] = number
        supply.delta["retailer"] = by_code[supply.delta["retailer"]]
        supply.delta["bg"] = by_group[supply.delta["bg"]]
    if max(len(codes), len(groups)) > RETAILERS_MAX:
        raise MasterError("more retailers or balancing groups than can be numbered", hint="Look for wrong codes")
    return codes, groups


def point_arrays(view: MasterView, judged: Judgement, layout: Layout) -> Arrays:
    """Arrays of the points and shards; empty where the import adds none."""
    arrays: Arrays = {}
    if layout.grown:
        arrays.update(_grown_arrays(view, judged, layout))
    if layout.grown or layout.local is not None:
        arrays.update(shard_points=layout.shard_points, shard_installs=layout.taken)
    return arrays


def untouched_arrays(view: MasterView, layout: Layout, name: str) -> Arrays:
    """Arrays of a table that has no part in the import: new points have no rows there."""
    of = getattr(view, f"{_PREFIX[name]}_of")
    return {f"{_PREFIX[name]}_of": np.concatenate([of, np.full(int(layout.alive.sum()), of[-1])])}


def table_arrays(ledger: Ledger, layout: Layout, references: pa.ChunkedArray | None, area: NDArray[np.uint8]) -> Arrays:
    """Arrays of one table of the import.

    Args:
        ledger: the table's rows, retailers and balancing groups numbered.
        layout: where the points stand.
        references: customer_ref of every row, for supply.
        area: by position, so far; for points.

    """
    dated = ledger.dated()
    stays = np.concatenate([np.ones(layout.known, bool), layout.alive, [True]])
    arrays = _dated_arrays(ledger.name, dated, stays)
    if ledger.name == "points":
        arrays.update(_attr_arrays(ledger, dated))
        arrays.update(_device_arrays(ledger, dated, layout))
        now = np.flatnonzero(ledger.current)
        arrays["area"] = area.copy()
        arrays["area"][layout.final[ledger.position[now]]] = ledger.column("area")[now]
    elif ledger.name == "supply":
        arrays.update(_supply_arrays(ledger, dated, references))
    else:
        arrays.update(_install_arrays(ledger, dated, layout))
    return arrays


def attribute_arrays(ledger: Ledger) -> Arrays:
    """Arrays of the attributes of all points, from a ledger of the rows known."""
    dated = ledger.dated()
    return _dated_arrays("points", dated, np.ones(len(dated.of), bool)) | _attr_arrays(ledger, dated)


def change_arrays(ledger: Ledger, layout: Layout, number: int) -> Arrays:
    """What version `number` adds to the changes for the rows of one table, by position and slots."""
    changes = changes_of(ledger)
    columns: Arrays = {
        "changed_position": layout.final[ledger.position[changes.row]],
        "changed_from_slot": changes.from_slot,
        "changed_to_slot": changes.to_slot,
        "changed_rec_ms": ledger.rec_from()[changes.row],
        "changed_version": np.full(len(changes.row), number),
    }
    order = np.lexsort([*reversed(columns.values())])
    return {name: column[order] for name, column in columns.items()}


def carried_arrays(ledger: Ledger, layout: Layout, number: int) -> Arrays:
    """What version `number` adds to the carries, from the ledger of the meters."""
    assert layout.local is not None
    carries = carries_of(ledger, layout.shard, layout.local)
    return {
        "carried_from": carries.source,
        "carried_to": carries.target,
        "carried_lo": carries.lo,
        "carried_hi": carries.hi,
        "carried_version": np.full(len(carries.source), number),
    }


def logged(
    ledger: Ledger, rows: Rows, layout: Layout, point_id: NDArray[np.uint8]
) -> tuple[Arrays, dict[str, Any], NDArray[np.uint8]]:
    """What the import adds to the log of a table: numbers, texts, state by row."""
    older = ledger.status == OLDER
    kept = np.flatnonzero(ledger.applied()[ledger.n_old :] | older)
    numbers = {each: column[kept] for each, column in ledger.delta.items()}
    if ledger.name == "points":
        numbers["shard"] = layout.shard[numbers["position"]]
    numbers["position"] = layout.final[numbers["position"]]
    numbers["recorded_ms"] = ledger.recorded[ledger.n_old :][kept]
    numbers["rec_from"] = ledger.rec_from()[ledger.n_old :][kept]
    if layout.local is not None and ledger.name == "meters":
        numbers["local"] = layout.local[ledger.n_old :][kept]
    texts: dict[str, Any] = {each: column.take(pa.array(kept)) for each, column in rows.texts.items()}
    if ledger.name == "points":
        digits = point_id[numbers["position"]].reshape(-1)
        kind = pa.binary(POINT_ID_DIGITS)
        texts["point_id"] = pa.FixedSizeBinaryArray.from_buffers(kind, len(kept), [None, pa.py_buffer(digits)])
    return numbers, texts, np.where(older[kept], PUT_ASIDE, APPLIED).astype(np.uint8)


def _grown_arrays(view: MasterView, judged: Judgement, layout: Layout) -> Arrays:
    index = judged.index
    new = index.new.take(layout.alive)
    digits = new.digits()
    high = np.concatenate([index.known.high, new.high])
    low = np.concatenate([index.known.low, new.low])
    position = np.concatenate([index.order, np.arange(layout.known, layout.known + len(new), dtype=np.uint32)])
    ids = Ids(high, low)
    order = position if len(index.known) == 0 else position[np.lexsort((ids.low, ids.high))]
    rank = np.empty(len(order), np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    return {
        "point_id": digits if layout.known == 0 else np.concatenate([view.point_id, digits]),
        "order": order,
        "rank": rank,
        "area": np.concatenate([view.area, np.zeros(len(new), np.uint8)]),
    }


def _dated_arrays(name: str, dated: Dated, stays: NDArray[np.bool_]) -> Arrays:
    prefix = _PREFIX[name]
    return {
        f"{prefix}_of": dated.of[stays],
        f"{prefix}_rec_from": dated.rec_from,
        f"{prefix}_rec_to": dated.rec_to,
    }


def _attr_arrays(ledger: Ledger, dated: Dated) -> Arrays:
    columns = {"attr_voltage": "voltage", "attr_telemetry": "telemetry", "attr_cap_dwh": "cap_dwh"}
    columns["attr_read_day"] = "read_day"
    return {name: ledger.column(column)[dated.row] for name, column in columns.items()}


def _device_arrays(ledger: Ledger, dated: Dated, layout: Layout) -> Arrays:
    """Points behind a main point, as known today."""
    row = dated.row[dated.rec_to == OPEN_MS]
    high, low = (ledger.column(each)[row] for each in ("main_high", "main_low"))
    some = np.flatnonzero((high != 0) | (low != 0))
    position = layout.final[ledger.position[row[some]]]
    order = np.argsort(position)
    main = Ids(high[some[order]], low[some[order]])
    return {"device_position": position[order], "device_main": main.digits()}


def _supply_arrays(ledger: Ledger, dated: Dated, references: pa.ChunkedArray | None) -> Arrays:
    assert references is not None
    texts = pc.take(
        pa.chunked_array(references.chunks, pa.string()).cast(pa.large_string()).combine_chunks(), pa.array(dated.row)
    )
    _, offsets, data = texts.buffers()
    columns = {"from": "from_slot", "to": "to_slot", "retailer": "retailer", "bg": "bg"}
    arrays = {f"supply_{name}": ledger.column(column)[dated.row] for name, column in columns.items()}
    off = np.frombuffer(offsets, np.int64)[: len(texts) + 1] if len(texts) else np.zeros(1, np.int64)
    arrays["supply_ref_off"] = off
    arrays["supply_ref_bytes"] = np.frombuffer(data or b"\0", np.uint8)[: int(off[-1])]
    return arrays


def _install_arrays(ledger: Ledger, dated: Dated, layout: Layout) -> Arrays:
    assert layout.local is not None
    row = dated.row
    start, end, register = (ledger.column(each)[row] for each in ("from_ms", "to_ms", "register"))
    local = layout.local[row]
    arrays: Arrays = {
        "install_local": local,
        "install_from_ms": start,
        "install_to_ms": end,
        "install_register": register,
    }
    arrays["install_modulus"] = _power_of_ten(ledger.column("digits")[row])
    arrays["install_factor"] = ledger.column("coefficient")[row].astype(np.int64)
    arrays["install_factor"] *= _power_of_ten(ledger.column("unit_exponent")[row].astype(np.int64) + 4)
    arrays["install_first"], arrays["install_last"] = (
        ledger.column(each)[row].astype(np.int64) for each in ("first", "last")
    )
    now = np.flatnonzero(dated.rec_to == OPEN_MS)
    install = (layout.shard[ledger.position[row[now]]].astype(np.uint32) << np.uint32(SHARD_LOCAL_BITS)) | local[now]
    k0, k1 = (ledger.column(each)[row[now]] for each in ("k0", "k1"))
    lookup = build_table(k0, k1, register[now], install, first_stamps(start[now]), last_stamps(end[now]))
    for name in ("table", "chain_register", "chain_lo", "chain_hi", "chain_install"):
        arrays[name] = getattr(lookup, name)
    return arrays | _given(arrays, now, install) | _fine(arrays, now, install, ledger.column("interval")[row[now]])


def _given(arrays: Arrays, now: NDArray[np.int64], install: NDArray[np.uint32]) -> Arrays:
    """Registers given on slot boundaries, by stamp; `now` are the rows known today."""
    stamps, installs, values = [], [], []
    for at, value in (("install_from_ms", "install_first"), ("install_to_ms", "install_last")):
        at_ms, register = arrays[at][now], arrays[value][now]
        some = np.flatnonzero((register >= 0) & (at_ms % MS_PER_SLOT == 0))
        stamps.append((at_ms[some] // MS_PER_SLOT).astype(np.int32))
        installs.append(install[some])
        values.append(register[some].astype(np.uint32))
    stamp, where, given = (np.concatenate(each) for each in (stamps, installs, values))
    order = np.lexsort((where, stamp))
    return {"given_stamp": stamp[order], "given_install": where[order], "given_value": given[order]}


def _fine(arrays: Arrays, now: NDArray[np.int64], install: NDArray[np.uint32], minutes: NDArray[np.uint8]) -> Arrays:
    """Registers that are read more often than every slot; `now` are the rows known today."""
    some = np.flatnonzero(minutes < SLOT_MINUTES)
    some = some[np.argsort(install[some], kind="stable")]
    return {
        "fine_install": install[some],
        "fine_minutes": minutes[some],
        "fine_from_ms": arrays["install_from_ms"][now[some]],
        "fine_to_ms": arrays["install_to_ms"][now[some]],
    }


def _power_of_ten(power: NDArray[Any]) -> NDArray[np.int64]:
    powers: NDArray[np.int64] = np.array([10**each for each in range(19)], np.int64)[power]
    return powers
