# SPDX-License-Identifier: Apache-2.0
"""Kernels of telegrams: an ECHONET Lite frame of class 0x0288 checked whole, then turned into rows.

A frame counts whole or not at all: `scan_frame` judges it before a row of it is written. The layouts are those of
ECHONET Lite class 0x0288 (MRA 1.3.1, Release R); all numbers are big-endian. A frame is known by the addresses of its
first byte and of the byte behind it.
"""

from typing import Final

import numpy as np

from koma.limits import NO_DATA, REGISTER_MAX
from pipeline.jit import kernel
from pipeline.telegram.memory_kernels import be16, be32, byte_at
from pipeline.telegram.time_kernels import FIRST_MS, JST_MS, LAST_MS, MS_PER_DAY, MS_PER_MINUTE, NO_TIME, civil_ms

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

_PDC: Final = {
    0x97: 2,
    0x98: 4,
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
def stamp_ms(at: int, second: int) -> int:
    """UTC ms of year u16, month, day, hour and minute at an address, which are JST; `NO_TIME` where impossible."""
    local = civil_ms(
        be16(at),
        byte_at(at + 2),
        byte_at(at + 3),
        byte_at(at + 4),
        byte_at(at + 5),
        second,
    )
    utc = local - JST_MS  # the first hours of the year 1 have no name in UTC; `NO_TIME` lies far before them
    return utc if utc >= FIRST_MS else NO_TIME


@kernel
def date_not_set(at: int) -> bool:
    """Tell whether a history has no date yet: all of its six bytes are 0xFF."""
    for index in range(6):
        if byte_at(at + index) != 0xFF:
            return False
    return True


@kernel
def out_of_range(register: int) -> bool:
    """Tell whether a register is neither a value a meter can show nor a marker for none."""
    return register > REGISTER_MAX and register != NO_DATA


@kernel
def walk_properties(at: int, end: int) -> tuple[int, int]:
    """Check that the properties behind their OPC lie inside the frame.

    Returns status, and the address behind them or of the one that does not fit.
    """
    if at >= end:
        return CUT, at
    count = byte_at(at)
    at += 1
    for _ in range(count):
        if at + 2 > end or at + 2 + byte_at(at + 1) > end:
            return CUT, at
        at += 2 + byte_at(at + 1)
    return OK, at


@kernel
def scan_structure(start: int, end: int) -> tuple[int, int]:
    """Check that the properties of a frame with a good header fill it: status and address of what is wrong."""
    status, behind = walk_properties(start + HEADER_BYTES - 1, end)
    count = byte_at(start + HEADER_BYTES - 1)
    if status == OK and byte_at(start + 10) in (0x5E, 0x6E, 0x7E):
        # set and get in one frame: two lists
        if behind < end:
            count += byte_at(behind)
        status, behind = walk_properties(behind, end)
    if status != OK:
        return status, behind
    if count == 0:
        return NO_PROPERTY, start + HEADER_BYTES - 1
    return (OK, end) if behind == end else (TRAILING, behind)


@kernel
def scan_property(at: int) -> tuple[int, int, int, int]:
    """Check a property of class 0x0288 that is no good EA or EB, at its EPC.

    Returns status, address of what is wrong, rows it makes, and bad registers.
    """
    epc, pdc = byte_at(at), byte_at(at + 1)
    edt = at + 2
    if _FIXED_PDC[epc] not in (0, pdc):
        return BAD_PDC, at + 1, 0, 0
    bad = 0
    if epc in (0xE2, 0xE4):
        day = be16(edt)
        if day == HISTORY_NOT_SET:
            return OK, at, 0, 0
        if day > HISTORY_DAY_MAX:
            return BAD_DAY, edt, 0, 0
        for index in range(HISTORY_REGISTERS):
            bad += 1 if out_of_range(be32(edt + 2 + 4 * index)) else 0
        return OK, at, HISTORY_REGISTERS, bad
    if epc == 0xEC:
        if pdc < 7:
            return BAD_PDC, at + 1, 0, 0
        count = byte_at(edt + 6)
        if count < 1 or count > PAIRS_MAX:
            return BAD_COUNT, edt + 6, 0, 0
        if pdc != 7 + 8 * count:
            return BAD_PDC, at + 1, 0, 0
        if date_not_set(edt):
            return OK, at, 0, 0
        if stamp_ms(edt, 0) - (count - 1) * STEP_MS < FIRST_MS:  # the oldest, also where there is no newest
            return BAD_DATE, edt, 0, 0
        for index in range(2 * count):
            bad += 1 if out_of_range(be32(edt + 7 + 4 * index)) else 0
        return OK, at, count, bad
    return OK, at, 0, 0


@kernel
def scan_frame(start: int, end: int) -> tuple[int, int, int, int]:
    """Judge the frame in `[start, end)`.

    Returns status, address of what is wrong, rows at most, and rows at most that carry a register out of range.
    """
    if end - start < HEADER_BYTES:
        return SHORT_HEADER, end, 0, 0
    if byte_at(start) != 0x10 or byte_at(start + 1) != 0x81:
        return BAD_EHD, start + (1 if byte_at(start) == 0x10 else 0), 0, 0
    ours = byte_at(start + 4) == 0x02 and byte_at(start + 5) == 0x88
    if not ours or byte_at(start + 10) not in (0x72, 0x73, 0x74):
        status, where = scan_structure(start, end)
        if status != OK:
            return status, where, 0, 0
        return (OTHER_SERVICE, start + 10, 0, 0) if ours else (OTHER_CLASS, start + 4, 0, 0)
    count = byte_at(start + HEADER_BYTES - 1)
    if count == 0:
        return NO_PROPERTY, start + HEADER_BYTES - 1, 0, 0
    rows, bad, at = 0, 0, start + HEADER_BYTES
    for _ in range(count):
        if at + 2 > end or at + 2 + byte_at(at + 1) > end:
            return CUT, at, 0, 0
        if byte_at(at) in (0xEA, 0xEB) and byte_at(at + 1) == 11:
            # what nearly all frames are made of, without a call
            if stamp_ms(at + 2, byte_at(at + 8)) == NO_TIME:
                return BAD_DATE, at + 2, 0, 0
            more, more_bad = 1, 1 if out_of_range(be32(at + 9)) else 0
        else:
            status, where, more, more_bad = scan_property(at)
            if status != OK:
                return status, where, 0, 0
        rows += more
        bad += more_bad
        at += 2 + byte_at(at + 1)
    return (OK, end, rows, bad) if at == end else (TRAILING, at, 0, 0)


@kernel
def base_day(start: int, received_ms: int) -> int:
    """JST day since 1970 that the histories of a good frame count back from.

    That of the first EA or EB in the frame, wherever it stands; else of received_at.
    """
    at = start + HEADER_BYTES
    for _ in range(byte_at(start + HEADER_BYTES - 1)):
        if byte_at(at) in (0xEA, 0xEB):
            return (stamp_ms(at + 2, 0) + JST_MS) // MS_PER_DAY
        at += 2 + byte_at(at + 1)
    return (received_ms + JST_MS) // MS_PER_DAY


@kernel
def history_beyond(start: int, received_ms: int) -> int:
    """Address of the day of a history in a good frame that counts back from, or on to, where no calendar reaches.

    0 where there is none.
    """
    at = start + HEADER_BYTES
    for _ in range(byte_at(start + HEADER_BYTES - 1)):
        if byte_at(at) in (0xE2, 0xE4) and be16(at + 2) != HISTORY_NOT_SET:
            first = (base_day(start, received_ms) - be16(at + 2)) * MS_PER_DAY - JST_MS
            if first < FIRST_MS or first + (HISTORY_REGISTERS - 1) * STEP_MS > LAST_MS:
                return at + 2
        at += 2 + byte_at(at + 1)
    return 0


@kernel
def series_at(at: int, start: int, received_ms: int) -> tuple[int, int, int, int, int]:
    """Registers with a stamp that a property of a good frame carries.

    Returns how many stamps, the first of them (UTC ms), the step to the next, the address of the first register, and
    the registers a stamp: 1, or 2 for a pair of import and export.
    """
    epc, edt = byte_at(at), at + 2
    if epc in (0xEA, 0xEB):
        return 1, stamp_ms(edt, byte_at(edt + 6)), 0, edt + 7, 1
    if epc in (0xE2, 0xE4) and be16(edt) != HISTORY_NOT_SET:
        first = (base_day(start, received_ms) - be16(edt)) * MS_PER_DAY - JST_MS
        return HISTORY_REGISTERS, first, STEP_MS, edt + 2, 1
    if epc == 0xEC and not date_not_set(edt):
        return byte_at(edt + 6), stamp_ms(edt, 0), -STEP_MS, edt + 7, 2
    return 0, 0, 0, 0, 0


@kernel
def count_reads(start: int) -> int:
    """Count the registers that a good frame carries with a stamp, no-data values too."""
    at, reads = start + HEADER_BYTES, 0
    for _ in range(byte_at(start + HEADER_BYTES - 1)):
        stamps, _, _, _, registers = series_at(at, start, 0)
        reads += stamps * registers
        at += 2 + byte_at(at + 1)
    return reads
