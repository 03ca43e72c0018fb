# SPDX-License-Identifier: Apache-2.0
"""How commands talk: results as JSON lines on standard output; tables, notes and progress on standard error.

Standard output holds nothing but results, so that it can be piped; a progress bar shows on a terminal only.
"""

import json
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol

from koma.errors import KomaError


class Advance(Protocol):
    """What `progress` hands out: call it with the number of steps done."""

    def __call__(self, steps: float = 1) -> None:
        """Move the bar."""
        ...


def emit(obj: object) -> None:
    """Write one JSON line on standard output; what JSON does not know (paths, dates) goes out as its text."""
    sys.stdout.write(json.dumps(obj, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Write one line for people on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table for people on standard error; numbers stand to the right.

    Where the terminal is too narrow for the longest word of every column, each row goes out as lines of name and value.
    """
    from rich import box  # noqa: PLC0415  rich costs a third of the start of a command and most need no table
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    lines = [list(row) for row in rows]
    texts = [[f"{each:,}" if isinstance(each, int | float) else str(each) for each in line] for line in lines]
    console = Console(stderr=True, highlight=False, markup=False)
    widths = _column_widths([list(columns), *texts], console.width - 2 * len(columns))
    if widths is None:
        _records(title, columns, texts)
        return
    grid = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        numeric = bool(lines) and all(isinstance(line[index], int | float) for line in lines)
        grid.add_column(column, justify="right" if numeric else "left", width=widths[index])
    for line in texts:
        grid.add_row(*line)
    console.print(grid)
    console.print()


def _column_widths(lines: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return widths that fill at most `room` and cut no word; None where there are none."""
    from rich.cells import cell_len  # noqa: PLC0415  see `table`

    longest = [[max((cell_len(word) for word in text.split()), default=0) for text in line] for line in lines]
    least = [max(column) for column in zip(*longest, strict=True)]
    widths = [max(cell_len(text) for text in column) for column in zip(*lines, strict=True)]
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max((each for each in range(len(widths)) if widths[each] > least[each]), key=lambda each: widths[each])
        widths[widest] -= 1
    return widths


def _records(title: str, columns: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    names = max(len(column) for column in columns)
    blocks = [
        "\n".join(f"  {name:<{names}}  {text}".rstrip() for name, text in zip(columns, line, strict=True))
        for line in texts
    ]
    note("\n\n".join([*([f"{title}:"] if title else []), *blocks]) + "\n")


@contextmanager
def progress(description: str, total: float | None) -> Generator[Advance]:
    """Show a bar on standard error while the block runs, if that is a terminal.

    Args:
        description: what is being done, in a few words.
        total: number of steps; None where it is not known.

    """
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console  # noqa: PLC0415  see `table`
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=total)

        def advance(steps: float = 1) -> None:
            bars.advance(task, steps)

        yield advance


def _silent(steps: float = 1) -> None:
    """Stand in for the bar where nobody looks."""


def fail(error: KomaError, *, as_json: bool = False) -> NoReturn:
    """End the command with status 1 and say what is wrong and how to put it right.

    With `as_json` one line `{"error": {"code", "message", "hint"}}` goes to standard output, else words to standard
    error.
    """
    if as_json:
        emit({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    else:
        note(f"koma: {error.code}: {error.message}")
        if error.hint:
            note(f"  {error.hint}")
    raise SystemExit(1)
