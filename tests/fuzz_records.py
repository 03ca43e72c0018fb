# SPDX-License-Identifier: Apache-2.0
"""Damaged telegrams and lines of CSV, many in a file whose frame is sound, each judged by itself.

What a record brings is held against what `tests.fuzz_oracles` reads in it: its rows, its refusals with the reads they
count for, what is filtered. A file is decoded twice, in two cuts, and has to bring the same.
"""

import random
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from koma.limits import NO_DATA, REGISTER_MAX
from pipeline.handover import Decoded, decode_chunk, plan_chunks
from pipeline.handover.columns import COLUMNS as NAMES
from pipeline.handover.write import write_csv
from pipeline.telegram import explain
from pipeline.telegram.time_kernels import FIRST_MS, LAST_MS
from tests.frame_encoder import fixed_time, frame, history, pairs, record
from tests.fuzz_files import WHOLE_ROWS, Judgement, unfit
from tests.fuzz_inputs import START_MS, damage, some_reads
from tests.fuzz_oracles import Said, line_says, telegram_says
from tests.hand_over import batch_of

RECORDS_PACK = 512
_ORDERS = ((0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (1, 6, 4, 3, 0), (2, 1, 0, 4, 5))
"""Which field of a line our columns are; others, where numbers are missing, are not ours."""
_EPCS = (0x80, 0x88, 0x97, 0xD0, 0xD3, 0xD7, 0xE0, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE7, 0xE8, 0xEA, 0xEB, 0xEC, 0xED)
_SERVICES = (0x72, 0x73, 0x74, 0x52, 0x71, 0x5E, 0x6E, 0x7E, 0x62, 0)
_REGISTERS = (0, 1, REGISTER_MAX, REGISTER_MAX + 1, NO_DATA, NO_DATA - 1, 0xFFFFFFFF, 0x80000000)
_YEARS = (0, 1, 2, 1969, 2000, 2024, 2026, 2100, 9999, 10000, 0xFFFF)
_TOKENS = (b'"', b'""', b",", b"\r", b"\0", b" ", b"-", b"+09:00", b"Z", b"null", b"0001", b"9999", b"99999999", b"e",
           b"4294967295", b"99999999999999999999", b"24:00", b"59.9999", b"\xff", b"-23:59", b"T")  # fmt: skip
_IDS = (b"M", b" M", b"M ", b'""', b'"a ""quoted"" id"', b'"a,b"', b"0123456789ABCDEF", b"0123456789ABCDEFG", b"\x7f",
        b"a b", b'""""', b'"""0123456789ABCDEF"', b'"0123456789ABCDE"""', b"~!", b"\xc3\xa9",
        b"0123456 9ABCDEF")  # fmt: skip
_TIMES = tuple(
    b"""2026-08-22|2026-08-22T17:00|2026-08-22t17:00:00z|2026-08-22 17:00:00 +09|2026-02-29T00:00Z||0001-01-01T00:00
2024-02-29T23:59:59.999999999-0130|0001-01-01T00:00:00Z|9999-12-31T23:59:59.999Z|9999-12-31T23:59:59-23:59
0001-01-01T00:00:00+23:59|0000-12-31T00:00Z|2026-08-22T17:00:60Z|"2026-08-22T17:00"|2026-08-22T17:00:00.
2026-08-22T17:00+9|2026-08-22T17:00+09:0""".replace(b"\n", b"|").split(b"|")
)
_NUMBERS = tuple(
    b"|null|NULL|nul|0|-0|-1|-|007|99999999|100000000|4294967293|4294967294|4294967295|4294967296|18446744073709551615"
    b'|1.0| 5 |"5"|1e3|+5'.split(b"|")
)
_DATES = (b"\0\1\1\1\0\0", b"\x27\x0f\x0c\x1f\x17\x3b", b"\x07\xea\x02\x1d\0\0", b"\x07\xe8\x02\x1d\0\0", b"\xff" * 6)
_RECEIVED = (FIRST_MS, FIRST_MS - 1, LAST_MS, LAST_MS + 1, 0, -1, 2**63 - 1, -(2**63))

Properties = list[tuple[int, bytes]]


@cache
def _properties() -> tuple[Properties, ...]:
    stamp = "2026-08-22T17:00:00"
    forward, reverse = fixed_time(0xEA, stamp, 1234), fixed_time(0xEB, stamp, 99)
    day = [NO_DATA if index % 7 == 3 else index for index in range(48)]
    return (
        [forward],
        [forward, reverse],
        [reverse, forward],
        [forward, reverse, (0xE7, bytes(4)), (0xD3, b"\0\0\0\1")],
        [history(0xE2, 1, day)],
        [forward, history(0xE2, 0, day), history(0xE4, 99, day)],
        [pairs(stamp[:16], [(index, NO_DATA) for index in range(12)])],
        [reverse, pairs(stamp[:16], [(7, 8)])],
        [(0xEC, b"\xff" * 6 + b"\1" + bytes(8)), (0xE2, b"\0\xff" + bytes(192)), forward],
    )


def telegram(number: int) -> bytes:
    """Return record `number` of a container: damaged in its properties, its bytes or both; its own length is right."""
    chance = random.Random(f"telegram{number}")  # noqa: S311
    chosen = list(chance.choice(_properties()))
    for _ in range(chance.choice([0, 1, 1, 2])):
        _change(chosen, chance)
    service = 0x72 if chance.random() < 0.8 else chance.choice(_SERVICES)
    source = "028801" if chance.random() < 0.9 else chance.choice(["02887F", "028A01", "0EF001"])
    body = bytearray(frame(chosen[:255], service=service, source=source))
    if service in {0x5E, 0x6E, 0x7E}:
        body += frame(chosen[: chance.randrange(3)])[11:]
    if chance.random() < 0.05:
        body[11] = (body[11] + chance.choice([1, -1, 2, 100])) % 256
    meter = "".join(chance.choices("0123456789ABCDEF-_ ", k=chance.choice([1, 8, 12, 16]))).encode()
    received = START_MS + chance.randrange(86_400_000) if chance.random() < 0.9 else chance.choice(_RECEIVED)
    rest = bytearray(record(meter, received, bytes(body))[2:])
    for _ in range(chance.choice([0, 0, 0, 0, 1, 1, 4])):
        place = chance.choice([0, 0, 16, 24, 28, 34, 36, 38, 44])
        head = rest[:place]
        tail = rest[place:]
        if tail:
            damage(tail, bytes(rest), chance.randrange(9), chance)
        rest = head + tail
    rest = rest[:65_535] or bytearray(b"\1")
    return len(rest).to_bytes(2) + bytes(rest)


def _change(chosen: Properties, chance: random.Random) -> None:
    """Change a list of properties: one gone, double, of another EPC, with other registers, another date or length."""
    at = chance.randrange(len(chosen)) if chosen else 0
    match chance.randrange(8) if chosen else 1:
        case 0:
            del chosen[at]
        case 1:
            chosen.insert(at, chance.choice(chance.choice(_properties())))
        case 2:
            chosen[at] = (chance.choice(_EPCS), chosen[at][1])
        case 3 | 4:
            epc, edt = chosen[at]
            data, first = bytearray(edt), {0xEA: 7, 0xEB: 7, 0xEC: 7}.get(epc, 2)
            if len(data) >= first + 4:
                place = first + 4 * chance.randrange((len(data) - first) // 4)
                struct.pack_into(">I", data, place, chance.choice(_REGISTERS))
            chosen[at] = (epc, bytes(data))
        case 5:
            epc, edt = chosen[at]
            odd = chance.choice([struct.pack(">H", chance.choice(_YEARS)), chance.choice(_DATES), b"\0\x63", b"\0\xff"])
            chosen[at] = (epc, odd + edt[len(odd) :])
        case 6:
            epc, edt = chosen[at]
            data = bytearray(edt or b"\0")
            data[chance.randrange(min(len(data), 8))] = chance.choice([0, 1, 2, 12, 13, 23, 24, 29, 31, 59, 60, 0xFF])
            chosen[at] = (epc, bytes(data))
        case _:
            epc, edt = chosen[at]
            chosen[at] = (epc, (edt + bytes(chance.randrange(9)))[: chance.randrange(len(edt) + 9)][:255])


@cache
def _lines(folder: Path) -> tuple[tuple[bytes, ...], ...]:
    """Fields of sound lines, our columns in their order."""
    path = folder / "lines.csv"
    write_csv(path, batch_of(some_reads(40, random.Random(2))))  # noqa: S311
    header, *lines = path.read_bytes().splitlines()
    path.unlink()
    names = header.decode().split(",")
    where = [names.index(name) for name in NAMES]
    found = [line.split(b",") for line in lines]
    quoted = [(b'"a""b"', *(each[index] for index in where[1:])) for each in found[:4]]
    odd = (b" 2026-08-22 17:00:00.25 +0900", b" 7 ", b"", b"2026-08-22T08:00Z ")
    spaced = [(each[where[0]], *odd) for each in found[:4]]
    return (*(tuple(each[index] for index in where) for each in found), *quoted, *spaced)


def line(folder: Path, number: int, order: tuple[int, ...], fields: int) -> bytes:
    """Return line `number` of a CSV file, without its end."""
    chance = random.Random(f"line{number}")  # noqa: S311
    chosen = chance.choice(_lines(folder))
    texts = [b""] * fields
    for ours, at in enumerate(order):
        texts[at] = (
            chosen[ours] if chance.random() < 0.9 else chance.choice((_IDS, _TIMES, _NUMBERS, _NUMBERS, _TIMES)[ours])
        )
    data = bytearray(b",".join(texts))
    other = b",".join(chance.choice(_lines(folder)))
    for _ in range(chance.choice([0, 0, 0, 1, 1, 3])):
        kind, at = chance.randrange(12), chance.randrange(len(data) + 1)
        if kind < 9:
            damage(data, other, kind, chance)
        elif kind == 9:
            data[at:at] = chance.choice(_TOKENS)
        elif kind == 10:
            token = chance.choice(_TOKENS)
            data[at : at + len(token)] = token
        elif len(data) > at:
            data[at] = chance.choice(b"0123456789-:TZ+. ,")
    return bytes(data).replace(b"\n", b"\x0b")


def pack(folder: Path, extension: str, first: int, last: int) -> bytes:
    """Return the file that carries records `first` to `last`."""
    if extension == ".echonet":
        return b"".join(telegram(number) for number in range(first, last))
    order, fields, header = layout(first)
    return b"\n".join([header, *(line(folder, number, order, fields) for number in range(first, last))])


def layout(number: int) -> tuple[tuple[int, ...], int, bytes]:
    """Order of our columns, number of fields, and header of the file that line `number` stands in."""
    order = _ORDERS[number // RECORDS_PACK % len(_ORDERS)]
    fields = max(order) + 1
    names = [b"other%d" % each for each in range(fields)]
    for name, at in zip(NAMES, order, strict=True):
        names[at] = name.encode()
    return order, fields, b",".join(names)


def judged_pack(path: Path, folder: Path, first: int, last: int) -> Iterator[tuple[int, Judgement]]:
    """Decode the file of records `first` to `last`, and say of each what became of it."""
    data = path.read_bytes()
    chance = random.Random(first)  # noqa: S311
    parts = _decoded(path, WHOLE_ROWS), _decoded(path, chance.choice([17, 50, 190, 300, 1000]))
    wrong = [] if _joined(parts[0]) == _joined(parts[1]) else ["cut otherwise, the file brings something else"]
    wrong += [each for part in parts for decoded in part for each in unfit(decoded, 0, path)]
    brought = _by_place(parts[0])
    filtered: Counter[str] = Counter()
    no_data, place = 0, 0
    lines = data.split(b"\n") if path.suffix == ".csv" else []
    order, fields, _ = layout(first)
    for number in range(first, last):
        found = Judgement("decoded")
        if path.suffix == ".csv":
            place = number - first + 2
            raw = lines[place - 1].removesuffix(b"\r")
            meter, said = line_says(raw, order, fields) if raw else (b"", Said())
            rows, refusals = brought.pop(place, ([], []))
        else:
            end = place + 2 + int.from_bytes(data[place : place + 2])
            raw = data[place:end]
            meter, said = telegram_says(raw[2:])
            found.wrong += _in_words(raw[26:], said) if number % 8 == 0 else ()
            rows, refusals = brought.pop(place, ([], []))
            place = end
        filtered.update(said.filtered)
        no_data += sum((forward, reverse).count(NO_DATA) for _, _, forward, reverse in said.rows)
        found.wrong += _compared(meter, said, rows, refusals, raw)
        found.outcome = "refused" if refusals and not rows else "filtered" if not rows else "decoded"
        yield number, found
    if brought:
        wrong.append(f"rows of no record at {sorted(brought)[:5]}")
    if dict(sum((Counter(each.filtered) for each in parts[0]), Counter())) != dict(filtered):
        wrong.append(f"filtered is not {dict(filtered)}")
    if sum(each.no_data for each in parts[0]) != no_data:
        wrong.append(f"there are {no_data} no-data values")
    if wrong:
        yield first, Judgement("pack", wrong)


def _decoded(path: Path, rows_max: int) -> list[Decoded]:
    return [decode_chunk(chunk) for chunk in plan_chunks(path, rows_max)]


def _joined(parts: list[Decoded]) -> tuple[Any, ...]:
    names = ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place")
    columns = tuple(b"".join(getattr(each.batch, name).tobytes() for each in parts) for name in names)
    refused = [each for part in parts for each in part.rejected]
    filtered = dict(sum((Counter(each.filtered) for each in parts), Counter()))
    return columns, refused, filtered, sum(each.no_data for each in parts)


def _by_place(parts: Iterable[Decoded]) -> dict[int, tuple[list[Any], list[Any]]]:
    """Rows and refusals by the place of their record."""
    found: dict[int, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for part in parts:
        batch, keys = part.batch, part.batch.keys.tobytes()
        columns = (batch.read_at_ms, batch.received_ms, batch.import_register, batch.export_register)
        rows = zip(*(each.tolist() for each in columns), strict=True)
        for index, (place, row) in enumerate(zip(batch.place.tolist(), rows, strict=True)):
            found[place][0].append((keys[16 * index : 16 * index + 16].rstrip(b"\0"), row))
        for each in part.rejected:
            found[each.place][1].append(each)
    return found


def _compared(meter: bytes, said: Said, rows: list[Any], refusals: list[Any], raw: bytes) -> Iterator[str]:
    if rows != [(meter, each) for each in said.rows]:
        yield f"the rows are {rows[:3]}, and should be {said.rows[:3]} of {meter!r}: {raw[:300].hex()}"
    if [(each.code, each.reads) for each in refusals] != said.refused:
        short = [(each.code, each.reads, each.detail) for each in refusals]
        yield f"refused as {short}, and should be {said.refused}: {raw[:300].hex()}"
    if any(each.raw != raw[: len(each.raw)] or not each.raw for each in refusals):
        yield f"a refusal keeps other bytes than the record's: {raw[:300].hex()}"


def _in_words(telegram: bytes, said: Said) -> Iterator[str]:
    """The decoder of one telegram, in words, ends on every frame and refuses what the decoder of millions refuses."""
    answer = explain(telegram)
    if ("frame", 1) in said.refused and not said.beyond and "error" not in answer:
        yield f"only the decoder in words can read {telegram[:300].hex()}"
