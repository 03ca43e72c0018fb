# SPDX-License-Identifier: Apache-2.0
"""Look at what could not be taken, and repair it."""

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
