# SPDX-License-Identifier: Apache-2.0
"""Keep, show and prove thirteen months of what was issued."""

import time
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from koma.errors import HistoryError, KomaError
from koma.ids import parse_area, parse_point_id, parse_retailer_code
from koma.limits import HISTORY_MONTHS
from koma.output import emit, fail, note, progress
from koma.settings import Settings, load_settings
from koma.slots import JST, SLOTS_PER_DAY, first_slot_of_day, format_jst, parse_jst, slot_at_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.history.reading import IntervalStore
    from pipeline.history.rows import Rows
    from pipeline.home import Home

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    epilog="Example: koma history point 0300110000000000001234",
)

Where = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File to write instead of JSON lines: .parquet or .csv.")
]
AsOf = Annotated[
    str, typer.Option(metavar="TIME", help="As it was known then, such as 2026-10-07T12:00 (JST); as now unless given.")
]
Since = Annotated[str, typer.Option(metavar="TIME", help="Only cells whose state was issued after this time.")]
States = Annotated[bool, typer.Option("--all-states", help="With the states before the last one.")]
_POLL_S = 5.0


@app.callback()
def history_commands() -> None:
    """Keep, show and prove thirteen months of what was issued."""


@app.command(epilog="Example: koma history update --watch")
def update(
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until stopped, a few seconds after each issue.")
    ] = False,
    home: Where = None,
    json: Json = False,
) -> None:
    """Take in what was issued since the last time, put parts together, drop months that are too old.

    Readers notice nothing. It reads published files alone and holds up no issue; run it beside the watch.
    """
    from pipeline.history import store  # noqa: PLC0415  numba loads only when the command runs

    try:
        where, settings = _opened(home)
        while True:
            with progress("history", None):
                done = store.update(where, settings)
            if done.files or done.merges or not watch:
                emit(
                    {
                        "until": None if done.until_ms < 0 else format_jst(done.until_ms),
                        "files": done.files,
                        "rows": done.rows,
                        "merges": done.merges,
                        "dropped": done.months_dropped,
                    }
                )
            if not watch:
                return
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma history point 0300110000000000001234 --from 2026-09-01 --to 2026-10-01")
def point(
    point_id: Annotated[str, typer.Argument(metavar="POINT", help="Supply point id of 22 digits.")],
    *,
    begin: Annotated[str, typer.Option("--from", metavar="DAY", help="First day; 13 months back unless given.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="DAY", help="Day before which to end.")] = "",
    as_of: AsOf = "",
    changed_since: Since = "",
    all_states: States = False,
    out: Out = None,
    home: Where = None,
    json: Json = False,
) -> None:
    """Show a point's energy slot by slot, with the retailer that was told, and when."""
    from pipeline.history.reading import Wanted  # noqa: PLC0415  `--help` has no need of it

    try:
        wanted_id = parse_point_id(point_id)
        store = _store(home)
        last = slot_at_ms(store.until_ms()) + 1
        wanted = Wanted(
            first_slot=_slot(begin) if begin else last - HISTORY_MONTHS * 31 * SLOTS_PER_DAY,
            end_slot=_slot(end) if end else last,
            as_of_ms=_time(as_of),
            changed_since_ms=_time(changed_since),
            every_state=all_states,
        )
        rows = store.point(wanted_id, wanted)
        if not len(rows):
            raise HistoryError(
                f"nothing was issued of {wanted_id} in these days",
                hint="look at the id and the days; koma history update takes in what was issued since",
            )
        _write(iter([rows]), out, as_json=json)
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma history day 90013 20261007 --out day.parquet")
def day(
    retailer: Annotated[str, typer.Argument(metavar="CODE", help="Retailer code of 5 digits.")],
    wanted_day: Annotated[str, typer.Argument(metavar="YYYYMMDD", help="Day (JST).")],
    *,
    as_of: AsOf = "",
    changed_since: Since = "",
    all_states: States = False,
    out: Out = None,
    home: Where = None,
    json: Json = False,
) -> None:
    """Show what a retailer was told of a day, points ascending."""
    from pipeline.history.reading import Wanted  # noqa: PLC0415  see above

    try:
        code = parse_retailer_code(retailer)
        first = first_slot_of_day(_day(wanted_day))
        wanted = Wanted(
            first_slot=first,
            end_slot=first + SLOTS_PER_DAY,
            as_of_ms=_time(as_of),
            changed_since_ms=_time(changed_since),
            every_state=all_states,
        )
        _write(_store(home).retailer_day(code, wanted), out, as_json=json)
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma history slot 03 2026-10-07T12:00 --out slot.parquet")
def slot(
    area: Annotated[str, typer.Argument(metavar="AREA", help="Area: 01 to 10.")],
    start: Annotated[str, typer.Argument(metavar="TIME", help="Start of the slot (JST), such as 2026-10-07T12:00.")],
    *,
    as_of: AsOf = "",
    all_states: States = False,
    out: Out = None,
    home: Where = None,
    json: Json = False,
) -> None:
    """Show a slot of all points of an area, points ascending."""
    from pipeline.history.reading import Wanted  # noqa: PLC0415  see above

    try:
        wanted_area = parse_area(area)
        first = slot_at_ms(parse_jst(start))
        wanted = Wanted(first_slot=first, end_slot=first + 1, as_of_ms=_time(as_of), every_state=all_states)
        _write(_store(home).area_slot(wanted_area, wanted), out, as_json=json)
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma history verify")
def verify(*, home: Where = None, json: Json = False) -> None:
    """Hold the store against its own sums and, for days whose deliveries are kept, against every row delivered.

    Names each file and each day that differs; ends with status 1 where there is one.
    """
    from pipeline.history.proof import verify as proven  # noqa: PLC0415  see above

    try:
        where, settings = _opened(home)
        with progress("history", None):
            proof = proven(where, settings)
        for each in proof.findings:
            emit(each)
        emit({"files": proof.files, "rows": proof.rows, "days": proof.days, "findings": len(proof.findings)})
        if proof.findings:
            raise HistoryError(
                f"{len(proof.findings)} findings", hint="koma history rebuild makes the history of kept days anew"
            )
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma history rebuild --from /archive/taken --into /var/koma-history-anew")
def rebuild(
    *,
    source: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="Hand-over files, folders too; the home's own unless given."),
    ] = None,
    into: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the new history; empty or not there.")],
    begin: Annotated[
        str, typer.Option(metavar="DAY", help="First day; the first whose hand-over files are kept unless given.")
    ] = "",
    home: Where = None,
    json: Json = False,
) -> None:
    """Make a history anew from raw hand-over files and the home's master, and compare it with the one that stands.

    The home is not touched. Values are what the registers say; instants are those of a home that took in all at once.
    """
    from pipeline.history.rebuild import rebuild as made  # noqa: PLC0415  see above

    try:
        where, settings = _opened(home)
        with progress("history from hand-over files", None):
            result = made(where, settings, list(source or []), into, _day(begin) if begin else None)
        if not json and result.different:
            note(f"{result.different:,} cells differ from the history that stands: {into / 'differences.parquet'}")
        emit(
            {
                "into": into,
                "until": format_jst(result.until_ms),
                "cells": result.cells,
                "different": result.different,
                "only_here": result.only_old,
            }
        )
    except KomaError as error:
        fail(error, as_json=json)


def _opened(home: Path | None) -> "tuple[Home, Settings]":
    from pipeline.home import open_home  # noqa: PLC0415  see above

    settings = load_settings(home=home)
    return open_home(settings.home, create=False), settings


def _store(home: Path | None) -> "IntervalStore":
    from pipeline.history.reading import open_store  # noqa: PLC0415  see above

    where, settings = _opened(home)
    return open_store(where, settings)


def _write(blocks: "Iterator[Rows]", out: Path | None, *, as_json: bool) -> None:
    from pipeline.history import showing  # noqa: PLC0415  see above

    if out is None:
        rows = showing.print_lines(blocks)
    else:
        with progress(str(out), None):
            rows = showing.write(blocks, out)
        emit({"rows": rows, "out": out})
    if not rows and not as_json:
        note("nothing was issued of these; koma history update takes in what was issued since")


def _day(text: str) -> date:
    for form in ("%Y%m%d", "%Y-%m-%d"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=JST).date()
        except ValueError:
            continue
    raise typer.BadParameter(f"{text} is no day such as 20261007")


def _slot(text: str) -> int:
    return first_slot_of_day(_day(text))


def _time(text: str) -> int | None:
    return parse_jst(text) if text else None
