# SPDX-License-Identifier: Apache-2.0
"""Judgement of a damaged file as a whole: decoded in two cuts, some in more, and held against what has to hold.

An error is a `HandoverError` with a hint. Values are in the range that later stages count on; places ascend, over all
chunks. A chunk has no more rows and refusals than were asked for (`.echonet`: plus one telegram). Cut otherwise, whole
files bring the same rows, refusals and counts. The straight way through plain record batches brings what the long way
brings, a sound file what Arrow says. Every line of CSV, every row of a column file and every record of a container is a
row, a refusal or filtered.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import HandoverError
from koma.limits import NO_DATA, NO_READ, REGISTER_MAX
from pipeline.handover import REJECTED_CODES, Chunk, Decoded, decode_chunk, plan_chunks
from pipeline.telegram.time_kernels import FIRST_MS, LAST_MS

WHOLE_ROWS = 65_536
CUTS = (1, 3, 7, 13, 16, 16, 20, 25, 39)
"""Rows a chunk of the second decoding; files of 40 rows in batches of 16."""
DEEP_EVERY = 32
"""Of so many inputs one is decoded in `DEEP_CUTS`, twice each."""
DEEP_CUTS = (3, 16, WHOLE_ROWS)
LONG = ("first row", "batches", "keep")
COLUMNS = ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place")


@dataclass(slots=True)
class Judgement:
    """What became of an input, and what should not have."""

    outcome: str = ""
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Brought:
    """All that a file brought, in a form that does not depend on the cut, and the parts it came in."""

    columns: tuple[bytes, ...]
    refused: list[tuple[Any, ...]]
    filtered: Counter[str]
    no_data: int
    parts: list[Decoded]

    def same(self, other: "Brought") -> bool:
        """Whether another decoding brought the same."""
        mine, others = ((each.columns, each.refused, each.filtered, each.no_data) for each in (self, other))
        return mine == others


def judged(path: Path, number: int = 0) -> Judgement:
    """Decode a file in several cuts and say what does not hold.

    Not of Parquet: that another cut brings the same; a damaged footer may say of two row groups that they share pages,
    which Arrow reads once or twice.
    """
    found = Judgement()
    deep = number % DEEP_EVERY == 0
    cuts = tuple(each for each in DEEP_CUTS for _ in range(2)) if deep else (WHOLE_ROWS, CUTS[number % len(CUTS)])
    brought: list[Brought | None] = []
    for rows_max in cuts:
        try:
            brought.append(_brought(path, rows_max, found))
        except HandoverError as error:
            brought.append(None)
            found.wrong += unclear(error, path)
    sound = [each for each in brought if each is not None]
    for one, other in zip(brought[::2], brought[1::2], strict=True) if deep else ():
        if (one is None) != (other is None) or (one is not None and other is not None and not one.same(other)):
            found.wrong.append("decoded twice, it differs")
    if len(sound) == len(brought) and path.suffix != ".parquet" and not all(each.same(sound[0]) for each in sound):
        found.wrong.append("cut otherwise, it brings something else")
    found.outcome = "refused" if not sound else "refused in part" if len(sound) < len(brought) else "decoded"
    whole = brought[-1] if deep else brought[0]
    if whole is not None and (missing := _missing(path, whole)):
        found.wrong.append(missing)
    return found


def unclear(error: HandoverError, path: Path) -> Iterator[str]:
    """Say of an error that it does not say what to do, or where."""
    if not error.hint or path.name not in str(error):
        yield f"an error without hint or name: {error}"


def _brought(path: Path, rows_max: int, found: Judgement) -> Brought:
    parts, last = [], -1
    for chunk in plan_chunks(path, rows_max):
        decoded = decode_chunk(chunk)
        found.wrong += otherwise(decoded, chunk)
        found.wrong += unfit(decoded, chunk.length if path.suffix != ".echonet" else 0, path)
        places = decoded.batch.place
        ends = [int(places[0]), int(places[-1])] if len(places) else []
        ends += [each.place for each in decoded.rejected]
        if ends:
            if min(ends) <= last:
                found.wrong.append(f"place {min(ends)} stands behind {last}")
            last = max(ends)
        parts.append(decoded)
    columns = tuple(b"".join(getattr(each.batch, name).tobytes() for each in parts) for name in COLUMNS)
    refused = [(each.place, each.code, each.detail, each.raw, each.reads) for part in parts for each in part.rejected]
    filtered = sum((Counter(each.filtered) for each in parts), Counter[str]())
    return Brought(columns, refused, filtered, sum(each.no_data for each in parts), parts)


def otherwise(decoded: Decoded, chunk: Chunk) -> Iterator[str]:
    """Say where the straight way through plain batches and the long way disagree."""
    if len(chunk.layout) <= len(LONG) or not chunk.source.endswith(".arrow"):
        return
    long = decode_chunk(replace(chunk, layout=chunk.layout[: len(LONG)]))
    same = all(np.array_equal(getattr(decoded.batch, name), getattr(long.batch, name)) for name in COLUMNS)
    if not same or (decoded.rejected, decoded.no_data) != (long.rejected, long.no_data):
        yield f"decoded the long way, the rows from {chunk.start} on differ"


def unfit(decoded: Decoded, length: int, path: Path) -> Iterator[str]:
    """Say what later stages could not bear."""
    batch = decoded.batch
    if path.suffix in (".arrow", ".parquet") and len(batch) + len(decoded.rejected) != length:
        yield f"{length} rows became {len(batch)} and {len(decoded.rejected)} refusals"
    for each in decoded.rejected:
        if each.code not in REJECTED_CODES or each.reads < 1 or not each.detail:
            yield f"a refusal that says nothing: {each}"
    if any(count < 1 for count in decoded.filtered.values()):
        yield f"filtered counts {decoded.filtered}"
    if not len(batch):
        return
    if batch.place[0] < 0 or (batch.place[1:] < batch.place[:-1]).any():
        yield "places do not ascend"
    counted = 0
    for column in (batch.import_register, batch.export_register):
        above = column > REGISTER_MAX
        if above.any():
            odd = column[above]
            counted += int(np.count_nonzero(odd == NO_DATA))
            if (odd < NO_DATA).any():
                yield "a register is out of range"
    for times in (batch.read_at_ms, batch.received_ms):
        if times.min() < FIRST_MS or times.max() > LAST_MS:
            yield f"a time is out of range: {times.min()} to {times.max()}"
    if not _texts(batch.keys):
        yield "a meter id is no text"
    if counted != decoded.no_data:
        yield f"{decoded.no_data} no-data values are counted, {counted} are there"


def _texts(keys: NDArray[np.uint64]) -> bool:
    """Tell whether every id is printable ASCII and then NULs, with something in it."""
    ids = keys.view(np.uint8).reshape(-1, 16)
    text, none = (ids - np.uint8(0x20)) <= 0x5E, ids == 0  # 0x20 to 0x7E; what lies below wraps around
    return bool((text | none).all() and text[:, 0].all() and not (none[:, :-1] & text[:, 1:]).any())


def _missing(path: Path, whole: Brought) -> str:
    """Count the records of a text file or container by other means; says what is missing, or nothing."""
    if path.suffix in (".arrow", ".parquet"):
        return _as_arrow_says(path, whole.parts)
    places = {place for each in whole.parts for place in each.batch.place.tolist()}
    places |= {each[0] for each in whole.refused}
    if path.suffix == ".echonet":
        silent = len(_records(path.read_bytes()) - places)
        spoken = sum(whole.filtered.values())
        return f"{silent} records vanished, {spoken} filtered" if silent > spoken + whole.no_data else ""
    if path.suffix != ".csv":
        return ""
    lines = path.read_bytes().split(b"\n")
    wanted = {n for n, line in enumerate(lines, 1) if n > 1 and line.rstrip(b"\r")}
    return f"lines vanished: {sorted(wanted - places)[:5]}" if wanted - places else ""


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


def _as_arrow_says(path: Path, parts: list[Decoded]) -> str:
    """Hold ids and registers of a column file against Arrow's own reading, where Arrow finds the file sound."""
    try:
        table = pa.ipc.open_file(path.read_bytes()).read_all() if path.suffix == ".arrow" else pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError):
        return ""
    return next((wrong for part in parts for wrong in told_apart(table, part, 0)), "")


def told_apart(table: pa.Table, part: Decoded, first: int) -> Iterator[str]:
    """Say where rows are not what Arrow reads in a table that begins at place `first`; nothing if it is unsound."""
    try:
        table.validate(full=True)
        ids = table["meter_id"].to_pylist()
        registers = [table[name].to_pylist() for name in ("import_register", "export_register")]
    except (pa.ArrowException, ValueError, KeyError):
        return
    batch = part.batch
    texts = [each.encode() if isinstance(each, str) else each for each in ids]
    keys = batch.keys.tobytes()
    columns = (batch.import_register.tolist(), batch.export_register.tolist())
    for row, place in enumerate(batch.place.tolist()):
        at = place - first
        key = keys[16 * row : 16 * row + 16]
        if key.rstrip(b"\0") != texts[at]:
            yield f"row {place} has the id {texts[at]!r}, and became {key!r}"
        for column, said in zip(columns, registers, strict=True):
            if column[row] != (NO_READ if said[at] is None else said[at]):
                yield f"row {place} has the register {said[at]}, and became {column[row]}"
