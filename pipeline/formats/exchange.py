# SPDX-License-Identifier: Apache-2.0
"""Foreign files to one table, and a table to a foreign file: which reader and which writer a format has."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from koma.errors import FormatError
from pipeline.formats import csv_read, csv_write, espi_read, espi_write, nem12_read, nem12_write, parquet
from pipeline.formats.losses import Losses
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import empty, repeated
from pipeline.formats.source import format_of, open_files

READERS: Final[dict[str, Callable[[bytes, str, Refusals], Any]]] = {
    "nem12": nem12_read.read,
    "greenbutton": espi_read.read,
    "csv": csv_read.read,
    "parquet": parquet.read,
}
WRITERS: Final[dict[str, Callable[[Any, Path, Losses], None]]] = {
    "nem12": nem12_write.write,
    "greenbutton": espi_write.write,
    "csv-long": lambda table, file, _: csv_write.write_long(table, file),
    "csv-wide": csv_write.write_wide,
    "parquet": lambda table, file, _: parquet.write(table, file),
}


def read_files(paths: Sequence[Path], kind: str, refusals: Refusals) -> tuple[Any, list[str]]:
    """Read files of one format, or of any (`auto`); return the rows, and the files that could not be read at all."""
    tables, names, unread = [], [], []
    for path in paths:
        try:
            for name, data in open_files(path):
                try:
                    read = READERS[format_of(data) if kind == "auto" else kind]
                    tables.append(read(data, name, refusals))
                    names.append(name)
                except FormatError as error:
                    refusals.add(name, 0, "file", error.message, error.hint)
                    unread.append(name)
        except FormatError as error:
            refusals.add(str(path), 0, "file", error.message, error.hint)
            unread.append(str(path))
    if not tables:
        return empty(), unread
    table = pa.concat_tables(tables).combine_chunks()
    twice = repeated(table)
    sizes = [each.num_rows for each in tables]
    for name, count in zip(names, _per_file(twice, sizes), strict=True):
        refusals.rows(name, [0] * count, "repeated", "an interval that an earlier file has", "Give each interval once")
    return table.filter(pa.array(~twice)), unread


def read_own(paths: Sequence[Path]) -> Any:
    """Read Parquet that Koma has written: delivery files together, of each cell the last revision; else tables.

    Raises:
        FormatError: a file is something else, or a row is wrong.

    """
    if all(parquet.is_delivery(each) for each in paths):
        return parquet.read_deliveries(paths)
    refusals = Refusals()
    table, _ = read_files(paths, "parquet", refusals)
    if refusals.count:
        first = refusals.told[0]
        place = f"{first.file} row {first.line}: " if first.line else ""
        raise FormatError(f"{place}{first.reason}", hint=first.fix)
    return table


def _per_file(mask: Any, sizes: Sequence[int]) -> list[int]:
    bounds = np.cumsum(sizes)[:-1]
    return [int(each.sum()) for each in np.split(mask, bounds)]


def write_file(table: Any, kind: str, file: Path, losses: Losses) -> None:
    """Write a file whole, or leave what lay there as it was.

    Raises:
        FormatError: the format cannot carry the table, or the file cannot be written.

    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        WRITERS[kind](table, fresh, losses)
        fresh.replace(file)
    except FileNotFoundError as error:
        raise FormatError(f"{file} cannot be written: {error.strerror}", hint="Make its folder first") from None
    finally:
        fresh.unlink(missing_ok=True)
