# SPDX-License-Identifier: Apache-2.0
"""Made-up tables of intervals for tests of foreign formats."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from koma.slots import MS_PER_DAY, MS_PER_MINUTE
from pipeline.formats.series import MINUTES, SCHEMA
from pipeline.formats.words import BY_WORD, WORDS

DAY_MS = 1_790_000 * 1_000_000 // MS_PER_DAY * MS_PER_DAY + 15 * 60 * MS_PER_MINUTE
"""Midnight in JST of some day in 2026."""
ENERGY = st.integers(0, 10**9)
POINTS = st.sampled_from(["0300110000000000001234", "0600110000000000000077", "NMI1234567"])
TEXT = st.none() | st.text("abcXYZ 09-", min_size=1, max_size=8).map(lambda each: f"x{each}x")
ANY_TEXT = st.none() | st.text("ab ,\"'時\t;", min_size=1, max_size=8)


def table_of(rows: Sequence[dict[str, Any]]) -> Any:
    """Table of rows by name; what a row does not name is null."""
    return pa.table([pa.array([row.get(each.name) for row in rows], each.type) for each in SCHEMA], schema=SCHEMA)


def row(word: str, energy: int, start_ms: int, **more: Any) -> dict[str, Any]:
    """One row whose energy and availability agree with its word."""
    has = BY_WORD[word].value
    return {
        "slot_start": start_ms,
        "energy_dwh": energy if has else None,
        "available": has,
        "quality": word,
        **more,
    }


@st.composite
def tables(draw: st.DrawFn, words: Sequence[str] = tuple(BY_WORD)) -> Any:
    """Any table that a long file can hold."""
    keys = draw(
        st.lists(
            st.tuples(POINTS, st.sampled_from(["import", "export"]), st.sampled_from([None, "E1", "B1"]),
                      st.sampled_from(MINUTES), st.integers(0, 200)),
            unique=True, min_size=1, max_size=20,
        )
    )  # fmt: skip
    return table_of(
        [
            row(
                draw(st.sampled_from(words)), draw(st.integers(-(10**9), 10**15)),
                DAY_MS + at * minutes * MS_PER_MINUTE,
                point_id=point, register=register, channel=channel, interval_minutes=minutes,
                method=draw(TEXT), reason=draw(TEXT), reason_text=draw(ANY_TEXT),
                recorded_at=draw(st.none() | st.integers(DAY_MS, DAY_MS + MS_PER_DAY)),
            )
            for point, register, channel, minutes, at in keys
        ]
    )  # fmt: skip


@st.composite
def wide_tables(draw: st.DrawFn) -> Any:
    """Whole days of values and gaps alone."""
    minutes = draw(st.sampled_from([15, 30, 60]))
    keys = draw(st.lists(st.tuples(POINTS, st.integers(0, 3)), unique=True, min_size=1, max_size=3))
    return table_of(
        [
            row(draw(st.sampled_from(["actual", "missing"])), draw(ENERGY),
                DAY_MS + day * MS_PER_DAY + at * MS_PER_MINUTE, point_id=point, interval_minutes=minutes,
                register="import")
            for point, day in keys
            for at in range(0, 24 * 60, minutes)
        ]
    )  # fmt: skip


@st.composite
def nem12_tables(draw: st.DrawFn) -> Any:
    """Whole days of any flags, methods, reasons and ranges."""
    methods: dict[str, list[str | None]] = {
        "actual": [None], "missing": [None], "linear": ["17"], "like_day": ["14", "15"], "agreed": ["16"],
        "substitute": [None, "52", "11"], "final_substitute": [None, "14", "17"], "estimate": [None, "64"],
    }  # fmt: skip
    keys = draw(
        st.lists(
            st.tuples(POINTS, st.sampled_from([("import", None), ("import", "E2"), ("export", None), ("export", "BX")]),
                      st.sampled_from([10, 15, 30]), st.integers(0, 2)),
            unique=True, min_size=1, max_size=3,
        )
    )  # fmt: skip
    rows = []
    for point, (register, channel), minutes, day in keys:
        count = 24 * 60 // minutes
        bounds = sorted(draw(st.sets(st.integers(1, count - 1), max_size=4)) | {0})
        recorded_ms = draw(st.none() | st.integers(0, 10**6).map(lambda each: DAY_MS + each * 1000))
        for start, end in zip(bounds, [*bounds[1:], count], strict=True):
            word = draw(st.sampled_from(sorted(methods)))
            said = {
                "method": draw(st.sampled_from(methods[word])),
                "reason": draw(st.sampled_from([None, "1", "076"])),
                "reason_text": draw(TEXT),
            }
            rows += [
                row(word, draw(st.sampled_from([0, 1, 20_000, 10**9])),
                    DAY_MS + day * MS_PER_DAY + at * minutes * MS_PER_MINUTE, point_id=point, register=register,
                    channel=channel, interval_minutes=minutes, recorded_at=recorded_ms, **said)
                for at in range(start, end)
            ]  # fmt: skip
    return table_of(rows)


@st.composite
def espi_tables(draw: st.DrawFn) -> Any:
    """Any table that Green Button can hold."""
    words = [each.word for each in WORDS if each.espi_own]
    keys = draw(
        st.lists(
            st.tuples(POINTS, st.sampled_from(["import", "export"]), st.sampled_from([None, "E1", "a/b;c 1", "時"]),
                      st.sampled_from(MINUTES), st.integers(0, 200)),
            unique=True, min_size=1, max_size=20,
        )
    )  # fmt: skip
    return table_of(
        [
            row(draw(st.sampled_from(words)), draw(st.integers(-(10**9), 10**14)),
                DAY_MS + at * minutes * MS_PER_MINUTE, point_id=point, register=register, channel=channel,
                interval_minutes=minutes, recorded_at=draw(st.none() | st.integers(DAY_MS, DAY_MS + 5)))
            for point, register, channel, minutes, at in keys
        ]
    )  # fmt: skip
