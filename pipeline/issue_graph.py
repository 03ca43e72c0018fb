# SPDX-License-Identifier: Apache-2.0
"""The issuing half of the graph: registers → cells → rows a retailer is sent → delivery files.

A cell's timeline follows from the registers, the master and the instants alone; so an issue that is cut off is simply
run again. Nothing here asks what earlier files held.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from numpy.typing import NDArray

from pipeline.books import open_book
from pipeline.columns import Columns
from pipeline.delivery import DeliveryFile, ManifestEntry, write_delivery
from pipeline.directions import area_and_direction
from pipeline.exchange import Elements, Reporting, read_element
from pipeline.issuance_kernels import CLOSING, reference_rows
from pipeline.journal import Supersession
from pipeline.master import MasterView, open_master
from pipeline.packed import Packed, spilled
from pipeline.plan import SlotPlan
from pipeline.quality import has_value
from pipeline.registers import Column
from pipeline.shard_cells import shard_cells, slot_ends
from pipeline.slot_rows import Facts, SlotRows, file_rows, has_lookups

SLOTS_PER_ELEMENT = 48

Sums = tuple[int, int, int]
"""Cells, available ones, dWh."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue, described: all instants in (from_ms, to_ms], with what the first `batches` intakes brought."""

    home: Path
    work: Path
    batches: int
    master: int
    from_ms: int
    to_ms: int
    rows_per_file: int
    supersessions: tuple[Supersession, ...] = ()
    xml: bool = True

    @property
    def spill(self) -> Path:
        """Where large columns stand between two stages."""
        return self.work / "spill"


@dataclass(frozen=True, slots=True)
class Closed:
    """A slot closed for a retailer."""

    retailer_code: str
    slot: int
    expected: int
    available: int
    missing: int
    issued_ms: int


@dataclass(slots=True)
class SlotReport:
    """What an issue knows of a slot at its end: (cells, available, dWh) by retailer, balancing group and area.

    The sums of the slot leave out cells that nobody supplies; the tables hold them, under retailer 00000.
    """

    slot: int
    expected: int
    available: int
    received: int
    energy_dwh: int
    retailers: dict[str, Sums]
    groups: dict[str, Sums]
    areas: dict[str, Sums]
    directions: dict[str, dict[str, Sums]]
    """By area: demand and generation apart."""
    closed: list[Closed] = field(default_factory=list)
    pending: bool = False
    unbalanced: dict[str, Sums] = field(default_factory=dict)
    """The sums over retailers, balancing groups and areas, where they differ."""


