# SPDX-License-Identifier: Apache-2.0
"""Going on: take in hand-overs as they come and issue each instant when the clock says so, until stopped.

What comes next is decided in `pipeline.agenda`; here it is done. A fault of the environment (full disk, read-only file
system) is waited out, longer each time, and then everything begins again as after a crash. An error that a person has
to see to ends the watch.
"""

import logging
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from time import perf_counter

from koma.clock import Clock, KeptClock, WallClock
from koma.errors import KomaError
from koma.settings import Settings
from koma.slots import MS_PER_DAY, parse_jst, slot_at_ms
from pipeline.agenda import Agenda, Kind, Step
from pipeline.backlog import Backlog, Landed
from pipeline.clock_guard import ClockGuard, steady_ms
from pipeline.compaction import compact, compact_held
from pipeline.daily import daily_steps
from pipeline.first_slot import record_first_slot
from pipeline.home import Home
from pipeline.intake import finish_moves, may_rejudge, take_in
from pipeline.issuing import Issued, finish_intent, issue
from pipeline.journal import NEVER, Journal
from pipeline.ledger.book import survey_due
from pipeline.ledger.stamps import Out, stamp_intake, stamp_issue
from pipeline.manual import WATCH, mark_reached
from pipeline.master import open_master, settle
from pipeline.monthly import monthly_steps
from pipeline.retention import day_of, forget
from pipeline.run import Run
from pipeline.status import Status
from pipeline.status_file import ISSUING, STARTING, STOPPED, TAKING_IN, TROUBLED, WAITING
from pipeline.totals.due import balances_due
from pipeline.trouble import Trouble, trouble_of, wait_s

POLL_S = 1.0
MANUAL_POLL_S = 0.2
"""Somebody waits for a clock that is moved by hand."""
SET_ASIDE = "the file stays in landing; a new start tries it again; keep it and report this"
_LOG = logging.getLogger(__name__)


def watch(
    home: Home,
    settings: Settings,
    clock: Clock | None = None,
    *,
    accept_clock: bool = False,
    steady: Callable[[], int] | None = None,
    pause: Callable[[float], object] | None = None,
) -> Generator[Run]:
    """Yield a run whenever something was taken in or issued; ends at SIGTERM or SIGINT after the work under way.

    Args:
        home: of which it stays the sole writer.
        settings: with the seconds after an instant at which it is issued by the wall clock.
        clock: the wall clock, unless given. A `KeptClock` is waited for until it is set, needs no delay (whoever moves
            it says that all has landed), and is told how far all is done.
        accept_clock: take in files, and issue, however far the clock runs ahead of what is known.
        steady: milliseconds of a clock that nobody sets, against which the wall clock's steps are seen; the machine's
            for the wall clock, none for another one, unless given.
        pause: waits for some seconds, or less; until a signal comes, unless given.

    Raises:
        BusyError: another process writes the home.
        KomaError: something that a person has to put right.

    """
    stop = threading.Event()
    by_hand = isinstance(clock, KeptClock)
    if clock is None and steady is None:
        steady = steady_ms
    name = "wall" if clock is None else "manual" if by_hand else "given"
    watching = _Watch(
        home,
        settings,
        clock or WallClock(),
        ClockGuard(steady, settings.clock_jump_days, accept_clock),
        Agenda(settings, by_hand),
        Backlog(home.landing),
        Status(home, name),
        stop,
        pause or stop.wait,
        accept_clock=accept_clock,
    )
    with _until_signal(stop), home.sole_writer(WATCH if by_hand else "pipeline run --watch"):
        yield from watching.go_on()


