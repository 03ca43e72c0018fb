# SPDX-License-Identifier: Apache-2.0
"""Reads as plain rows, and batches of them, for tests of hand-over files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from koma.ids import meter_id_of_key
from koma.limits import NO_READ
from pipeline.handover import Decoded, ReadBatch, Rejected, decode_chunks

MS = 1_787_385_600_000
"""2026-08-22T17:00:00+09:00."""
LATER_MS = MS + 125_250


class Read(NamedTuple):
    """Row of a hand-over file; None is a null register."""

    meter_id: str
    read_at_ms: int = MS
    import_register: int | None = 1
    export_register: int | None = None
    received_ms: int = LATER_MS


def batch_of(reads: Sequence[Read], source: str = "test") -> ReadBatch:
    """Batch of these rows, in this order."""
    ids = b"".join(each.meter_id.encode("ascii").ljust(16, b"\0") for each in reads)

    def registers(values: Iterable[int | None]) -> list[int]:
        return [NO_READ if each is None else each for each in values]

    return ReadBatch(
        source,
        np.frombuffer(ids, np.uint64).reshape(-1, 2),
        np.array([each.read_at_ms for each in reads], np.int64),
        np.array([each.received_ms for each in reads], np.int64),
        np.array(registers(each.import_register for each in reads), np.uint32),
        np.array(registers(each.export_register for each in reads), np.uint32),
        np.arange(len(reads), dtype=np.int64),
    )


def reads_of(batch: ReadBatch) -> list[Read]:
    """Rows of a batch."""
    columns = zip(
        batch.keys.tolist(),
        batch.read_at_ms.tolist(),
        batch.import_register.tolist(),
        batch.export_register.tolist(),
        batch.received_ms.tolist(),
        strict=True,
    )
    return [
        Read(
            meter_id_of_key(*key),
            read_at,
            None if forward == NO_READ else forward,
            None if reverse == NO_READ else reverse,
            received,
        )
        for key, read_at, forward, reverse, received in columns
    ]


class Outcome(NamedTuple):
    """Everything a file brought, over all of its chunks."""

    reads: list[Read]
    places: list[int]
    rejected: list[Rejected]
    filtered: dict[str, int]
    no_data: int
    ignored: tuple[str, ...]

    @property
    def codes(self) -> list[str]:
        """Codes of what was refused."""
        return [each.code for each in self.rejected]


def outcome_of(path: Path, rows_max: int = 65_536) -> Outcome:
    """Decode a file chunk by chunk."""
    parts: list[Decoded] = list(decode_chunks(path, rows_max))
    filtered: dict[str, int] = {}
    for part in parts:
        for name, count in part.filtered.items():
            filtered[name] = filtered.get(name, 0) + count
    return Outcome(
        [read for part in parts for read in reads_of(part.batch)],
        [place for part in parts for place in part.batch.place.tolist()],
        [each for part in parts for each in part.rejected],
        filtered,
        sum(part.no_data for part in parts),
        parts[0].ignored_columns if parts else (),
    )
