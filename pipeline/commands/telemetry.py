# SPDX-License-Identifier: Apache-2.0
"""Commands below `koma sla` that write pages for people."""

from pathlib import Path
from typing import Annotated

import typer

from koma.errors import KomaError, TelemetryError
from koma.output import emit, fail, note
from koma.settings import load_settings

app = typer.Typer(help=__doc__, add_completion=False)

Home = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
At = Annotated[str, typer.Option(metavar="TIME", help="The time it is, in JST, instead of the home's clock.")]
Language = Annotated[str, typer.Option(metavar="en|ja", help="Language in which a page opens; it holds both.")]
Json = Annotated[bool, typer.Option("--json", help="Say as one JSON line what was written.")]


@app.command(epilog="Example: koma sla board --out board.html --language ja")
def board(
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Page to replace, as a whole.")],
    language: Language = "en",
    at: At = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Write one page: what is wrong, where and since when, then the day's slots. It needs no script and no network."""
    from koma.slots import parse_jst  # noqa: PLC0415  Arrow and numba load only when the command runs
    from pipeline.home import open_home  # noqa: PLC0415
    from pipeline.ledger.reading import business_now, read_model  # noqa: PLC0415
    from pipeline.telemetry.board import board as board_of  # noqa: PLC0415
    from pipeline.telemetry.findings import findings  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        clock, now_ms = business_now(opened, settings)
        model = read_model(opened, parse_jst(at) if at else now_ms, clock=clock, slots=48, groups=settings.groups)
        _replace(out, board_of(model, language=_language(language)))
        found = len(findings(model))
        if json:
            emit({"board": out, "findings": found})
        else:
            note(f"{out}: {found} {'thing is' if found == 1 else 'things are'} wrong")
    except KomaError as error:
        fail(error, as_json=json)


def _language(text: str) -> str:
    if text not in {"en", "ja"}:
        raise TelemetryError(f"there is no page in {text!r}", hint="en or ja")
    return text


def _replace(path: Path, text: str) -> None:
    from pipeline.columns import replace_file  # noqa: PLC0415  see above

    try:
        replace_file(path.absolute(), text.encode())
    except OSError as error:
        raise TelemetryError(
            f"{path} cannot be written: {error.strerror}", hint="name a file in another folder"
        ) from error
