# SPDX-License-Identifier: Apache-2.0
"""Going on: take in hand-overs as they come and issue each instant when the clock says so, until stopped."""

import signal
import threading
from collections.abc import Iterator
from time import perf_counter

from koma.clock import Clock, KeptClock, WallClock
from koma.settings import Settings
from koma.slots import slot_at_ms
from pipeline.home import Home
from pipeline.instants import GRID_MS
from pipeline.intake import finish_moves, landed, take_in
from pipeline.issuing import finish_intent, issue
from pipeline.journal import Journal
from pipeline.manual import WATCH, mark_reached
from pipeline.retention import day_of, forget_deliveries
from pipeline.run import Run

POLL_S = 1.0
MANUAL_POLL_S = 0.2
"""Somebody waits for a clock that is moved by hand."""


def watch(home: Home, settings: Settings, clock: Clock | None = None) -> Iterator[Run]:
    """Yield a run whenever something was taken in or issued; ends at SIGTERM or SIGINT after the work under way.

    Args:
        home: of which it stays the sole writer.
        settings: with the seconds after an instant at which it is issued by the wall clock.
        clock: the wall clock, unless given. A `KeptClock` is waited for until it is set, needs no delay (whoever moves
            it says that all has landed), and is told how far all is done.

    """
    clock = clock or WallClock()
    by_hand = isinstance(clock, KeptClock)
    stop = threading.Event()
    previous = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        with home.sole_writer(WATCH if by_hand else "pipeline run --watch"):
            while isinstance(clock, KeptClock) and clock.stands_at() is None and not stop.is_set():
                stop.wait(MANUAL_POLL_S)
            if stop.is_set():
                return
            journal = Journal(home.path("journal"))
            try:
                finish_moves(home, journal)
                if journal.state.intent is not None:
                    finish_intent(home, journal, settings)
                if journal.state.first_slot is None and settings.first_slot is None:
                    journal.append({"kind": "start", "first_slot": slot_at_ms(clock.now_ms())})
                waiting: frozenset[str] = frozenset()  # files that only a person can let in
                while not stop.is_set():
                    now_ms = clock.now_ms()
                    delay_ms = 0 if by_hand else settings.watch_delay_s * 1000
                    run = _turn(home, journal, settings, (now_ms - delay_ms) // GRID_MS * GRID_MS, waiting)
                    if by_hand:
                        mark_reached(home, now_ms)
                    if run is not None:
                        run.clock_ms = now_ms
                        waiting |= {str(each["file"]) for each in run.taken.waiting}
                        yield run
                    stop.wait(MANUAL_POLL_S if by_hand else POLL_S)
            finally:
                journal.close()
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _turn(home: Home, journal: Journal, settings: Settings, due_ms: int, waiting: frozenset[str]) -> Run | None:
    """Take in what has landed, then issue every instant up to `due_ms` that is not out yet."""
    run = Run()
    started = perf_counter()
    if any(path.name not in waiting for path in landed(home)):
        run.taken = take_in(home, journal, settings, accept_clock=False, leave=waiting)
        run.seconds["intake"] = perf_counter() - started
    if due_ms > journal.state.issued_ms:
        started = perf_counter()
        last_ms = journal.state.issued_ms
        run.issued.add(issue(home, journal, settings, due_ms, extra=False))
        if day_of(due_ms) != day_of(last_ms):
            forget_deliveries(home, due_ms, settings.deliveries_days)
        run.seconds["issue"] = perf_counter() - started
    elif not run.taken.files and not run.taken.waiting:
        return None
    return run
