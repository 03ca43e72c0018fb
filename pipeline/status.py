# SPDX-License-Identifier: Apache-2.0
"""What a watch is doing, for people and for monitoring: `run/status.json`, replaced as a whole.

Nothing reads it to decide anything, so it is not synced, and a disk that cannot take it stops nobody. The fields are
described in docs/operating/pipeline.md.
"""

import json
import os
import resource
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from koma.slots import format_jst
from pipeline.agenda import Agenda, Kind
from pipeline.backlog import BACKFILL, CURRENT, MIXED, Backlog
from pipeline.home import Home
from pipeline.instants import GRID_MS
from pipeline.journal import NEVER, State
from pipeline.run import Run
from pipeline.status_file import FILE, STARTING, WAITING

ERRORS_KEPT: Final = 10
ASIDE_NAMED: Final = 50
IDLE_S: Final = 5.0
"""How often a watch that waits says that it is there."""


@dataclass(slots=True)
class Status:
    """The status file of a home and what goes into it."""

    home: Home
    clock: str
    phase: str = STARTING
    turns: int = 0
    intake: dict[str, Any] | None = None
    issue: dict[str, Any] | None = None
    objection: str = ""
    backlog: dict[str, Any] = field(default_factory=dict)
    errors: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=ERRORS_KEPT))
    _written_s: float = 0.0
    _news: tuple[object, ...] = ()
    _text: dict[str, Any] = field(default_factory=dict)

    def say(self, phase: str, now_ms: int) -> None:
        """Say which phase begins, where nothing else is known."""
        self._enter(phase, now_ms)
        self._text["errors"] = list(self.errors)
        self._write(now_ms)

    def tell(self, phase: str, backlog: Backlog, agenda: Agenda, state: State, now_ms: int) -> None:
        """Say which phase begins and how things stand; while it waits, every few seconds."""
        out = (state.issued_ms, state.daily_ms, state.monthly_ms)
        strays = len(backlog.strays)
        news = (self.objection, len(list(backlog.files)), len(backlog.aside), strays, *out)
        if phase == self.phase == WAITING and news == self._news and time.monotonic() - self._written_s < IDLE_S:
            return
        self._news = news
        self._enter(phase, now_ms)
        due_ms, issued_ms = agenda.due_ms(now_ms), state.issued_ms
        waits = [each.facts for each in backlog.aside.values()]
        waits += [each.facts for each in backlog.strays[:ASIDE_NAMED]]
        waits += [
            {"file": each.name, "code": "shut", "detail": f"{each.shut}; it is tried again by itself"}
            for each in backlog.files
            if each.shut
        ]
        self._text |= {
            "turns": self.turns,
            "backlog": backlog_facts(backlog, agenda.open_ms(state), now_ms),
            "last_intake": self.intake,
            "last_issue": self.issue,
            "issued_until": None if issued_ms == NEVER else format_jst(issued_ms),
            "daily_until": None if state.daily_ms == NEVER else format_jst(state.daily_ms),
            "monthly_until": None if state.monthly_ms == NEVER else format_jst(state.monthly_ms),
            "next_instant": format_jst(due_ms if due_ms > issued_ms else due_ms + GRID_MS),
            "lag_s": _lag_s(agenda, issued_ms, now_ms),
            "clock_objection": self.objection,
            "held_files": len(state.held),
            "waiting_files": len(waits) + max(0, strays - ASIDE_NAMED),
            "waiting": waits[:ASIDE_NAMED],
            "errors": list(self.errors),
        }
        self._write(now_ms)

    def _enter(self, phase: str, now_ms: int) -> None:
        if phase != self.phase or not self._text:
            self.phase = phase
            self._text |= {"phase": phase, "since": format_jst(now_ms)}

    def took_in(self, run: Run, kind: Kind, rows: int, now_ms: int) -> None:
        """Remember an intake."""
        counts = run.taken.counts
        seconds = run.seconds.get("intake", 0.0)
        self.intake = {
            "at": format_jst(now_ms),
            "what": kind.value,
            "files": run.taken.files,
            "rows": rows,
            "received": counts.received,
            "accepted": counts.accepted,
            "held": counts.held,
            "quarantined": counts.quarantined,
            "rules": run.taken.by_rule(),
            "seconds": round(seconds, 3),
        }

    def issued(self, run: Run, to_ms: int, delay_ms: int, now_ms: int) -> None:
        """Remember an issue, and how long after its due time all of it could be fetched."""
        self.issue = {
            "instant": format_jst(to_ms),
            "at": format_jst(now_ms),
            "lag_s": max(0.0, round((now_ms - to_ms - delay_ms) / 1000, 3)),
            "slots": len(run.issued.slots),
            "files": run.issued.files,
            "rows": run.issued.rows,
            "seconds": round(run.seconds.get("issue", 0.0), 3),
        }

    def failed(self, message: str, what_to_do: str, now_ms: int) -> None:
        """Remember an error; the same one again is counted."""
        if self.errors and self.errors[-1]["message"] == message:
            self.errors[-1] |= {"times": self.errors[-1]["times"] + 1, "last": format_jst(now_ms)}
            return
        at = format_jst(now_ms)
        self.errors.append({"at": at, "last": at, "times": 1, "message": message, "what_to_do": what_to_do})

    def _write(self, now_ms: int) -> None:
        self._written_s = time.monotonic()
        facts = {
            "at": format_jst(now_ms),
            "written_at": format_jst(time.time_ns() // 1_000_000),
            "process": os.getpid(),
            "clock": self.clock,
            **self._text,
            **process_facts(),
        }
        path = self.home.path("run") / FILE
        fresh = path.with_name(f".{FILE}.new")
        try:
            fresh.write_text(json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
            fresh.replace(path)
        except OSError:  # the same disk stops the work itself, which says so
            return


def _lag_s(agenda: Agenda, issued_ms: int, now_ms: int) -> float:
    """Return for how many seconds the oldest instant that is due has been waiting to be issued."""
    late_since_ms = agenda.late_since_ms(issued_ms, now_ms)
    return 0.0 if late_since_ms is None else max(0.0, round((now_ms - late_since_ms) / 1000, 3))


def backlog_facts(backlog: Backlog, open_ms: int, now_ms: int) -> dict[str, Any]:
    """Return files, bytes, rows and the age of the oldest, for all and by kind."""
    files = list(backlog.files)
    kinds = {CURRENT: "current", MIXED: "mixed", BACKFILL: "backfill"}
    facts: dict[str, Any] = {
        "files": len(files),
        "bytes": sum(each.size for each in files),
        "rows": sum(each.rows for each in files),
        "oldest_s": max(((now_ms - each.seen_ms) / 1000 for each in files), default=0.0),
        "not_looked_at": backlog.unknown,
    }
    for kind, name in kinds.items():
        some = [each for each in files if each.looked and each.kind(open_ms) == kind]
        facts[name] = {"files": len(some), "rows": sum(each.rows for each in some)}
    return facts


def process_facts() -> dict[str, int | None]:
    """Return memory and open files of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
        handles: int | None = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    except OSError:  # no Linux
        resident, handles = 0, None
    peak_bytes = peak * (1 if sys.platform == "darwin" else 1024)
    return {"memory_bytes": resident or None, "peak_bytes": peak_bytes, "open_files": handles}
