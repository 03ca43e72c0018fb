# SPDX-License-Identifier: Apache-2.0
"""`.echonet` containers: records counted when a file is planned, and decoded chunk by chunk."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.errors import HandoverError
from koma.limits import FRAME_BYTES_MAX, METER_ID_BYTES, REGISTER_MAX
from pipeline.handover import telegram_kernels as records
from pipeline.handover.batch import Chunk, Decoded, ReadBatch, Rejected
from pipeline.handover.columns import damaged
from pipeline.handover.telegram_kernels import FRAME_AT, count_records, decode_records
from pipeline.telegram import kernels as frames

FILTERED: Final = {
    records.PROPERTY_FILTERED: "property",
    records.NOT_SET_FILTERED: "not_set",
    records.SERVICE_FILTERED: "esv",
    records.CLASS_FILTERED: "class",
}
"""Names of what is counted as filtered."""

_FRAME_REASONS: Final = {
    frames.SHORT_HEADER: "the frame ends inside its header",
    frames.BAD_EHD: "the header is not 1081: no ECHONET Lite frame of the specified format",
    frames.NO_PROPERTY: "the frame has no property",
    frames.CUT: "the frame ends inside a property",
    frames.TRAILING: "the frame goes on behind its last property",
    frames.BAD_PDC: "the length of a property is not that of its EPC",
    frames.BAD_DATE: "there is no such date and time",
    frames.BAD_DAY: f"the day of a history is not in 0 to {frames.HISTORY_DAY_MAX}",
    frames.BAD_COUNT: f"the number of pairs is not in 1 to {frames.PAIRS_MAX}",
}
_RECORD_REASONS: Final = {
    frames.REGISTER: ("register_range", f"a register is not in 0 to {REGISTER_MAX}"),
    records.SHORT_RECORD: ("frame", "the record is too short for meter id and received_at"),
    records.ZEROS: ("container", "zeros stand where a record should start"),
    records.TAIL: ("container", "the file ends inside a record"),
    records.METER_ID: (
        "meter_id",
        f"the meter id is not 1 to {METER_ID_BYTES} printable ASCII characters and then NULs",
    ),
    records.RECEIVED_AT: ("received_at", "received_at is not in the years 1 to 9999"),
}


def plan_echonet(path: Path, rows_max: int) -> list[Chunk]:
    """Cut a container between records: `start` and `length` are bytes, layout the rows and refusals at most.

    Raises:
        HandoverError: the file cannot be read.
    """
    data = _bytes(path)
    chunks: list[Chunk] = []
    at = 0
    while at < data.size:
        end, rows, refused = count_records(data, at, rows_max)
        chunks.append(Chunk(str(path), path.name, at, end - at, len(chunks), (rows, refused)))
        at = end
    return chunks


def decode_echonet(chunk: Chunk) -> Decoded:
    """Decode the records of a chunk of `plan_echonet`.

    Raises:
        HandoverError: the file is not the one that was planned.
    """
    data = _bytes(Path(chunk.path))
    end = chunk.start + chunk.length
    if end > data.size:
        raise damaged(chunk.source, f"it ends at byte {data.size}, and was longer before")
    rows, refusals = chunk.layout
    keys = np.empty((rows, 2), np.uint64)
    stamps, received, place = (np.empty(rows, np.int64) for _ in range(3))
    imports, exports = (np.empty(rows, np.uint32) for _ in range(2))
    refused = np.empty((refusals, records.REFUSED_COLUMNS), np.int64)
    counters = np.zeros(records.COUNTERS, np.int64)
    row, bad = decode_records(
        data, chunk.start, end, keys, stamps, received, imports, exports, place, refused, counters
    )
    if row == records.OVERFLOW:
        raise damaged(chunk.source, f"its records from byte {chunk.start} on are not those that were counted")
    batch = ReadBatch(chunk.source, keys[:row], stamps[:row], received[:row], imports[:row], exports[:row], place[:row])
    filtered = {name: int(counters[index]) for index, name in FILTERED.items() if counters[index]}
    rejected = _reject(data, refused[:bad], chunk.source)
    return Decoded(batch, rejected, filtered, int(counters[records.NO_DATA_COUNTED]), ())


def _bytes(path: Path) -> NDArray[np.uint8]:
    """Bytes of a file, mapped."""
    try:
        if path.stat().st_size == 0:
            data: NDArray[np.uint8] = np.empty(0, np.uint8)
        else:
            data = np.memmap(path, np.uint8, "r").view(np.ndarray)
    except (OSError, ValueError) as error:
        raise HandoverError(f"{path.name}: not readable: {error}", hint="Hand it over again, whole") from error
    data.flags.writeable = False
    return data


def _reject(data: NDArray[np.uint8], refused: NDArray[np.int64], source: str) -> tuple[Rejected, ...]:
    rejected = []
    for place, end, where, status, reads in refused.tolist():
        if status in _FRAME_REASONS:
            code, detail = "frame", f"{_FRAME_REASONS[status]} (byte {where - FRAME_AT} of the frame)"
        else:
            code, detail = _RECORD_REASONS[status]
            detail = f"{detail} (byte {where} of the record)"
        raw = data[place : min(end, place + FRAME_BYTES_MAX + 2)].tobytes()
        rejected.append(Rejected(source, place, code, detail, raw, reads))
    return tuple(rejected)
