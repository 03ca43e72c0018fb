# SPDX-License-Identifier: Apache-2.0
"""The files of a master import: which there are, and their rows in batches of text columns, with line numbers.

Values are read as text and judged by this package, never by a reader's type inference. Parquet may hold native types:
numbers become their shortest text, timestamps and dates stay what they are.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from koma.errors import MasterError
from pipeline.master.text_kernels import count_newlines

_BLOCK_BYTES = 16 << 20
_BATCH_ROWS = 262_144
_RETAILER_DIGITS = 5
_NEWLINE = 10


@dataclass(frozen=True, slots=True)
class Table:
    """Name and columns of one of the master files."""

    name: str
    columns: tuple[str, ...]
    required: tuple[str, ...]
    times: tuple[str, ...] = ()


POINTS = Table(
    "points",
    ("point_id", "area", "voltage", "contract_kw", "telemetry", "meter_read_day", "name_kana", "name", "address",
     "disconnect_method", "main_point_id", "recorded_at"),
    ("point_id",),
    ("recorded_at",),
)  # fmt: skip
METERS = Table(
    "meters",
    ("point_id", "meter_id", "register", "installed_at", "removed_at", "digits", "unit_exponent", "coefficient",
     "install_register", "removal_register", "interval_capable", "auto_read", "interval_minutes",
     "recorded_at"),
    ("point_id", "meter_id", "digits", "unit_exponent"),
    ("installed_at", "removed_at", "recorded_at"),
)  # fmt: skip
SUPPLY = Table(
    "supply",
    ("point_id", "retailer_code", "bg_code", "customer_ref", "valid_from", "valid_to", "recorded_at"),
    ("point_id", "retailer_code", "valid_from"),
    ("valid_from", "valid_to", "recorded_at"),
)
RETAILERS = Table("retailers", ("retailer_code", "name", "area", "operator_code"), ("retailer_code",))
TABLES: tuple[Table, ...] = (POINTS, METERS, SUPPLY, RETAILERS)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that has not the header's number of columns; `row` counts rows, the header is 1."""

    row: int
    text: str


