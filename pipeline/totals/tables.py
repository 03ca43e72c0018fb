# SPDX-License-Identifier: Apache-2.0
"""Small tables that people hand in: CSV files read strictly, all bad lines told at once, nothing applied by halves."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from koma.errors import KomaError, TotalsError
from koma.slots import MS_PER_SLOT, parse_jst, slot_at_ms
from pipeline.columns import replace_file
from pipeline.master.view import OPEN_SLOT

_TOLD: Final = 10
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table:
    """Name and columns of a file; `optional` ones may be left out, others mean nothing and are refused."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


@dataclass(slots=True)
class Wrong:
    """Everything that is wrong with the files of an import."""

    found: list[str] = field(default_factory=list)

    def add(self, path: Path, line: int, error: KomaError) -> None:
        """Remember a bad line."""
        self.found.append(f"{path.name} line {line}: {error}")

    def refuse(self) -> None:
        """Refuse the import if anything is wrong.

        Raises:
            TotalsError: something is; it tells the first lines.

        """
        if not self.found:
            return
        more = f" (and {len(self.found) - _TOLD} more)" if len(self.found) > _TOLD else ""
        told = "; ".join(self.found[:_TOLD])
        raise TotalsError(
            f"{told}{more}", hint="nothing was applied: correct the lines and import the whole file again"
        )


def read_table(path: Path, table: Table, wrong: Wrong, make: Callable[[dict[str, str]], T]) -> list[tuple[int, T]]:
    """Read a file, and return what its lines make, with their numbers; bad ones go to `wrong`.

    Raises:
        TotalsError: the file cannot be read, or is not one of these.

    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise TotalsError(f"{path} cannot be read: {reason}", hint="hand in CSV with a header, in UTF-8") from error
    header = rows[0] if rows else []
    lacking = [each for each in table.required if each not in header]
    strange = [each for each in header if each not in {*table.required, *table.optional}]
    if lacking or strange or len(set(header)) != len(header):
        what = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(strange) or 'a column twice'}"
        wanted = ", ".join([*table.required, *(f"[{each}]" for each in table.optional)])
        raise TotalsError(f"{path} line 1: the header {what}", hint=f"its columns are {wanted}")
    return list(_made(path, header, rows[1:], wrong, make))


def _made(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], wrong: Wrong, make: Callable[[dict[str, str]], T]
) -> Iterator[tuple[int, T]]:
    for number, row in enumerate(rows, 2):
        try:
            if len(row) != len(header):
                raise TotalsError(f"{len(row)} fields, not {len(header)}")
            yield number, make({name: value.strip() for name, value in zip(header, row, strict=True)})
        except KomaError as error:
            wrong.add(path, number, error)


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of equal names as CSV, with lists as their parts and nothing for None; replaces the file as a whole.

    Raises:
        TotalsError: the file cannot be written.

    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else ())
    for row in rows:
        writer.writerow([" ".join(each) if isinstance(each, list) else each for each in row.values()])
    try:
        replace_file(path, text.getvalue().encode())
    except OSError as error:
        raise TotalsError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in a folder you may write"
        ) from error


def slot_of_text(text: str) -> int:
    """Return the slot that starts at a time.

    Raises:
        TotalsError: it is no boundary between slots.
        InstantError: it is no time.

    """
    ms = parse_jst(text)
    if ms % MS_PER_SLOT:
        raise TotalsError(f"{text} is no boundary between slots", hint="write a time such as 2026-10-07T10:00")
    return slot_at_ms(ms)


def end_of_text(text: str) -> int:
    """Return the slot at which something ends, `OPEN_SLOT` for an empty text; raises as `slot_of_text`."""
    return slot_of_text(text) if text else OPEN_SLOT


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; none where it is not there.

    Raises:
        TotalsError: a line is damaged.

    """
    if not path.exists():
        return []
    with _damage(path):
        return [json.loads(line) for line in path.read_bytes().splitlines()]


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise TotalsError(f"{path} is damaged: {error}", hint="restore it from a copy of the home") from error
