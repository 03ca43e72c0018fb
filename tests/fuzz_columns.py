# SPDX-License-Identifier: Apache-2.0
"""Damaged record batches and row groups, some in a file whose frame is sound, each judged by itself.

Only what lies inside a part is damaged: the buffers of a record batch, the pages of a row group. So each part is
decoded as it would be in a file of its own. It is held against Arrow's own reading of the part where Arrow finds it
sound, the straight way against the long way, a Parquet part cut small against the whole.
"""

import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import HandoverError
from pipeline.handover import Chunk, Decoded, decode_chunk, plan_chunks
from pipeline.handover.write import to_arrow
from tests.fuzz_files import COLUMNS, Judgement, otherwise, told_apart, unclear, unfit
from tests.fuzz_inputs import odd_number_in, other_types, some_reads
from tests.hand_over import batch_of

PARTS = {".arrow": 32, ".parquet": 8}
"""Parts of a file: each opening of a Parquet file reads what the footer says of all."""
ROWS = 8
CUT_EVERY = 4
"""Of so many parts one is cut small, too."""

Spans = tuple[tuple[int, int], ...]
"""Where bytes of a part begin in its file, and how many there are."""


@cache
def _tables() -> tuple[pa.Table, ...]:
    """Enough rows for a pack, in every mix of types: with nulls, plain, and of other types than ours."""
    reads = some_reads(ROWS * PARTS[".arrow"], random.Random(3))  # noqa: S311
    plain = [each._replace(import_register=n, export_register=None) for n, each in enumerate(reads)]
    both = [each._replace(import_register=n, export_register=n + 1) for n, each in enumerate(reads)]
    ours = [pa.Table.from_batches([to_arrow(batch_of(each))]) for each in (reads, plain, both)]
    naive = ours[2]
    for column, name in ((1, "read_at"), (4, "received_at")):
        naive = naive.set_column(column, name, naive[name].cast(pa.int64()).cast(pa.timestamp("ms")))
    return (*ours, naive, *other_types(reads))


@cache
def _arrow(variant: int) -> tuple[bytes, tuple[Spans, ...]]:
    table = _tables()[variant % len(_tables())]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches(max_chunksize=ROWS):
            writer.write_batch(batch)
    source = sink.getvalue()
    reader = pa.ipc.open_file(source)
    parts = []
    for index in range(reader.num_record_batches):
        columns = reader.get_batch(index).columns
        columns += [each.indices for each in columns if pa.types.is_dictionary(each.type)]
        held = {(each.address - source.address, each.size) for column in columns for each in column.buffers() if each}
        # a dictionary is shared by all batches
        parts.append(tuple(sorted(each for each in held if each[1] and 0 <= each[0] < source.size)))
    shared = set(parts[0]).intersection(*parts[1:])
    return source.to_pybytes(), tuple(tuple(each for each in part if each not in shared) for part in parts)


@cache
def _parquet(variant: int) -> tuple[bytes, tuple[Spans, ...]]:
    tables = _tables()
    codec = ("none", "none", "snappy", "zstd", "gzip", "lz4")[variant % 6]
    sink = pa.BufferOutputStream()
    options: dict[str, Any] = {
        "use_dictionary": variant // 6 % 2 == 0,
        "data_page_version": "2.0" if variant // 12 % 2 else "1.0",
        "write_page_checksum": variant // 24 % 4 == 3,
        "store_schema": variant % 5 != 4,
    }
    table = tables[variant % len(tables)].slice(0, ROWS * PARTS[".parquet"])
    pq.write_table(table, sink, compression=codec, row_group_size=ROWS, **options)
    source = sink.getvalue()
    about = pq.ParquetFile(source).metadata
    parts = []
    for group in range(about.num_row_groups):
        columns = [about.row_group(group).column(index) for index in range(about.num_columns)]
        starts = [each.dictionary_page_offset or each.data_page_offset for each in columns]
        parts.append(tuple(zip(starts, (each.total_compressed_size for each in columns), strict=True)))
    return source.to_pybytes(), tuple(parts)


