# SPDX-License-Identifier: Apache-2.0
"""Koma doing the slot: everything in landing taken in, everything due issued, durable on return.

`xml=False` leaves the zips out; all else stays as it is, the registers on disk and the syncs included.
"""

import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring.area import SLOT
from benchmarks.measuring.stages import Stopwatch
from benchmarks.measuring.task import ONE, Task
from koma.settings import Settings, load_settings
from pipeline.home import Home, open_home
from pipeline.master.importer import import_master
from pipeline.run import run_once


def settings_of(home: Path, workers: int) -> Settings:
    """Settings of a home: the defaults, with the benchmark's number of threads."""
    return replace(load_settings(environ={}, cwd=home), home=home, workers=workers)


def make_template(root: Path, area: Path, workers: int, stamps: str) -> None:
    """Make the home that every run starts from: master imported; with one stamp also the slot's start taken in."""
    home = open_home(root)
    for number, master in enumerate(sorted(area.glob("master-*"))):
        import_master(home.root, master, now_ms=None, first=number == 0, strict=True)
    if stamps == ONE:
        _land(home, sorted((area / "handover").glob("reads-0-*.arrow")))
        run_once(home, settings_of(root, workers))


def fresh_home(template: Path, task: Task) -> None:
    """Copy a home by hard links (what lies in it is never written to, only replaced) and land the files."""
    shutil.copytree(template, task.out, copy_function=_link)
    _land(open_home(task.out), task.handover)


def _link(source: str, target: str) -> None:
    if "/journal/" in source or "/run/" in source:  # the journal is appended to
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def _land(home: Home, files: list[Path]) -> None:
    for path in files:
        os.link(path, home.landing / path.name)


def run(task: Task, *, xml: bool) -> dict[str, Any]:
    """Do the slot; the facts hold the stages."""
    home = Home(task.out)
    with Stopwatch() as watch:
        done = run_once(home, settings_of(task.out, task.workers), xml=xml)
    if done.issued.slots != {SLOT} or done.issued.pending:
        raise RuntimeError(f"one slot should have been issued whole: {done.summary()}")
    return {"reads": done.taken.counts.accepted, "rows": done.issued.rows, "files": done.issued.files, **watch.facts()}


with_zip = partial(run, xml=True)
parquet_only = partial(run, xml=False)
