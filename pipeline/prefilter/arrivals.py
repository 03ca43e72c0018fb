# SPDX-License-Identifier: Apache-2.0
"""When the reads of a hand-over file arrived, day by day: what the guard of the clock looks at."""

from dataclasses import dataclass

import numpy as np

from pipeline.handover.batch import ReadBatch
from pipeline.handover.column_kernels import extent
from pipeline.prefilter.kernels import arrival_spans
from pipeline.prefilter.route import Routed

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The earliest and latest arrival of one file on one day (UTC, ms), and the row of the earliest."""

    source: str
    day: int
    first_ms: int
    last_ms: int
    place: int


def arrivals_of(batch: ReadBatch, routed: Routed) -> list[Arrivals]:
    """Return the days on which the reads of `batch` that found their installation arrived."""
    found: list[Arrivals] = []
    for piece in routed.found:
        first_ms, last_ms = extent(batch.received_ms)
        first_day, last_day = first_ms // DAY_MS, last_ms // DAY_MS
        if first_day == last_day:
            times = batch.received_ms
            if len(piece.row) < len(times):
                times = times[piece.row]
                first_ms, last_ms = extent(times)
            place = int(batch.place[piece.row[times.argmin()]])
            found.append(Arrivals(batch.source, first_day, first_ms, last_ms, place))
            continue
        count = last_day - first_day + 1
        if count > 4096:  # stamps far apart: only the rows' own days
            days = batch.received_ms[piece.row] // DAY_MS
            for day in np.unique(days).tolist():
                rows = piece.row[days == day]
                times = batch.received_ms[rows]
                at = int(times.argmin())
                place = int(batch.place[rows[at]])
                found.append(Arrivals(batch.source, day, int(times[at]), int(times.max()), place))
            continue
        first = np.full(count, np.iinfo(np.int64).max)
        last = np.full(count, np.iinfo(np.int64).min)
        where = np.zeros(count, np.int64)
        arrival_spans(batch.received_ms, piece.row, first_day, first, last, where)
        for at in np.flatnonzero(last >= first).tolist():
            place = int(batch.place[where[at]])
            found.append(Arrivals(batch.source, first_day + at, int(first[at]), int(last[at]), place))
    return found