@dataclass(slots=True)
class SourceFile:
    """One file of an import. Read `batches` to the end; then `lines` and `malformed` are whole."""

    path: Path
    table: Table
    header: tuple[str, ...] = ()
    malformed: list[Malformed] = field(default_factory=list)
    _ordinals: list[NDArray[np.int64]] = field(default_factory=list)
    _ends: list[NDArray[np.int64]] = field(default_factory=list)
    _count: int = 0

    @property
    def name(self) -> str:
        """File name without folder."""
        return self.path.name

    @property
    def known(self) -> list[str]:
        """Columns of the file that mean something."""
        return [each for each in self.table.columns if each in self.header]

    @property
    def ignored(self) -> list[str]:
        """Columns of the file that mean nothing."""
        return [each for each in self.header if each not in self.table.columns]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows in batches: text columns without nulls, or timestamps and dates as they are.

        Raises:
            MasterError: the file cannot be read, is not UTF-8, or lacks a required column.

        """
        try:
            yield from self._csv() if self.path.suffix == ".csv" else self._parquet()
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error

    def lines(self) -> tuple[NDArray[np.uint32], list[int]]:
        """Line numbers (the header is line 1; in Parquet row numbers from 1) of the rows read, and of the malformed."""
        ordinals = np.concatenate([*self._ordinals, np.zeros(0, np.int64)])
        if self.path.suffix != ".csv":
            return ordinals.astype(np.uint32), []
        skipped = [each.row for each in self.malformed]
        numbers = np.arange(2, 2 + self._count + len(skipped), dtype=np.int64)
        numbers = np.delete(numbers, np.array(skipped, np.int64) - 2)
        rows = numbers[ordinals]
        inside = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._ends]))  # line ends inside quoted values
        behind = inside[np.searchsorted(rows, skipped)]
        return (rows + inside[:-1]).astype(np.uint32), (np.array(skipped, np.int64) + behind).tolist()

    def texts(self, lines: NDArray[np.uint32]) -> Iterator[tuple[int, str]]:
        """Text of the rows at ascending `lines`: as it stands in a CSV; values joined by commas from Parquet."""
        wanted = lines.astype(np.int64)
        return _csv_lines(self.path, wanted) if self.path.suffix == ".csv" else self._parquet_rows(wanted)

    def values(self, text: str) -> dict[str, str]:
        """Values of a row's text by column, as far as they go."""
        return dict(zip(self.header, _cells(text), strict=False))

    def _csv(self) -> Iterator[pa.RecordBatch]:
        with self.path.open("rb") as file:
            first = file.readline()
        if first[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise self._not_utf8()
        line = first.decode("utf-8-sig").rstrip("\r\n")
        if "\r" in line:
            raise MasterError(f"the lines of {self.path} end with CR alone", hint="End them with LF or CR LF")
        self._take_header([each.strip() for each in _cells(line)])
        kinds = dict.fromkeys(self.header, pa.string())
        reader = pacsv.open_csv(
            self.path,
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES, column_names=list(self.header), skip_rows=1
            ),
            parse_options=pacsv.ParseOptions(invalid_row_handler=self._skip, ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                column_types=kinds, include_columns=self.known, strings_can_be_null=False, check_utf8=True
            ),
        )
        for batch in reader:
            filled, ends = np.zeros(len(batch), np.int64), np.zeros(len(batch), np.int64)
            for column in batch.columns:
                off, data = text_buffers(column)
                filled += np.diff(off)
                if _NEWLINE in data[off[0] : off[-1]]:
                    count_newlines(off, data, ends)
            rows = np.flatnonzero(filled)
            self._ordinals.append(self._count + rows)
            self._ends.append(ends[rows])
            self._count += len(batch)
            yield batch if len(rows) == len(batch) else batch.take(pa.array(rows))

    def _skip(self, row: Any) -> str:
        self.malformed.append(Malformed(row.number, row.text))
        return "skip"

    def _parquet(self) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path) as file:
            self._take_header(file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH_ROWS, columns=self.known):
                self._ordinals.append(np.arange(self._count + 1, self._count + 1 + len(batch)))
                self._count += len(batch)
                columns = [_as_text(batch[name], name, times=self.table.times) for name in self.known]
                yield pa.RecordBatch.from_arrays(columns, self.known)

    def _parquet_rows(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
        with pq.ParquetFile(self.path) as file:
            count = 0
            for batch in file.iter_batches(_BATCH_ROWS):
                mine = wanted[(wanted > count) & (wanted <= count + len(batch))]
                for line, row in zip(mine.tolist(), batch.take(pa.array(mine - count - 1)).to_pylist(), strict=True):
                    yield line, _joined(["" if each is None else str(each) for each in row.values()])
                count += len(batch)

    def _take_header(self, names: Sequence[str]) -> None:
        self.header = tuple(names)
        twice = sorted({each for each in names if names.count(each) > 1})
        if twice:
            raise MasterError(f"{self.path} has the column {twice[0]} twice", hint="Take one of them out")
        missing = [each for each in self.table.required if each not in names]
        if missing:
            raise MasterError(
                f"{self.path} lacks the column {' and '.join(missing)}; its header is {_joined(list(names))!r}",
                hint=f"The first line names the columns; {self.table.name} needs {', '.join(self.table.required)}",
            )

    def _unreadable(self, error: Exception) -> MasterError:
        if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
            return self._not_utf8()
        kind = "a CSV file in UTF-8 with a header" if self.path.suffix == ".csv" else "a Parquet file"
        return MasterError(f"{self.path} cannot be read: {error}", hint=f"It has to be {kind}; nothing was imported")

    def _not_utf8(self) -> MasterError:
        return MasterError(
            f"{self.path} is not UTF-8",
            hint="Save it as UTF-8 (from cp932: iconv -f CP932 -t UTF-8); nothing was imported",
        )


def find_files(folder: Path) -> list[SourceFile]:
    """Master files of a folder, in the order of `TABLES`.

    Raises:
        MasterError: no folder, no master file in it, or one table in two files.

    """
    if not folder.is_dir():
        raise MasterError(f"{folder} is not a folder", hint="Give the folder that holds the master files")
    found = []
    for table in TABLES:
        paths = [folder / f"{table.name}{suffix}" for suffix in (".csv", ".parquet")]
        there = [each for each in paths if each.exists()]
        if len(there) > 1:
            raise MasterError(f"{folder} holds {there[0].name} and {there[1].name}", hint="Keep one of them")
        found += [SourceFile(each, table) for each in there]
    if not found:
        names = ", ".join(f"{each.name}.csv" for each in TABLES)
        raise MasterError(
            f"{folder} holds no master file", hint=f"Put any of {names} there, or .parquet in their place"
        )
    return found


def text_buffers(column: pa.StringArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Offsets (n+1,) and bytes of a text column without copying."""
    _, offsets, data = column.buffers()
    if offsets is None or offsets.size == 0:
        return np.frombuffer(bytes(4), np.int32), np.frombuffer(b"\0", np.uint8)
    off = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return off, np.frombuffer(data if data is not None and data.size else b"\0", np.uint8)


def _as_text(column: pa.Array, name: str, times: tuple[str, ...]) -> pa.Array:
    kind = column.type
    if name in times and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return column
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    text = column.cast(pa.string())
    if name == "retailer_code" and pa.types.is_integer(kind):
        text = pc.utf8_lpad(text, _RETAILER_DIGITS, "0")
    return pc.fill_null(text, "")


def _csv_lines(path: Path, wanted: NDArray[np.int64]) -> Iterator[tuple[int, str]]:
    """Lines of a file by ascending number from 1, found by counting line ends block by block; empty behind the end."""
    line, held, done = 1, b"", 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            block = held + block
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
            starts = np.concatenate([[0], ends + 1])
            for number in wanted[done : np.searchsorted(wanted, line + len(ends))].tolist():
                yield number, _line_text(block[starts[number - line] : ends[number - line]])
                done += 1
            line += len(ends)
            held = block[starts[-1] :]
    for number in wanted[done:].tolist():
        yield number, _line_text(held) if number == line else ""


def _line_text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _cells(line: str) -> list[str]:
    try:
        return next(iter(csv.reader([line])), [])
    except csv.Error:  # a line end inside the line, or a value of more than 128 kB
        return line.split(",")


def _joined(values: list[str]) -> str:
    return ",".join(f'"{each.replace(chr(34), chr(34) * 2)}"' if set(each) & set(',"\n\r') else each for each in values)
