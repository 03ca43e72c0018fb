# SPDX-License-Identifier: Apache-2.0
"""The structure of an ECHONET Lite frame, one at a time and in words: for people, where the kernels are for millions.

`EHD1 EHD2 = 10 81 · TID 2 · SEOJ 3 · DEOJ 3 · ESV 1 · OPC 1 · OPC x (EPC 1, PDC 1, EDT PDC)`; all numbers are
big-endian.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HEADER_BYTES: Final = 12
METER_CLASS: Final = b"\x02\x88"
"""低圧スマート電力量メータ; the class 0x028A of high-voltage meters gives other meanings to the same EPC."""

SERVICES: Final = {
    0x50: "SetI_SNA",
    0x51: "SetC_SNA",
    0x52: "Get_SNA",
    0x53: "INF_SNA",
    0x5E: "SetGet_SNA",
    0x60: "SetI",
    0x61: "SetC",
    0x62: "Get",
    0x63: "INF_REQ",
    0x6E: "SetGet",
    0x71: "Set_Res",
    0x72: "Get_Res",
    0x73: "INF",
    0x74: "INFC",
    0x7A: "INFC_Res",
    0x7E: "SetGet_Res",
}
"""Names of ESV."""

TELLING: Final = frozenset({0x72, 0x73, 0x74})
"""ESV of frames in which every property has a value."""
_TWO_LISTS: Final = frozenset({0x5E, 0x6E, 0x7E})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a frame cannot be read: the offset of what is wrong, and the reason in words."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the properties."""

    transaction: int
    source: bytes
    destination: bytes
    service: int

    @property
    def of_meter(self) -> bool:
        """Tell whether the frame comes from a low-voltage meter."""
        return self.source[:2] == METER_CLASS


@dataclass(frozen=True, slots=True)
class Property:
    """EPC, its data, and the offset of the EPC in the frame."""

    epc: int
    edt: bytes
    offset: int


def parse_header(frame: bytes) -> Header | Refusal:
    """Read the first twelve bytes of a frame."""
    if len(frame) < HEADER_BYTES:
        return Refusal(len(frame), f"the frame ends after {len(frame)} bytes, inside its header")
    if frame[:2] != b"\x10\x81":
        wrong = 1 if frame[0] == 0x10 else 0
        return Refusal(wrong, f"the header is {frame[:2].hex().upper()}, not 1081: no frame of the specified format")
    return Header(int.from_bytes(frame[2:4]), frame[4:7], frame[7:10], frame[10])


def walk_properties(frame: bytes, service: int) -> Iterator[Property | Refusal]:
    """Yield the properties of a frame in order, and a refusal last if they do not fill it."""
    at = HEADER_BYTES - 1
    found = 0
    for _ in range(2 if service in _TWO_LISTS else 1):
        if at >= len(frame):
            yield Refusal(at, "the frame ends before the number of its properties")
            return
        count = frame[at]
        at += 1
        for number in range(count):
            left = len(frame) - at - 2
            if left < 0 or frame[at + 1] > left:
                what = f"data of {left} bytes, not {frame[at + 1]}" if left >= 0 else "no EPC and PDC"
                yield Refusal(at, f"the frame ends inside a property: {what}, property {number + 1} of {count}")
                return
            end = at + 2 + frame[at + 1]
            yield Property(frame[at], frame[at + 2 : end], at)
            at = end
        found += count
    if not found:
        yield Refusal(HEADER_BYTES - 1, "the frame has no property")
    elif at != len(frame):
        yield Refusal(at, f"the frame goes on for {len(frame) - at} bytes behind its last property")