def pack(_folder: Path, extension: str, first: int, last: int) -> bytes:
    """Return the file that carries parts `first` to `last` damaged, and its other parts sound."""
    data, parts = (_arrow if extension == ".arrow" else _parquet)(first // PARTS[extension] % 96)
    damaged = bytearray(data)
    for number in range(first, last):
        _damage_part(damaged, data, parts[number % len(parts)], random.Random(f"{extension}part{number}"))  # noqa: S311
    return bytes(damaged)


def _damage_part(damaged: bytearray, data: bytes, spans: Spans, chance: random.Random) -> None:
    """Damage the bytes of one part where they lie, every other time behind the headers of pages."""
    for _ in range(chance.choice([1, 1, 2, 4])):
        at, size = chance.choice(spans)
        skipped = chance.choice([0, size // 2])
        at, size = at + skipped, size - skipped
        match chance.randrange(8):
            case 0:
                damaged[at + chance.randrange(size)] ^= 1 << chance.randrange(8)
            case 1:
                damaged[at + chance.randrange(size)] = chance.choice([0, 0xFF, 0x80, 0x7F, 0x20, chance.randrange(256)])
            case 2:
                start = chance.randrange(size)
                end = min(size, start + chance.choice([2, 4, 8, 16]))
                damaged[at + start : at + end] = bytes([chance.choice([0, 0xFF, 0x80])]) * (end - start)
            case 3:
                other, length = chance.choice(spans)
                count = min(size, length, chance.choice([4, 8, 16, 64]))
                start, source = chance.randrange(size - count + 1), other + chance.randrange(length - count + 1)
                damaged[at + start : at + start + count] = data[source : source + count]
            case _:
                odd_number_in(damaged, at, size, chance)


def judged_pack(path: Path, _folder: Path, first: int, last: int) -> Iterator[tuple[int, Judgement]]:
    """Decode the parts `first` to `last` of their file, and say of each what became of it."""
    at = first - first % PARTS[path.suffix]
    chunks = plan_chunks(path, ROWS)
    if [each.length for each in chunks] != [ROWS] * PARTS[path.suffix]:
        yield first, Judgement("pack", [f"the parts are {[each.length for each in chunks]}"])
        return
    small = [each for each in plan_chunks(path, 5) if first <= at + each.part < last and each.part % CUT_EVERY == 0]
    source = pa.BufferReader(path.read_bytes())
    reader: Any = pa.ipc.open_file(source) if path.suffix == ".arrow" else pq.ParquetFile(source)
    for number in range(first, last):
        part = number - at
        found = Judgement("refused")
        try:
            decoded = decode_chunk(chunks[part])
        except HandoverError as error:
            found.wrong += unclear(error, path)
            cut = [each for each in small if each.part == part]
            if cut and not any(_refused(each) for each in cut):
                found.wrong.append("refused whole, and read when cut")
            yield number, found
            continue
        found.outcome = "decoded" if len(decoded.batch) else "refused in part"
        found.wrong += unfit(decoded, ROWS, path)
        found.wrong += otherwise(decoded, chunks[part])
        if part % CUT_EVERY == 0:
            found.wrong += _cut_otherwise(decoded, [each for each in small if each.part == part])
        table = _read(reader, part)
        if table is not None:
            found.wrong += told_apart(table, decoded, part * ROWS)
        yield number, found


def _refused(chunk: Chunk) -> bool:
    try:
        decode_chunk(chunk)
    except HandoverError:
        return True
    return False


def _cut_otherwise(decoded: Decoded, chunks: list[Chunk]) -> Iterator[str]:
    try:
        parts = [decode_chunk(each) for each in chunks]
    except HandoverError as error:
        yield f"read whole, and refused when cut: {error}"
        return
    for name in COLUMNS:
        if b"".join(getattr(each.batch, name).tobytes() for each in parts) != getattr(decoded.batch, name).tobytes():
            yield f"cut otherwise, {name} differs"
    if tuple(each for part in parts for each in part.rejected) != decoded.rejected:
        yield "cut otherwise, the refusals differ"


def _read(reader: Any, part: int) -> pa.Table | None:
    try:
        if isinstance(reader, pq.ParquetFile):
            read: pa.Table = reader.read_row_group(part, use_threads=False)
            return read
        return pa.Table.from_batches([reader.get_batch(part)])
    except (pa.ArrowException, OSError, ValueError):
        return None
