# SPDX-License-Identifier: Apache-2.0
"""What a number was measured on: the machine, the versions, the commit."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from koma.slots import format_jst

ROOT: Final = Path(__file__).resolve().parents[2]
_DISTRIBUTIONS: Final = ("apache-beam", "duckdb", "isal", "numba", "numpy", "polars", "pyarrow")


def machine_facts(workers: int) -> dict[str, Any]:
    """Describe the machine as far as a number depends on it."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "workers": workers,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of what does the work."""
    return {"python": platform.python_version()} | {name: version(name) for name in _DISTRIBUTIONS}


def commit() -> dict[str, Any]:
    """Name the commit, and whether files differ from it."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD").strip()
        changed = bool(_git("status", "--porcelain", "--", "koma", "pipeline", "benchmarks/measuring"))
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed": None}
    return {"commit": name, "changed": changed}


def now() -> str:
    """Time of day, JST."""
    return format_jst(int(time.time()) * 1000)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments],  # noqa: S607  a developer's git
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
