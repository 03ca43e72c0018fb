# SPDX-License-Identifier: Apache-2.0
"""Plain cells take a short way; it leads where walking through a cell's history instant by instant does."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from koma.limits import REGISTER_BITS
from pipeline.cell_kernels import MS_PER_SLOT, NOBODY, SPIKE, Ends, Timeline, Totals, walk_cell
from pipeline.columns import Columns
from pipeline.master import MasterView
from pipeline.master.blocks import measured
from pipeline.master.view import ALWAYS_MS, FIRST_SLOT, OPEN_MS, OPEN_SLOT
from pipeline.plain_kernels import BLOCK, READY_STEPS
from pipeline.ready_kernels import unpack_ready
from pipeline.register_kernels import ABSENT, ABSENT_MS
from pipeline.shard_cells import dated, shard_cells

SLOT = 992_000
START, END = SLOT * MS_PER_SLOT, (SLOT + 1) * MS_PER_SLOT
INSTANTS = END + np.array([10, 20, 30, 45, 75, 105]) * 60_000
FIRST = BLOCK // 3  # positions of an earlier shard
ORDERLY = 2 * BLOCK + 20  # points that always had one row of each kind
POINTS = ORDERLY + 3 * BLOCK
RETAILERS, GROUPS = 5, 3
OPEN: dict[str, Any] = {"supply_to": OPEN_SLOT, "install_to_ms": OPEN_MS}

Event = tuple[int, int, int, int]  # step, owner, quality, energy


class World:
    """A shard whose later points have every kind of history."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        some = {"attr": [1] * 8 + [0, 2], "supply": [1] * 5 + [0, 2, 3], "install": [1] * 5 + [0, 2, 3]}
        columns: dict[str, Any] = {"area": self._pick(1, 2, count=FIRST + POINTS).astype(np.uint8)}
        for kind, sizes in some.items():
            rows = np.concatenate([np.ones(FIRST + ORDERLY, np.int64), self._pick(*sizes, count=POINTS - ORDERLY)])
            columns[f"{kind}_of"] = np.concatenate([[0], np.cumsum(rows)])
            orderly = int(columns[f"{kind}_of"][FIRST + ORDERLY])
            columns |= getattr(self, kind)(int(rows.sum()), orderly)
        known: dict[str, Any] = {
            "retailers": tuple(f"{r:05d}" for r in range(RETAILERS)),
            "bgs": tuple(f"{g}" for g in range(GROUPS)),
            "shard_points": np.array([0, FIRST, FIRST + POINTS]),
        }
        empty: dict[str, Any] = {each.name: np.empty(0) for each in fields(MasterView)}
        for each in columns.values():
            each.flags.writeable = False  # as the mapped columns of a master version are
        arrays = empty | known | columns
        self.view = MasterView(**(arrays | measured(arrays.__getitem__)))
        self.registers = len(columns["install_local"])

    def _pick(self, *choices: int, count: int) -> Any:
        return self._random.choice(np.array(choices, np.int64), count)

    def _recorded(self, kind: str, rows: int, orderly: int) -> Columns:
        since = self._pick(*[ALWAYS_MS] * 6, INSTANTS[0], INSTANTS[0] + 1, INSTANTS[3], INSTANTS[4] + 1, count=rows)
        until = self._pick(*[OPEN_MS] * 6, INSTANTS[0], INSTANTS[2], INSTANTS[5] + 1, count=rows)
        since[:orderly], until[:orderly] = ALWAYS_MS, OPEN_MS
        return {f"{kind}_rec_from": since, f"{kind}_rec_to": np.maximum(since, until)}

    def attr(self, rows: int, orderly: int) -> Columns:
        voltage = self._pick(*[0] * 9, 1, count=rows)
        voltage[:orderly] = 0
        return self._recorded("attr", rows, orderly) | {
            "attr_voltage": voltage.astype(np.uint8),
            "attr_telemetry": self._pick(0, 1, 1, 1, count=rows).astype(np.uint8),
            "attr_cap_dwh": self._pick(40_000, 2**40, count=rows),
        }

    def supply(self, rows: int, orderly: int) -> Columns:
        begin = self._pick(*[FIRST_SLOT] * 4, SLOT - 5, SLOT, SLOT + 1, count=rows)
        end = self._pick(*[OPEN_SLOT] * 4, SLOT, SLOT + 1, count=rows)
        begin[:orderly], end[:orderly] = SLOT - 9, OPEN_SLOT
        return self._recorded("supply", rows, orderly) | {
            "supply_from": begin.astype(np.int32),
            "supply_to": np.maximum(begin, end).astype(np.int32),
            "supply_retailer": self._pick(*range(RETAILERS), count=rows).astype(np.uint16),
            "supply_bg": self._pick(*range(GROUPS), count=rows).astype(np.uint16),
        }

    def install(self, rows: int, orderly: int) -> Columns:
        begin = self._pick(*[ALWAYS_MS] * 8, START - 1, START, START + 9, END, count=rows)
        end = self._pick(*[OPEN_MS] * 8, START, END - 9, END, END + 1, count=rows)
        begin[:orderly], end[:orderly] = ALWAYS_MS, OPEN_MS
        return self._recorded("install", rows, orderly) | {
            "install_local": self._random.permutation(rows).astype(np.uint32),
            "install_from_ms": begin,
            "install_to_ms": np.maximum(begin, end),
            "install_modulus": self._pick(10**4, 10**6, count=rows),
            "install_factor": self._pick(100, 1000, 1000, 10**8, count=rows),
            "install_first": self._pick(-1, 3, count=rows),
            "install_last": self._pick(-1, 9_000, count=rows),
            "install_register": self._pick(0, 0, 0, 1, count=rows).astype(np.uint8),
        }

    def ends(self, others: int) -> Ends:
        start = self._random.integers(0, 9_990, self.registers)
        end = (start + self._pick(*range(20), 60, 9_000, count=self.registers)) % 10_000
        late = [*[INSTANTS[0]] * 9, *INSTANTS, INSTANTS[1] + 1, INSTANTS[4] + 1, ABSENT_MS]
        return Ends(
            *self._words(start, self._pick(*late, count=self.registers), START - 3_600_000),
            *self._words(end, self._pick(*late, count=self.registers), END - 1),
            self._random.integers(0, self.registers, others).astype(np.uint32),
            self._pick(0, 1, count=others).astype(np.uint8),
            self._random.integers(0, 10_000, others).astype(np.uint32),
            np.sort(self._pick(*INSTANTS, count=others)),
        )

    @staticmethod
    def _words(value: Any, arrival: Any, base_ms: int) -> tuple[Any, int]:
        later = (arrival - base_ms).astype(np.uint64) << np.uint64(REGISTER_BITS)
        return np.where(arrival == ABSENT_MS, ABSENT, later | value.astype(np.uint64)), base_ms


