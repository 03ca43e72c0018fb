# SPDX-License-Identifier: Apache-2.0
"""Hand-over files with damage in them, each known by its number: sound files, and what is done to them."""

import random
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from koma.limits import NO_DATA, REGISTER_MAX
from koma.slots import parse_jst
from pipeline.handover import EXTENSIONS
from pipeline.handover.write import to_arrow, write_arrow, write_csv, write_echonet, write_parquet
from tests.frame_encoder import frame, history, pairs, record
from tests.hand_over import Read, batch_of

START_MS = parse_jst("2026-08-22T17:00:00")
_ODD = (0, 1, 2, 3, 7, 8, 15, 16, 17, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE,
        0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip


def some_reads(count: int, chance: random.Random) -> list[Read]:
    def register() -> int | None:
        return chance.choice([None, NO_DATA, 0, REGISTER_MAX, chance.randrange(REGISTER_MAX)])

    return [
        Read(
            "".join(chance.choices("0123456789ABCDEFab-_", k=chance.choice([1, 7, 8, 9, 12, 15, 16]))),
            START_MS + chance.randrange(-96, 96) * 1_800_000,
            register(),
            register(),
            START_MS + chance.randrange(86_400_000),
        )
        for _ in range(count)
    ]


@cache
def seeds(folder: Path) -> dict[str, tuple[bytes, ...]]:
    """Return small sound files by extension: the formats, and the types and packings of each."""
    chance = random.Random(1)  # noqa: S311
    reads = some_reads(40, chance)
    plain = [each._replace(import_register=n, export_register=None) for n, each in enumerate(reads)]
    found: dict[str, list[bytes]] = {each: [] for each in EXTENSIONS}
    path = folder / "seed"
    for some in (reads, plain, reads[:1], []):
        batch = batch_of(some)
        write_arrow(path.with_suffix(".arrow"), batch, rows_per_batch=16)
        write_parquet(path.with_suffix(".parquet"), batch, rows_per_group=16)
        write_csv(path.with_suffix(".csv"), batch)
        write_csv(path.with_suffix(".csv.gz"), batch, "gz")
        write_csv(path.with_suffix(".csv.zst"), batch, "zst")
        write_echonet(path.with_suffix(".echonet"), batch)
        for extension in EXTENSIONS:
            written = path.with_suffix(extension)
            found[extension].append(written.read_bytes())
            written.unlink()
    for table in other_types(reads):
        for codec in (None, "lz4", "zstd"):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
                writer.write_table(table, max_chunksize=16)
            found[".arrow"].append(sink.getvalue().to_pybytes())
    for codec in ("none", "snappy", "gzip", "zstd"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_batches([to_arrow(batch_of(reads))]), sink, compression=codec, row_group_size=16)
        found[".parquet"].append(sink.getvalue().to_pybytes())
    found[".echonet"].append(_telegrams(chance))
    return {extension: tuple(each) for extension, each in found.items()}


def other_types(reads: list[Read]) -> Iterator[pa.Table]:
    table = pa.Table.from_batches([to_arrow(batch_of(reads))])
    texts = (pa.string(), pa.large_string(), pa.binary(), pa.string_view(), pa.dictionary(pa.int16(), pa.string()))
    for text, integer, unit in zip(texts, ("u4", "i8", "u8", "i4", "u4"), ("ms", "us", "s", "ns", "ms"), strict=True):
        whole = table.set_column(0, "meter_id", table["meter_id"].cast(text))
        for column in (2, 3):
            values = np.minimum(whole.column(column).to_numpy().astype(float).astype("f8"), 2**31 - 1)
            kept = pa.array(np.nan_to_num(values).astype(integer), mask=np.isnan(values))
            whole = whole.set_column(column, table.schema.names[column], kept)
        for column in (1, 4):
            times = whole.column(column).cast(pa.timestamp(unit, "UTC"), safe=False)
            whole = whole.set_column(column, table.schema.names[column], times)
        yield whole


def _telegrams(chance: random.Random) -> bytes:
    """Return records with histories beside single registers."""
    day = [chance.choice([NO_DATA, k]) for k in range(48)]
    frames = [
        frame([history(0xE2, 1, day), history(0xE4, 99, day)]),
        frame([pairs("2026-08-22T17:00", [(k, NO_DATA) for k in range(12)])]),
        frame([history(0xE2, 0, day)])[:-3],
    ]
    return b"".join(record(f"M{n}".encode(), START_MS + n, each) for n, each in enumerate(frames))


def mutated(folder: Path, extension: str, number: int) -> bytes:
    """Return input `number`: a sound file with one to six kinds of damage, some of it inside what is packed."""
    chance = random.Random(f"{extension}{number}")  # noqa: S311
    files = seeds(folder)[extension]
    which, other = chance.randrange(len(files)), chance.choice(files)
    data, inside = files[which], chance.random() < 0.5
    if inside and extension == ".arrow":
        return _damaged_columns(folder, which, chance)
    codec = {".csv.gz": "gzip", ".csv.zst": "zstd"}.get(extension) if inside else None
    if codec is not None:
        data, other = (_codec(each, codec, "unpacked") for each in (data, other))
    kinds = range(4) if inside and extension == ".parquet" else range(9)
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        damage(damaged, other, chance.choice(kinds), chance)
    return bytes(damaged) if codec is None else _codec(bytes(damaged), codec, "packed")


def _codec(data: bytes, codec: str, wanted: str) -> bytes:
    if wanted == "unpacked":
        unpacked: bytes = pa.input_stream(pa.BufferReader(data), compression=codec).read()
        return unpacked
    sink = pa.BufferOutputStream()
    with pa.output_stream(sink, compression=codec) as packed:
        packed.write(data)
    packed_bytes: bytes = sink.getvalue().to_pybytes()
    return packed_bytes


@cache
def _columns(folder: Path, number: int) -> tuple[tuple[int, int], ...]:
    """Where the buffers of a sound Arrow file lie in it, and how long they are; none if they are packed."""
    source = pa.py_buffer(seeds(folder)[".arrow"][number])
    reader = pa.ipc.open_file(source)
    batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
    buffers = [each for batch in batches for column in batch.columns for each in column.buffers() if each is not None]
    found = ((each.address - source.address, each.size) for each in buffers if each.size)
    return tuple((at, size) for at, size in found if 0 <= at < source.size)


def _damaged_columns(folder: Path, number: int, chance: random.Random) -> bytes:
    """Damage the buffers of an Arrow file where they lie, so that its frame stays sound: offsets, ids, times, bits."""
    data = seeds(folder)[".arrow"][number]
    damaged, inside = bytearray(data), _columns(folder, number)
    if not inside:
        damage(damaged, data, 2, chance)
        return bytes(damaged)
    for _ in range(chance.choice([1, 1, 2, 5])):
        odd_number_in(damaged, *chance.choice(inside), chance)
    return bytes(damaged)


def odd_number_in(data: bytearray, at: int, size: int, chance: random.Random) -> None:
    """Replace a number of a buffer, where numbers of its width lie."""
    width = min(chance.choice([1, 4, 4, 8]), size)
    width = width if width in (1, 4, 8) else 1
    odd_number(data, at + width * chance.randrange(size // width), width, "<", chance)


def odd_number(data: bytearray, place: int, width: int, order: str, chance: random.Random) -> None:
    """Replace a number by one that lengths and offsets stumble over."""
    code = order + {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
    old = struct.unpack_from(code, data, place)[0]
    value = chance.choice([*_ODD, old + 1, old - 1, old * 2, old + chance.randrange(-64, 64), len(data)])
    struct.pack_into(code, data, place, value % (1 << 8 * width))


def damage(data: bytearray, other: bytes, kind: int, chance: random.Random) -> None:
    """Do one kind of damage: bits, bytes, lengths, cuts, blocks repeated, moved, spliced in."""
    size = len(data)
    at, to = chance.randrange(size + 1), chance.randrange(size + 1)
    at, to = min(at, to), min(max(at, to), min(at, to) + 200)
    match kind:
        case 0 if size:
            data[chance.randrange(size)] ^= 1 << chance.randrange(8)
        case 1 if size:
            data[chance.randrange(size)] = chance.choice([0, 0xFF, 0x80, 0x22, 0x2C, 0x0A, chance.randrange(256)])
        case 2 | 3 if size > 8:
            width, place = chance.choice([1, 2, 4, 4, 8]), chance.randrange(size - 8)
            odd_number(data, place - place % chance.choice([1, width]), width, chance.choice("<>"), chance)
        case 4:
            del data[chance.randrange(size + 1) :]
        case 5:
            del data[at:to]
        case 6:
            data[to:to] = data[at:to] * chance.choice([1, 2, 20])
        case 7:
            data[at:to] = bytes(to - at)
        case _:
            start = chance.randrange(len(other) + 1)
            data[at:to] = other[start : start + chance.randrange(200)]
