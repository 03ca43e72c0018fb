# SPDX-License-Identifier: Apache-2.0
"""Set the stores side by side: which points do they disagree on?"""

from collections import Counter
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from koma.errors import HomeError, KomaError
from koma.output import emit, fail, note, table
from koma.settings import load_settings
from koma.slots import JST

app = typer.Typer(add_completion=False)

_SHOWN = 20


@app.command(epilog="Example: koma reconcile --master /srv/contracts/export --whole")
def reconcile(
    *,
    master: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The other system's master, as koma master import takes it.")
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="DIR holds all it has: what we have beyond differs.")] = False,
    day: Annotated[str, typer.Option(metavar="YYYYMMDD", help="Only slots of this day (JST).")] = "",
    home: Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")] = False,
) -> None:
    """Set master copies, registers, intervals, deliveries, history and fetched files beside each other.

    One JSON line for each point two of them disagree on, with what to do, then the counts; status 1 where there is one.
    """
    if whole and master is None:
        raise typer.BadParameter("--whole says what --master is: give the folder")
    try:
        wanted = datetime.strptime(day, "%Y%m%d").replace(tzinfo=JST).date() if day else None
    except ValueError:
        raise typer.BadParameter(f"{day} is no day such as 20261007") from None
    from pipeline.home import open_home  # noqa: PLC0415  numba loads only when the command runs
    from pipeline.ledger.reading import business_now  # noqa: PLC0415
    from pipeline.reconcile import reconcile as compared  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        clock, now_ms = business_now(opened, settings)
        counts: Counter[str] = Counter()
        shown: list[tuple[str, ...]] = []
        for each in compared(opened, settings, now_ms, clock, master=master, whole=whole, day=wanted):
            counts[each.between] += 1
            emit(each.as_json())
            if len(shown) < _SHOWN:
                shown.append((each.between, each.point_id, each.what, each.since[5:16].replace("T", " "), each.do))
        if shown and not json:
            title = (
                "Differences" if sum(counts.values()) <= _SHOWN else f"The first {_SHOWN} of {sum(counts.values()):,}"
            )
            table(title, ("between", "point", "what", "since", "what to do"), islice(shown, _SHOWN))
        if not counts and not json:
            note("no two stores disagree")
        emit({"points": sum(counts.values()), "between": dict(counts)})
        if counts:
            raise HomeError(f"{sum(counts.values()):,} differences", hint="what to do stands beside each")
    except KomaError as error:
        fail(error, as_json=json)
