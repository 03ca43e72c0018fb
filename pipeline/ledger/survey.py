# SPDX-License-Identifier: Apache-2.0
"""The survey of a slot: what each of its cells is, from the master outwards, as known at the last instant issued.

Deliveries are held against it; what nobody issued has no line in any manifest, and is named here.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import SHARD_LOCAL_BITS
from pipeline.books import open_book
from pipeline.home import Home
from pipeline.ledger import causes
from pipeline.ledger.evidence import Evidence, evidence_at
from pipeline.ledger.histogram import BUCKETS
from pipeline.ledger.published import Published, published_of, unpublished
from pipeline.ledger.survey_kernels import NO_LOCAL, Seen, survey
from pipeline.master import MasterView
from pipeline.shard_cells import dated, measured, slot_ends
from pipeline.state import State

AREAS: Final = 16
"""Room for areas, 1 to 10."""
THREADS: Final = 2
_NO_CODE: Final = ""


@dataclass(slots=True)
class Surveyed:
    """What a survey came to.

    Attributes:
        slot: the slot.
        instant_ms: as of which.
        states: (areas, states) cells; room for 16 states.
        arrivals: (areas, buckets) from the slot's end to the arrival of the register at it.
        told: (retailers, areas, 2) expected and available cells.
        published: what the manifests say, by retailer code.
        position: points that are missing, ascending.
        cause: of each, one of `causes.STATES`.
        code: what stands behind it.
        owner: index of its retailer.
        unknown_meters: meters whose reads wait for a master that knows them.
    """

    slot: int
    instant_ms: int
    states: NDArray[np.int64]
    arrivals: NDArray[np.int64]
    told: NDArray[np.int64]
    published: dict[str, Published]
    position: NDArray[np.uint32]
    cause: NDArray[np.uint8]
    code: NDArray[Any]
    owner: NDArray[np.uint16]
    unknown_meters: int


def survey_slot(home: Home, state: State, view: MasterView, slot: int, instant_ms: int) -> Surveyed:
    """Survey one slot as known at an instant of its own that is issued."""
    seen, arrivals, told = _look(home, state, view, slot, instant_ms)
    published = published_of(home, view, slot)
    _name_unpublished(home, view, slot, seen, told, published)
    missing = _Missing.of(seen)
    missing.judge(view, evidence_at(home, state, view, slot), evidence_at(home, state, view, slot + 1))
    seen.state[missing.position] = missing.cause
    states = np.bincount(view.area * np.uint8(AREAS) + seen.state, minlength=AREAS * AREAS).reshape(AREAS, AREAS)
    kept = np.isin(missing.cause, causes.CAUSES)
    return Surveyed(
        slot=slot,
        instant_ms=instant_ms,
        states=states,
        arrivals=arrivals,
        told=told,
        published=published,
        position=missing.position[kept].astype(np.uint32),
        cause=missing.cause[kept],
        code=missing.code[kept],
        owner=seen.owner[missing.position[kept]],
        unknown_meters=missing.unknown,
    )


def _look(
    home: Home, state: State, view: MasterView, slot: int, instant_ms: int
) -> tuple[Seen, NDArray[np.int64], NDArray[np.int64]]:
    """Run the kernel over all shards; returns what it saw of each point, and the sums."""
    book, columns = open_book(home.root, state.batches), dated(view)
    instants = np.array([instant_ms], np.int64)
    whole = Seen(
        np.zeros(view.n_points, np.uint8),
        np.zeros(view.n_points, np.uint16),
        np.full(view.n_points, NO_LOCAL, np.uint32),
        np.zeros((AREAS, BUCKETS), np.int64),
        np.zeros((len(view.retailers), AREAS, 2), np.int64),
    )

    def one(shard: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first, last = int(view.shard_points[shard]), int(view.shard_points[shard + 1])
        ends = slot_ends(book, state.supersessions, shard, slot, int(view.shard_installs[shard]))
        part = Seen(
            whole.state[first:last],
            whole.owner[first:last],
            whole.lacking[first:last],
            np.zeros_like(whole.arrivals),
            np.zeros_like(whole.told),
        )
        survey(columns, measured(view, shard), first, slot, ends, instants, part)
        there = part.lacking != NO_LOCAL
        part.lacking[there] |= np.uint32(shard << SHARD_LOCAL_BITS)
        return part.arrivals, part.told

    with ThreadPoolExecutor(THREADS) as pool:
        for arrivals, told in pool.map(one, range(view.n_shards)):
            whole.arrivals[:] += arrivals
            whole.told[:] += told
    return whole, whole.arrivals, whole.told


def _name_unpublished(
    home: Home, view: MasterView, slot: int, seen: Seen, told: NDArray[np.int64], published: dict[str, Published]
) -> None:
    """Mark the available cells of retailers whose files hold fewer than there are, and not these."""
    by_retailer = told.sum(axis=1)
    for number, (expected, available) in enumerate(by_retailer.tolist()):
        out = published.get(view.retailers[number], Published())
        short = out.available < available or (out.closed_ms is not None and out.rows < expected)
        if number == 0 or not short:
            continue
        mine = np.flatnonzero((seen.owner == number) & (seen.state == causes.AVAILABLE))
        lost = unpublished(home, view, view.retailers[number], slot, out, mine)
        seen.state[lost] = causes.NOT_PUBLISHED


@dataclass(slots=True)
class _Missing:
    """Points without a value, and why."""

    position: NDArray[np.int64]
    cause: NDArray[np.uint8]
    lacking: NDArray[np.uint32]
    code: NDArray[Any]
    unknown: int = 0

    @classmethod
    def of(cls, seen: Seen) -> "_Missing":
        position = np.flatnonzero(seen.state >= causes.NO_METER)
        cause, lacking = seen.state[position], seen.lacking[position]
        code = np.full(len(position), _NO_CODE, object)
        code[cause == causes.REFUSED] = "backward"
        code[cause == causes.MASTER_MISMATCH] = "exchange_open"
        return cls(position, cause, lacking, code)

    def judge(self, view: MasterView, start: Evidence, end: Evidence) -> None:
        """Let what came and was not taken speak."""
        for cause, evidence in ((causes.NOT_COLLECTED, end), (causes.WAITING_FOR_PAIR, start)):
            found = np.flatnonzero((self.cause == cause) & np.isin(self.lacking, evidence.quarantined))
            self.cause[found] = causes.QUARANTINED
            self.code[found] = evidence.codes[np.searchsorted(evidence.quarantined, self.lacking[found])]
        self.unknown = end.unknown + len(end.moved)
        if self.unknown:
            bare = (self.cause == causes.NO_METER) | (self.cause == causes.REMOVED)
            moved = self._feeds(view, end.moved)
            self.code[bare] = "unknown_meter"
            self.code[(bare | (self.cause == causes.NOT_COLLECTED)) & moved] = "moved_meter"
            self.cause[bare | ((self.cause == causes.NOT_COLLECTED) & moved)] = causes.MASTER_MISMATCH

    def _feeds(self, view: MasterView, installs: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Say of each point whether one of some installations is its own, whenever it stood there."""
        found = np.zeros(len(self.position), bool)
        if not len(installs):
            return found
        first, last = view.install_of[self.position], view.install_of[self.position + 1]
        count = last - first
        point = np.repeat(np.arange(len(self.position)), count)
        rows = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        shard = np.searchsorted(view.shard_points, self.position[point], side="right") - 1
        whole = view.install_local[rows] | (shard.astype(np.uint32) << np.uint32(SHARD_LOCAL_BITS))
        found[point[np.isin(whole, installs)]] = True
        return found
