# SPDX-License-Identifier: Apache-2.0
"""Kernels of telegrams: an ECHONET Lite frame of class 0x0288 checked whole, then turned into rows.

A frame counts whole or not at all: `scan_frame` judges it before `emit_frame` writes its first row. The layouts are
those of ECHONET Lite class 0x0288 (MRA 1.3.1, Release R); all numbers are big-endian.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from koma.limits import NO_DATA, NO_READ, REGISTER_MAX
from pipeline.jit import kernel
from pipeline.telegram.time_kernels import JST_MS, MS_PER_DAY, MS_PER_MINUTE, NO_TIME, civil_ms

OK: Final = 0
OTHER_CLASS: Final = 1
OTHER_SERVICE: Final = 2
SHORT_HEADER: Final = 10
BAD_EHD: Final = 11
NO_PROPERTY: Final = 12
CUT: Final = 13
TRAILING: Final = 14
BAD_PDC: Final = 15
BAD_DATE: Final = 16
BAD_DAY: Final = 17
BAD_COUNT: Final = 18
REGISTER: Final = 20

HEADER_BYTES: Final = 12
"""EHD, TID, SEOJ, DEOJ, ESV and OPC."""
HISTORY_REGISTERS: Final = 48
HISTORY_DAY_MAX: Final = 99
HISTORY_NOT_SET: Final = 0x00FF
PAIRS_MAX: Final = 12
STEP_MS: Final = 30 * MS_PER_MINUTE

PROPERTY_FILTERED: Final = 0
NOT_SET_FILTERED: Final = 1
SERVICE_FILTERED: Final = 2
CLASS_FILTERED: Final = 3
NO_DATA_COUNTED: Final = 4
COUNTERS: Final = 5

_NO_DAY: Final = -(2**40)
_ABSENT: Final = -1
_PDC: Final = {
    0xD0: 15,
    0xD3: 4,
    0xD7: 1,
    0xE0: 4,
    0xE1: 1,
    0xE2: 194,
    0xE3: 4,
    0xE4: 194,
    0xE5: 1,
    0xE7: 4,
    0xE8: 4,
    0xEA: 11,
    0xEB: 11,
    0xED: 7,
}
_FIXED_PDC: Final = np.array([_PDC.get(epc, 0) for epc in range(256)], np.int64)


@kernel
def byte_at(data: NDArray[np.uint8], at: int) -> int:
    """Byte at an offset as a signed number, which mixes with others: numba makes a float of u64 and i64."""
    return np.int64(data[at])  # type: ignore[return-value]


@kernel
def be16(data: NDArray[np.uint8], at: int) -> int:
    """Big-endian u16 at a byte offset."""
    return byte_at(data, at) << 8 | byte_at(data, at + 1)


@kernel
def be32(data: NDArray[np.uint8], at: int) -> int:
    """Big-endian u32 at a byte offset."""
    return be16(data, at) << 16 | be16(data, at + 2)


@kernel
def stamp_ms(data: NDArray[np.uint8], at: int, second: int) -> int:
    """UTC ms of year u16, month, day, hour and minute at a byte offset, which are JST; `NO_TIME` where impossible."""
    local = civil_ms(
        be16(data, at),
        byte_at(data, at + 2),
        byte_at(data, at + 3),
        byte_at(data, at + 4),
        byte_at(data, at + 5),
        second,
    )
    return local if local == NO_TIME else local - JST_MS


@kernel
def date_not_set(data: NDArray[np.uint8], at: int) -> bool:
    """Tell whether a history has no date yet: all of its six bytes are 0xFF."""
    for index in range(6):  # noqa: SIM110  numba has no generators here
        if data[at + index] != 0xFF:
            return False
    return True


@kernel
def out_of_range(register: int) -> bool:
    """Tell whether a register is neither a value a meter can show nor a marker for none."""
    return register > REGISTER_MAX and register != NO_DATA


@kernel
def walk_properties(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """Check that the properties behind their OPC lie inside the frame.

    Returns status, and the offset behind them or of the one that does not fit.
    """
    if at >= end:
        return CUT, at
    count = byte_at(data, at)
    at += 1
    for _ in range(count):
        if at + 2 > end or at + 2 + byte_at(data, at + 1) > end:
            return CUT, at
        at += 2 + byte_at(data, at + 1)
    return OK, at


@kernel
def scan_structure(data: NDArray[np.uint8], start: int, end: int) -> tuple[int, int]:
    """Check what all ECHONET Lite frames have in common: status and offset of what is wrong."""
    if end - start < HEADER_BYTES:
        return SHORT_HEADER, end
    if data[start] != 0x10 or data[start + 1] != 0x81:
        return BAD_EHD, start + (1 if data[start] == 0x10 else 0)
    status, behind = walk_properties(data, start + HEADER_BYTES - 1, end)
    count = byte_at(data, start + HEADER_BYTES - 1)
    service = byte_at(data, start + 10)
    if status == OK and service in (0x5E, 0x6E, 0x7E):
        # set and get in one frame: two lists
        if behind < end:
            count += byte_at(data, behind)
        status, behind = walk_properties(data, behind, end)
    if status != OK:
        return status, behind
    if count == 0:
        return NO_PROPERTY, start + HEADER_BYTES - 1
    if behind != end:
        return TRAILING, behind
    return OK, end


@kernel
def scan_property(data: NDArray[np.uint8], at: int) -> tuple[int, int, int, int]:
    """Check a property of class 0x0288 at its EPC: status, offset of what is wrong, rows it makes, bad registers."""
    epc, pdc = byte_at(data, at), byte_at(data, at + 1)
    edt = at + 2
    if _FIXED_PDC[epc] not in (0, pdc):
        return BAD_PDC, at + 1, 0, 0
    bad = 0
    if epc in (0xEA, 0xEB):
        if stamp_ms(data, edt, byte_at(data, edt + 6)) == NO_TIME:
            return BAD_DATE, edt, 0, 0
        return OK, at, 1, 1 if out_of_range(be32(data, edt + 7)) else 0
    if epc in (0xE2, 0xE4):
        day = be16(data, edt)
        if day == HISTORY_NOT_SET:
            return OK, at, 0, 0
        if day > HISTORY_DAY_MAX:
            return BAD_DAY, edt, 0, 0
        for index in range(HISTORY_REGISTERS):
            bad += 1 if out_of_range(be32(data, edt + 2 + 4 * index)) else 0
        return OK, at, HISTORY_REGISTERS, bad
    if epc == 0xEC:
        if pdc < 7:
            return BAD_PDC, at + 1, 0, 0
        count = byte_at(data, edt + 6)
        if count < 1 or count > PAIRS_MAX:
            return BAD_COUNT, edt + 6, 0, 0
        if pdc != 7 + 8 * count:
            return BAD_PDC, at + 1, 0, 0
        if date_not_set(data, edt):
            return OK, at, 0, 0
        if stamp_ms(data, edt, 0) == NO_TIME:
            return BAD_DATE, edt, 0, 0
        for index in range(2 * count):
            bad += 1 if out_of_range(be32(data, edt + 7 + 4 * index)) else 0
        return OK, at, count, bad
    return OK, at, 0, 0


@kernel
def scan_frame(data: NDArray[np.uint8], start: int, end: int) -> tuple[int, int, int, int, int]:
    """Judge the frame in `[start, end)`.

    Returns status, offset of what is wrong, rows at most, rows at most that carry a register out of range, and the JST
    day (since 1970) of its first EA or EB.
    """
    status, where = scan_structure(data, start, end)
    if status != OK:
        return status, where, 0, 0, _NO_DAY
    if data[start + 4] != 0x02 or data[start + 5] != 0x88:
        return OTHER_CLASS, start + 4, 0, 0, _NO_DAY
    if byte_at(data, start + 10) not in (0x72, 0x73, 0x74):
        return OTHER_SERVICE, start + 10, 0, 0, _NO_DAY
    rows, bad, base = 0, 0, _NO_DAY
    at = start + HEADER_BYTES
    for _ in range(byte_at(data, start + HEADER_BYTES - 1)):
        status, where, more, more_bad = scan_property(data, at)
        if status != OK:
            return status, where, 0, 0, _NO_DAY
        if base == _NO_DAY and byte_at(data, at) in (0xEA, 0xEB):
            base = (stamp_ms(data, at + 2, 0) + JST_MS) // MS_PER_DAY
        rows += more
        bad += more_bad
        at += 2 + byte_at(data, at + 1)
    return OK, end, rows, bad, base


@kernel
def emit_frame(
    data: NDArray[np.uint8],
    start: int,
    base: int,
    row: int,
    stamps: NDArray[np.int64],
    imports: NDArray[np.uint32],
    exports: NDArray[np.uint32],
    refused: int,
    refused_reads: NDArray[np.int64],
    refused_at: NDArray[np.int64],
    counters: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the rows of a frame that `scan_frame` found good, from `row` on, and the reads it refuses.

    An EB with the stamp of an EA before it goes into the EA's row. Returns the rows and refusals there are now.
    """
    at = start + HEADER_BYTES
    ea_row = -1
    for _ in range(byte_at(data, start + HEADER_BYTES - 1)):
        epc = byte_at(data, at)
        edt = at + 2
        count, first, step, values, width = 0, 0, 0, edt + 2, 1
        if epc in (0xEA, 0xEB):
            count, values = 1, edt + 7
            first = stamp_ms(data, edt, byte_at(data, edt + 6))
        elif epc in (0xE2, 0xE4):
            if be16(data, edt) != HISTORY_NOT_SET:
                count, step = HISTORY_REGISTERS, STEP_MS
                first = (base - be16(data, edt)) * MS_PER_DAY - JST_MS
        elif epc == 0xEC and not date_not_set(data, edt):
            count, step, values, width = byte_at(data, edt + 6), -STEP_MS, edt + 7, 2
            first = stamp_ms(data, edt, 0)
        if count == 0:
            counters[NOT_SET_FILTERED if epc in (0xE2, 0xE4, 0xEC) else PROPERTY_FILTERED] += 1
        for index in range(count):
            stamp = first + step * index
            value = be32(data, values + 4 * width * index)
            forward, reverse = value, _ABSENT
            if width == 2:
                reverse = be32(data, values + 8 * index + 4)
            elif epc in (0xEB, 0xE4):
                forward, reverse = _ABSENT, value
            if out_of_range(forward) or out_of_range(reverse):
                refused_reads[refused] = 1 if _ABSENT in (forward, reverse) else 2
                refused_at[refused] = values + 4 * width * index
                refused += 1
                continue
            counters[NO_DATA_COUNTED] += (1 if forward == NO_DATA else 0) + (1 if reverse == NO_DATA else 0)
            if epc == 0xEB and ea_row >= 0 and stamps[ea_row] == stamp and exports[ea_row] == NO_READ:
                exports[ea_row] = reverse
                continue
            stamps[row] = stamp
            imports[row] = NO_READ if forward == _ABSENT else forward
            exports[row] = NO_READ if reverse == _ABSENT else reverse
            ea_row = row if epc == 0xEA else ea_row
            row += 1
        at += 2 + byte_at(data, at + 1)
    return row, refused


@kernel
def count_reads(data: NDArray[np.uint8], start: int) -> int:
    """Count the registers that a good frame carries with a stamp, no-data values too."""
    at, reads = start + HEADER_BYTES, 0
    for _ in range(byte_at(data, start + HEADER_BYTES - 1)):
        _, _, rows, _ = scan_property(data, at)
        reads += 2 * rows if data[at] == 0xEC else rows
        at += 2 + byte_at(data, at + 1)
    return reads
