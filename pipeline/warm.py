# SPDX-License-Identifier: Apache-2.0
"""Compile every kernel ahead of use by running the whole line once on a small simulated area.

`./dev` runs this after installing; a later start finds all kernels in the cache and compiles nothing.
"""

import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from koma.settings import Settings, load_settings
from koma.slots import MS_PER_SLOT, slot_date
from pipeline.carried import carry_reads
from pipeline.estimates.day_run import estimate_day
from pipeline.home import Home, open_home
from pipeline.journal import Journal
from pipeline.master import import_master
from pipeline.monthly import issue_monthly
from pipeline.run import run_once
from pipeline.simulate import Options, simulate
from pipeline.simulate.options import FORMATS

DAY_S = 86_400
START_MS = 992_000 * 1_800_000
MONTH_DAYS = 40
"""By then the meter of every point has been read, and the first monthly file is due."""


def _forget_old_kernels(current: Path) -> None:
    """Remove kernels of earlier sources that nobody has compiled into for a day."""
    for folder in current.parent.glob("kernels-*"):
        if folder != current and time.time() - folder.stat().st_mtime > DAY_S:
            shutil.rmtree(folder, ignore_errors=True)


def _issue_months(home: Home, settings: Settings) -> None:
    """Issue monthly files as if all slots until then had been issued: what is not there says the same of itself."""
    journal = Journal(home.path("journal"))
    to_ms = START_MS + MONTH_DAYS * DAY_S * 1000
    master = carry_reads(home, journal)
    intent = {"to": to_ms, "batches": journal.state.batches, "master": master, "extra": False}
    journal.append({"kind": "intent"} | intent)
    journal.append({"kind": "issued", "to": to_ms, "extra": False})
    issue_monthly(home, journal, settings)
    journal.close()


def main() -> None:
    """Simulate a few hundred points in all formats with every fault, take them in half before half, then go on."""
    _forget_old_kernels(Path(os.environ["NUMBA_CACHE_DIR"]))
    with tempfile.TemporaryDirectory(prefix="koma-warm-") as name:
        root = Path(name)
        area = root / "area"
        simulate(Options(points=400, slots=3, seed=1, start_ms=START_MS, formats=FORMATS), area)
        settings = replace(load_settings(environ={}, cwd=root), home=root / "home")
        home = open_home(settings.home)
        import_master(home.root, area / "master", now_ms=None, first=True, strict=False)
        files = sorted((area / "landing").iterdir())
        for half in (files[::2], files[1::2]):
            for file in half:
                file.rename(home.landing / file.name)
            run_once(home, settings)
        run_once(home, settings, wall_ms=START_MS + 2 * DAY_S * 1000)  # a morning, with its daily files
        estimate_day(home, settings, slot_date(START_MS // MS_PER_SLOT))
        _issue_months(home, settings)


if __name__ == "__main__":
    main()
