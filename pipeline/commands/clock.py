# SPDX-License-Identifier: Apache-2.0
"""Move business time by hand, where KOMA_CLOCK is manual.

Example: koma clock set 2026-10-07T00:00:00+09:00
"""

from pathlib import Path
from typing import Annotated

import typer

from koma.errors import KomaError, SettingError
from koma.output import emit, fail, progress
from koma.settings import load_settings
from koma.slots import format_jst, parse_jst

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)

Home = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")]


@app.command("set", epilog="Example: KOMA_CLOCK=manual koma clock set 2026-10-07T00:00:00+09:00")
def set_time(
    time: Annotated[str, typer.Argument(metavar="TIME", help="ISO 8601; without a zone it is JST.")],
    *,
    home: Home = None,
    json: Json = False,
) -> None:
    """Move business time forward, in all running processes of the home.

    Returns when all that fell due is done, in order: what lies in landing is taken in, every instant up to TIME is
    issued. A running `koma pipeline run --watch` does it, else this command. Needs KOMA_CLOCK=manual.
    """
    from pipeline.home import open_home  # noqa: PLC0415  Beam and numba load only when the command runs
    from pipeline.manual import set_clock  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        if settings.clock != "manual":
            raise SettingError(
                f"the clock is {settings.clock or 'received'}, and only a manual one can be set",
                hint="Set KOMA_CLOCK=manual for this command and for all processes of the home",
            )
        to_ms = parse_jst(time)
        with progress(f"moving to {format_jst(to_ms)}", None):
            run = set_clock(open_home(settings.home), settings, to_ms)
        emit({"clock": format_jst(to_ms)} if run is None else run.summary())
    except KomaError as error:
        fail(error, as_json=json)
    except (OSError, RuntimeError) as error:  # Beam hands on what a worker met as a RuntimeError
        from pipeline.trouble import cut_off  # noqa: PLC0415  see above

        known = cut_off("what fell due", error)
        if known is None:
            raise
        fail(known, as_json=json)


@app.command(epilog="Example: koma clock show")
def show(*, home: Home = None, json: Json = False) -> None:
    """Show which clock the home follows, where it stands and until when all is issued."""
    from pipeline.home import open_home  # noqa: PLC0415  see above
    from pipeline.journal import NEVER, read_state  # noqa: PLC0415
    from pipeline.manual import manual_clock  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        state = read_state(opened.path("journal"))
        manual_ms = manual_clock(opened).stands_at()
        times = {
            "manual": manual_ms,
            "latest_arrival": None if state.clock_ms == NEVER else state.clock_ms,
            "issued": None if state.issued_ms == NEVER else state.issued_ms,
        }
        said = {name: None if ms is None else format_jst(ms) for name, ms in times.items()}
        emit({"clock": settings.clock or "received", **said})
    except KomaError as error:
        fail(error, as_json=json)
