# SPDX-License-Identifier: Apache-2.0
"""The zip around the XML: one deflated member, assembled in memory, its bytes a function of name, time and text."""

import struct
from datetime import datetime
from typing import Final

from isal import isal_zlib

from koma.errors import DeliveryError
from koma.slots import JST

LEVEL: Final = 1
"""Of igzip: as dense here as 2 and 3, and faster than 0, which has to write more."""

_RAW_DEFLATE: Final = -11
"""No header, and a window of 2 KiB: rows repeat each other a hundred bytes on, and a small window stays in the core."""
_VERSION: Final = 20
_DEFLATED: Final = 8
_SIZE_MAX: Final = 2**32 - 2
"""A member that needs ZIP64 would be no W41110 file that retailers' readers take."""
_DOS_YEARS: Final = range(1980, 2108)
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")


class Deflater:
    """Deflates a member in the portions in which it is rendered, counting and checking on the way."""

    def __init__(self) -> None:
        """Start an empty member."""
        self._stream = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
        self._parts: list[bytes] = []
        self._crc = 0
        self._size = 0

    def add(self, text: memoryview) -> None:
        """Take the next portion; it may be overwritten afterwards."""
        self._crc = isal_zlib.crc32(text, self._crc)
        self._size += len(text)
        self._parts.append(self._stream.compress(text))

    def archive(self, name: str, made_ms: int) -> bytes:
        """Give the zip whose one member `name` holds all portions, dated `made_ms` in JST (to 2 s, as zips are)."""
        member = b"".join((*self._parts, self._stream.flush()))
        if max(self._size, len(member)) > _SIZE_MAX:
            message = f"{name} takes {self._size} bytes, more than a zip without ZIP64 holds"
            raise DeliveryError(message, hint="Lower the rows per file")
        title = name.encode("ascii")
        facts = (0, _DEFLATED, *_dos_time(made_ms), self._crc, len(member), self._size, len(title))
        local = _LOCAL.pack(b"PK\3\4", _VERSION, *facts, 0) + title
        central = _CENTRAL.pack(b"PK\1\2", _VERSION, _VERSION, *facts, 0, 0, 0, 0, 0, 0) + title
        end = _END.pack(b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(member), 0)
        return b"".join((local, member, central, end))


def _dos_time(ms: int) -> tuple[int, int]:
    moment = datetime.fromtimestamp(ms // 1000, JST)
    if moment.year not in _DOS_YEARS:
        message = f"a zip cannot be dated {moment:%Y-%m-%d}"
        raise DeliveryError(message, hint="Zip times run from 1980 to 2107")
    time = moment.hour << 11 | moment.minute << 5 | moment.second >> 1
    return time, (moment.year - _DOS_YEARS.start) << 9 | moment.month << 5 | moment.day
