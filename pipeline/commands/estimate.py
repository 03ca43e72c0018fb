# SPDX-License-Identifier: Apache-2.0
"""Estimate what is missing, for later products only."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from koma.errors import KomaError
from koma.output import emit, fail, note, progress
from koma.settings import load_settings
from koma.slots import JST, format_utc

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Estimate what is missing, for later products only.",
    epilog="Example: koma estimate run --day 20261007",
)


@app.callback()
def estimate_commands() -> None:
    """Estimate what is missing, for later products only."""


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=JST).date()
    except ValueError:
        raise typer.BadParameter("a day such as 20261007 is needed") from None


@app.command(epilog="Example: koma estimate run --day 20261007")
def run(
    *,
    day: Annotated[str, typer.Option(metavar="YYYYMMDD", help="Day (JST) to estimate; all its slots are closed.")],
    home: Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")] = False,
) -> None:
    """Estimate the missing cells of a day, as known at the last instant issued, and keep them as a Parquet file.

    No file of slots, days or months changes by it. May run beside a watch. Made again from the same it changes no byte;
    where something came late, or was agreed on, the next version is written beside the earlier ones.
    """
    wanted = _day(day)
    from pipeline.estimates.day_run import estimate_day  # noqa: PLC0415  numba loads only when the command runs
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        with progress(f"estimating {wanted}", None):
            done = estimate_day(opened, settings, wanted)
        if done.contradicted and not json:
            note(f"{done.contradicted} cells: agreed values and registers cannot both be true (column contradicts)")
        emit(
            {
                "day": wanted.isoformat(),
                "file": done.file,
                "fresh": done.fresh,
                "as_of": format_utc(done.made_ms),
                "rows": done.rows,
                **done.methods,
                "contradicted": done.contradicted,
                "overruled": done.overruled,
            }
        )
    except KomaError as error:
        fail(error, as_json=json)
