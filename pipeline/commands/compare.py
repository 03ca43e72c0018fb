# SPDX-License-Identifier: Apache-2.0
"""Hold the deliveries of a shadow run against the incumbent's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from koma.errors import CompareError, KomaError
from koma.output import emit, fail, note, progress, table
from koma.settings import load_settings

if TYPE_CHECKING:
    from pipeline.compare import Comparison

app = typer.Typer(add_completion=False)

_SHOWN = 5


@app.command(epilog="Example: koma compare /srv/incumbent/2026-10-07 --out differences.parquet")
def compare(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The incumbent's W41110 zips, in folders of any depth.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every cell that differs, with its cause, as Parquet.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit status 1 also where every difference has a cause.")
    ] = False,
    home: Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")] = False,
) -> None:
    """Set our W41110 beside the incumbent's, cell by cell, and say why they differ.

    Slots that both sides have are compared, over all retailers, each cell at its last revision. A cause is told only
    where the data shows it; the rest is `unexplained`. Changes nothing and may run beside a watch. Exit status 1 where
    a cell is unexplained or a file cannot be read.
    """
    from pipeline.compare import compare as compare_trees  # noqa: PLC0415  numba loads only when the command runs
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        with progress("comparing", None):
            found = compare_trees(opened.root, directory, workers=settings.workers)
        if out is not None:
            found.write(out)
        causes = found.causes()
        if not json:
            _tell(found, causes)
        unexplained = causes.get("unexplained", {}).get("cells", 0)
        emit(
            {
                "slots": found.slots,
                "retailers": found.retailers,
                "cells": found.cells,
                "equal": found.equal,
                "different": found.different,
                "unexplained": unexplained,
                "causes": causes,
                "not_read": len(found.refused),
                "slots_only_here": len(found.only_ours),
                "slots_only_there": len(found.only_theirs),
            }
        )
        if not found.slots:
            raise CompareError("nothing was compared", hint="Name deliveries of slots that this home has issued")
        if unexplained or found.refused or (strict and found.different):
            raise typer.Exit(1)
    except KomaError as error:
        fail(error, as_json=json)


def _tell(found: "Comparison", causes: dict[str, dict[str, Any]]) -> None:
    """Say in words what differs, what could not be read and what was not compared."""
    from pipeline.compare.causes import CAUSES  # noqa: PLC0415  see above

    means = {each.code: each for each in CAUSES}
    rows = [(code, told["cells"], means[code].means, means[code].do, told["example"]) for code, told in causes.items()]
    if rows:
        table("Differences", ("cause", "cells", "what", "what to do", "for example"), rows)
    for why in list(found.refused.values())[:_SHOWN]:
        note(f"not read: {why}")
    for name, starts in (("here", found.only_ours), ("there", found.only_theirs)):
        if starts:
            note(f"{len(starts)} slots stand only {name}, from {starts[0]} to {starts[-1]}; not compared")
