# SPDX-License-Identifier: Apache-2.0
"""Stores of intervals for tests: states as plain records, stores made of them, and what a read has to tell."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from pipeline.history.catalogue import Catalogue, Part, reveal
from pipeline.history.files import Files
from pipeline.history.parts import PartWriter
from pipeline.history.reading import Wanted
from pipeline.history.rows import ID_TYPE, Rows, merged
from pipeline.quality import QUALITIES
from tests.homes import point

SLOT = 1_000_000  # 2027-01-15T17:00 JST
STEP_MS = 300_000
SLOT_MS = 1_800_000


class State(NamedTuple):
    """What a retailer was told of a cell at an instant; sorts as rows of the store do."""

    point: str
    slot: int
    retailer: int
    step: int
    energy: int | None = 0
    quality: str = "actual"
    revision: int = 0

    @property
    def issued_ms(self) -> int:
        return (self.slot + 1) * SLOT_MS + self.step * STEP_MS

    @property
    def cell(self) -> tuple[str, int, int]:
        return self[:3]


def rows_of(states: Iterable[State]) -> Rows:
    ordered = sorted(states)
    ids = sorted({each.point for each in ordered})
    return Rows(
        ids=np.array(ids, ID_TYPE),
        rank=np.array([ids.index(each.point) for each in ordered], np.int32),
        slot=np.array([each.slot for each in ordered], np.int32),
        retailer=np.array([each.retailer for each in ordered], np.int32),
        energy=np.array([each.energy or 0 for each in ordered], np.int64),
        quality=np.array([QUALITIES.index(each.quality) for each in ordered], np.uint8),
        revision=np.array([each.revision for each in ordered], np.int16),
        step=np.array([each.step for each in ordered], np.int32),
    )


def states_of(rows: Rows) -> list[State]:
    valued = {QUALITIES.index(word) for word in ("actual", "rollover", "spike", "digits")}
    return [
        State(
            bytes(rows.ids[rows.rank[k]]).decode(),
            int(rows.slot[k]),
            int(rows.retailer[k]),
            int(rows.step[k]),
            int(rows.energy[k]) if int(rows.quality[k]) in valued else None,
            QUALITIES[rows.quality[k]],
            int(rows.revision[k]),
        )
        for k in range(len(rows))
    ]


def part_of(files: Files, name: str, states: Iterable[State], level: int = 0) -> Part:
    writer = PartWriter(files, name, level)
    writer.add(rows_of(states))
    part = writer.close()
    assert part is not None
    return part


def store_of(files: Files, parts: Sequence[Sequence[State]]) -> Catalogue:
    """Make a store with a part for each group of states."""
    made = [part_of(files, f"p{number}", states) for number, states in enumerate(parts) if states]
    until_ms = max((each.latest_ms for each in made), default=0)
    catalogue = Catalogue(1, until_ms, tuple(made))
    reveal(files, catalogue)
    return catalogue


def told(states: Iterable[State], wanted: Wanted, points: Iterable[str] | None = None) -> list[State]:
    """Say in plain Python what a read tells."""
    known = [
        each
        for each in sorted(set(states))
        if wanted.first_slot <= each.slot < wanted.end_slot
        and (points is None or each.point in points)
        and (wanted.as_of_ms is None or each.issued_ms <= wanted.as_of_ms)
        and (wanted.retailers is None or each.retailer in wanted.retailers)
    ]
    last = {each.cell: each for each in known}
    shown = known if wanted.every_state else list(last.values())
    return [each for each in shown if wanted.changed_since_ms is None or each.issued_ms > wanted.changed_since_ms]


def read_of(blocks: Iterable[Rows]) -> list[State]:
    return states_of(merged(list(blocks)))


@st.composite
def state_sets(draw: st.DrawFn, most: int = 60) -> list[State]:
    """States of a few points, slots and retailers; no two of one cell at one instant."""
    cells = st.tuples(
        st.sampled_from([point(n, area) for n in range(4) for area in ("03", "06")]),
        st.integers(SLOT, SLOT + 60),
        st.sampled_from([11113, 22223, 99999]),
        st.integers(0, 40),
    )
    chosen = draw(st.lists(cells, unique=True, max_size=most))
    made = []
    for cell in sorted(chosen):
        quality = draw(st.sampled_from(QUALITIES))
        valued = quality in {"actual", "rollover", "spike", "digits"}
        energy = draw(st.integers(0, 2**62)) if valued else None
        made.append(State(*cell, energy, quality, draw(st.integers(0, 99))))
    return made


@st.composite
def wanted_reads(draw: st.DrawFn) -> Wanted:
    first = draw(st.integers(SLOT - 5, SLOT + 60))
    instants = st.none() | st.integers((SLOT - 1) * SLOT_MS // STEP_MS, (SLOT + 80) * SLOT_MS // STEP_MS)
    as_of, since = draw(instants), draw(instants)
    retailers = draw(st.none() | st.frozensets(st.sampled_from([11113, 22223, 99999]), min_size=1))
    return Wanted(
        first_slot=first,
        end_slot=first + draw(st.integers(0, 70)),
        as_of_ms=None if as_of is None else as_of * STEP_MS,
        changed_since_ms=None if since is None else since * STEP_MS,
        retailers=retailers,
        every_state=draw(st.booleans()),
    )
