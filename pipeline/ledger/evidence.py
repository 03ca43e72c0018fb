# SPDX-License-Identifier: Apache-2.0
"""What came and was not taken: quarantined and held reads near a slot boundary, by installation or in numbers.

A decoder that could not read a row or record left its bytes; where a meter id and a time can still be told from them,
they name an installation too.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import HomeError
from koma.limits import METER_ID_BYTES
from koma.slots import JST, MS_PER_SLOT
from pipeline.columns import read_columns
from pipeline.handover.batch import NO_READ, ReadBatch
from pipeline.home import Home
from pipeline.ledger.survey_kernels import any_installs
from pipeline.master import MasterView
from pipeline.prefilter.route import route
from pipeline.prefilter.rules import Judged
from pipeline.state import State

NEAR_MS: Final = MS_PER_SLOT // 2
"""A stamp this close to a boundary is meant for it, however wrong it is."""
ROWS_MAX: Final = 100_000
"""Unreadable rows of one file that are looked into one by one; those behind them name no point."""
FILES_KEPT: Final = 512
_RECORD: Final = 2 + METER_ID_BYTES + 8
"""Bytes of a telegram record before its frame: length, meter id, arrival."""
_JSON_TIMES: Final = (("read_at", JST), ("received_at", UTC))


@dataclass(slots=True)
class Evidence:
    """What speaks for a cause, of one stamp.

    Attributes:
        quarantined: installations (`shard << SHARD_LOCAL_BITS | local`), ascending, whose read lies in quarantine.
        codes: under which code, of each.
        moved: installations of meters whose reads are held: no installation of theirs holds at the stamp.
        unknown: how many meters sent reads that no master row names.
    """

    quarantined: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    codes: NDArray[Any] = field(default_factory=lambda: np.empty(0, object))
    moved: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class _Refused:
    """Reads of a quarantine file that name a meter: ids, times, codes; columns of equal length."""

    keys: NDArray[np.uint64]
    ms: NDArray[np.int64]
    codes: NDArray[Any]


def evidence_at(home: Home, state: State, view: MasterView, stamp: int) -> Evidence:
    """Gather what came for a stamp and was not taken."""
    found, parts = Evidence(), [(np.empty(0, np.uint32), np.empty(0, object))]
    for path in sorted(home.path("quarantine").glob("*.parquet")):
        refused = _refused(path)
        near = np.abs(refused.ms - stamp * MS_PER_SLOT) <= NEAR_MS
        if near.any():
            parts += _by_install(view, refused.keys[near], refused.codes[near], stamp)
    installs, codes = (np.concatenate(column) for column in zip(*parts, strict=True))
    found.quarantined, first = np.unique(installs, return_index=True)
    found.codes = codes[first]
    held = [read_columns(home.path("held") / name)[0] for name in state.held]
    keys = [_held_keys(columns, stamp) for columns in held]
    if any(map(len, keys)):
        distinct = np.unique(np.concatenate(keys), axis=0)
        anywhere = np.empty(len(distinct), np.int64)
        any_installs(view.table, view.chain_install, distinct, anywhere)
        found.unknown = int(np.count_nonzero(anywhere < 0))
        found.moved = np.unique(anywhere[anywhere >= 0]).astype(np.uint32)
    return found


def _by_install(
    view: MasterView, keys: NDArray[np.uint64], codes: NDArray[Any], stamp: int
) -> Iterator[tuple[NDArray[np.uint32], NDArray[Any]]]:
    """Yield the installations of some meters that stand at a stamp, and the code of each."""
    rows = len(keys)
    zeros = np.zeros(rows, np.uint32)
    times = np.zeros(rows, np.int64)
    for registers in ((zeros, zeros + NO_READ), (zeros + NO_READ, zeros)):
        batch = ReadBatch("", keys, times, times, *registers, np.arange(rows))
        judged = Judged(np.zeros(rows, np.uint8), np.full(rows, stamp, np.int32), {})
        routed = route(batch, judged, view)
        for each in (*routed.found, *routed.shared):
            yield each.install, codes[each.row]


def _held_keys(columns: dict[str, NDArray[Any]], stamp: int) -> NDArray[np.uint64]:
    near = np.abs(columns["read_at_ms"] - stamp * MS_PER_SLOT) <= NEAR_MS
    return np.stack([columns["k0"][near], columns["k1"][near]], axis=1)


def _refused(path: Path) -> _Refused:
    try:
        return _read_refused(path, path.stat().st_mtime_ns)
    except (OSError, pa.ArrowInvalid) as error:
        raise HomeError(f"{path} cannot be read: {error}", hint="restore it from a copy of the home") from error


@lru_cache(maxsize=FILES_KEPT)
def _read_refused(path: Path, _changed_ns: int) -> _Refused:
    """Read a file of the quarantine; it is known by its name and when it changed."""
    table = pq.read_table(path, columns=["meter_id", "read_at", "code", "raw"])
    whole = table.filter(pc.and_(pc.is_valid(table["read_at"]), pc.is_valid(table["meter_id"])))
    rest = table.filter(pc.is_null(table["meter_id"])).slice(0, ROWS_MAX)
    told = [
        (meter, ms, code)
        for raw, code in zip(rest["raw"].to_pylist(), rest["code"].to_pylist(), strict=True)
        for meter, ms in told_by(raw or b"")
    ]
    meters = pa.chunked_array([*whole["meter_id"].chunks, pa.array([each[0] for each in told], pa.string())])
    return _Refused(
        meter_keys(meters),
        np.concatenate([whole["read_at"].cast(pa.int64()).to_numpy(), np.array([each[1] for each in told], np.int64)]),
        np.array([*whole["code"].to_pylist(), *(each[2] for each in told)], object),
    )


def meter_keys(meters: pa.ChunkedArray) -> NDArray[np.uint64]:
    """Return meter ids as the look-up knows them: 16 bytes, padded with NUL, as two words."""
    fixed = np.array(meters.to_pylist(), f"S{METER_ID_BYTES}")
    return np.ascontiguousarray(fixed).view(np.uint64).reshape(len(fixed), 2)


def told_by(raw: bytes) -> Iterator[tuple[str, int]]:
    """Yield what the bytes of an unreadable row or record may say: meter id and time, ms; often more than is true.

    A word that is no meter's finds no installation, so that too much said does no harm.
    """
    if raw.startswith(b"{"):
        yield from _told_by_json(raw)
    elif len(raw) >= _RECORD and raw[2 : 2 + METER_ID_BYTES].rstrip(b"\0").isascii() and b"," not in raw[:_RECORD]:
        meter = raw[2 : 2 + METER_ID_BYTES].rstrip(b"\0").decode("ascii")
        yield meter, int.from_bytes(raw[_RECORD - 8 : _RECORD], "big", signed=True)
    else:
        words = [each.strip().strip('"') for each in raw.decode("ascii", "replace").split(",")]
        times = [ms for word in words for zone in (JST, UTC) for ms in _time(word, zone)]
        yield from ((word, ms) for word in words if 0 < len(word) <= METER_ID_BYTES and word.isascii() for ms in times)


def _told_by_json(raw: bytes) -> Iterator[tuple[str, int]]:
    with suppress(ValueError):
        values = json.loads(raw)
        meter = str(values.get("meter_id") or "")
        if 0 < len(meter) <= METER_ID_BYTES and meter.isascii():
            yield from ((meter, ms) for name, zone in _JSON_TIMES for ms in _time(str(values.get(name)), zone))


def _time(text: str, zone: Any) -> Iterator[int]:
    """Yield the time that a text says, in a zone where it names none."""
    with suppress(ValueError, OverflowError):
        if len(text) > METER_ID_BYTES - 1:
            moment = datetime.fromisoformat(text)
            yield int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1000)
