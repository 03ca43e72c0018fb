# SPDX-License-Identifier: Apache-2.0
"""A writer and readers of one history, each a process of its own: `python -m tests.history_races write|read HOME`.

The home has issued everything already. The writer lets its journal tell of one issue after the other and updates the
history after each, with parts so small and so soon put together that nearly everything moves. A reader holds whatever
it reads against all that was delivered up to the instant that the store says it has.
"""

import random
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from koma.output import emit
from koma.slots import MS_PER_SLOT
from pipeline.history import merge, parts, store, upkeep
from pipeline.history.catalogue import NEVER
from pipeline.history.files import Files, store_files
from pipeline.history.reading import IntervalStore, Wanted
from pipeline.history.rows import Rows, merged
from pipeline.home import Home
from pipeline.journal import JOURNAL
from pipeline.quality import QUALITIES
from tests.homes import settings_of

WHOLE = "journal.whole"
"""Beside the journal: all of its lines."""
Row = tuple[str, int, int, int, int | None, str, int]


def make_small() -> None:
    parts.ROWS_PER_GROUP, parts.GROUPS_PER_FILE, merge.BLOCK_ROWS_MIN = 7, 2, 5  # type: ignore[misc]
    upkeep.LATE_PARTS = 2  # type: ignore[misc]


def write(home: Home) -> None:
    """Update after each further line of the journal; ends when all is told."""
    make_small()
    lines = (home.path("journal") / WHOLE).read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines) + 1):
        told = home.path("journal") / f".{JOURNAL}"
        told.write_bytes(b"".join(lines[:count]))
        told.rename(home.path("journal") / JOURNAL)
        store.update(home, settings_of(home), grace_s=0)


def delivered(home: Home) -> list[Row]:
    """All rows delivered, in plain Python, with point, slot, retailer, instant."""
    rows = []
    for path in sorted(home.deliveries.glob("*/*/W41110*.parquet")):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            slot = int(row["slot_start"].timestamp() * 1000) // MS_PER_SLOT
            issued_ms = int(row["recorded_at"].timestamp() * 1000)
            told = (row["energy_dwh"], row["quality"], row["revision"])
            rows.append((row["point_id"], slot, int(path.parent.parent.name), issued_ms, *told))
    return sorted(rows)


def plain(rows: Rows) -> list[Row]:
    issued_ms = rows.issued_ms()
    return [
        (
            bytes(rows.ids[rows.rank[k]]).decode(),
            int(rows.slot[k]),
            int(rows.retailer[k]),
            int(issued_ms[k]),
            int(rows.energy[k]) if QUALITIES[rows.quality[k]] in {"actual", "rollover", "spike", "digits"} else None,
            QUALITIES[rows.quality[k]],
            int(rows.revision[k]),
        )
        for k in range(len(rows))
    ]


def read(home: Home, seed: int) -> None:
    """Read until told to end; say how many reads were right, or what was wrong."""
    ended: list[Any] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    chance = random.Random(seed)  # noqa: S311  which points are read, no secret
    everything, files = delivered(home), store_files(home, settings_of(home))
    by_point: dict[str, list[Row]] = defaultdict(list)
    for row in everything:
        by_point[row[0]].append(row)
    count = 0
    while not ended:
        wrong = _one_read(files, chance, by_point)
        if wrong:
            sys.exit(wrong)
        count += 1
    emit({"reads": count})


def _one_read(files: Files, chance: random.Random, by_point: dict[str, list[Row]]) -> str:
    reader = IntervalStore(files)
    until_ms = reader.until_ms()
    if until_ms == NEVER:
        return ""
    wanted = Wanted(first_slot=0, end_slot=1 << 30, as_of_ms=until_ms, every_state=True)
    if chance.random() < 0.7:
        points = [chance.choice(sorted(by_point))]
        got = plain(reader.point(points[0], wanted))
    else:
        points = sorted(by_point)
        got = plain(merged(list(reader.scan(wanted))))
    right = [row for each in points for row in by_point[each] if row[3] <= until_ms]
    if got == right:
        return ""
    lacking, strange = sorted(set(right) - set(got))[:3], sorted(set(got) - set(right))[:3]
    return f"until {until_ms}: {len(got)} rows for {len(right)}; missing {lacking}, too many {strange}"


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Home(Path(sys.argv[2])))
    else:
        read(Home(Path(sys.argv[2])), int(sys.argv[3]))
