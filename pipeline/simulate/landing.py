# SPDX-License-Identifier: Apache-2.0
"""Hand-over files, cut by the time of arrival: a head-end's outbox.

A file holds what arrived within one window; its name is the window's end, so that files can be handed over in the order
of their names as time passes. Meters are dealt out over the formats asked for, as concentrators of different makes are.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import JST_OFFSET_MINUTES, MS_PER_MINUTE, MS_PER_SLOT
from pipeline.handover.batch import ReadBatch
from pipeline.handover.write import write_arrow, write_csv, write_echonet, write_parquet
from pipeline.simulate.collection import Rows, join
from pipeline.simulate.draws import Stream, generator
from pipeline.simulate.identities import meter_keys
from pipeline.simulate.options import Options

_WRITERS: Final[dict[str, Callable[[Path, ReadBatch], object]]] = {
    "arrow": write_arrow,
    "parquet": write_parquet,
    "csv": write_csv,
    "csv.gz": lambda path, batch: write_csv(path, batch, compression="gz"),
    "csv.zst": lambda path, batch: write_csv(path, batch, compression="zst"),
    "echonet": write_echonet,
}


FILE_ROWS_MAX: Final = 2_097_152
"""A window with more rows goes into several files: it bounds memory."""


class Landing:
    """Keeps rows until their window is over, then writes its files.

    Attributes:
        files: number of files written.
        bytes: their size.
    """

    __slots__ = ("_directory", "_options", "_parts", "_stamp", "bytes", "files")

    def __init__(self, options: Options, directory: Path) -> None:
        """Write into `directory`, which is made."""
        directory.mkdir(parents=True, exist_ok=True)
        self._options = options
        self._directory = directory
        self._parts: list[Rows] = []
        self._stamp = 0
        self.files = 0
        self.bytes = 0

    def add(self, rows: Rows) -> None:
        """Take rows of the present stamp."""
        self._parts.append(rows)

    def close_stamp(self) -> None:
        """Write every window that no later stamp can add to; after the last stamp, all of them."""
        self._stamp += 1
        rows = join(self._parts) if self._parts else None
        if not rows:
            return
        last = self._stamp > self._options.slots
        limit = self._stamp * MS_PER_SLOT // (self._options.cut_minutes * MS_PER_MINUTE)
        done = int(rows.window.max()) + 1 if last else limit
        self._parts = self._write(rows, done)

    def _write(self, rows: Rows, done: int) -> list[Rows]:
        """Write the windows below `done` and return the rows of the others."""
        formats = self._options.formats
        key = np.minimum(rows.window, done)
        key *= len(formats)
        key += (rows.meter % np.uint32(len(formats))).astype(np.int32)
        key -= key.min()
        order = self._order(key.astype(np.uint16) if key.max() < 1 << 16 else key)
        edges = np.flatnonzero(np.diff(key[order])) + 1
        kept = [np.zeros(0, order.dtype)]
        for index in np.split(order, edges):
            window, group = int(rows.window[index[0]]), int(rows.meter[index[0]]) % len(formats)
            if window >= done:
                kept.append(index)
                continue
            for part, start in enumerate(range(0, len(index), FILE_ROWS_MAX)):
                self._write_file((window, group, part), rows.take(index[start : start + FILE_ROWS_MAX]))
        rest = np.sort(np.concatenate(kept))
        return [rows.take(rest)] if len(rest) else []

    def _order(self, key: NDArray[np.uint16] | NDArray[np.int32]) -> NDArray[Any]:
        """Return the rows by file, inside a file in random order or in that of the meters."""
        if not self._options.shuffle:
            return np.argsort(key, kind="stable")
        order = np.arange(len(key), dtype=np.uint32)
        generator(self._options.seed, Stream.HANDOVER, 0, self._stamp).shuffle(order)
        return order[np.argsort(key[order], kind="stable")]

    def _write_file(self, place: tuple[int, int, int], rows: Rows) -> None:
        options, (window, group, part) = self._options, place
        extension = options.formats[group]
        suffix = f"-{part:03d}" if part else ""
        name = f"hes-{_clock_text(options, window + 1)}-{group:02d}{suffix}.{extension}"
        batch = ReadBatch(
            source=name,
            keys=meter_keys(rows.meter.astype(np.int64), options.seed),
            read_at_ms=rows.read_ms + options.start_ms,
            received_ms=rows.received_ms + options.start_ms,
            import_register=rows.import_register,
            export_register=rows.export_register,
            place=np.arange(len(rows), dtype=np.int64),
        )
        temporary = self._directory / f".{name}"
        _WRITERS[extension](temporary, batch)
        temporary.rename(self._directory / name)
        self.files += 1
        self.bytes += (self._directory / name).stat().st_size


def _clock_text(options: Options, window: int) -> str:
    """Return the end of a window as digits in JST: names sort by it."""
    ms = options.start_ms + (window * options.cut_minutes + JST_OFFSET_MINUTES) * MS_PER_MINUTE
    text = str(np.datetime64(ms, "ms").astype("datetime64[m]"))
    return text.replace("-", "").replace(":", "")
