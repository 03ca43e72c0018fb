# SPDX-License-Identifier: Apache-2.0
"""Monthly files as two small graphs: shards of a meter-reading day → rows by retailer and revision → files.

A point belongs to one shard, so a shard decides all of its rows alone; between the shards only the points of each file
are settled. Rows stand in files of the run's folder from the first graph to the second, 39 bytes each.
"""

import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.delivery import ManifestEntry, MonthlyFile, MonthRows, write_monthly
from pipeline.exchange import Elements, Reporting, read_element
from pipeline.issue_graph import Issue
from pipeline.master import MasterView, open_master
from pipeline.month_cells import shard_months
from pipeline.month_plan import MonthPlan
from pipeline.month_row_kernels import RANK_BITS, month_references
from pipeline.packed import Packed, spilled

FILES_PER_ELEMENT: Final = 64


@dataclass(frozen=True, slots=True)
class MonthIssue(Issue):
    """An issue of monthly files, described as one of slots is."""

    first_slot: int = 0
    """Of the home: no period starts before."""


@dataclass(frozen=True, slots=True)
class ShardMonth:
    """What a shard brings to a reading day.

    Attributes:
        plan: the day.
        shard: number.
        rows: ordered by `key`, see `MonthRows` of the kernels.
        content: flat pairs (retailer, step) of the instants after the first that have rows, those that are out too.
    """

    plan: MonthPlan
    shard: int
    rows: Packed
    content: Packed


@dataclass(frozen=True, slots=True)
class FilePlan:
    """A file: the rows whose keys are in [low, high)."""

    reading: int
    retailer: int
    revision: int
    split: int
    issued_ms: int
    low: int
    high: int
    rows: int


Months = dict[int, list[ShardMonth]]
"""What the shards bring, by the first slot of the reading day."""


class ComputeMonth(Reporting):
    """Compute the rows of one shard's reading day."""

    def __init__(self, issue: MonthIssue, work: Path) -> None:
        """Keep the description, and the folder of this stage."""
        super().__init__(work)
        self._issue = issue

    def process(self, element: tuple[int, Any]) -> list[None]:
        """Compute, and leave a `ShardMonth`."""
        shard, plan = read_element(self._work, element[0])
        rows, content = shard_months(self._issue, self._issue.first_slot, plan, shard)
        name = f"{plan.reading:08d}-{shard:05d}"
        (packed,) = spilled([Packed((), rows)], self._work / "spill" / name)
        content[:, 0] = False
        pairs = Packed((), {"content": np.argwhere(content).ravel()})
        self.report(name, ShardMonth(plan, shard, packed, pairs))
        return []


def plan_files(shards: Sequence[ShardMonth], rows_per_file: int) -> Iterator[FilePlan]:
    """Cut what each retailer is sent of a reading day into files of up to `rows_per_file` points."""
    plan = shards[0].plan
    keys = np.concatenate([each.rows.opened()["key"] for each in shards])
    keys.sort()
    groups, starts = np.unique(keys >> RANK_BITS, return_index=True)
    contents: defaultdict[int, set[int]] = defaultdict(set)
    for each in shards:
        for retailer, step in each.content.columns["content"].reshape(-1, 2).tolist():
            contents[retailer].add(step)
    bounds = [*starts.tolist(), len(keys)]
    for group, (start, end) in zip(groups.tolist(), pairwise(bounds), strict=True):
        retailer, step = divmod(group, len(plan.instants))
        revision = sum(each <= step for each in contents[retailer])
        for split, begin in enumerate(range(start, end, rows_per_file), 1):
            last = min(begin + rows_per_file, end)
            low, high = int(keys[begin]), int(keys[last - 1]) + 1
            yield FilePlan(plan.reading, retailer, revision, split, plan.instants[step], low, high, last - begin)


