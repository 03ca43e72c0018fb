# SPDX-License-Identifier: Apache-2.0
"""Turn hand-over files into delivery files."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from koma.clock import WallClock
from koma.errors import HomeError, KomaError
from koma.output import emit, fail, note, progress, table
from koma.settings import Settings, load_settings
from pipeline.commands.compact import EPILOG, compact
from pipeline.commands.going_live import RESEND_EPILOG, SEED_EPILOG, resend, seed

if TYPE_CHECKING:
    from pipeline.home import Home

app = typer.Typer(no_args_is_help=True, add_completion=False, epilog="Example: koma pipeline run --once")

CLOCKS = ("wall", "received", "manual")
IMPORT = "koma master import DIR"


@app.callback()
def pipeline() -> None:
    """Turn hand-over files into delivery files."""


@app.command(epilog="Example: koma pipeline run --once")
def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Take in all of landing, issue what is due, end.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until stopped: issue each instant as it comes.")
    ] = False,
    clock: Annotated[
        str,
        typer.Option(
            metavar="wall|received|manual", help="Business time: the machine's, the data's own, or `koma clock set`."
        ),
    ] = "",
    accept_clock: Annotated[
        bool, typer.Option("--accept-clock", help="Take in files whose arrivals lie far ahead of all before.")
    ] = False,
    home: Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")] = False,
) -> None:
    """Take in registers and issue 30-minute energy; ends with one JSON line of counts."""
    try:
        if once == watch:
            raise typer.BadParameter("either --once or --watch is needed, for example: koma pipeline run --once")
        settings = load_settings(home=home)
        clock = clock or settings.clock or "received"
        if clock not in CLOCKS:
            raise typer.BadParameter(f"there is no clock {clock}: wall, received or manual")
        if not any((settings.home / name).exists() for name in ("home.json", "journal")):
            note(f"koma: {settings.home} is new: there is no master yet ({IMPORT}), and nothing in its landing/")
        if watch:
            _watch(settings, by_hand=clock == "manual", accept_clock=accept_clock)
            return
        from pipeline.home import open_home  # noqa: PLC0415  Beam and numba load only when the command runs
        from pipeline.manual import manual_clock  # noqa: PLC0415
        from pipeline.run import run_once  # noqa: PLC0415

        opened = open_home(settings.home)
        _note_first_slot(opened, settings)
        wall_ms = WallClock().now_ms() if clock == "wall" else None
        if clock == "manual":
            wall_ms = manual_clock(opened).now_ms()
        with progress("taking in and issuing", None):
            finished = run_once(opened, settings, wall_ms=wall_ms, accept_clock=accept_clock)
        summary = finished.summary()
        if finished.taken.counts.held:
            note(f"koma: {finished.taken.counts.held:,} reads wait for a master that knows their meters: {IMPORT}")
        _note_waiting(finished.taken.waiting)
        if not json and sys.stderr.isatty():
            table("Run", ("what", "count"), [(k, v) for k, v in summary.items() if isinstance(v, int)])
        emit(summary)
    except KomaError as error:
        fail(error, as_json=json)
    except (OSError, RuntimeError) as error:  # Beam hands on what a worker met as a RuntimeError
        from pipeline.trouble import cut_off  # noqa: PLC0415  see above

        known = cut_off("the run", error)
        if known is None:
            raise
        fail(known, as_json=json)


def _watch(settings: Settings, *, by_hand: bool, accept_clock: bool) -> None:
    from pipeline.home import open_home  # noqa: PLC0415  see above
    from pipeline.manual import manual_clock  # noqa: PLC0415
    from pipeline.watch import watch as watch_home  # noqa: PLC0415

    home = open_home(settings.home)
    _note_first_slot(home, settings)
    for finished in watch_home(home, settings, manual_clock(home) if by_hand else None, accept_clock=accept_clock):
        _note_waiting(finished.taken.waiting)
        emit(finished.summary())


def _note_first_slot(home: "Home", settings: Settings) -> None:
    from pipeline.first_slot import contradiction  # noqa: PLC0415  see above
    from pipeline.journal import read_state  # noqa: PLC0415

    if said := contradiction(read_state(home.path("journal")), settings):
        note(f"koma: {said}")


def _note_waiting(waiting: list[dict[str, object]]) -> None:
    for each in waiting:
        row = "" if each["row"] is None else f" row {each['row']}"
        note(f"koma: {each['file']}{row} stays in landing: {each['detail']}")


@app.command(epilog="Example: koma pipeline status")
def status(
    *,
    home: Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")] = False,
) -> None:
    """Show what `run --watch` is doing: phase, backlog, last intake and issue, lag, what waits, last errors."""
    from pipeline.home import open_home  # noqa: PLC0415  see above
    from pipeline.status_file import lines_of, read_status  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        facts = read_status(opened)
        if facts is None:
            raise HomeError(f"no watch has ever run in {opened.root}", hint="Start one: koma pipeline run --watch")
        if not json and sys.stderr.isatty():
            table("Watch", ("what", "how"), lines_of(facts))
        emit(facts)
    except KomaError as error:
        fail(error, as_json=json)


app.command(epilog=EPILOG)(compact)
app.command(epilog=SEED_EPILOG)(seed)
app.command(epilog=RESEND_EPILOG)(resend)
