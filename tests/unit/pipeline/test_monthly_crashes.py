# SPDX-License-Identifier: Apache-2.0
"""A monthly issue that is cut off anywhere is made good by the next run, byte for byte."""

import random
import shutil
from pathlib import Path

import pytest

from pipeline.daily import issue_daily
from pipeline.home import Home
from pipeline.issuing import issue
from pipeline.journal import Journal
from pipeline.monthly import issue_monthly
from tests.crashes import Crashed, crash_before
from tests.homes import HOUR_MS, MINUTE_MS, digests, run, settings_of
from tests.unit.pipeline.test_monthly import FIRST, NOON, at_last

MOMENTS = 5


def due(root: Path) -> Home:
    """Make a home in which nothing but the monthly files of its instants is missing."""
    home = at_last(root, lost=(NOON,), wall_ms=FIRST - 5 * MINUTE_MS)
    journal = Journal(home.path("journal"))
    issue(home, journal, settings_of(home), FIRST + HOUR_MS, extra=False)
    issue_daily(home, journal, settings_of(home))
    journal.close()
    return home


def issue_months(home: Home) -> None:
    journal = Journal(home.path("journal"))
    try:
        issue_monthly(home, journal, settings_of(home))
    finally:
        journal.close()


def test_a_monthly_issue_that_is_cut_off_is_made_good(tmp_path: Path) -> None:
    prepared = due(tmp_path / "prepared")
    whole = Home(shutil.copytree(prepared.root, tmp_path / "whole"))
    with crash_before(-1, whole.root) as fuse:
        issue_months(whole)
    assert any("W51220" in name for name in digests(whole.deliveries))
    for moment in sorted(random.Random(1).sample(range(fuse.count), min(MOMENTS, fuse.count))):  # noqa: S311
        home = Home(shutil.copytree(prepared.root, tmp_path / str(moment)))
        with crash_before(moment, home.root), pytest.raises(Crashed):
            issue_months(home)
        run(home, wall_ms=FIRST + HOUR_MS)
        assert digests(home.deliveries) == digests(whole.deliveries), f"change {moment} of {fuse.count}"
        shutil.rmtree(home.root)
