# SPDX-License-Identifier: Apache-2.0
"""Taking in what was issued: the delivery files of all instants since the last time become parts of the store.

Only what the journal calls issued counts, so a crash of either side leaves nothing half taken. The store is a reader of
published files like any other: it never holds up an instant.
"""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import HistoryError
from koma.limits import POINT_ID_DIGITS
from koma.slots import MS_PER_MINUTE, MS_PER_SLOT, parse_jst, slot_at_ms, slot_date
from pipeline.delivery.file import slot_file_stem
from pipeline.history.catalogue import Catalogue, Part
from pipeline.history.files import Files
from pipeline.history.parts import PartWriter
from pipeline.history.rows import ID_TYPE, STEP_MINUTES, Rows
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.manifests import SLOTS
from pipeline.master.point_kernels import split_ids
from pipeline.quality import QUALITIES

BATCH_ROWS: Final = 32_000_000
"""Rows that are ordered at once, some 60 bytes each."""
ROUND_ROWS: Final = 512_000_000
"""Rows after which the catalogue tells of what was taken: a crash loses no more work."""
_LEDGER: Final = "slots-{day}.jsonl"


@dataclass(frozen=True, slots=True, order=True)
class Issue:
    """A delivery file."""

    slot: int
    retailer: str
    issued_ms: int
    revision: int
    rows: int
    path: Path


@dataclass(frozen=True, slots=True)
class Found:
    """Delivery files not taken yet, of all instants up to one."""

    until_ms: int
    issues: tuple[Issue, ...]
    seen: tuple[tuple[str, int], ...]


def find_issued(home: Home, catalogue: Catalogue) -> Found:
    """Find the delivery files that were issued after what the store holds.

    Raises:
        HistoryError: a manifest is damaged.

    """
    issued_ms = read_state(home.path("journal")).issued_ms
    if issued_ms <= catalogue.until_ms:
        return Found(catalogue.until_ms, (), catalogue.seen)
    seen = dict(catalogue.seen)
    issues: list[Issue] = []
    retailers = sorted(each.name for each in home.deliveries.iterdir() if each.is_dir())
    for ledger in sorted(home.path("ledger").glob(_LEDGER.format(day="*"))):
        day, size = ledger.stem.removeprefix("slots-"), ledger.stat().st_size
        if seen.get(day) == size:
            continue
        for retailer in retailers:
            manifest = home.deliveries / retailer / day / SLOTS
            issues += (each for each in _lines(manifest, retailer) if catalogue.until_ms < each.issued_ms <= issued_ms)
        if _all_issued(ledger, size, issued_ms):
            seen[day] = size
    return Found(issued_ms, tuple(sorted(issues)), tuple(sorted(seen.items())))


def _all_issued(ledger: Path, size: int, issued_ms: int) -> bool:
    """Say whether a day's ledger, of which `size` bytes were there, tells of nothing that is still being issued."""
    with ledger.open("rb") as file:
        lines = file.read(size).splitlines()
    return not lines or parse_jst(json.loads(lines[-1])["issued_at"]) <= issued_ms


def _lines(manifest: Path, retailer: str) -> Iterator[Issue]:
    try:
        lines = manifest.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        try:
            facts = json.loads(line)
            if "file" in facts:
                slot, revision = slot_at_ms(parse_jst(facts["slot_start"])), facts["revision"]
                path = manifest.parent / f"{slot_file_stem(slot, revision, facts['split'])}.parquet"
                yield Issue(slot, retailer, parse_jst(facts["issued_at"]), revision, facts["rows"], path)
        except (ValueError, KeyError, TypeError) as error:
            raise HistoryError(
                f"{manifest} is damaged in line {number}: {error}",
                hint="restore it from a copy of the home (koma home check names what is damaged), then update again",
            ) from None


def rounds(found: Found) -> Iterator[tuple[int, list[Issue]]]:
    """Cut what was found into rounds of whole instants; yields how far each goes and its files."""
    waiting: list[Issue] = []
    for issued_ms, each in groupby(sorted(found.issues, key=lambda issue: issue.issued_ms), lambda one: one.issued_ms):
        waiting += each
        if sum(issue.rows for issue in waiting) >= ROUND_ROWS:
            yield issued_ms, sorted(waiting)
            waiting = []
    yield found.until_ms, sorted(waiting)


def take(files: Files, issues: Iterable[Issue], prefix: str) -> list[Part]:
    """Write parts of delivery files, each of slots of one month; nobody knows of them yet.

    Raises:
        HistoryError: a delivery file is gone or damaged.

    """
    parts = []
    for number, batch in enumerate(batches(issues)):
        writer = PartWriter(files, f"{prefix}-{number:03d}", 0)
        writer.add(gathered(batch))
        part = writer.close()
        if part is not None:
            parts.append(part)
    return parts


