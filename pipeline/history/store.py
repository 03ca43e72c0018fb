# SPDX-License-Identifier: Apache-2.0
"""The store as its one writer sees it: taking in what was issued, and upkeep."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from koma.settings import Settings
from pipeline.history import catalogue as listing
from pipeline.history import taking, upkeep
from pipeline.history.files import store_files
from pipeline.home import Home

GRACE_S: Final = 3600
"""A part that went stays as long for those who are reading it."""


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did."""

    until_ms: int
    files: int
    rows: int
    merges: int
    months_dropped: int


def update(
    home: Home, settings: Settings, *, grace_s: int = GRACE_S, now_s: Callable[[], float] = time.time
) -> Updated:
    """Take in all that was issued since the last time, put parts together, drop what is too old.

    Args:
        home: whose deliveries are taken.
        settings: with the store's address.
        grace_s: how long parts that went stay.
        now_s: the machine's clock.

    Raises:
        HistoryError: a delivery file or the store is damaged; what was taken before stays.

    """
    files = store_files(home, settings)
    with home.in_turn("history"):
        catalogue = listing.newest(files)
        swept = upkeep.sweep(files, catalogue, int(now_s()), grace_s)
        if swept is not None:
            catalogue = swept
            listing.reveal(files, catalogue)
        found = taking.find_issued(home, catalogue)
        for until_ms, issues in taking.rounds(found):
            parts = taking.take(files, issues, f"{catalogue.number + 1:010d}")
            seen = found.seen if until_ms == found.until_ms else catalogue.seen
            if parts or until_ms != catalogue.until_ms:
                catalogue = catalogue.next(parts, (), int(now_s()), until_ms=until_ms, seen=seen)
                listing.reveal(files, catalogue)
        merges = 0
        for merge in upkeep.plan_merges(catalogue):
            parts = upkeep.carry_out(files, merge, f"{catalogue.number + 1:010d}")
            catalogue = catalogue.next(parts, merge.parts, int(now_s()))
            listing.reveal(files, catalogue)
            merges += 1
        old = upkeep.outdated(catalogue)
        if old:
            catalogue = catalogue.next((), old, int(now_s()))
            listing.reveal(files, catalogue)
    rows = sum(each.rows for each in found.issues)
    return Updated(catalogue.until_ms, len(found.issues), rows, merges, len(old))
