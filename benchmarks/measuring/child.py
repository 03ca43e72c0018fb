# SPDX-License-Identifier: Apache-2.0
"""The process an engine runs in: imports and a warm-up on a tiny area first, then the task, measured.

    python -m benchmarks.measuring.child ENGINE WARM-UP-TASK TASK

Prints one JSON line: wall seconds, processor seconds, peak resident memory (files that are mapped included).
"""

import json
import os
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.measuring.task import Task

ENGINES: Final = {
    "koma": ("engine_koma", "with_zip"),
    "koma-parquet": ("engine_koma", "parquet_only"),
    "duckdb": ("engine_duckdb", "run"),
    "polars": ("engine_polars", "run"),
}
"""Name to module and function."""


def main() -> None:
    """Run one engine on one task."""
    name, warm_up, wanted = sys.argv[1:]
    task = Task.load(Path(wanted))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task.workers])
    os.environ["POLARS_MAX_THREADS"] = str(task.workers)  # read when Polars is imported
    module, function = ENGINES[name]
    run = getattr(import_module(f"benchmarks.measuring.{module}"), function)
    run(Task.load(Path(warm_up)))
    _forget_peak()
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    facts = run(task)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": round(seconds, 3),
                "user_s": round(after.ru_utime - before.ru_utime, 3),
                "system_s": round(after.ru_stime - before.ru_stime, 3),
                "peak_rss_bytes": _peak_bytes(),
                **facts,
            }
        )
    )


def _forget_peak() -> None:
    """Let the kernel count the peak anew: the warm-up is not part of it."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    """Peak resident memory. Not `ru_maxrss`: that one is handed down from the process that started this one."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


if __name__ == "__main__":
    main()
