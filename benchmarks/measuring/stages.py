# SPDX-License-Identifier: Apache-2.0
"""Where a run's time goes: seconds of the driver by phase, processor seconds of all threads by stage.

Functions of the pipeline are wrapped where they are looked up; a call's time is its own, without that of the wrapped
functions it calls. Phases add up to the run's wall time. Stages add up to the run's processor time: what no stage
claims is the graph runner's and the interpreter's.
"""

import importlib
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, Final, Self

PHASES: Final = (
    ("pipeline.intake", "open_master", "open master"),
    ("pipeline.intake", "_groups", "cut files into chunks"),
    ("pipeline.intake", "new_pipeline", "graph"),
    ("pipeline.intake", "build_intake", "graph"),
    ("pipeline.intake", "sync_filesystem", "sync registers"),
    ("pipeline.intake", "publish", "rename registers"),
    ("pipeline.intake", "finish_moves", "move hand-over files"),
    ("pipeline.issuing", "_plans", "plan slots"),
    ("pipeline.issuing", "new_pipeline", "graph"),
    ("pipeline.issuing", "build_issue", "graph"),
    ("pipeline.issuing", "sync_filesystem", "sync deliveries"),
    ("pipeline.issuing", "publish", "rename deliveries"),
    ("pipeline.issuing", "_commit", "manifests and ledger"),
    ("pipeline.intake", "shutil.rmtree", "remove work folders"),
    ("pipeline.issuing", "Home.fresh_tmp", "make work folders"),
    ("pipeline.intake", "read_reports", "read reports"),
    ("pipeline.issuing", "read_reports", "read reports"),
    ("pipeline.intake", "quarantine.write", "write quarantine"),
    ("pipeline.intake", "_commit", "commit intake"),
    ("pipeline.intake", "take_in", "intake, rest"),
    ("pipeline.issuing", "_described", "issue, rest"),
    ("pipeline.issuing", "_computed", "issue, rest"),
    ("pipeline.run", "issue", "issue, rest"),
    ("pipeline.journal", "Journal.append", "journal"),
    ("apache_beam", "Pipeline.run", "graph"),
)
"""(module, name, phase): calls on the driver's thread."""

STAGES: Final = (
    ("pipeline.intake_graph", "decode_chunk", "decode"),
    ("pipeline.intake_graph", "judge", "rules"),
    ("pipeline.prefilter.route", "find_installs", "look-up"),
    ("pipeline.intake_graph", "route", "installations"),
    ("pipeline.intake_graph", "arrivals_of", "arrivals"),
    ("pipeline.intake_graph", "cut", "cut by shard"),
    ("pipeline.intake_graph", "split_contradicted", "given registers"),
    ("pipeline.intake_graph", "write_columns", "write register files"),
    ("pipeline.intake_graph", "DecodeAndFilter.process", "pre-filter, rest"),
    ("pipeline.intake_graph", "let_in", "register book"),
    ("pipeline.intake_graph", "ElectReads.process", "register book, rest"),
    ("pipeline.shard_cells", "timelines", "cells"),
    ("pipeline.issue_graph", "ComputeCells.process", "cells, rest"),
    ("pipeline.shard_cells", "shard_rows", "order by retailer"),
    ("pipeline.issue_graph", "spilled", "hand rows over"),
    ("pipeline.slot_rows", "spilled", "hand rows over"),
    ("pipeline.packed", "Packed.opened", "open elements"),
    ("pipeline.slot_rows", "count_expected", "decide rows that are not ready"),
    ("pipeline.slot_rows", "issue_rows", "decide rows that are not ready"),
    ("pipeline.issue_graph", "file_rows", "gather rows"),
    ("pipeline.issue_graph", "IssueRows.process", "issue, rest"),
    ("pipeline.issue_graph", "reference_rows", "customer references"),
    ("pipeline.delivery.write", "_gather", "gather point ids"),
    ("pipeline.delivery.write", "_encode_archive", "XML text"),
    ("pipeline.delivery.write", "Deflater.add", "deflate"),
    ("pipeline.delivery.write", "encode_parquet", "Parquet"),
    ("pipeline.delivery.write", "_put", "write files"),
    ("pipeline.issue_graph", "write_delivery", "sha256 and rest of a file"),
    ("pipeline.packed", "PackedCoder.encode", "encode elements"),
    ("pipeline.packed", "PackedCoder.decode", "decode elements"),
)
"""(module, name, stage): calls on any thread."""


class _Thread(threading.local):
    def __init__(self) -> None:
        self.phases: list[list[float]] = []
        self.stages: list[list[float]] = []


class Stopwatch:
    """Measures while it is entered; one at a time."""

    def __init__(self) -> None:
        self._driver = threading.get_ident()
        self._thread = _Thread()
        self._lock = threading.Lock()
        self._phases: defaultdict[str, float] = defaultdict(float)
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._undo: list[tuple[Any, str, Any]] = []
        self._seconds = 0.0
        self._processor = 0.0

    def __enter__(self) -> Self:
        """Wrap the functions and start."""
        for table, names in ((self._phases, PHASES), (self._stages, STAGES)):
            for module, name, label in names:
                self._wrap(importlib.import_module(module), name, label, table)
        self._processor = -_processor_seconds()
        self._seconds = -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and take the wrappers off."""
        self._seconds += time.perf_counter()
        self._processor += _processor_seconds()
        for owner, name, original in self._undo:
            setattr(owner, name, original)

    def facts(self) -> dict[str, Any]:
        """Give seconds by phase and by stage, each adding up to its whole."""
        phases, stages = dict(self._phases), dict(self._stages)
        phases["rest"] = self._seconds - sum(phases.values())
        stages["graph runner, interpreter, system"] = self._processor - sum(stages.values())
        return {
            "phases_s": {name: round(each, 3) for name, each in phases.items()},
            "stages_cpu_s": {name: round(each, 3) for name, each in stages.items()},
        }

    def _wrap(self, module: Any, name: str, label: str, table: defaultdict[str, float]) -> None:
        owner = module
        *outer, last = name.split(".")
        for each in outer:
            owner = getattr(owner, each)
        original = getattr(owner, last)
        self._undo.append((owner, last, original))
        clock = time.perf_counter if table is self._phases else time.thread_time
        setattr(owner, last, self._timed(original, label, table, clock))

    def _timed(
        self, function: Callable[..., Any], label: str, table: defaultdict[str, float], clock: Callable[[], float]
    ) -> Callable[..., Any]:
        def calls() -> list[list[float]]:
            return self._thread.phases if table is self._phases else self._thread.stages

        def enter() -> list[float]:
            mine = [clock(), 0.0]
            calls().append(mine)
            return mine

        def leave(mine: list[float]) -> None:
            spent = clock() - mine[0]
            under = calls()
            under.pop()
            if under:
                under[-1][1] += spent
            with self._lock:
                table[label] += spent - mine[1]

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if clock is time.perf_counter and threading.get_ident() != self._driver:
                return function(*arguments, **named)
            mine = enter()
            try:
                return function(*arguments, **named)
            finally:
                leave(mine)

        @wraps(function)
        def steps(*arguments: Any, **named: Any) -> Iterator[Any]:
            made = function(*arguments, **named)
            while True:
                mine = enter()
                try:
                    value = next(made)
                except StopIteration:
                    return
                finally:
                    leave(mine)
                yield value

        return steps if isgeneratorfunction(function) else call


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
