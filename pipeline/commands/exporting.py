# SPDX-License-Identifier: Apache-2.0
"""Write intervals as NEM12, Green Button, CSV or Parquet."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from koma.errors import KomaError
from koma.ids import parse_retailer_code
from koma.output import emit, fail, note
from koma.settings import load_settings

app = typer.Typer(add_completion=False)


class Format(StrEnum):
    """What may stand after `--format`."""

    NEM12 = "nem12"
    GREENBUTTON = "greenbutton"
    CSV_LONG = "csv-long"
    CSV_WIDE = "csv-wide"
    PARQUET = "parquet"


@app.command(epilog="Example: koma export intervals.parquet --format nem12 --out intervals.csv")
def export(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="Parquet of koma import, or delivery files.")
    ] = None,
    *,
    form: Annotated[Format, typer.Option("--format", help="The format to write.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    home_day: Annotated[
        str, typer.Option(metavar="YYYYMMDD", help="Instead of files: what the home delivered for this day.")
    ] = "",
    retailer: Annotated[str, typer.Option(metavar="CODE", help="With --home-day: to which retailer.")] = "",
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Write the nearest form of what the format cannot carry, and count it.")
    ] = False,
    home: Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")] = False,
) -> None:
    """Write intervals in a format others read; of a cell delivered several times its last revision.

    What the format cannot carry is refused by name, and nothing is written; with --nearest its nearest form is written,
    where there is one, and counted in `losses`.
    """
    if bool(files) == bool(home_day) or bool(home_day) != bool(retailer):
        raise typer.BadParameter("give files, or --home-day with --retailer")
    if home_day and not (home_day.isascii() and home_day.isdigit() and len(home_day) == 8):
        raise typer.BadParameter("--home-day is YYYYMMDD")
    from pipeline.formats import exchange, parquet  # noqa: PLC0415  `--help` has no need of it
    from pipeline.formats.losses import Losses  # noqa: PLC0415

    try:
        if home_day:
            root = load_settings(home=home).home
            rows = parquet.read_home_day(root, parse_retailer_code(retailer), home_day)
        else:
            rows = exchange.read_own(files or [])
        losses = Losses(nearest=nearest)
        exchange.write_file(rows, form.value, out, losses)
        if not json:
            note(f"{rows.num_rows} intervals in {out}")
        emit({"rows": rows.num_rows, "losses": losses.counts, "out": str(out)})
    except KomaError as error:
        fail(error, as_json=json)
