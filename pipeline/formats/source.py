# SPDX-License-Identifier: Apache-2.0
"""Bytes of a foreign file, bounded, out of its zip if it lies in one; and what format they are."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from koma.errors import FormatError

FILE_BYTES_MAX: Final = 1 << 30
UNZIPPED_BYTES_MAX: Final = 1 << 28
"""Of all members of a zip; more is taken for a bomb."""
MEMBERS_MAX: Final = 1_000
_PIECE: Final = 1 << 20


def open_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of a file, or of each member of a zip.

    Raises:
        FormatError: it cannot be read, is too large, or is a zip that cannot be opened.

    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise FormatError(f"{path} has more than {FILE_BYTES_MAX} bytes", hint="Cut it into several files")
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}", hint="Look at its name and rights") from None
    if data.startswith(b"PK\x03\x04"):
        yield from _members(path, data)
    else:
        yield str(path), data


def _members(path: Path, data: bytes) -> Iterator[tuple[str, bytes]]:
    left = UNZIPPED_BYTES_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [each for each in archive.infolist() if not each.is_dir()]
            if len(members) > MEMBERS_MAX:
                raise FormatError(f"{path} holds {len(members)} files", hint=f"At most {MEMBERS_MAX} are read")
            for member in members:
                with archive.open(member) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise FormatError(f"{path} unpacks to more than {UNZIPPED_BYTES_MAX} bytes", hint="Unpack it first")
                yield f"{path}/{member.filename}", content
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise FormatError(f"{path} is a zip that cannot be opened: {error}", hint="Fetch it again") from None


def format_of(data: bytes) -> str:
    """Tell the format by how the content begins; what is nothing else is CSV.

    >>> format_of(b"100,NEM12,"), format_of(b"<feed>"), format_of(b"PAR1"), format_of(b"point_id,")
    ('nem12', 'greenbutton', 'parquet', 'csv')
    """
    head = data[:_PIECE].removeprefix(b"\xef\xbb\xbf").lstrip()
    if data.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"<"):
        return "greenbutton"
    return "nem12" if head.startswith((b"100,", b"200,", b"300,")) else "csv"
