# SPDX-License-Identifier: Apache-2.0
"""Show slots of 15, 5 and 1 minutes, and device points."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from koma.errors import HomeError, KomaError
from koma.limits import INTERVAL_MINUTES_ALLOWED
from koma.output import emit, fail, note, progress
from koma.settings import load_settings
from koma.slots import JST, format_utc

if TYPE_CHECKING:
    from pipeline.channel_files import Told
    from pipeline.channels import Known

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    epilog="Example: koma channel export --day 20261007 --out finer.parquet",
)

Day = Annotated[str, typer.Option(metavar="YYYYMMDD", help="Day (JST).")]
Out = Annotated[Path, typer.Option(metavar="FILE", help="File to write, .csv or .parquet.")]
Where = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")]


@app.callback()
def channel_commands() -> None:
    """Show slots of 15, 5 and 1 minutes, and device points."""


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=JST).date()
    except ValueError:
        raise typer.BadParameter("a day such as 20261007 is needed") from None


@app.command(epilog="Example: koma channel export --day 20261007 --out finer.parquet")
def export(
    *,
    day: Day,
    out: Out,
    point: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A point; all with a finer register unless given.")
    ] = None,
    minutes: Annotated[int | None, typer.Option(help="Length of the slots; each point's own unless given.")] = None,
    home: Where = None,
    json: Json = False,
) -> None:
    """Write the energy of points in slots of 15, 5 or 1 minutes, as known now.

    A slot is the difference of two registers of one meter, as a half-hour is: finer slots add up to coarser ones.
    Ends with status 1 where some do not, which is a fault of the registers (`unequal` in the closing line).
    """
    if minutes is not None and minutes not in INTERVAL_MINUTES_ALLOWED:
        raise typer.BadParameter("minutes are 1, 5, 15 or 30")
    wanted = _day(day)
    from pipeline.channel_files import fine_values  # noqa: PLC0415  numba loads only when the command runs

    try:
        known = _known(home)
        with progress(f"finer slots of {wanted}", None):
            told = fine_values(known, wanted, tuple(point or ()), minutes)
        _write(out, wanted, known, told, as_json=json)
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma channel net --day 20261007 --out net.csv")
def net(*, day: Day, out: Out, home: Where = None, json: Json = False) -> None:
    """Write main points less the device points (機器点) behind them, slot by slot, import and export apart.

    Where the devices come to more than the main point there is no net value but the quality `negative`.
    """
    wanted = _day(day)
    from pipeline.channel_files import net_values  # noqa: PLC0415  see above

    try:
        known = _known(home)
        with progress(f"main points of {wanted}", None):
            told = net_values(known, wanted)
        _write(out, wanted, known, told, as_json=json)
    except KomaError as error:
        fail(error, as_json=json)


def _known(home: Path | None) -> "Known":
    from pipeline.channels import known_now  # noqa: PLC0415  see above
    from pipeline.home import open_home  # noqa: PLC0415

    return known_now(open_home(load_settings(home=home).home, create=False))


def _write(out: Path, day: date, known: "Known", told: "Told", *, as_json: bool) -> None:
    from pipeline.channel_files import write_table  # noqa: PLC0415  see above

    write_table(out, told.rows)
    if told.missing and not as_json:
        note(f"{told.missing} of {told.rows.num_rows} slots have no value: the column quality says why")
    emit(
        {
            "day": day.isoformat(),
            "file": out,
            "as_of": format_utc(known.instant_ms),
            "rows": told.rows.num_rows,
            "missing": told.missing,
            "unequal": told.unequal,
        }
    )
    if told.unequal:
        raise HomeError(
            f"{told.unequal} half-hours are not the sum of their finer slots",
            hint="a register went round more than once, or digits of its meter are wrong in the master",
        )
