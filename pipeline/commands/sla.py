# SPDX-License-Identifier: Apache-2.0
"""Show how the promise stands: what is late, where, since when."""

import sys
import time
from itertools import count, islice
from pathlib import Path
from typing import Annotated

import typer

from koma.errors import IdentifierError, KomaError
from koma.output import emit, fail, note
from koma.settings import load_settings
from pipeline.commands.telemetry import app as telemetry

app = typer.Typer(help=__doc__, add_completion=False, epilog="Example: koma sla --watch")
app.add_typer(telemetry)

Home = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
At = Annotated[str, typer.Option(metavar="TIME", help="The time it is, in JST, instead of the home's clock.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON line on standard output.")]
Slots = Annotated[int, typer.Option(min=1, max=2160, help="How many slots, back from the newest that has ended.")]
CLEAR = "\x1b[H\x1b[2J"


@app.callback(invoke_without_command=True, epilog="Example: koma sla --watch")
def sla(
    context: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again, until stopped.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two screens of --watch.")] = 5.0,
    times: Annotated[int | None, typer.Option(min=1, help="With --watch, end after so many screens.")] = None,
    slots: Slots = 8,
    at: At = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Show how the promise stands, alarms first; surveys what is due on the way.

    Goes by the clock of the running watch, else by that of the settings, else by the data's own.
    """
    if context.invoked_subcommand is not None:
        return
    from koma.slots import parse_jst  # noqa: PLC0415  Arrow and numba load only when the command runs
    from pipeline.home import open_home  # noqa: PLC0415
    from pipeline.ledger.model import as_json  # noqa: PLC0415
    from pipeline.ledger.reading import business_now, read_model  # noqa: PLC0415
    from pipeline.ledger.screen import lines_of  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        for screen in islice(count(), times if watch else 1):
            if screen:
                time.sleep(every)
            clock, now_ms = business_now(opened, settings)
            model = read_model(
                opened, parse_jst(at) if at else now_ms, clock=clock, slots=slots, groups=settings.groups
            )
            if json:
                emit(as_json(model))
                continue
            note((CLEAR if watch and sys.stderr.isatty() else "") + "\n".join(lines_of(model)))
    except KomaError as error:
        fail(error, as_json=json)
    except KeyboardInterrupt:
        return


@app.command(epilog="Example: koma sla stagnated --cause quarantined")
def stagnated(
    *,
    cause: Annotated[str, typer.Option(metavar="CAUSE", help="Only points of this cause.")] = "",
    area: Annotated[str, typer.Option(metavar="01..10", help="Only points of this area.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most points shown.")] = 1000,
    slots: Slots = 2160,
    at: At = "",
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON line a point on standard output.")] = False,
) -> None:
    """Name the points of which something was due and is not there, the longest missing first.

    Causes: not_collected, quarantined, master_mismatch, waiting_for_pair, refused, computed_not_published, and
    published_not_fetched, of the files that wait at the gateway.
    """
    from koma.ids import parse_area  # noqa: PLC0415  see above
    from koma.slots import parse_jst  # noqa: PLC0415
    from pipeline.home import open_home  # noqa: PLC0415
    from pipeline.ledger.causes import CAUSES, STATES  # noqa: PLC0415
    from pipeline.ledger.model import point_json  # noqa: PLC0415
    from pipeline.ledger.reading import business_now, named_points  # noqa: PLC0415
    from pipeline.ledger.screen import points_of  # noqa: PLC0415

    known = [STATES[each] for each in CAUSES]
    try:
        area = f"{parse_area(area).number:02d}" if area else ""
        if cause and cause not in known:
            raise IdentifierError(f"there is no cause {cause!r}", hint=f"one of {', '.join(known)}")
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        clock, now_ms = business_now(opened, settings)
        now_ms = parse_jst(at) if at else now_ms
        found = named_points(opened, now_ms, clock=clock, cause=cause, area=area, slots=slots, limit=limit)
        if json:
            for each in found:
                emit(point_json(each))
        elif found:
            note("\n".join(points_of(found)))
            note(f"{len(found):,} points shown" + ("; more with --limit" if len(found) == limit else ""))
        else:
            note("no point stagnates")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma sla metrics --listen 127.0.0.1:9464")
def metrics(
    *,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Answer scrapes there, until stopped.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="File to replace, for a textfile collector.")] = None,
    at: At = "",
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="Errors as JSON; metrics are text all the same.")] = False,
) -> None:
    """Show the ledger as Prometheus metrics; docs/operating/telemetry.md says what each means and when to act."""
    from koma.slots import parse_jst  # noqa: PLC0415  see above
    from pipeline.columns import replace_file  # noqa: PLC0415
    from pipeline.home import open_home  # noqa: PLC0415
    from pipeline.ledger.metrics import exposition  # noqa: PLC0415
    from pipeline.ledger.reading import business_now, read_model  # noqa: PLC0415
    from pipeline.ledger.scrapes import answer  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)

        def text() -> bytes:
            clock, now_ms = business_now(opened, settings)
            return exposition(read_model(opened, parse_jst(at) if at else now_ms, clock=clock, groups=settings.groups))

        if listen:
            answer(listen, text)
        elif out is not None:
            replace_file(out.absolute(), text())
        else:
            sys.stdout.write(text().decode())
    except KomaError as error:
        fail(error, as_json=json)
    except KeyboardInterrupt:
        return


@app.command(epilog="Example: koma sla proof 90013 20261007")
def proof(
    retailer: Annotated[str, typer.Argument(metavar="CODE", help="Retailer code of 5 digits.")],
    day: Annotated[str, typer.Argument(metavar="YYYYMMDD", help="Day (JST).")],
    *,
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON line a file on standard output.")] = False,
) -> None:
    """Show of each file when it was issued, could be had, and was fetched first, beside when it was due.

    The last two are what the gateway recorded; without a gateway they are empty.
    """
    from koma.ids import parse_retailer_code  # noqa: PLC0415  see above
    from koma.output import table  # noqa: PLC0415
    from pipeline.home import open_home  # noqa: PLC0415
    from pipeline.ledger.duty import duties  # noqa: PLC0415

    try:
        found = [each.as_json() for each in duties(open_home(load_settings(home=home).home, create=False),
                                                   parse_retailer_code(retailer), day)]  # fmt: skip
        if json:
            for each in found:
                emit(each)
            return
        heads = ("file", "rows", "issued_at", "due_at", "visible_at", "fetched_at", "in_time")
        table("Proof of duty", heads, [[_shown(each[name]) for name in heads] for each in found])
    except KomaError as error:
        fail(error, as_json=json)


def _shown(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and "T" in value:
        return value[5:19].replace("T", " ")
    return "" if value is None else value