def kept_batches(home: Home, catalogue: Catalogue, day: str = "") -> Iterator[list[Issue]]:
    """Yield the delivery files that are kept and taken, those of some slots at a time; of one day where it is given.

    Raises:
        HistoryError: a manifest is damaged.

    """
    for folder in [day] if day else _days(home):
        issues = [
            each
            for retailer in sorted(home.deliveries.iterdir())
            for each in _lines(retailer / folder / SLOTS, retailer.name)
            if each.issued_ms <= catalogue.until_ms
        ]
        yield from batches(issues)


def _days(home: Home) -> list[str]:
    return sorted({manifest.parent.name for manifest in home.deliveries.glob(f"*/*/{SLOTS}")})


def batches(issues: Iterable[Issue]) -> Iterator[list[Issue]]:
    """Yield delivery files of slots of one month, few enough to be ordered at once; a slot is not cut."""
    for _, of_month in groupby(sorted(issues), lambda each: slot_date(each.slot).replace(day=1)):
        batch: list[Issue] = []
        for _, slot in groupby(of_month, lambda each: each.slot):
            of_slot = list(slot)
            if batch and sum(each.rows for each in batch + of_slot) > BATCH_ROWS:
                yield batch
                batch = []
            batch += of_slot
        if batch:
            yield batch


def gathered(batch: list[Issue]) -> Rows:
    """Read delivery files into rows in order.

    The files come by slot, retailer and instant, and an order by point that is stable keeps them so.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        read = list(pool.map(_read, batch))
    sizes = [len(each.quality) for each in read]
    digits = np.concatenate([each.digits for each in read])
    high, low = np.empty(len(digits), np.uint16), np.empty(len(digits), np.uint64)
    split_ids(digits, np.arange(len(digits), dtype=np.uint32), high, low)
    order = np.lexsort((low, high))
    high, low = high[order], low[order]
    begins = np.concatenate([np.ones(1, bool), (high[1:] != high[:-1]) | (low[1:] != low[:-1])])

    def repeated(values: Iterable[int], kind: Any) -> NDArray[Any]:
        return np.repeat(np.array(list(values), kind), sizes)[order]

    steps = [(each.issued_ms - (each.slot + 1) * MS_PER_SLOT) // (STEP_MINUTES * MS_PER_MINUTE) for each in batch]
    return Rows(
        ids=np.ascontiguousarray(digits[order[begins]]).view(ID_TYPE).ravel(),
        rank=(np.cumsum(begins) - 1).astype(np.int32),
        slot=repeated((each.slot for each in batch), np.int32),
        retailer=repeated((int(each.retailer) for each in batch), np.int32),
        energy=np.concatenate([each.energy for each in read])[order],
        quality=np.concatenate([each.quality for each in read])[order],
        revision=repeated((each.revision for each in batch), np.int16),
        step=repeated(steps, np.int32),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    digits: NDArray[np.uint8]  # (n, 22)
    energy: NDArray[np.int64]
    quality: NDArray[np.uint8]


def _read(issue: Issue) -> _Read:
    try:
        table = pq.read_table(
            pa.memory_map(str(issue.path)), columns=["point_id", "energy_dwh", "quality"], use_threads=False
        )
    except FileNotFoundError:
        raise HistoryError(
            f"{issue.path} is gone, and the history has not taken it yet",
            hint="restore it from a copy of the home; koma home check names all that are gone",
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise HistoryError(
            f"{issue.path} cannot be read: {error}", hint="restore it from a copy of the home, then update again"
        ) from None
    ids = table.column("point_id").combine_chunks()
    start = ids.offset * POINT_ID_DIGITS
    digits = np.frombuffer(ids.buffers()[2], np.uint8)[start : start + len(ids) * POINT_ID_DIGITS]
    if len(digits) != len(ids) * POINT_ID_DIGITS or table.num_rows != issue.rows:
        raise HistoryError(
            f"{issue.path} does not hold the {issue.rows} rows that its manifest says",
            hint="restore it from a copy of the home, then update again",
        )
    words = table.column("quality").combine_chunks().dictionary_encode()
    kinds = np.array([QUALITIES.index(word) for word in words.dictionary.to_pylist()], np.uint8)
    energy = table.column("energy_dwh").combine_chunks().fill_null(0)
    return _Read(digits.reshape(-1, POINT_ID_DIGITS), energy.to_numpy(), kinds[words.indices.to_numpy()])
