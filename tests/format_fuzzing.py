# SPDX-License-Identifier: Apache-2.0
"""Foreign files with damage in them: whatever the bytes, a reader ends in order and hands out only rows that hold.

An input is known by its format and number, which alone make it again.
"""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from koma.errors import FormatError
from pipeline.formats.exchange import READERS, WRITERS
from pipeline.formats.losses import Losses
from pipeline.formats.refusals import TOLD_MAX, Refusals
from pipeline.formats.series import SCHEMA, settle
from tests.format_tables import DAY_MS, row, table_of

KINDS = ("nem12", "greenbutton", "csv-long", "csv-wide", "parquet")
HOSTILE = (
    b"\0", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b",", b'"', b"-", b".", b"9" * 40, b"1e9", b"NaN", b"\xff",
    b"V", b"N", b"S14", b"900\n", b"100,NEM12,\n", b"200,", b"300,", b"400,1,48,A,,\n", b"x" * 70_000,
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"<a>" * 40, b"]]>", b"</entry>", b"<value>", b"<quality>99</quality>",
    b"2026-02-30", b"9999-12-31T23:59:59Z", b"1970-01-01T00:00:00+99:99", b"99999999999",
)  # fmt: skip
"""What is put in somewhere."""


def clean(kind: str) -> bytes:
    """A file without damage: two days of half-hours of two registers, with words and gaps the format knows."""
    words = {"nem12": ("actual", "like_day", "missing"), "csv-wide": ("actual", "missing")}.get(
        kind, ("actual", "linear")
    )
    rows = []
    for at in range(96):
        for register in ("import", "export"):
            word = words[at // 7 % len(words)]
            said = {"method": "14"} if kind == "nem12" and word == "like_day" else {}
            rows.append(row(word, at * 1_234, DAY_MS + at * 1_800_000, point_id="NMI1234567", register=register,
                            interval_minutes=30, **said))  # fmt: skip
    with TemporaryDirectory() as folder:
        file = Path(folder) / "clean"
        WRITERS[kind](table_of(rows), file, Losses())
        return file.read_bytes()


def damaged(kind: str, number: int, source: bytes) -> bytes:
    """Return the input of a number; number 0 is without damage."""
    draws = np.random.default_rng([KINDS.index(kind), number])
    data = source
    for _ in range(int(draws.integers(1, 4)) if number else 0):
        at, length = int(draws.integers(0, len(data) + 1)), int(draws.integers(1, 60))
        match int(draws.integers(0, 6)):
            case 0:
                data = data[:at] + bytes([int(draws.integers(0, 256))]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + length :]
            case 2:
                data = data[: at + length] + data[at:]
            case 3:
                data = data[:at] + HOSTILE[int(draws.integers(0, len(HOSTILE)))] + data[at:]
            case 4:
                data = data[:at]
            case _:
                lines = data.split(b"\n")
                one, other = (int(each) for each in draws.integers(0, len(lines), 2))
                lines[one], lines[other] = lines[other], lines[one]
                data = b"\n".join(lines)
    return data


def judge(kind: str, data: bytes) -> str:
    """Read an input; return how it went: `whole`, `parts` or `refused`.

    Raises:
        AssertionError: what was handed out does not hold.
        Exception: whatever the reader let through, which no input may make it do.

    """
    refusals = Refusals()
    try:
        table = READERS[kind.partition("-")[0]](data, "a", refusals)
    except FormatError as caught:
        error = caught
    else:
        _judge_rows(table, refusals, data)
        return "parts" if refusals.count else "whole"
    assert error.message.startswith("a "), error.message
    assert error.hint
    return "refused"


def _judge_rows(table: Any, refusals: Refusals, data: bytes) -> None:
    assert table.schema.equals(SCHEMA)
    again = Refusals()
    assert settle(table, np.arange(table.num_rows), "a", again).num_rows == table.num_rows, again.told[:3]
    assert len(refusals.told) == min(refusals.count, TOLD_MAX)
    for each in refusals.told:
        assert 0 < each.line <= data.count(b"\n") + table.num_rows + refusals.count + 1, each
        assert each.code, each
        assert each.reason, each
        assert each.fix, each


def fuzz(kind: str, first: int, last: int) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Judge the inputs of some numbers; return how many went how, and those that went wrong."""
    source, counts, bad = clean(kind), Counter[str](), list[tuple[int, str]]()
    for number in range(first, last):
        try:
            counts[judge(kind, damaged(kind, number, source))] += 1
        except Exception as error:  # noqa: BLE001  anything else than FormatError is what is looked for
            bad.append((number, told(error)))
            counts["wrong"] += 1
    return counts, bad


def told(error: Any) -> str:
    """Say an exception in a line."""
    return f"{type(error).__name__}: {str(error)[:300]}"
