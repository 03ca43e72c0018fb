# SPDX-License-Identifier: Apache-2.0
"""The manual clock of a home: moved by an operator, followed by whatever runs, finished when all that fell due is done.

Whoever sets the clock says with it that what belongs before that time has landed; so nothing is waited for, and an
instant is due as soon as the clock reads it, the same with and without a running `koma pipeline run --watch`.
"""

import json
import time
from pathlib import Path

from koma.clock import KeptClock
from koma.errors import HomeError, InstantError
from koma.settings import Settings
from koma.slots import MS_PER_DAY, format_jst
from pipeline.columns import replace_file
from pipeline.home import BusyError, Home
from pipeline.journal import NEVER, read_state
from pipeline.retention import day_of, forget_between_runs
from pipeline.run import Run, run_once

WATCH = "pipeline run --watch --clock manual"
"""What a run that follows the manual clock calls itself in the home's lock."""
POLL_S = 0.1
STEP_DAYS_MAX = 1000
"""A mistyped year would close slots for decades, and cannot be taken back."""


def manual_clock(home: Home) -> KeptClock:
    """Return the clock that all processes of the home share."""
    return KeptClock(home.path("run"))


def set_clock(home: Home, settings: Settings, to_ms: int) -> Run | None:
    """Move the home's clock and return once all that fell due is done, in order.

    Returns the run that did it; None where a running `--watch` did.

    Raises:
        InstantError: the clock, or what was issued, stands later already, or very much earlier.
        HomeError: the home is held by a `--watch` that follows another clock.

    """
    issued_ms = read_state(home.path("journal")).announced_ms
    if issued_ms != NEVER and to_ms < issued_ms:
        raise InstantError(
            f"this home has issued all until {format_jst(issued_ms)}, the clock cannot go back to {format_jst(to_ms)}",
            hint="Business time moves forward only",
        )
    stands_ms = max(manual_clock(home).stands_at() or NEVER, issued_ms)
    if stands_ms != NEVER and to_ms - stands_ms > STEP_DAYS_MAX * MS_PER_DAY:
        raise InstantError(
            f"{format_jst(to_ms)} lies more than {STEP_DAYS_MAX} days after {format_jst(stands_ms)}",
            hint="If it is no slip, go there in steps",
        )
    manual_clock(home).set(to_ms)
    # Set to the same time again, it still takes in what has landed since. A watch says twice that it is through: it may
    # have been in the middle of a turn, which did not see what landed, when it is asked.
    for _ in range(1 if _reached(home) < to_ms else 2):
        _unmark(home, to_ms)
        while _reached(home) < to_ms:
            run = _run_alone(home, settings, to_ms)
            if run is None:
                time.sleep(POLL_S)
                continue
            if issued_ms != NEVER and day_of(to_ms) != day_of(issued_ms):
                forget_between_runs(home, settings, to_ms)
            mark_reached(home, to_ms)
            return run
    return None


def _run_alone(home: Home, settings: Settings, to_ms: int) -> Run | None:
    """Run up to a time; None while another process writes the home."""
    try:
        return run_once(home, settings, wall_ms=to_ms)
    except BusyError as busy:
        if "--watch" in busy.holder and WATCH not in busy.holder:
            raise HomeError(
                f"{home.root} is being written by {busy.holder}, which follows another clock",
                hint="stop it, and start it with KOMA_CLOCK=manual",
            ) from busy
        return None


def mark_reached(home: Home, now_ms: int) -> None:
    """Say that all that was due when the clock read `now_ms` is done."""
    if now_ms > _reached(home):
        replace_file(_mark(home), json.dumps({"now_ms": now_ms}).encode() + b"\n")


def _unmark(home: Home, to_ms: int) -> None:
    """Take back that all is done that was due by `to_ms`."""
    if _reached(home) >= to_ms:
        replace_file(_mark(home), json.dumps({"now_ms": to_ms - 1}).encode() + b"\n")


def _mark(home: Home) -> Path:
    return home.path("run") / "clock.reached.json"


def _reached(home: Home) -> int:
    try:
        return int(json.loads(_mark(home).read_text(encoding="utf-8"))["now_ms"])
    except FileNotFoundError:
        return NEVER
