# SPDX-License-Identifier: Apache-2.0
"""From a shard's cells of a day, slot by slot, to the flags of its points."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_SLOT
from pipeline.cell_kernels import Dated, Timeline
from pipeline.columns import Columns
from pipeline.instants import FIRST_ISSUES
from pipeline.master import MasterView
from pipeline.quality import QUALITIES
from pipeline.ready_kernels import unpack_ready
from pipeline.registers import Column
from pipeline.rules.day import SLOTS_PER_DAY, DayFacts, DayRule, Found, judged
from pipeline.rules.fact_kernels import NEVER, Gathered, last_cells, note_cells, note_unowned, unmoved
from pipeline.rules.table import RULES

LISTED: Final = ("backward", "spike", "digits")
"""Rules on cells that flag the days of points, too."""
NOTHING: Final = Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))
"""No flag."""


class Gathering:
    """What is known of the day of a shard's points so far."""

    def __init__(self, view: MasterView, shard: int, day: int) -> None:
        """Begin the day whose first slot is `day`."""
        self._view, self._day = view, day
        self._first, self._last = int(view.shard_points[shard]), int(view.shard_points[shard + 1])
        points = self._last - self._first
        self.gathered = Gathered(
            cells=np.zeros((points, len(QUALITIES)), np.uint8),
            first=np.full((points, len(QUALITIES)), NEVER, np.uint8),
            last_dwh=np.full(points, -1, np.int64),
            run=np.zeros(points, np.uint8),
            longest=np.zeros(points, np.uint8),
            after=np.zeros(points, np.uint8),
            unowned_dwh=np.zeros(points, np.int64),
            unowned_first=np.full(points, NEVER, np.uint8),
        )

    def add(self, slot: int, cells: Columns) -> None:
        """Add the cells of a slot, as known at the first instant of the day's file; slots ascend."""
        number = slot - self._day
        ready = cells["ready"]
        position, quality = np.empty(len(ready), np.uint32), np.empty(len(ready), np.uint8)
        energy = np.empty(len(ready), np.int64)
        unpack_ready(ready, position, quality, energy)
        note_cells(position, quality, energy, self._first, number, self.gathered)
        events = Timeline._make(cells[name] for name in Timeline._fields)
        room = Timeline._make(np.empty_like(column) for column in events)
        count = last_cells(events, FIRST_ISSUES, room)
        found = Timeline._make(column[:count] for column in room)
        note_cells(found.position, found.quality, found.energy, self._first, number, self.gathered)
        note_unowned(found, self._first, number, self.gathered)

    def flags(
        self,
        column: Callable[[int], Column],
        dated: Dated,
        exports: Found,
        thresholds: Mapping[str, int],
        instant_ms: int,
    ) -> Columns:
        """Apply the rules.

        Args:
            column: the shard's registers at a stamp.
            dated: the master's columns.
            exports: see `DayFacts`, of points of any shard.
            thresholds: those of the day.
            instant_ms: of the day's first file.

        Returns:
            `rule` (index into `RULES`), `position`, `slot` (number in the day) and `amount` of each flag, by point and
            rule; and `cells`, how many cells of each quality there are.

        """
        mine = (exports.position >= self._first) & (exports.position < self._last)
        facts = DayFacts(
            self._view,
            self._first,
            self._last,
            self._day,
            instant_ms,
            self.gathered,
            self._still(column, dated, thresholds["zero_active_days"], instant_ms),
            Found._make(each[mine] for each in exports),
        )
        found = [(number, self._found(number, facts, thresholds)) for number in range(len(RULES))]
        rule = np.concatenate([np.full(len(each.position), number, np.uint8) for number, each in found])
        position, slot, amount = (np.concatenate(each) for each in zip(*(each for _, each in found), strict=True))
        order = np.lexsort((slot, rule, position))
        return {
            "rule": rule[order],
            "position": position[order].astype(np.uint32),
            "slot": slot[order].astype(np.int16),
            "amount": amount[order].astype(np.int64),
            "cells": self.gathered.cells.sum(axis=0, dtype=np.int64),
        }

    def _found(self, number: int, facts: DayFacts, thresholds: Mapping[str, int]) -> Found:
        rule = RULES[number]
        if isinstance(rule, DayRule):
            return judged(rule, facts, thresholds)
        if rule.code not in LISTED:
            return NOTHING
        quality = QUALITIES.index(rule.code)
        cells = self.gathered.cells[:, quality]
        return facts.where(cells > 0, self.gathered.first[:, quality], cells)

    def _still(self, column: Callable[[int], Column], dated: Dated, days: int, instant_ms: int) -> NDArray[np.bool_]:
        end = self._day + SLOTS_PER_DAY
        start = end - days * SLOTS_PER_DAY
        columns = [column(stamp) for stamp in (start - SLOTS_PER_DAY, start, end)]
        still = np.empty(self._last - self._first, np.bool_)
        words = (columns[0].words, columns[1].words, columns[2].words)
        bases_ms = (columns[0].base_ms, columns[1].base_ms, columns[2].base_ms)
        unmoved(dated, self._first, words, bases_ms, start * MS_PER_SLOT, end * MS_PER_SLOT, instant_ms, still)
        return still