class WriteMonths(Reporting):
    """Write the files of an element below the run's folder."""

    def __init__(self, issue: MonthIssue, sources: Path, work: Path) -> None:
        """Keep the description, the file that tells what the shards brought, and the folder of this stage."""
        super().__init__(work)
        self._issue, self._sources = issue, sources

    def process(self, element: tuple[int, Any]) -> list[None]:
        """Write, and leave (manifest entry, dWh) of each file."""
        months = _months(self._sources)
        files: Sequence[FilePlan] = read_element(self._work, element[0])
        self.report(f"{element[0]:08d}", [self._write(file, months[file.reading]) for file in files])
        return []

    def _write(self, file: FilePlan, shards: Sequence[ShardMonth]) -> tuple[ManifestEntry, int]:
        issue = self._issue
        view = open_master(issue.home, issue.master)
        rows = _rows_of(view, file, shards)
        facts = MonthlyFile(view.retailers[file.retailer], file.reading, file.revision, file.split, file.issued_ms)
        entry = write_monthly(facts, rows, issue.work / "deliveries", xml=issue.xml)
        return entry, int(rows.energy_dwh.sum())


def _rows_of(view: MasterView, file: FilePlan, shards: Sequence[ShardMonth]) -> MonthRows:
    """Return the rows of a file, ascending by point id."""
    parts = []
    for each in shards:
        columns = each.rows.opened()
        first, last = np.searchsorted(columns["key"], [file.low, file.high])
        if first < last:
            parts.append({name: column[first:last] for name, column in columns.items()})
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(whole["key"])
    whole = {name: column[order] for name, column in whole.items()}
    return MonthRows(
        point_id=view.point_id[whole["position"]],
        customer_ref=_references(view, whole["position"], whole["end"], file),
        first=whole["first"],
        end=whole["end"],
        energy_dwh=whole["energy"],
        quality=whole["quality"],
        slots=whole["slots"],
        missing=whole["missing"],
        read_day=whole["day"],
    )


def _references(view: MasterView, position: NDArray[np.uint32], end: NDArray[np.int32], file: FilePlan) -> Any:
    """Return customer_ref of the retailer's last slot of each period as Arrow texts, null for none."""
    row = np.empty(len(position), np.int64)
    month_references(
        view.supply_of, view.supply_from, view.supply_to, view.supply_retailer, view.supply_rec_from,
        position, end - np.int32(1), file.retailer, file.issued_ms, row,
    )  # fmt: skip
    off = view.supply_ref_off
    size = np.where(row >= 0, off[row + 1] - off[row], 0)
    ends = np.cumsum(size)
    at = np.repeat(off[row] - (ends - size), size) + np.arange(int(ends[-1]))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    texts = pa.StringArray.from_buffers(
        len(row), pa.py_buffer(offsets), pa.py_buffer(view.supply_ref_bytes[at].tobytes()), null_count=0
    )
    return pa.compute.if_else(pa.array(size > 0), texts, None)


@lru_cache(maxsize=1)
def _read(path: Path, inode: int, written_ns: int) -> Months:
    del inode, written_ns  # a later run's file of the same name is another
    found: Months = pickle.loads(path.read_bytes())  # noqa: S301  written by the driver of this run
    return found


def _months(path: Path) -> Months:
    found = path.stat()
    return _read(path, found.st_ino, found.st_mtime_ns)


def grouped(files: Iterable[FilePlan], rows_max: int) -> Iterator[list[FilePlan]]:
    """Put small files together to elements of about `rows_max` rows at most."""
    group: list[FilePlan] = []
    rows = 0
    for file in files:
        group.append(file)
        rows += file.rows
        if rows >= rows_max or len(group) >= FILES_PER_ELEMENT:
            yield group
            group, rows = [], 0
    if group:
        yield group


def build_months(pipeline: Any, elements: Sequence[tuple[int, MonthPlan]], issue: MonthIssue, work: Path) -> None:
    """Add the graph of months to a Beam pipeline; it leaves a `ShardMonth` for each element."""
    _ = pipeline | "Shards" >> Elements(work, elements) | "Months" >> beam.ParDo(ComputeMonth(issue, work))


def build_files(
    pipeline: Any, elements: Sequence[Sequence[FilePlan]], sources: Path, issue: MonthIssue, work: Path
) -> None:
    """Add the graph of files to a Beam pipeline; it leaves manifest entries. `sources` holds the months."""
    _ = pipeline | "Points" >> Elements(work, elements) | "Monthly" >> beam.ParDo(WriteMonths(issue, sources, work))
