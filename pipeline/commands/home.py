# SPDX-License-Identifier: Apache-2.0
"""Look a home over, and bring it to this Koma's layout."""

from pathlib import Path
from typing import Annotated

import typer

from koma.errors import HomeError, KomaError
from koma.output import emit, fail, note, progress, table
from koma.settings import load_settings

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, epilog="Example: koma home check")

Where = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")]


@app.callback()
def home_commands() -> None:
    """Look a home over, and bring it to this Koma's layout."""


@app.command(epilog="Example: koma home check --deep")
def check(
    *,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read all deliveries and estimates and compare their digests.")
    ] = False,
    home: Where = None,
    json: Json = False,
) -> None:
    """Say whether journal, registers, held reads, master, deliveries and estimates agree, and what to do if not.

    Changes nothing and may run beside a watch. Exit status 1 where something is lost or cannot be read.
    """
    from pipeline.checking import check_home  # noqa: PLC0415  Arrow loads only when the command runs
    from pipeline.home import HOME_VERSION, open_home  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        with progress("looking the home over", None):
            found = check_home(opened, deep=deep)
        harm = sum(each.severity == "harm" for each in found)
        if json:
            for each in found:
                facts = {"severity": each.severity, "path": each.path, "what": each.what, "do": each.do}
                emit(facts)
        elif found:
            rows = [(each.severity, each.path, each.what, each.do) for each in found]
            table("Home", ("severity", "where", "what", "what to do"), rows)
        else:
            note(f"{opened.root}: all that the journal and the manifests name is there")
        emit({"home": opened.root, "layout": HOME_VERSION, "harm": harm, "notes": len(found) - harm})
        if harm:
            things = "1 thing" if harm == 1 else f"{harm} things"
            raise HomeError(f"lost or unreadable in {opened.root}: {things}", hint="what to do stands beside each")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma home migrate")
def migrate(*, home: Where = None, json: Json = False) -> None:
    """Bring a home of an older Koma to this one's layout; say so where there is nothing to do.

    Needs the home for itself. Nothing that was issued is touched or issued again. There is no way back: keep a copy.
    """
    from pipeline.home import HOME_VERSION  # noqa: PLC0415  see above
    from pipeline.migration import migrate as migrate_home  # noqa: PLC0415

    try:
        root = load_settings(home=home).home
        before = migrate_home(root)
        if before == HOME_VERSION:
            note(f"{root} has layout {HOME_VERSION} already: nothing to do")
        emit({"home": root, "before": before, "layout": HOME_VERSION})
    except KomaError as error:
        fail(error, as_json=json)
