# SPDX-License-Identifier: Apache-2.0
"""Hand-over files with damage in them: whatever the bytes, a decoder ends, in order, and accounts for every record.

Inputs are decoded in batches in child processes: one that kills its process or does not end is found by its number,
which alone makes it again. What has to hold of each input is in `judged`.
"""

import faulthandler
import multiprocessing
import os
import random
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import HandoverError
from koma.limits import NO_DATA, NO_READ, REGISTER_MAX
from koma.slots import parse_jst
from pipeline.handover import EXTENSIONS, REJECTED_CODES, Chunk, Decoded, decode_chunk, plan_chunks
from pipeline.handover.write import to_arrow, write_arrow, write_csv, write_echonet, write_parquet
from pipeline.telegram.time_kernels import FIRST_MS, LAST_MS
from tests.frame_encoder import frame, history, pairs, record
from tests.hand_over import Read, batch_of

DEADLINE_S = 20
"""For one input of a few thousand bytes; a machine under load decodes it in milliseconds."""
ROWS_MAX = (3, 16, 65_536)
START_MS = parse_jst("2026-08-22T17:00:00")
_LONG = ("first row", "batches", "keep")
_COLUMNS = ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place")
_ODD = (0, 1, 2, 3, 7, 8, 15, 16, 17, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE,
        0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip


def _reads(count: int, chance: random.Random) -> list[Read]:
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
    reads = _reads(40, chance)
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
    for table in _other_types(reads):
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


def _other_types(reads: list[Read]) -> Iterator[pa.Table]:
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
    data, other = chance.choice(files), chance.choice(files)
    inside = chance.random() < 0.5
    if inside and extension == ".arrow":
        return _damaged_columns(data, chance)
    codec = {".csv.gz": "gzip", ".csv.zst": "zstd"}.get(extension) if inside else None
    if codec is not None:
        data, other = (_codec(each, codec, "unpacked") for each in (data, other))
    kinds = range(4) if inside and extension == ".parquet" else range(9)
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        _damage(damaged, other, chance.choice(kinds), chance)
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


def _damaged_columns(data: bytes, chance: random.Random) -> bytes:
    """Damage the buffers of an Arrow file where they lie, so that its frame stays sound: offsets, ids, times, bits."""
    damaged = bytearray(data)
    source = pa.py_buffer(data)
    reader = pa.ipc.open_file(source)
    batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
    columns = [column for batch in batches for column in batch.columns if column is not None]
    buffers = [each for column in columns for each in column.buffers() if each is not None and each.size]
    inside = [each for each in buffers if source.address <= each.address < source.address + source.size]
    if not inside:
        _damage(damaged, data, 2, chance)
        return bytes(damaged)
    for _ in range(chance.choice([1, 1, 2, 5])):
        buffer = chance.choice(inside)
        width = min(chance.choice([1, 4, 4, 8]), buffer.size)
        width = width if width in (1, 4, 8) else 1
        place = buffer.address - source.address + width * chance.randrange(buffer.size // width)
        _odd_number(damaged, place, width, "<", chance)
    return bytes(damaged)


def _odd_number(data: bytearray, place: int, width: int, order: str, chance: random.Random) -> None:
    """Replace a number by one that lengths and offsets stumble over."""
    code = order + {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
    old = struct.unpack_from(code, data, place)[0]
    value = chance.choice([*_ODD, old + 1, old - 1, old * 2, old + chance.randrange(-64, 64), len(data)])
    struct.pack_into(code, data, place, value % (1 << 8 * width))


def _damage(data: bytearray, other: bytes, kind: int, chance: random.Random) -> None:
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
            _odd_number(data, place - place % chance.choice([1, width]), width, chance.choice("<>"), chance)
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


@dataclass(slots=True)
class Judgement:
    """What became of an input, and what should not have."""

    outcome: str = ""
    wrong: list[str] = field(default_factory=list)


def judged(path: Path) -> Judgement:
    """Decode a file in several cuts, twice each, and hold what came to what has to hold.

    - An error is a `HandoverError` with a hint.
    - Values are in the range that later stages count on; places ascend, over all chunks.
    - A chunk has no more rows and refusals than were asked for (`.echonet`: plus one telegram).
    - Decoded again it is the same; cut otherwise, whole files bring the same rows, refusals and counts. (Not Parquet:
      a damaged footer may say of two row groups that they share pages, which Arrow reads once or twice.)
    - The straight way through plain record batches brings what the long way brings, a sound file what Arrow says.
    - Every line of CSV, every row of a column file and every record of a container is a row, a refusal or filtered.
    """
    found = Judgement()
    whole: dict[int, tuple[Any, ...] | None] = {}
    for rows_max in ROWS_MAX:
        try:
            once, again = (_decoded(path, rows_max, found) for _ in range(2))
        except HandoverError as error:
            whole[rows_max] = None
            if not error.hint or path.name not in str(error):
                found.wrong.append(f"an error without hint or name: {error}")
            continue
        if once != again:
            found.wrong.append(f"decoded twice with {rows_max} rows a chunk, it differs")
        whole[rows_max] = once
    sound = [each for each in whole.values() if each is not None]
    same = all(each == sound[0] for each in sound)
    if len(sound) == len(whole) and not same and path.suffix != ".parquet":
        found.wrong.append("cut otherwise, it brings something else")
    found.outcome = "refused" if not sound else "refused in part" if len(sound) < len(whole) else "decoded"
    return found


def _decoded(path: Path, rows_max: int, found: Judgement) -> tuple[Any, ...]:
    """Decode a whole file; returns all it brought, in a form that does not depend on the cut."""
    rows: list[bytes] = []
    refused: list[tuple[Any, ...]] = []
    filtered: Counter[str] = Counter()
    no_data, last = 0, -1
    chunks = plan_chunks(path, rows_max)
    for chunk in chunks:
        decoded = decode_chunk(chunk)
        if len(chunk.layout) > len(_LONG) and path.suffix == ".arrow":
            found.wrong += _otherwise(decoded, replace(chunk, layout=chunk.layout[: len(_LONG)]))
        found.wrong += _unfit(decoded, chunk.length if path.suffix != ".echonet" else 0, path)
        batch = decoded.batch
        places = [*batch.place.tolist(), *(each.place for each in decoded.rejected)]
        if places:
            if min(places) <= last:
                found.wrong.append(f"place {min(places)} stands behind {last}")
            last = max(places)
        columns = (batch.keys, batch.read_at_ms, batch.received_ms, batch.import_register, batch.export_register)
        rows += [b"".join(np.ascontiguousarray(each[row]).tobytes() for each in (*columns, batch.place))
                 for row in range(len(batch))]  # fmt: skip
        refused += [(each.place, each.code, each.detail, each.raw, each.reads) for each in decoded.rejected]
        filtered.update(decoded.filtered)
        no_data += decoded.no_data
    return rows, refused, dict(filtered), no_data


def _otherwise(decoded: Decoded, chunk: Chunk) -> Iterator[str]:
    """Say where the straight way through plain batches and the long way disagree."""
    long = decode_chunk(chunk)
    same = all(np.array_equal(getattr(decoded.batch, name), getattr(long.batch, name)) for name in _COLUMNS)
    if not same or (decoded.rejected, decoded.no_data) != (long.rejected, long.no_data):
        yield f"decoded the long way, the rows from {chunk.start} on differ"


def _unfit(decoded: Decoded, length: int, path: Path) -> Iterator[str]:
    """Say what later stages could not bear."""
    batch = decoded.batch
    place = batch.place.tolist()
    if place != sorted(place) or (place and place[0] < 0):
        yield "places do not ascend"
    if path.suffix in (".arrow", ".parquet") and len(batch) + len(decoded.rejected) != length:
        yield f"{length} rows became {len(batch)} and {len(decoded.rejected)} refusals"
    for column in (batch.import_register, batch.export_register):
        if ((column > REGISTER_MAX) & (column < NO_DATA)).any():
            yield "a register is out of range"
    for times in (batch.read_at_ms, batch.received_ms):
        if ((times < FIRST_MS) | (times > LAST_MS + 999)).any():
            yield "a time is out of range"
    ids = batch.keys.view(np.uint8).reshape(-1, 16)
    text = (ids >= 0x20) & (ids <= 0x7E)
    if not (text | (ids == 0)).all() or not text[:, :1].all() or (np.diff(text.astype(np.int8), axis=1) > 0).any():
        yield "a meter id is no text"
    counted = sum(int((column == NO_DATA).sum()) for column in (batch.import_register, batch.export_register))
    if counted != decoded.no_data:
        yield f"{decoded.no_data} no-data values are counted, {counted} are there"
    for each in decoded.rejected:
        if each.code not in REJECTED_CODES or each.reads < 1 or not each.detail:
            yield f"a refusal that says nothing: {each}"
    if any(count < 1 for count in decoded.filtered.values()):
        yield f"filtered counts {decoded.filtered}"


def accounted(path: Path) -> str:
    """Count the records of a text file or container by other means; says what is missing, or nothing."""
    try:
        parts = [decode_chunk(chunk) for chunk in plan_chunks(path, 65_536)]
    except HandoverError:
        return ""
    places = {place for each in parts for place in each.batch.place.tolist()}
    places |= {each.place for part in parts for each in part.rejected}
    if path.suffix == ".echonet":
        silent = len(_records(path.read_bytes()) - places)
        spoken = sum(sum(each.filtered.values()) for each in parts)
        empty = sum(each.no_data for each in parts)
        return f"{silent} records vanished, {spoken} filtered" if silent > spoken + empty else ""
    if path.suffix in (".arrow", ".parquet"):
        return _as_arrow_says(path, parts)
    data = path.read_bytes()
    lines = data.split(b"\n")
    wanted = {n for n, line in enumerate(lines, 1) if n > 1 and line.rstrip(b"\r")}
    return f"lines vanished: {sorted(wanted - places)[:5]}" if path.suffix == ".csv" and wanted - places else ""


def _as_arrow_says(path: Path, parts: list[Decoded]) -> str:
    """Hold ids and registers of a column file against Arrow's own reading, where Arrow finds the file sound."""
    try:
        table = pa.ipc.open_file(path.read_bytes()).read_all() if path.suffix == ".arrow" else pq.read_table(path)
        table.validate(full=True)
        ids = table["meter_id"].to_pylist()
        registers = [table[name].to_pylist() for name in ("import_register", "export_register")]
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return ""
    for part in parts:
        batch = part.batch
        for row, place in enumerate(batch.place.tolist()):
            text = ids[place].encode() if isinstance(ids[place], str) else ids[place]
            if batch.keys[row].tobytes().rstrip(b"\0") != text:
                return f"row {place} has the id {text!r}, and became {batch.keys[row].tobytes()!r}"
            for column, said in zip((batch.import_register, batch.export_register), registers, strict=True):
                if int(column[row]) != (NO_READ if said[place] is None else said[place]):
                    return f"row {place} has the register {said[place]}, and became {column[row]}"
    return ""


def _records(data: bytes) -> set[int]:
    """Where the records of a container begin, as CONTRACTS has it: u16 length, then that many bytes."""
    found, at = set(), 0
    while at < len(data):
        found.add(at)
        length = int.from_bytes(data[at : at + 2], "big")
        at += 2 + length
        while length == 0 and at < len(data) and data[at : at + 2] == b"\0\0":  # zeros are refused once
            at += 2
    return found


def _batch(folder: str, extension: str, first: int, last: int, report: Any) -> None:
    """Decode inputs in this process, telling of each before it begins."""
    log = (Path(folder) / "trace").open("w")
    os.dup2(log.fileno(), 2)
    faulthandler.enable(log)
    counts: Counter[str] = Counter()
    bad: list[tuple[int, str]] = []
    marker = np.memmap(Path(folder) / "at", np.int64, "w+", shape=(1,))
    for number in range(first, last):
        marker[0] = number
        path = Path(folder) / f"input{extension}"
        path.write_bytes(mutated(Path(folder), extension, number))
        faulthandler.dump_traceback_later(DEADLINE_S, exit=True, file=log)
        try:
            found = judged(path)
            if missing := accounted(path):
                found.wrong.append(missing)
        except Exception as error:  # noqa: BLE001  whatever it is, it is to be told
            found = Judgement("crashed", [f"{type(error).__name__}: {error}"])
        faulthandler.cancel_dump_traceback_later()
        counts[found.outcome] += 1
        bad += [(number, each) for each in found.wrong]
    report.send((counts, bad))


@dataclass(slots=True)
class Fuzzed:
    """What became of many inputs."""

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, int, str]] = field(default_factory=list)


def fuzz(folder: Path, extension: str, first: int, last: int, result: Fuzzed) -> None:
    """Decode inputs `first` to `last` in a child process; after one that ends the child, go on behind it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fuzzing"])
    folder.mkdir(parents=True, exist_ok=True)
    while first < last:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_batch, args=(str(folder), extension, first, last, sender))
        child.start()
        sender.close()
        try:
            counts, bad = receiver.recv()
            result.counts.update(counts)
            result.bad += [(extension, number, what) for number, what in bad]
            child.join()
            first = last
        except EOFError:
            child.join()
            number = int(np.fromfile(folder / "at", np.int64)[0])
            trace = (folder / "trace").read_text(errors="replace")
            result.bad.append((extension, number, f"ended its process ({child.exitcode}): {trace[-2000:]}"))
            result.counts["fatal"] += 1
            first = number + 1
        finally:
            receiver.close()
            child.close()
