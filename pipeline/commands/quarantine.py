# SPDX-License-Identifier: Apache-2.0
"""Look at what could not be taken, and repair it."""

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from koma.errors import KomaError
from koma.output import emit, fail, note, table
from koma.settings import load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Look at what could not be taken, and repair it.",
    epilog="Example: koma quarantine list --code off_grid",
)

Home = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON line a row on standard output.")]


@app.command("list", epilog="Example: koma quarantine list --code off_grid")
def list_rows(
    *,
    code: Annotated[str, typer.Option(metavar="REASON", help="Only rows with this reason.")] = "",
    settled: Annotated[bool, typer.Option("--settled", help="Also what was replayed or superseded.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most rows shown.")] = 50,
    home: Home = None,
    json: Json = False,
) -> None:
    """Show what waits in quarantine: id, reason, file and place, the read as far as it is known."""
    from pipeline.home import open_home  # noqa: PLC0415  Arrow loads only when the command runs
    from pipeline.repair import entries  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        rows = islice(entries(opened, code=code, settled=settled), limit)
        if json:
            for entry in rows:
                raw = entry.row["raw"]
                emit({"id": entry.id, **entry.row, "raw": raw.decode("utf-8", "backslashreplace") if raw else None})
            return
        shown = [
            (
                entry.id,
                entry.row["code"],
                f"{entry.row['source']} {entry.row['place']}" if entry.row["source"] else entry.row["point_id"] or "",
                entry.row["meter_id"] or "",
                "" if entry.row["read_at"] is None else f"{entry.row['read_at']:%Y-%m-%d %H:%M:%S}",
                entry.row["detail"],
            )
            for entry in rows
        ]
        if shown:
            table("Quarantine", ("id", "reason", "file and place", "meter", "read at, JST", "what to do"), shown)
        else:
            note("no read waits in quarantine")
        masters = sorted((opened.path("quarantine") / "master").glob("[0-9]*.jsonl"))
        if masters:
            note(f"master rows that were refused: {masters[-1]}; correct them and import them again")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog='Example: koma quarantine replay 3-17 --by "duty desk" --why "clock of the concentrator corrected"')
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Ids as list shows them; none = all that can be.")
    ] = None,
    *,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who decides; needed.")] = "",
    why: Annotated[str, typer.Option(metavar="TEXT", help="Why it is right now; needed.")] = "",
    supersede: Annotated[
        str, typer.Option(metavar="ID", help="Id of a conflict: let this read replace the first one.")
    ] = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Hand quarantined reads over again, or decide a conflict; takes effect with the next pipeline run."""
    from pipeline.home import open_home  # noqa: PLC0415  Arrow loads only when the command runs
    from pipeline.repair import replay as replay_rows  # noqa: PLC0415
    from pipeline.repair import supersede as supersede_read  # noqa: PLC0415

    try:
        if not (by.strip() and why.strip()):
            raise typer.BadParameter("--by and --why are needed: who decides, and why it is right now")
        opened = open_home(load_settings(home=home).home, create=False)
        if supersede:
            decision = supersede_read(opened, supersede, by=by, why=why)
            emit({"superseded": supersede, "register": decision.value})
            return
        target, done, unfit = replay_rows(opened, ids or [], by=by, why=why)
        emit({"file": None if target is None else str(target), "replayed": done, "not_replayable": unfit})
        if not json and not done and not unfit:
            note("no read waits in quarantine")
        if unfit and not json:
            note(f"{len(unfit)} rows cannot be replayed: correct them at their source, or decide with --supersede")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(
    epilog='Example: koma quarantine correct M0000000001 2026-10-07T12:00 4711 --by "field service" --why "on site"'
)
def correct(
    meter: Annotated[str, typer.Argument(metavar="METER", help="Meter id.")],
    at: Annotated[str, typer.Argument(metavar="TIME", help="The half-hour (JST) at which the meter showed it.")],
    value: Annotated[int, typer.Argument(metavar="VALUE", help="What it showed, in its own unit.")],
    *,
    register: Annotated[str, typer.Option(metavar="import|export", help="Which of its registers.")] = "import",
    by: Annotated[str, typer.Option(metavar="NAME", help="Who enters it; needed.")] = "",
    why: Annotated[str, typer.Option(metavar="TEXT", help="For what reason; needed.")] = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Enter a register by hand; it counts from the next instant on, where none is known for that time.

    Where another one is known it waits here as a conflict after the next run: decide it with replay --supersede.
    """
    from koma.ids import parse_meter_id  # noqa: PLC0415  Arrow and numba load only when the command runs
    from koma.slots import parse_jst  # noqa: PLC0415
    from pipeline.corrections import correct as enter  # noqa: PLC0415
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        if not (by.strip() and why.strip()):
            raise typer.BadParameter("--by and --why are needed: who enters it, and for what reason")
        if register not in {"import", "export"}:
            raise typer.BadParameter(f"there is no register {register}: import or export")
        opened = open_home(load_settings(home=home).home, create=False)
        made = enter(opened, parse_meter_id(meter), register, parse_jst(at), value, by=by, why=why)
        emit(asdict(made))
        if not json:
            note("taken in by the next pipeline run; koma quarantine list --code conflict shows what to decide")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma quarantine corrections")
def corrections(*, home: Home = None, json: Json = False) -> None:
    """Show what was entered by hand: register, who, when, why."""
    from pipeline.corrections import corrections as entered  # noqa: PLC0415  see above
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        found = entered(open_home(load_settings(home=home).home, create=False))
        for each in found:
            emit(asdict(each))
        if not found and not json:
            note("nothing was entered by hand")
    except KomaError as error:
        fail(error, as_json=json)