class ComputeCells(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Compute the timelines of one shard's cells, slot by slot."""

    def __init__(self, issue: Issue) -> None:
        """Keep the description."""
        self._issue = issue

    def process(self, element: tuple[int, Any]) -> Iterator[tuple[int, Packed]]:
        """Yield (slot, events and totals of the shard)."""
        issue = self._issue
        shard, plans = read_element(issue.work, element[0])
        view = open_master(issue.home, issue.master)
        book = open_book(issue.home, issue.batches)
        installs = int(view.shard_installs[shard])
        for plan in plans:
            ends = slot_ends(book, issue.supersessions, shard, plan.slot, installs)
            instants = np.array(plan.instants, np.int64)
            received = Column(ends.end, ends.end_base_ms).known_at(issue.to_ms)
            payload = shard_cells(view, shard, plan.slot, instants, plan.real, ends, references=issue.xml)
            cells = Packed((shard, plan.instants, plan.real, received), payload)
            (cells,) = spilled([cells], issue.spill / f"cells-{plan.slot}-{shard:05d}")
            yield plan.slot, cells


class IssueRows(Reporting):
    """Decide, for one slot and all retailers, which rows go out at which instant, and cut them into files."""

    def __init__(self, issue: Issue) -> None:
        """Keep the description."""
        super().__init__(issue.work)
        self._issue = issue

    def process(self, element: tuple[int, Any]) -> Iterator[tuple[int, Packed]]:
        """Yield elements of some files each; leave a report."""
        slot, parts = element[0], sorted(element[1], key=lambda part: part.meta[0])
        issue = self._issue
        view = open_master(issue.home, issue.master)
        _, plan_instants, real, _ = parts[0].meta
        instants = np.array(plan_instants, np.int64)
        opened = [part.opened() for part in parts]
        rows = SlotRows(view, parts, opened)
        close = _closings(rows.expected, rows.unissued)
        rows.decide(close)
        report = _slot_report(view, slot, sum(part.meta[3] for part in parts), opened)
        report.pending = bool(rows.counts[:, real:].any())
        report.closed = _closed(view, slot, rows.expected, rows.unissued, close, instants[:real], issue.from_ms)
        files = list(_files(slot, instants[:real], issue, rows.counts))
        elements = rows.elements(files, issue.spill / f"rows-{slot}", issue.rows_per_file)
        for number, element_of_files in enumerate(elements):
            yield slot << 32 | number, element_of_files
        self.report(f"slot-{slot}", [report])


def _closings(expected: NDArray[np.int64], unissued: NDArray[np.int64]) -> NDArray[np.int8]:
    """Return for each retailer the instant of revision 00 at which the slot closes: the first with nothing unissued."""
    close = np.full(len(expected), CLOSING, np.int8)
    for k in range(CLOSING - 1, -1, -1):
        done = (expected[:, k] > 0) & (unissued[:, k] == 0)
        close[done] = k
    return close


def _closed(
    view: MasterView,
    slot: int,
    expected: NDArray[np.int64],
    unissued: NDArray[np.int64],
    close: NDArray[np.int8],
    instants: NDArray[np.int64],
    from_ms: int,
) -> list[Closed]:
    closed = []
    for r in np.flatnonzero(expected.max(axis=1) > 0).tolist():
        k = int(close[r])
        if r == 0 or k >= len(instants) or instants[k] <= from_ms:
            continue
        count, missing = int(expected[r, k]), int(unissued[r, k])
        closed.append(Closed(view.retailers[r], slot, count, count - missing, missing, int(instants[k])))
    return closed


def _files(
    slot: int, instants: NDArray[np.int64], issue: Issue, counts: NDArray[np.int64]
) -> Iterator[tuple[Facts, int, int, int]]:
    """Cut what each retailer is sent at each instant into files: facts, number of the instant, first and last row."""
    for r in np.flatnonzero(counts.any(axis=1)).tolist():
        revision, split = 0, 0
        for k in np.flatnonzero(counts[r, : len(instants)]).tolist():
            if k > CLOSING:
                revision, split = revision + 1, 0
            total = int(counts[r, k])
            if instants[k] <= issue.from_ms:
                split += -(-total // issue.rows_per_file)
                continue
            for start in range(0, total, issue.rows_per_file):
                split += 1
                yield (r, slot, revision, split, int(instants[k])), k, start, min(total, start + issue.rows_per_file)


def _slot_report(view: MasterView, slot: int, received: int, shards: list[Columns]) -> SlotReport:
    def table(name: str) -> NDArray[np.int64]:
        summed: NDArray[np.int64] = np.sum([columns[f"total_{name}"] for columns in shards], axis=0)
        return summed.reshape(-1, 3)

    by_retailer, by_group, by_area = table("retailer"), table("bg"), table("area")
    whole = by_retailer.sum(axis=0)
    names = ("retailers", "balancing_groups", "areas")
    sums = {
        name: (int(a), int(b), int(c))
        for name, (a, b, c) in zip(names, (each.sum(axis=0) for each in (by_retailer, by_group, by_area)), strict=True)
    }

    def rows(summed: NDArray[np.int64]) -> list[tuple[int, Sums]]:
        return [(k, (int(a), int(b), int(c))) for k, (a, b, c) in enumerate(summed) if a]

    areas, directions = _areas(rows(by_area))
    supplied = whole - by_retailer[0]  # a cell that nobody supplies is counted apart, under 00000
    return SlotReport(
        slot=slot,
        expected=int(supplied[0]),
        available=int(supplied[1]),
        received=received,
        energy_dwh=int(supplied[2]),
        retailers={view.retailers[k]: row for k, row in rows(by_retailer)},
        groups={view.bgs[k]: row for k, row in rows(by_group)},
        areas=areas,
        directions=directions,
        unbalanced=sums if len(set(sums.values())) > 1 else {},
    )


def _areas(rows: Sequence[tuple[int, Sums]]) -> tuple[dict[str, Sums], dict[str, dict[str, Sums]]]:
    """Return the sums of areas, and those of each by direction."""
    areas: dict[str, Sums] = {}
    directions: dict[str, dict[str, Sums]] = {}
    for number, (cells, available, energy) in rows:
        area, direction = area_and_direction(number)
        before = areas.get(f"{area:02d}", (0, 0, 0))
        areas[f"{area:02d}"] = before[0] + cells, before[1] + available, before[2] + energy
        directions.setdefault(f"{area:02d}", {})[direction] = cells, available, energy
    return dict(sorted(areas.items())), dict(sorted(directions.items()))


class WriteDelivery(Reporting):
    """Write the delivery files of an element below the run's folder."""

    def __init__(self, issue: Issue) -> None:
        """Keep the description."""
        super().__init__(issue.work)
        self._issue = issue
        self._opened: dict[str, Columns] = {}

    def process(self, element: tuple[int, Iterable[Packed]]) -> list[None]:
        """Write, and leave the manifest entries."""
        number, (packed,) = element
        entries = [self._write(facts, rows) for facts, rows in file_rows(packed, self._opened)]
        self.report(f"files-{number}", entries)
        return []

    def finish_bundle(self) -> None:
        """Let go of the files of rows, and leave the reports."""
        self._opened.clear()
        super().finish_bundle()

    def _write(self, facts: Facts, rows: Columns) -> ManifestEntry:
        issue = self._issue
        view = open_master(issue.home, issue.master)
        retailer, slot, revision, split, issued_ms = facts
        position, quality, reference = rows["position"], rows["quality"], rows["reference"]
        if issue.xml and has_lookups(reference):
            reference = reference.copy()
            find_references(view, position, slot, retailer, issued_ms, reference)
        file = DeliveryFile(
            retailer_code=view.retailers[retailer],
            slot_id=slot,
            revision=revision,
            split=split,
            issued_ms=issued_ms,
            point_id=view.point_id,
            positions=position,
            ref_off=view.supply_ref_off,
            ref_bytes=view.supply_ref_bytes,
            ref_row=reference,
            energy_dwh=rows["energy"],
            available=has_value(quality).view(np.uint8),
            quality=quality,
        )
        return write_delivery(file, issue.work / "deliveries", xml=issue.xml, flat=True)


def find_references(
    view: MasterView,
    position: NDArray[np.uint32],
    slot: int,
    retailer: int,
    issued_ms: int,
    reference: NDArray[np.uint32],
) -> None:
    """Fill `reference` with the supply row whose customer_ref goes out with each cell (see `reference_rows`)."""
    reference_rows(
        view.supply_of,
        view.supply_from,
        view.supply_to,
        view.supply_retailer,
        view.supply_rec_from,
        view.supply_ref_off,
        position,
        slot,
        retailer,
        issued_ms,
        reference,
    )


def slot_elements(plans: list[SlotPlan], shards: int) -> list[tuple[int, tuple[SlotPlan, ...]]]:
    """Cut a plan into elements: a shard and up to a day of slots each."""
    spans = [tuple(plans[k : k + SLOTS_PER_ELEMENT]) for k in range(0, len(plans), SLOTS_PER_ELEMENT)]
    return [(shard, span) for span in spans for shard in range(shards)]


def build_issue(pipeline: Any, elements: list[tuple[int, tuple[SlotPlan, ...]]], issue: Issue) -> None:
    """Add the issue graph to a Beam pipeline; stages leave manifest entries and slot reports."""
    _ = (
        pipeline
        | "Shards" >> Elements(issue.work, elements)
        | "Intervals" >> beam.ParDo(ComputeCells(issue)).with_output_types(tuple[int, Packed])
        | "BySlot" >> beam.GroupByKey()
        | "Issue" >> beam.ParDo(IssueRows(issue)).with_output_types(tuple[int, Packed])
        | "SpreadFiles" >> beam.GroupByKey()
        | "Delivery" >> beam.ParDo(WriteDelivery(issue))
    )
