# SPDX-License-Identifier: Apache-2.0
"""Which decoder reads which file, by extension."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from koma.errors import HandoverError
from pipeline.handover.batch import Chunk, Decoded
from pipeline.handover.columnar import decode_arrow, decode_parquet, plan_arrow, plan_parquet
from pipeline.handover.delimited import decode_csv, plan_csv
from pipeline.handover.telegrams import decode_echonet, plan_echonet

_Plan = Callable[[Path, int], list[Chunk]]
_Decode = Callable[[Chunk], Decoded]

_FORMATS: Final[dict[str, tuple[_Plan, _Decode]]] = {
    ".arrow": (plan_arrow, decode_arrow),
    ".parquet": (plan_parquet, decode_parquet),
    ".csv": (plan_csv, decode_csv),
    ".csv.gz": (plan_csv, decode_csv),
    ".csv.zst": (plan_csv, decode_csv),
    ".echonet": (plan_echonet, decode_echonet),
}

EXTENSIONS: Final = tuple(_FORMATS)
"""Extensions of hand-over files, in small letters; a file's own may be in capitals."""


def plan_chunks(path: Path, rows_max: int) -> list[Chunk]:
    """Cut a hand-over file into chunks of at most `rows_max` rows that can be decoded in any order, in any process.

    Only one thing can be longer: a single telegram that carries more than `rows_max` stamps. A file without rows has no
    chunks.

    Raises:
        HandoverError: the file cannot be read, its extension is unknown, or a column is missing or of a wrong type.
    """
    return _format(path)[0](path, max(1, rows_max))


def decode_chunk(chunk: Chunk) -> Decoded:
    """Decode one chunk. What is wrong with a row or a frame is in the result; the rest of the chunk is decoded.

    Raises:
        HandoverError: the file changed since it was planned, or is damaged behind its beginning.
    """
    return _format(Path(chunk.path))[1](chunk)


def decode_chunks(path: Path, rows_max: int) -> Iterator[Decoded]:
    """Decode a whole file chunk by chunk, in order.

    Raises:
        HandoverError: as `plan_chunks` and `decode_chunk`.
    """
    for chunk in plan_chunks(path, rows_max):
        yield decode_chunk(chunk)


def extension_of(path: Path) -> str:
    """Return which of `EXTENSIONS` a file has.

    Raises:
        HandoverError: none of them.
    """
    name = path.name.lower()
    for extension in sorted(_FORMATS, key=len, reverse=True):
        if name.endswith(extension):
            return extension
    hint = f"A hand-over file ends in {', '.join(EXTENSIONS)}"
    raise HandoverError(f"{path.name}: no format of hand-over files has this extension", hint=hint)


def _format(path: Path) -> tuple[_Plan, _Decode]:
    return _FORMATS[extension_of(path)]
