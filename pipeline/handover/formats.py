# SPDX-License-Identifier: Apache-2.0
"""Which decoder reads which file, by extension."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.handover.batch import Chunk, Decoded

EXTENSIONS = (".arrow", ".parquet", ".csv", ".csv.gz", ".csv.zst", ".echonet")


def plan_chunks(path: Path, rows_max: int) -> list[Chunk]:
    """Cut a hand-over file into chunks of at most `rows_max` rows that can be decoded in any order.

    Raises:
        HandoverError: the file cannot be read, its extension is unknown, or a required column is missing.
    """
    raise NotImplementedError


def decode_chunk(chunk: Chunk) -> Decoded:
    """Decode one chunk.

    Raises:
        HandoverError: the file changed or is damaged behind its beginning.
    """
    raise NotImplementedError


def decode_chunks(path: Path, rows_max: int) -> Iterator[Decoded]:
    """Decode a whole file chunk by chunk, in order.

    Raises:
        HandoverError: as `plan_chunks` and `decode_chunk`.
    """
    for chunk in plan_chunks(path, rows_max):
        yield decode_chunk(chunk)
