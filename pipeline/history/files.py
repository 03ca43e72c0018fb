# SPDX-License-Identifier: Apache-2.0
"""Where the store lies: a folder of this machine, or of any file system that Arrow or fsspec opens by its address."""

import zlib
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import fs

from koma.errors import HistoryError
from koma.settings import Settings
from pipeline.home import Home, sync_filesystem

_LOCAL: Final = "file"


class Files:
    """Files below one folder, by name with `/` between folders; each is written once and never changed."""

    def __init__(self, address: str) -> None:
        """Open `address`: a path, or `scheme://...`.

        Raises:
            HistoryError: nothing opens such an address.

        """
        self.address = address
        self.system, self._root = _opened(address)
        self.local = Path(self._root) if isinstance(self.system, fs.LocalFileSystem) else None

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            FileNotFoundError: it is not there.

        """
        with self.system.open_input_file(self._at(name)) as file:
            content: bytes = file.read()
            return content

    def opened(self, name: str) -> Any:
        """Open a file for reading at random.

        Raises:
            FileNotFoundError: it is not there.

        """
        return self.system.open_input_file(self._at(name))

    def write(self, name: str, content: Any) -> int:
        """Write a new file, of which nobody knows yet; returns the CRC-32 of its bytes."""
        if self.local is not None:
            (self.local / name).parent.mkdir(parents=True, exist_ok=True)
        with self.system.open_output_stream(self._at(name)) as stream:
            stream.write(content)
        return zlib.crc32(content)

    def reveal(self, name: str, content: bytes) -> None:
        """Write a file that others look for, so that they see all of it or none."""
        if self.local is None:  # an object appears as a whole
            self.write(name, content)
            return
        hidden = f"{name.rpartition('/')[0]}/.{name.rpartition('/')[2]}"
        self.write(hidden, content)
        self.sync()  # with it all that the file tells of
        (self.local / hidden).rename(self.local / name)
        self.sync()

    def sync(self) -> None:
        """Make all that was written durable."""
        if self.local is not None:
            sync_filesystem(self.local)

    def names(self, folder: str) -> list[str]:
        """Return the names of what lies in a folder, hidden ones left out; none where it is not there."""
        if self.local is not None:  # Arrow's own list fails where an entry goes meanwhile
            path = self.local / folder
            names = [each.name for each in path.iterdir()] if path.is_dir() else []
        else:
            found = self.system.get_file_info(fs.FileSelector(self._at(folder), allow_not_found=True))
            names = [each.base_name for each in found]
        return sorted(each for each in names if not each.startswith("."))

    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that is in it."""
        self.system.delete_dir(self._at(folder))

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.system.delete_file(self._at(name))


def store_files(home: Home, settings: Settings) -> Files:
    """Return where a home's history lies."""
    return Files(settings.history or str(home.path("history")))


def _opened(address: str) -> tuple[Any, str]:
    if "://" not in address:
        return fs.LocalFileSystem(), str(Path(address).absolute())
    try:
        system, root = fs.FileSystem.from_uri(address)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        system, root = _by_fsspec(address)
    except (pa.ArrowException, OSError) as error:
        raise _unopened(address, error) from None
    return system, root.rstrip("/")


def _by_fsspec(address: str) -> tuple[Any, str]:
    import fsspec  # type: ignore[import-untyped]  # noqa: PLC0415  most homes lie on a file system that Arrow knows

    try:
        system, root = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError, OSError) as error:
        raise _unopened(address, error) from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), root


def _unopened(address: str, error: Exception) -> HistoryError:
    return HistoryError(
        f"{address} cannot be opened: {error}",
        hint="set KOMA_HISTORY to a path or an address that Arrow or fsspec know",
    )
