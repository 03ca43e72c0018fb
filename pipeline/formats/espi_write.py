# SPDX-License-Identifier: Apache-2.0
"""Green Button out: an Atom feed of usage points, meter readings, reading types and blocks, a function of the rows."""

import uuid
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from koma.errors import FormatError
from pipeline.formats import times
from pipeline.formats.espi_feed import ATOM, ESPI
from pipeline.formats.espi_read import DIRECTIONS, UNSTATED
from pipeline.formats.losses import Losses
from pipeline.formats.series import sort, starts
from pipeline.formats.words import BY_WORD, of_espi

_BASE: Final = "/espi/1_1/resource"
_CHANNEL: Final = ("point_id", "register", "channel", "interval_minutes")
_FLOWS: Final = {register: flow for flow, register in DIRECTIONS.items()}
_NEVER: Final = "1970-01-01T00:00:00Z"
"""Atom wants a time; where none is known it is this, and is read as none."""
_VALUE_MAX: Final = 2**47 - 1
"""ESPI's value is an Int48."""


def write(table: Any, file: Path, losses: Losses) -> None:
    """Write a table.

    Raises:
        FormatError: it holds what Green Button cannot carry.

    """
    table = sort(table).combine_chunks()
    losses.columns(table, ("method", "reason", "reason_text"))
    has = pc.is_valid(table["energy_dwh"])
    losses.note("missing intervals", table.num_rows - (pc.sum(has).as_py() or 0))
    table = table.filter(has)
    if pc.any(pc.greater(pc.abs(table["energy_dwh"]), _VALUE_MAX)).as_py():
        raise FormatError("Green Button has no energy beyond 48 bits", hint="Write Parquet or CSV")
    table, codes = _codes(table, losses)
    channels = starts(table, _CHANNEL)
    blocks = np.flatnonzero(channels | starts(table, ("recorded_at",)))
    readings = _readings(table, codes)
    updated = pc.fill_null(times.utc_texts(table["recorded_at"]), _NEVER).to_pylist()
    parts = [_head(max(updated, default=_NEVER))]
    told: set[str] = set()
    link = ""
    for number, (first, last) in enumerate(zip(blocks.tolist(), [*blocks[1:].tolist(), table.num_rows], strict=True)):
        row = table.select(_CHANNEL).slice(first, 1).to_pylist()[0]
        if channels[first]:
            link = _announce(row, parts, told)
        content = f'<IntervalBlock xmlns="{ESPI}">{"".join(readings[first:last])}</IntervalBlock>'
        up = f"{link}/IntervalBlock"
        parts.append(_entry(f"{up}/{number}", up, (), updated[first], content))
    file.write_text("".join([*parts, "</feed>\n"]), encoding="utf-8")


def _codes(table: Any, losses: Losses) -> tuple[Any, Any]:
    """Return the ReadingQuality element of each row, as a column."""
    words = pc.dictionary_encode(table["quality"].combine_chunks())
    elements = []
    for index, word in enumerate(words.dictionary.to_pylist()):
        code = BY_WORD[word].espi
        if code is None or of_espi(code) != word:
            rows = pc.sum(pc.equal(words.indices, index)).as_py() if word != UNSTATED else 0
            losses.note(f"quality {word}", rows)
        elements.append("" if code is None else f"<ReadingQuality><quality>{code}</quality></ReadingQuality>")
    return table, pc.take(pa.array(elements, pa.string()), words.indices)


def _readings(table: Any, codes: Any) -> list[str]:
    """Write each row as an IntervalReading, by column."""
    seconds = pc.cast(pc.divide(pc.cast(table["slot_start"], pa.int64()), 1000), pa.string())
    duration = pc.cast(pc.multiply(pc.cast(table["interval_minutes"], pa.int64()), 60), pa.string())
    texts = pc.binary_join_element_wise(
        "<IntervalReading>", codes, "<timePeriod><duration>", duration, "</duration><start>", seconds,
        "</start></timePeriod><value>", pc.cast(table["energy_dwh"], pa.string()), "</value></IntervalReading>\n", "",
    )  # fmt: skip
    return list(texts.to_pylist())


def _announce(row: dict[str, Any], parts: list[str], told: set[str]) -> str:
    """Write the entries that a channel's blocks lean on; return the link of its meter reading."""
    point = f"{_BASE}/RetailCustomer/0/UsagePoint/{quote(row['point_id'], safe='')}"
    if point not in told:
        told.add(point)
        kind = f'<UsagePoint xmlns="{ESPI}"><ServiceCategory><kind>0</kind></ServiceCategory></UsagePoint>'
        parts.append(_entry(point, f"{_BASE}/RetailCustomer/0/UsagePoint", (f"{point}/MeterReading",), _NEVER, kind))
    reading_type = f"{_BASE}/ReadingType/{row['register']}-{row['interval_minutes']}"
    if reading_type not in told:
        told.add(reading_type)
        said = (
            f'<ReadingType xmlns="{ESPI}"><accumulationBehaviour>4</accumulationBehaviour><commodity>1</commodity>'
            f"<flowDirection>{_FLOWS[row['register']]}</flowDirection>"
            f"<intervalLength>{60 * row['interval_minutes']}</intervalLength><kind>12</kind>"
            "<powerOfTenMultiplier>-1</powerOfTenMultiplier><uom>72</uom></ReadingType>"
        )
        parts.append(_entry(reading_type, f"{_BASE}/ReadingType", (), _NEVER, said))
    name = f"{row['channel'] or ''};{row['register']};{row['interval_minutes']}"
    link = f"{point}/MeterReading/{quote(name, safe='')}"
    parts.append(
        _entry(link, f"{point}/MeterReading", (f"{link}/IntervalBlock", reading_type), _NEVER,
               f'<MeterReading xmlns="{ESPI}"/>')
    )  # fmt: skip
    return link


def _head(updated: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="{ATOM}"><id>{_name("feed")}</id>'
        f"<title>Interval energy</title><updated>{updated}</updated>\n"
    )


def _entry(link: str, up: str, related: tuple[str, ...], updated: str, content: str) -> str:
    links = "".join(
        f"<link rel={quoteattr(relation)} href={quoteattr(target)}/>"
        for relation, target in (("self", link), ("up", up), *(("related", each) for each in related))
    )
    return (
        f"<entry><id>{_name(link)}</id>{links}<title>{escape(link.rsplit('/', 2)[-2])}</title>"
        f"<updated>{updated}</updated><content>{content}</content></entry>\n"
    )


def _name(link: str) -> str:
    """Return the same id for the same link, in every run."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, link)}"
