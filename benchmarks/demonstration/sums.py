# SPDX-License-Identifier: Apache-2.0
"""What retailers hold, against the truth: per retailer and slot the points, those with a value, and the exact sum.

Cells are read from zips with an ordinary XML parser, or from Parquet with pyarrow; nothing of the pipeline takes part.
"""

import csv
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

NOBODY = "00000"
_DWH_PER_KWH = 10_000


class Sums(NamedTuple):
    """Points delivered, those among them with a value, and their energy in dWh."""

    points: int
    available: int
    energy_dwh: int


By = dict[tuple[str, str], Sums]
"""By retailer code and slot start (ISO 8601, JST)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How what one retailer holds compares with the truth over the window.

    Attributes:
        held, true: sums over all slots of the window.
        slots: slots of the window.
        exact: slots in which points, values and sum are those of the truth.
    """

    held: Sums
    true: Sums
    slots: int
    exact: int

    @property
    def passed(self) -> bool:
        """Whether every slot is exact."""
        return self.exact == self.slots


def truth_totals(path: Path) -> By:
    """Return the truth per retailer and slot, without the cells that nobody supplies."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["slot_start"] and row["retailer_code"] != NOBODY]
    return {
        (row["retailer_code"], row["slot_start"]): Sums(
            int(row["expected"]), int(row["available"]), int(row["energy_dwh"])
        )
        for row in rows
    }


def compared(retailer: str, held: By, true: By) -> Verdict:
    """Compare what a retailer holds with the truth in every slot that the truth speaks of."""
    slots = [slot for code, slot in true if code == retailer]
    nothing = Sums(0, 0, 0)
    pairs = [(held.get((retailer, slot), nothing), true[retailer, slot]) for slot in slots]
    return Verdict(
        _added(mine for mine, _ in pairs),
        _added(theirs for _, theirs in pairs),
        len(slots),
        sum(mine == theirs for mine, theirs in pairs),
    )


def slot_of(path: Path) -> str:
    """Return the slot start that a delivery file's name holds."""
    stem = path.stem
    return f"{stem[6:10]}-{stem[10:12]}-{stem[12:14]}T{stem[14:16]}:{stem[16:18]}:00+09:00"


def from_zips(retailer: str, zips: Iterable[Path]) -> By:
    """Read W41110 zips in the order of their names, so that a later revision of a cell replaces an earlier one."""
    cells: dict[tuple[str, str], int | None] = {}
    for path in sorted(zips):
        stem, slot = path.stem, slot_of(path)
        with zipfile.ZipFile(path) as archive:
            root = ET.fromstring(archive.read(f"{stem}.xml"))  # noqa: S314  files that this demonstration made
        for row in root.iter("JPMR00010"):
            kwh = row.findtext("JP06125")
            point = row.findtext("JP06400", "")
            cells[slot, point] = None if kwh is None else int(Decimal(kwh) * _DWH_PER_KWH)
    points, available, energy = Counter[str](), Counter[str](), Counter[str]()
    for (slot, _), value in cells.items():
        points[slot] += 1
        available[slot] += value is not None
        energy[slot] += value or 0
    return {(retailer, slot): Sums(points[slot], available[slot], energy[slot]) for slot in points}


def from_parquet(retailer: str, files: Iterable[Path]) -> By:
    """Read Parquet files with the delivery's columns; of each cell the latest revision counts."""
    columns = ["point_id", "slot_start", "energy_dwh", "revision"]
    tables = [pq.read_table(path, columns=columns) for path in sorted(files)]
    if not tables:
        return {}
    table = pa.concat_tables(tables)
    latest = table.group_by(["point_id", "slot_start"]).aggregate([("revision", "max")])
    kept = table.join(
        latest.rename_columns({"revision_max": "revision"}), ["point_id", "slot_start", "revision"], join_type="inner"
    )
    if kept.num_rows != latest.num_rows:
        raise ValueError(f"retailer {retailer} holds a cell twice in one revision")
    start = pc.cast(pc.cast(kept["slot_start"], pa.timestamp("ms", "Asia/Tokyo")), pa.int64()).to_numpy()
    present = pc.is_valid(kept["energy_dwh"]).to_numpy(zero_copy_only=False)
    energy = pc.fill_null(kept["energy_dwh"], 0).to_numpy()
    result: By = {}
    for ms in np.unique(start):
        here = start == ms
        sums = Sums(int(here.sum()), int(present[here].sum()), int(energy[here].sum()))
        result[retailer, _iso(int(ms))] = sums
    return result


def _added(sums: Iterable[Sums]) -> Sums:
    columns = list(zip(*sums, strict=True)) or [(), (), ()]
    return Sums(*(sum(column) for column in columns))


def _iso(ms: int) -> str:
    text = np.datetime_as_string(np.datetime64(ms, "ms") + np.timedelta64(9, "h"), unit="s")
    return f"{text}+09:00"
