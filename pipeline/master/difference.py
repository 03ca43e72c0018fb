# SPDX-License-Identifier: Apache-2.0
"""Another system's copy of the master beside ours: an import that is judged and never applied.

What the import would do to each key is how the copies differ. Nothing is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from koma.settings import Settings
from pipeline.master.judge import Judgement
from pipeline.master.ledger import Moment
from pipeline.master.ledger_kernels import CANCELLED, IDLE, NEW, OLDER, SUPERSEDING
from pipeline.master.log import read_log
from pipeline.master.points import PointIndex
from pipeline.master.rows import Reading, read_rows
from pipeline.master.source import find_files
from pipeline.master.store import MasterStore, open_master

KINDS: Final = {
    NEW: "lacks",
    SUPERSEDING: "differs",
    CANCELLED: "differs",
    OLDER: "differs",
    IDLE: "refused",
}
"""What a row's fate says of ours: we lack it, ours says something else, theirs cannot be taken."""
SURPLUS: Final = "surplus"
"""We have it and they do not."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A point of which the copies say different things."""

    point_id: str
    table: str
    kind: str
    rows: int


def differences(
    home: Path, source: Path, settings: Settings, *, now_ms: int | None, whole: bool
) -> Iterator[Difference]:
    """Yield the points of which a copy in the files of an import differs from the home's, table by table.

    Args:
        home: the data directory.
        source: folder with the other system's files, as `koma master import` takes them.
        settings: by which contract power becomes a cap.
        now_ms: the home's clock.
        whole: the files are all that the other system has: what we have beyond is a difference.

    Raises:
        MasterError: a file cannot be read or lacks a required column.

    """
    store = MasterStore(home.absolute())
    view = open_master(store.home)
    groups = {code: number for number, code in enumerate(view.bgs)}
    reading = Reading(settings.cap_factor, settings.cap_kw_default, groups)
    judged = Judgement(PointIndex.of(view), partial(read_log, store.logged()), Moment(now_ms, first=False))
    for each in find_files(source):
        judged.take(read_rows(each, reading))
    judged.judge()
    for table, ledger in judged.ledgers.items():
        position = ledger.position[ledger.n_old :]
        for kind in sorted(set(KINDS.values())):
            fates = [fate for fate, word in KINDS.items() if word == kind]
            points, counts = np.unique(position[np.isin(ledger.status, fates) & (position >= 0)], return_counts=True)
            for point, count in zip(points.tolist(), counts.tolist(), strict=True):
                yield Difference(judged.index.text(point), table, kind, count)
        if whole:
            known = ledger.position[: ledger.n_old][ledger.current[: ledger.n_old]]
            for point in np.setdiff1d(known, position).tolist():
                yield Difference(judged.index.text(point), table, SURPLUS, 1)
