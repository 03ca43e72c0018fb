# SPDX-License-Identifier: Apache-2.0
"""A small writer of ECHONET Lite frames and containers, for tests; it shares nothing with the decoders."""

from collections.abc import Sequence
from datetime import datetime

NO_DATA = 0xFFFFFFFE
METER = "028801"
GET_RES, INF, INFC, GET_SNA = 0x72, 0x73, 0x74, 0x52

Property = tuple[int, bytes]


def frame(properties: Sequence[Property], *, service: int = GET_RES, source: str = METER) -> bytes:
    """Frame of these properties from this source."""
    head = b"\x10\x81\x00\x01" + bytes.fromhex(source) + bytes.fromhex("05FF01") + bytes([service, len(properties)])
    return head + b"".join(bytes([epc, len(edt)]) + edt for epc, edt in properties)


def date_time(text: str, *, seconds: bool = True) -> bytes:
    """Seven bytes of a JST time, or six without seconds."""
    at = datetime.fromisoformat(text)
    parts = [at.month, at.day, at.hour, at.minute, *([at.second] if seconds else [])]
    return at.year.to_bytes(2) + bytes(parts)


def words(registers: Sequence[int]) -> bytes:
    """Registers as big-endian u32."""
    return b"".join(each.to_bytes(4) for each in registers)


def fixed_time(epc: int, text: str, register: int) -> Property:
    """EA or EB."""
    return epc, date_time(text) + words([register])


def history(epc: int, day: int, registers: Sequence[int]) -> Property:
    """E2 or E4."""
    return epc, day.to_bytes(2) + words(registers)


def pairs(text: str, registers: Sequence[tuple[int, int]]) -> Property:
    """EC, newest pair first."""
    flat = [each for pair in registers for each in pair]
    return 0xEC, date_time(text, seconds=False) + bytes([len(registers)]) + words(flat)


def record(meter_id: bytes, received_ms: int, telegram: bytes) -> bytes:
    """Record of a container."""
    rest = meter_id.ljust(16, b"\0") + received_ms.to_bytes(8, signed=True) + telegram
    return len(rest).to_bytes(2) + rest
