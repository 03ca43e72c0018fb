# SPDX-License-Identifier: Apache-2.0
"""Estimating a day: what it is made from is read without holding the home, so a `--watch` may go on beside it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from koma.errors import EstimateError, HomeError
from koma.settings import Settings
from koma.slots import format_jst, slot_date
from pipeline.books import open_book
from pipeline.estimates.agreed import agreements, in_force
from pipeline.estimates.estimate_kernels import AGREED, Estimates
from pipeline.estimates.product import keep, rows_of
from pipeline.estimates.shard_estimates import DayEstimate, joined, no_rows, shard_estimates
from pipeline.estimates.statuses import STATUSES
from pipeline.estimates.windows import asked_for
from pipeline.home import Home
from pipeline.instants import closing_ms
from pipeline.journal import State, read_state
from pipeline.master import open_master
from pipeline.quality import has_value

ATTEMPTS: Final = 3
"""A watch may replace register files by others that say the same while they are being read."""


@dataclass(frozen=True, slots=True)
class Estimated:
    """What became of a day.

    Attributes:
        file: that holds its estimates.
        fresh: whether it was written now.
        made_ms: the instant as of which they hold.
        rows: of them.
        methods: rows by the name of their status.
        contradicted: rows of gaps whose sum and agreed values cannot both be true.
        overruled: cells with a measured value for which an agreed one stands.
    """

    file: Path
    fresh: bool
    made_ms: int
    rows: int
    methods: dict[str, int]
    contradicted: int
    overruled: int


def estimate_day(home: Home, settings: Settings, day: date) -> Estimated:
    """Estimate the missing cells of a JST day, as known at the last instant this home issued.

    Nothing of it reaches a file of slots, days or months. Made again from the same it changes no byte.

    Raises:
        EstimateError: the day is not closed yet, lies before the home's first slot, or its registers are gone.
        HomeError: the home cannot be read.

    """
    with home.in_turn("estimates"):
        for attempt in range(ATTEMPTS):
            state = read_state(home.path("journal"))
            first_slot = _checked(state, settings, day)
            try:
                return _estimated(home, settings, day, state, first_slot)
            except FileNotFoundError as error:
                if attempt == ATTEMPTS - 1:
                    message = f"{error.filename} is gone"
                    raise HomeError(message, hint="koma home check tells what else is; try again") from error
    raise AssertionError


def _estimated(home: Home, settings: Settings, day: date, state: State, first_slot: int) -> Estimated:
    view, asked = open_master(home.root, None), asked_for(day, state.issued_ms, settings)
    end = asked.begin + 48 * len(asked.kind)
    cells = in_force(agreements(home), view, asked.begin, end)
    open_book(home.root, state.batches)  # once, before several threads ask for it
    what = DayEstimate(home.root, state, view, asked, cells, settings.estimate_reference_days, first_slot)
    with ThreadPoolExecutor(settings.workers) as pool:
        shards = list(pool.map(partial(shard_estimates, what), range(view.n_shards)))
    rows = joined([no_rows(0, what.reference_days), *shards])
    facts = {"master": view.version, "linear_slots": asked.linear, "reach_slots": asked.reach}
    facts |= {"lookback_days": asked.lookback, "reference_days": what.reference_days}
    file, fresh = keep(home, day, rows_of(rows, view), state.issued_ms, facts)
    return _told(rows, file, state.issued_ms, fresh=fresh)


def _told(rows: Estimates, file: Path, made_ms: int, *, fresh: bool) -> Estimated:
    counts = np.bincount(rows.status, minlength=len(STATUSES)).tolist()
    methods = {each.name: count for each, count in zip(STATUSES, counts, strict=True) if each.at_first != 0}
    overruled = int(np.count_nonzero((rows.status == AGREED) & has_value(rows.quality)))
    return Estimated(file, fresh, made_ms, len(rows.slot), methods, int(rows.contradicts.sum()), overruled)


def _checked(state: State, settings: Settings, day: date) -> int:
    """Return the home's first slot once it is clear that the day can be estimated."""
    first_slot, asked = state.first_slot_kept, asked_for(day, state.issued_ms, settings)
    if first_slot is None or closing_ms(asked.day_end - 1) > state.issued_ms:
        raise EstimateError(
            f"{day} is not closed yet: its last slot is at {format_jst(closing_ms(asked.day_end - 1))}",
            hint="Estimates are made of days that were issued; run it after that instant",
        )
    if asked.day_end <= first_slot:
        raise EstimateError(
            f"{day} lies before {slot_date(first_slot)}, the first day this home has registers of",
            hint="Registers are kept for KOMA_KEEP_REGISTERS_DAYS days",
        )
    return first_slot
