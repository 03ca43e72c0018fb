# SPDX-License-Identifier: Apache-2.0
"""Green Button in: blocks find their reading type through the links of the feed, and become columns."""

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from koma.errors import FormatError
from pipeline.formats import decimals, times
from pipeline.formats.espi_feed import Entry, entries_of
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import MINUTES, assemble, empty, settle
from pipeline.formats.words import WORDS

DIRECTIONS: Final = {"1": "import", "19": "export"}
UNSTATED: Final = "unstated"
"""The word of a reading that says nothing of its quality."""
_BLOCK: Final = re.compile(r"(.*/UsagePoint/([^/]+)/MeterReading/([^/]+))/IntervalBlock/[^/]+")
_OWN_NAME: Final = re.compile(r"(.*);(import|export);([0-9]+)", re.DOTALL)
_SECONDS: Final = r"^[0-9]{1,11}$"
_POWER: Final = re.compile(r"-?[0-9]{1,2}")
_UOM_WH, _DELTA = "72", "4"


@dataclass(frozen=True, slots=True)
class _Type:
    """What a reading type says, as far as a table can hold it."""

    register: str
    minutes: int
    exponent: int


def read(data: bytes, file: str, refusals: Refusals) -> Any:
    """Read one feed.

    Raises:
        FormatError: no XML, XML that is not read on purpose, or no feed of Green Button.

    """
    entries = entries_of(data, file)
    if not any(each.kind for each in entries):
        raise FormatError(f"{file} is no Green Button feed", hint="It holds entries with espi content")
    types = {each.self_link: each for each in entries if each.kind == "ReadingType"}
    meters = {each.self_link: each for each in entries if each.kind == "MeterReading"}
    used: set[str] = set()
    tables, lines = [], []
    for each in entries:
        is_block = each.kind == "IntervalBlock" or each.up_link.rstrip("/").endswith("/IntervalBlock")
        if not is_block:
            continue
        match = _BLOCK.fullmatch(each.self_link)
        if match is None or each.kind != "IntervalBlock":
            _refuse_block(each, file, refusals)
            continue
        used.add(match[1])
        known = _type_of(each, meters.get(match[1]), types, file, refusals)
        if known is not None:
            table, kept = _block(each, known, unquote(match[2]), unquote(match[3]), file, refusals)
            tables.append(table)
            lines.append(kept)
    for link, meter in meters.items():
        if link not in used:
            refusals.add(file, meter.line, "block", "a MeterReading without IntervalBlock", "Fetch the whole feed")
    if not tables:
        return empty()
    return settle(pa.concat_tables(tables).combine_chunks(), np.concatenate(lines), file, refusals)


def _refuse_block(entry: Entry, file: str, refusals: Refusals) -> None:
    if entry.kind != "IntervalBlock":
        reason, fix = f"an entry of IntervalBlock with {entry.kind or 'no'} content", "Its content is the block"
    else:
        reason = f"the block's self link {entry.self_link[:200]!r} leads to no MeterReading"
        fix = "It reads …/UsagePoint/ID/MeterReading/ID/IntervalBlock/ID"
    refusals.add(file, entry.line, "block", reason, fix)


