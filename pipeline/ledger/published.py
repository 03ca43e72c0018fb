# SPDX-License-Identifier: Apache-2.0
"""What the delivery folders hold of a slot: by retailer from the manifests, by point from the files themselves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.slots import format_jst, parse_jst, slot_start_ms
from pipeline.home import Home
from pipeline.manifests import SLOTS, day_name
from pipeline.master import MasterView
from pipeline.master.points import PointIndex, ids_of


@dataclass(frozen=True, slots=True)
class File:
    """A delivery file as its manifest line tells of it."""

    name: str
    revision: int
    rows: int
    available: int
    issued_ms: int


@dataclass(slots=True)
class Published:
    """What a retailer was sent of a slot; `rows` are those of revision 00."""

    rows: int = 0
    available: int = 0
    """Rows with a value, of all revisions: never fewer than there are cells with a value."""
    closed_ms: int | None = None
    files: list[File] = field(default_factory=list)

    def take(self, line: dict[str, Any]) -> None:
        """Take in a line of the manifest."""
        if line.get("closed"):
            self.closed_ms = parse_jst(line["issued_at"])
            return
        file = File(line["file"], line["revision"], line["rows"], line["available"], parse_jst(line["issued_at"]))
        self.files.append(file)
        self.available += file.available
        if file.revision == 0:
            self.rows += file.rows


def published_of(home: Home, view: MasterView, slot: int) -> dict[str, Published]:
    """Return what each retailer was sent of a slot; those who were sent nothing are left out."""
    found: dict[str, Published] = {}
    for code in view.retailers[1:]:
        mine = Published()
        for line in _lines(home, code, slot):
            mine.take(line)
        if mine.files or mine.closed_ms is not None:
            found[code] = mine
    return found


def _lines(home: Home, retailer: str, slot: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of a slot; those of the day's other slots are not even parsed."""
    path = home.deliveries / retailer / day_name(slot) / SLOTS
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    wanted = f'"slot_start":"{format_jst(slot_start_ms(slot))}"'.encode()
    yield from (json.loads(line) for line in text.splitlines() if wanted in line)


def unpublished(
    home: Home, view: MasterView, retailer: str, slot: int, out: Published, position: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return which of some points no file of the slot holds with a value; a later file counts before an earlier one."""
    held = np.zeros(view.n_points, bool)
    index = PointIndex.of(view)
    for file in out.files:
        path = home.deliveries / retailer / day_name(slot) / f"{file.name.removesuffix('.zip')}.parquet"
        try:
            table = pq.read_table(path, columns=["point_id", "available"])
        except (OSError, pa.ArrowInvalid):  # not there, or not whole: nobody can fetch what it held
            continue
        place = index.positions(ids_of(table["point_id"]))
        there = place >= 0
        held[place[there]] = table["available"].to_numpy()[there]
    return position[~held[position]]
