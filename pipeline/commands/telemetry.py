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
        _replace(out, board_of(model, language=_language(language)).encode())
        found = len(findings(model))
        if json:
            emit({"board": out, "findings": found})
        else:
            note(f"{out}: {found} {'thing is' if found == 1 else 'things are'} wrong")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma sla report --month 2026-10 --out reports --language ja")
def report(
    *,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="Month; one that runs is shown as far as it is over.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for sla-YYYY-MM.html and its CSV files.")] = Path(),
    language: Language = "en",
    at: At = "",
    home: Home = None,
    json: Json = False,
) -> None:
    """Write the month against the promise: a page with charts in both languages, and four tables as CSV.

    The ledger keeps 46 days: make it in the first days of the next month. What it lacks is said, never counted as kept.
    """
    from koma.slots import parse_jst  # noqa: PLC0415  see above
    from pipeline.home import open_home  # noqa: PLC0415
    from pipeline.ledger.reading import business_now  # noqa: PLC0415
    from pipeline.telemetry.month import month_of  # noqa: PLC0415
    from pipeline.telemetry.report import report as report_of  # noqa: PLC0415
    from pipeline.telemetry.report import sheets  # noqa: PLC0415

    try:
        opened = open_home((settings := load_settings(home=home)).home, create=False)
        clock, now_ms = business_now(opened, settings)
        now_ms = parse_jst(at) if at else now_ms
        found = month_of(opened, month, now_ms, clock=clock)
        page = out / f"sla-{month}.html"
        _replace(page, report_of(found, written_ms=now_ms, language=_language(language)).encode())
        written = [page]
        for name, text in sheets(found, language=language):
            written.append(out / f"sla-{month}-{name}.csv")
            _replace(written[-1], text)
        reached = {"on_time": found.on_time, "complete": found.complete, "slots_unknown": found.unknown}
        if json:
            emit({"report": page, "files": [str(each) for each in written], **reached})
        else:
            note("\n".join(str(each) for each in written))
    except KomaError as error:
        fail(error, as_json=json)


def _language(text: str) -> str:
    if text not in {"en", "ja"}:
        raise TelemetryError(f"there is no page in {text!r}", hint="en or ja")
    return text


def _replace(path: Path, text: bytes) -> None:
    from pipeline.columns import replace_file  # noqa: PLC0415  see above
    from pipeline.trouble import what_to_do  # noqa: PLC0415

    try:
        replace_file(path.absolute(), text)
    except OSError as error:
        raise TelemetryError(f"{path} cannot be written: {error.strerror}", hint=what_to_do(error)) from error