def _type_of(block: Entry, meter: Entry | None, types: dict[str, Entry], file: str, refusals: Refusals) -> _Type | None:
    """Return what a block's readings are; None, with a word on it, where no table can hold them."""
    found = [types[link] for link in meter.related if link in types] if meter else []
    if len(found) != 1:
        reason = "a block whose MeterReading names no ReadingType of the feed"
        refusals.add(file, block.line, "type", reason, "The feed holds both, joined by related links")
        return None
    said = found[0].reading_type
    if said.get("uom") != _UOM_WH or said.get("commodity", "1") not in {"0", "1"}:
        refusals.pass_over("blocks of other units")
        return None
    if said.get("accumulationBehaviour", _DELTA) != _DELTA:
        refusals.pass_over("blocks that are no deltas")
        return None
    length, power = said.get("intervalLength", ""), said.get("powerOfTenMultiplier", "0")
    register = DIRECTIONS.get(said.get("flowDirection", ""))
    if register is None:
        reason, fix = (
            f"flowDirection {said.get('flowDirection', '')[:20]!r}",
            "Forward is 1, reverse 19",
        )
    elif length not in {str(60 * each) for each in MINUTES}:
        reason, fix = f"intervalLength {length[:20]!r}", "Give 60, 300, 600, 900, 1800 or 3600 seconds"
    elif not _POWER.fullmatch(power) or abs(int(power)) > 12:
        reason, fix = f"powerOfTenMultiplier {power[:20]!r}", "Give -12 to 12"
    else:
        return _Type(register, int(length) // 60, int(power) + 1)
    refusals.add(file, found[0].line, "type", f"a ReadingType with {reason}", fix)
    return None


def _block(block: Entry, known: _Type, point: str, name: str, file: str, refusals: Refusals) -> tuple[Any, Any]:
    """Make the columns of a block, and the line of each row."""
    rows = block.readings
    lines = np.array(rows.line, np.int64)
    start, value = pa.array(rows.start, pa.string()), pa.array(rows.value, pa.string())
    length = str(60 * known.minutes)
    timed = pc.match_substring_regex(start, _SECONDS)
    whole = pc.match_substring_regex(value, r"^-?[0-9]+$")
    energy, fault = decimals.to_dwh(pc.if_else(whole, value, "0"), known.exponent)
    codes = pa.array([str(each.espi) for each in WORDS if each.espi_own and each.espi is not None])
    names = pa.array([each.word for each in WORDS if each.espi_own and each.espi is not None])
    quality = pa.array(rows.quality, pa.string())
    place = pc.index_in(quality, value_set=codes)
    unstated = pc.equal(quality, "")
    told_ms, told = times.to_ms(pa.array([re.sub(r"(\.[0-9]{3})[0-9]+", r"\1", block.updated)]))
    own = _OWN_NAME.fullmatch(name)
    channel = (own[1] or None) if own else name
    count = len(lines)
    table = assemble(
        {
            "point_id": pa.repeat(pa.scalar(point), count),
            "register": pa.repeat(pa.scalar(known.register), count),
            "channel": pa.repeat(pa.scalar(channel, pa.string()), count),
            "slot_start": pc.multiply(pc.cast(pc.if_else(timed, start, "0"), pa.int64()), 1000),
            "interval_minutes": pa.repeat(pa.scalar(known.minutes), count),
            "energy_dwh": pa.array(energy),
            "available": pa.repeat(pa.scalar(value=True), count),
            "quality": pc.if_else(unstated, UNSTATED, pc.take(names, place)),
            "recorded_at": pa.repeat(pa.scalar(int(told_ms[0]) if told[0] and told_ms[0] else None, pa.int64()), count),
        }
    )
    good = np.ones(count, bool)
    checks = (
        ("time", timed, "a reading without start in seconds", "Give timePeriod/start in epoch seconds"),
        ("interval", pc.is_in(pa.array(rows.duration), value_set=pa.array(["", length])),
         f"a reading whose duration is not the type's {length} seconds", "Give the ReadingType's intervalLength"),
        ("energy", whole, "a reading without a whole number as value", "Give value as an integer"),
        *(("energy", fault != index, f"a value that {reason}", fix)
          for index, (reason, fix) in enumerate(decimals.FAULTS) if index),
        ("quality", pc.or_(unstated, pc.is_valid(place)), "a reading whose quality is not one known code",
         "Give one of 0 and 7 to 19"),
    )  # fmt: skip
    for code, holds, reason, fix in checks:
        bad = good & ~np.array(holds, bool)
        refusals.rows(file, lines[bad], code, reason, fix)
        good &= ~bad
    return table.filter(pa.array(good)), lines[good]