def walked(view: MasterView, ends: Ends, instants: Any, real: int) -> tuple[dict[int, list[Event]], Totals]:
    """Walk through every cell."""
    kinds: Any = (np.uint32, np.uint16, np.uint16, np.uint8, np.int64)
    out = Timeline(*[np.empty(POINTS * len(instants), kind) for kind in kinds])
    totals = Totals(*[np.zeros((size, 3), np.int64) for size in (RETAILERS, GROUPS, 256)])
    count = 0
    for p in range(FIRST, FIRST + POINTS):
        count = walk_cell(dated(view), p, SLOT, ends, instants, real, out, count, totals)
    return stories(Timeline._make(column[:count] for column in out)), totals


def stories(events: Timeline) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for position, *event in zip(*(column.tolist() for column in events), strict=True):
        found.setdefault(position, []).append(tuple(event))
    return found


def ready_rows(columns: Columns) -> dict[int, Event]:
    words, counts = columns["ready"], columns["ready_counts"]
    position, quality, energy = (
        np.empty(len(words), np.uint32),
        np.empty(len(words), np.uint8),
        np.empty(len(words), np.int64),
    )
    unpack_ready(words, position, quality, energy)
    group = np.repeat(np.arange(len(counts)), counts)
    rows = zip(position, group % READY_STEPS, group // READY_STEPS, quality, energy, strict=True)
    return {int(p): (int(step), int(owner), int(q), int(dwh)) for p, step, owner, q, dwh in rows}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("due", "ahead", "others"), [(1, 0, 0), (3, 0, 0), (4, 1, 0), (6, 0, 40)])
def test_the_short_way_leads_where_the_long_one_does(seed: int, due: int, ahead: int, others: int) -> None:
    world = World(seed)
    ends, instants = world.ends(others), INSTANTS[: due + ahead].copy()
    wanted, totals = walked(world.view, ends, instants, due)

    columns = shard_cells(world.view, 1, SLOT, instants, due, ends)

    ready = ready_rows(columns)
    rest = stories(Timeline._make(columns[name] for name in Timeline._fields))
    assert len(ready) > 50
    assert not ready.keys() & rest.keys()
    assert ready.keys() | rest.keys() == wanted.keys()
    assert rest == {p: wanted[p] for p in rest}
    for p, row in ready.items():
        *waiting, last = wanted[p]
        assert last == row
        assert 0 < row[1] < NOBODY
        assert all(owner == row[1] and quality > SPIKE for _, owner, quality, _ in waiting)
        assert wanted[p][0][0] == 0
    for name in ("retailer", "bg"):
        assert columns[f"total_{name}"].reshape(-1, 3).tolist() == getattr(totals, name).tolist()
    by_direction = columns["total_area"].reshape(16, 16, 3)
    assert by_direction.sum(axis=0).tolist() == totals.area[:16].tolist()
    assert (by_direction[:4, 1:3].sum(axis=(1, 2)) > 0).all()
