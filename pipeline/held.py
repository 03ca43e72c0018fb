# SPDX-License-Identifier: Apache-2.0
"""Reads whose meter the master does not know yet: kept as they came, judged again when the master has changed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.columns import read_columns, write_columns
from pipeline.handover.batch import Chunk, Decoded, ReadBatch

_SUFFIX = ".col"


def write_held(target: Path, batches: Sequence[ReadBatch]) -> None:
    """Write the rows of `batches` to one file, with the hand-over file each came from."""
    write_columns(
        target,
        {
            "k0": np.concatenate([batch.keys[:, 0] for batch in batches]),
            "k1": np.concatenate([batch.keys[:, 1] for batch in batches]),
            "read_at_ms": np.concatenate([batch.read_at_ms for batch in batches]),
            "received_ms": np.concatenate([batch.received_ms for batch in batches]),
            "import_register": np.concatenate([batch.import_register for batch in batches]),
            "export_register": np.concatenate([batch.export_register for batch in batches]),
            "place": np.concatenate([batch.place for batch in batches]),
        },
        {"sources": [(batch.source, len(batch)) for batch in batches]},
    )


def join_held(paths: Sequence[Path], target: Path) -> None:
    """Write the reads of several files to one."""
    files = [read_columns(path) for path in paths]
    write_columns(
        target,
        {name: np.concatenate([columns[name] for columns, _ in files]) for name in files[0][0]},
        {"sources": [source for _, meta in files for source in meta["sources"]]},
    )


def held_chunk(path: Path) -> Chunk:
    """Return the chunk that stands for a file of held reads."""
    return Chunk(str(path), path.name, 0, 0, 0)


def is_held(chunk: Chunk) -> bool:
    """Say whether a chunk stands for held reads."""
    return chunk.path.endswith(_SUFFIX)


def read_held(chunk: Chunk) -> Iterator[Decoded]:
    """Yield the held reads of a file, hand-over file by hand-over file."""
    columns, meta = read_columns(Path(chunk.path))
    keys = np.stack([columns["k0"], columns["k1"]], axis=1)
    start = 0
    for source, rows in meta["sources"]:
        span = slice(start, start + rows)
        start += rows
        batch = ReadBatch(
            source,
            keys[span],
            columns["read_at_ms"][span],
            columns["received_ms"][span],
            columns["import_register"][span],
            columns["export_register"][span],
            columns["place"][span],
        )
        yield Decoded(batch, (), {}, 0, ())
