# SPDX-License-Identifier: Apache-2.0
"""One run: finish what a crash cut off, take in all of landing, issue every instant that is due."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from koma.settings import Settings
from koma.slots import format_jst
from pipeline.daily import issue_daily
from pipeline.first_slot import record_first_slot
from pipeline.home import Home
from pipeline.instants import GRID_MS, next_extra
from pipeline.intake import TakenIn, finish_moves, take_in
from pipeline.issuing import Issued, finish_intent, has_pending, issue
from pipeline.journal import NEVER, Journal
from pipeline.master import settle
from pipeline.monthly import issue_monthly


@dataclass(slots=True)
class Run:
    """What a run came to."""

    taken: TakenIn = field(default_factory=TakenIn)
    issued: Issued = field(default_factory=Issued)
    clock_ms: int = NEVER
    seconds: dict[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return the facts of the run's closing JSON line."""
        counts = self.taken.counts
        return {
            "received": counts.received,
            "accepted": counts.accepted,
            "duplicate": counts.duplicate,
            "filtered": counts.filtered,
            "quarantined": counts.quarantined,
            "held": counts.held,
            "no_data": counts.no_data,
            "moved_to_grid": counts.moved,
            "rules": self.taken.by_rule(),
            "handover_files": self.taken.files,
            "waiting": self.taken.waiting,
            "ignored_columns": {name: list(columns) for name, columns in sorted(self.taken.ignored_columns.items())},
            "slots": len(self.issued.slots),
            "files": self.issued.files,
            "rows": self.issued.rows,
            "closed": self.issued.closed,
            "clock": None if self.clock_ms == NEVER else format_jst(self.clock_ms),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def run_once(
    home: Home, settings: Settings, *, wall_ms: int | None = None, accept_clock: bool = False, xml: bool = True
) -> Run:
    """Take in all of landing, then issue every instant up to now.

    Now is the latest arrival of an accepted or duplicate read, or `wall_ms` where it is given. If closed slots then
    still have unissued changes, one more instant issues them.
    """
    run = Run()
    with home.sole_writer("pipeline run --once"):
        journal = Journal(home.path("journal"))
        try:
            finish_moves(home, journal)
            if journal.state.intent is not None:
                run.issued.add(finish_intent(home, journal, settings, xml=xml))
            if journal.state.daily_intent is not None:
                run.issued.add(issue_daily(home, journal, settings, xml=xml))
            if journal.state.monthly_intent is not None:
                run.issued.add(issue_monthly(home, journal, settings, xml=xml))
            record_first_slot(journal, settings)
            started = perf_counter()
            run.taken = take_in(home, journal, settings, accept_clock=accept_clock)
            settle(home.root, journal.state.next_fact_ms)
            run.seconds["intake"] = perf_counter() - started
            started = perf_counter()
            _issue_due(home, journal, settings, run, wall_ms, xml=xml)
            run.issued.add(issue_daily(home, journal, settings, xml=xml))
            run.issued.add(issue_monthly(home, journal, settings, xml=xml))
            run.seconds["issue"] = perf_counter() - started
            run.clock_ms = journal.state.now_ms if wall_ms is None else wall_ms
        finally:
            journal.close()
    return run


def _issue_due(home: Home, journal: Journal, settings: Settings, run: Run, wall_ms: int | None, *, xml: bool) -> None:
    state = journal.state
    now_ms = state.now_ms if wall_ms is None else wall_ms
    if now_ms == NEVER or state.first_slot is None:
        return
    due_ms = now_ms // GRID_MS * GRID_MS
    if due_ms > state.issued_ms:
        run.issued.add(issue(home, journal, settings, due_ms, extra=False, xml=xml))
    else:
        run.issued.pending = has_pending(home, journal, settings)
    while run.issued.pending and wall_ms is None:  # again only for slots that an extra instant itself has closed
        extra_ms = next_extra(max(now_ms, state.issued_ms))
        run.issued.add(issue(home, journal, settings, extra_ms, extra=True, xml=xml))
