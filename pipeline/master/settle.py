# SPDX-License-Identifier: Apache-2.0
"""What was imported before the home had a clock counts no later than from the clock's first time.

A row recorded later than the home's clock counts from the next instant. A home without an accepted read has no clock:
its imports keep the times they state until the first read gives it one.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.home import BusyError
from pipeline.master.log import write_settled
from pipeline.master.store import MasterStore, open_master
from pipeline.master.view import OPEN_MS

_TIMES = tuple(f"{table}_rec_{end}" for table in ("attr", "supply", "install") for end in ("from", "to"))


def settle(home: Path, now_ms: int | None) -> None:
    """Make a version in which no row counts only after `now_ms`, ms UTC, where there is such a row.

    Nothing is done without a clock (None), and while an import runs: the next call looks again.
    """
    if now_ms is None or not _ahead(open_master(home).changed_rec_ms, now_ms):
        return
    store = MasterStore(home.absolute())
    with suppress(BusyError), store.importing():
        view = open_master(home)
        if not _ahead(view.changed_rec_ms, now_ms):
            return
        number = store.next_number()
        version = store.stage_version(number, view.version)
        version.put({name: _capped(getattr(view, name), now_ms) for name in (*_TIMES, "changed_rec_ms")})
        version.close({"retailers": view.retailers, "bgs": view.bgs})
        write_settled(store.log_folder(number), now_ms)
        store.publish_version(number)


def _ahead(recorded_ms: NDArray[np.int64], now_ms: int) -> bool:
    return bool(len(recorded_ms)) and int(recorded_ms.max()) > now_ms


def _capped(times_ms: NDArray[np.int64], now_ms: int) -> NDArray[np.int64]:
    return np.where(times_ms == OPEN_MS, times_ms, np.minimum(times_ms, now_ms))