@contextmanager
def _until_signal(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask for an end; more of them ask again, and interrupt nothing."""
    previous = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


@dataclass(slots=True)
class _Watch:
    home: Home
    settings: Settings
    clock: Clock
    guard: ClockGuard
    agenda: Agenda
    backlog: Backlog
    status: Status
    stop: threading.Event
    pause: Callable[[float], object]
    accept_clock: bool
    journal: Journal | None = None
    alone: set[str] = field(default_factory=set)  # files whose turn failed: each by itself next time
    longer: Iterator[Issued] | None = None  # steps of the daily and the monthly files
    longer_began_ms: int = NEVER
    longer_done_ms: int = NEVER
    surveys: Iterator[int] | None = None  # of slots whose survey is due
    surveyed_ms: int = NEVER  # the last instant issued when they began
    forgot_on: int = NEVER  # the day on which all that was old went
    _objected: str = ""

    def go_on(self) -> Iterator[Run]:
        """Do what is next until asked to stop."""
        failures, began = 0, False
        try:
            self._await_clock()
            began = not self.stop.is_set()
            while not self.stop.is_set():
                try:
                    if self.journal is None:
                        self.status.say(STARTING, self.clock.now_ms())
                        self._begin()
                    run = self._turn()
                    failures = 0
                except (KomaError, OSError, RuntimeError, MemoryError) as error:
                    trouble = trouble_of(error)
                    if trouble is None:
                        raise
                    failures += 1
                    self._wait_out(trouble, failures)
                    continue
                if run is not None:
                    yield run
        finally:
            self._close()
            if began:
                self.status.say(STOPPED, self.clock.now_ms())

    def _await_clock(self) -> None:
        while isinstance(self.clock, KeptClock) and self.clock.stands_at() is None and not self.stop.is_set():
            self.pause(MANUAL_POLL_S)

    def _begin(self) -> None:
        """Begin as after a crash: what was under way is finished first."""
        self.journal = Journal(self.home.path("journal"))
        finish_moves(self.home, self.journal)
        if self.journal.state.intent is not None:
            finish_intent(self.home, self.journal, self.settings)

    def _close(self) -> None:
        if self.journal is not None:
            self.journal.close()
            self.journal = None
            self.longer, self.longer_done_ms = None, NEVER
            self.surveys, self.surveyed_ms = None, NEVER

    def _wait_out(self, trouble: Trouble, failures: int) -> None:
        """Let go of everything, say what is wrong, wait."""
        self._close()
        for name in (
            "intake",
            "issue",
            "daily",
            "monthly",
        ):  # what a failed step left behind may be what fills the disk
            shutil.rmtree(self.home.path("tmp") / name, ignore_errors=True)
        seconds = wait_s(failures)
        now_ms = self.clock.now_ms()
        self.status.failed(trouble.message, trouble.what_to_do, now_ms)
        self.status.say(TROUBLED, now_ms)
        _LOG.warning(
            "koma: %s; %s; nothing is lost, and it is tried again in %.0f s",
            trouble.message,
            trouble.what_to_do,
            seconds,
        )
        self.pause(seconds)

    def _turn(self) -> Run | None:
        """Do one step."""
        journal = self.journal
        assert journal is not None
        now_ms = self.clock.now_ms()  # before landing is seen: what is due by it has landed by then
        self.backlog.scan(now_ms)
        self.alone &= {each.name for each in self.backlog.files}
        objection = self.guard.objection(now_ms, journal.state)
        self._object(objection)
        record_first_slot(journal, self.settings)
        if journal.state.first_slot is None and not objection:
            journal.append({"kind": "start", "first_slot": slot_at_ms(now_ms)})
        self.backlog.look()
        step = self.agenda.next_step(
            self.backlog,
            journal.state,
            now_ms,
            points=open_master(self.home.root).n_points,
            rejudge=may_rejudge(self.home, journal.state),
            may_issue=not objection,
        )
        if step.kind is Kind.LOOK:
            return None
        if step.kind is Kind.WAIT and self._survey_step(journal, now_ms):
            return None
        if step.kind in {Kind.WAIT, Kind.BACKFILL, Kind.REJUDGE} and (issued := self._longer_step(journal)) is not None:
            return Run(issued=issued, clock_ms=now_ms) if issued.files else None
        if step.kind is Kind.WAIT:
            self._rest(journal, now_ms)
            return None
        run = self._issue(journal, step) if step.kind is Kind.ISSUE else self._take_in(journal, step)
        self.status.turns += 1
        run.clock_ms = now_ms
        after_ms = self.clock.now_ms()
        self.backlog.scan(after_ms)
        self.status.tell(WAITING, self.backlog, self.agenda, journal.state, after_ms)
        return run

    def _survey_step(self, journal: Journal, now_ms: int) -> bool:
        """Survey or balance a slot where nothing is due; says whether there was one. It holds nothing else up."""
        if self.surveys is None:
            if journal.state.issued_ms == self.surveyed_ms:
                return False
            self.surveyed_ms = journal.state.issued_ms
            balances = balances_due(self.home, self.settings.workers)
            self.surveys = chain(survey_due(self.home, journal.state), balances)
        try:
            if next(self.surveys, None) is not None:
                return True
        except (KomaError, OSError, ValueError) as error:  # no delivery depends on it; after the next issue, again
            _LOG.warning("koma: no survey or balance: %s", error)
            do = "the next issue brings another; koma sla and koma totals balance say more"
            self.status.failed(f"no survey or balance: {error}", do, now_ms)
        self.surveys = None
        return False

    def _longer_step(self, journal: Journal) -> Issued | None:
        """Do a step of the daily and monthly files that are due: instants and current hand-overs go before each."""
        if self.longer is None:
            if journal.state.issued_ms == self.longer_done_ms:
                return None
            self.longer_began_ms = journal.state.issued_ms
            steps = (kind(self.home, journal, self.settings) for kind in (daily_steps, monthly_steps))
            self.longer = chain.from_iterable(steps)
        issued = next(self.longer, None)
        if issued is None:  # instants that went out meanwhile may have days that were done before
            self.longer, self.longer_done_ms = None, self.longer_began_ms
        return issued

    def _object(self, objection: str) -> None:
        self.status.objection = objection
        if objection and not self._objected:
            _LOG.warning("koma: %s", objection)
        self._objected = objection

    def _rest(self, journal: Journal, now_ms: int) -> None:
        if self.agenda.by_hand:
            mark_reached(self.home, now_ms)
        self.status.tell(WAITING, self.backlog, self.agenda, journal.state, now_ms)
        due_ms = self.agenda.due_ms(now_ms)

        def busy() -> bool:
            return self.stop.is_set() or self.agenda.due_ms(self.clock.now_ms()) > due_ms

        if not compact(self.home, journal, self.settings, stop=busy).more and not compact_held(self.home, journal):
            self.pause(MANUAL_POLL_S if self.agenda.by_hand else POLL_S)

    def _take_in(self, journal: Journal, step: Step) -> Run:
        began_ms = self.clock.now_ms()
        self.status.tell(TAKING_IN, self.backlog, self.agenda, journal.state, began_ms)
        run, started = Run(), perf_counter()
        files = [each for each in step.files if each.name not in self.alone] or list(step.files[:1])
        try:
            run.taken = take_in(
                self.home,
                journal,
                self.settings,
                accept_clock=self.accept_clock,
                files=self.backlog.paths(files),
                held=step.kind is Kind.REJUDGE,
                known_ms=self.agenda.known_ms(journal.state, began_ms),
            )
        except Exception as error:  # one file must not stop all others, whatever is wrong with it
            if trouble_of(error) is not None or isinstance(error, KomaError) or step.kind is Kind.REJUDGE:
                raise
            self._suspect(files, error)
            return run
        settle(self.home.root, journal.state.next_fact_ms)
        run.seconds["intake"] = perf_counter() - started
        run.taken.waiting = [each for each in run.taken.waiting if self._set_aside(each)]
        now_ms = self.clock.now_ms()
        self.agenda.took(step.kind, now_ms - began_ms)
        if step.kind is Kind.CURRENT:
            stamp_intake(self.home, now_ms, ((each.seen_ms, each.rows) for each in files))
        self.status.took_in(run, step.kind, sum(each.rows for each in files), now_ms)
        return run

    def _suspect(self, files: Sequence[Landed], error: Exception) -> None:
        """Take files in by themselves after a turn that failed; set one aside that fails by itself."""
        text = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        self.status.failed(f"{type(error).__name__}: {text}", SET_ASIDE, self.clock.now_ms())
        if len(files) > 1:
            self.alone |= {each.name for each in files}
            return
        _LOG.warning("koma: %s stays in landing: %s: %s; %s", files[0].name, type(error).__name__, text, SET_ASIDE)
        self.backlog.set_aside(
            files[0].name, {"file": files[0].name, "code": "failed", "detail": f"{text}; {SET_ASIDE}"}
        )

    def _set_aside(self, facts: dict[str, object]) -> bool:
        """Leave a file alone whose arrivals lie too far ahead, until others get near; says whether that is new."""
        received_ms = parse_jst(str(facts["received_at"]))
        return self.backlog.set_aside(
            str(facts["file"]), facts, received_ms - self.settings.clock_jump_days * MS_PER_DAY
        )

    def _issue(self, journal: Journal, step: Step) -> Run:
        self.status.tell(ISSUING, self.backlog, self.agenda, journal.state, self.clock.now_ms())
        run, started, from_ms = Run(), perf_counter(), journal.state.issued_ms
        run.issued.add(issue(self.home, journal, self.settings, step.to_ms, extra=False))
        run.seconds["issue"] = perf_counter() - started
        out_ms = self.clock.now_ms()
        stamp_issue(self.home, Out(from_ms, step.to_ms, out_ms - int(run.issued.publishing_s * 1000), out_ms))
        if day_of(step.to_ms) != self.forgot_on:  # after a start too: what a crash cut off is made good
            forget(self.home, journal, self.settings, step.to_ms)
            self.forgot_on = day_of(step.to_ms)
        delay_ms = 0 if self.agenda.by_hand else self.settings.watch_delay_s * 1000
        self.status.issued(run, step.to_ms, delay_ms, out_ms)
        return run
