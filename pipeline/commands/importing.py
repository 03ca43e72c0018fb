# SPDX-License-Identifier: Apache-2.0
"""Read NEM12, Green Button, CSV or Parquet into one table."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from koma.errors import FormatError, KomaError
from koma.output import emit, fail, note, table

app = typer.Typer(add_completion=False)

_SHOWN = 20


class Format(StrEnum):
    """What may stand after `--format`."""

    AUTO = "auto"
    NEM12 = "nem12"
    GREENBUTTON = "greenbutton"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(epilog="Example: koma import NEM12-2026-10.zip usage.xml --out intervals.parquet")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, also inside zips.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Parquet to write.")],
    form: Annotated[Format, typer.Option("--format", help="Their format; auto looks at how they begin.")] = Format.AUTO,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing where a record was refused.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON lines, one a refusal, then the sum.")] = False,
) -> None:
    """Read foreign files of interval energy into one Parquet file, a row an interval.

    A record that is wrong is refused with file, line, reason and what to do, and never stops the others. Exit status 1
    where a file could not be read at all, or with --strict where anything was refused.
    """
    from pipeline.formats import exchange  # noqa: PLC0415  `--help` has no need of it
    from pipeline.formats.losses import Losses  # noqa: PLC0415
    from pipeline.formats.refusals import Refusals  # noqa: PLC0415

    refusals = Refusals()
    try:
        rows, unread = exchange.read_files(files, form.value, refusals)
        if json:
            for each in refusals.told:
                emit({"refused": {name: getattr(each, name) for name in ("file", "line", "code", "reason", "fix")}})
        elif refusals.told:
            shown = [(each.file, each.line, each.reason, each.fix) for each in refusals.told[:_SHOWN]]
            table(f"Refused: {refusals.count}", ("file", "line", "why", "what to do"), shown)
        if strict and refusals.count:
            raise FormatError(f"{refusals.count} records refused, nothing written", hint="Mend them, or leave --strict")
        exchange.write_file(rows, "parquet", out, Losses())
        if not json:
            note(f"{rows.num_rows} intervals in {out}")
        emit({"rows": rows.num_rows, "refused": refusals.count, "passed_over": refusals.passed_over,
              "unread": len(unread), "out": str(out)})  # fmt: skip
    except KomaError as error:
        fail(error, as_json=json)
    if unread:
        raise typer.Exit(1)
