# SPDX-License-Identifier: Apache-2.0
"""`koma pipeline seed` and `koma pipeline resend`: taking over from another system, and giving files once more."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from koma.errors import HomeError, KomaError
from koma.ids import parse_retailer_code
from koma.output import emit, fail, note
from koma.settings import load_settings
from koma.slots import JST, format_jst, parse_jst

SEED_EPILOG: Final = "Example: koma pipeline seed registers.csv --at 2026-10-07T00:00 --check"
RESEND_EPILOG: Final = (
    'Example: koma pipeline resend 90013 --from 20261007 --out /tmp/again --by "duty desk" --why "their disk failed"'
)

Home = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")]
By = Annotated[str, typer.Option(metavar="NAME", help="Who does it.")]


def seed(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Registers of the old system, as a hand-over file.")],
    *,
    at: Annotated[str, typer.Option(metavar="TIME", help="Start of the first slot (JST): the stamp of the registers.")],
    check: Annotated[bool, typer.Option("--check", help="Look at the file, and leave it where it is.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Hand over the registers with which the first slot starts, and name the points that have none.

    With --check nothing is handed over. The next pipeline run takes the file in.
    """
    from pipeline.home import open_home  # noqa: PLC0415  numba loads only when the command runs
    from pipeline.seed import hand_over, look  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        at_ms = parse_jst(at)
        found = look(opened, file, at_ms, settings.stamp_tolerance_s * 1000)
        if not found.registers:
            raise HomeError(
                f"{file} has no register stamped {format_jst(at_ms)}", hint="read_at of its rows has to be --at"
            )
        target = None if check else hand_over(opened, file)
        missing = found.expected - found.covered
        if missing and not json:
            note(f"{missing:,} of {found.expected:,} installations have no start: their first slot goes out as missing")
        emit(
            {
                "at": format_jst(at_ms),
                "file": target,
                "registers": found.registers,
                "elsewhere": found.elsewhere,
                "refused": found.refused,
                "unknown": found.unknown,
                "expected": found.expected,
                "covered": found.covered,
                "missing_points": found.missing,
            }
        )
    except KomaError as error:
        fail(error, as_json=json)


def resend(
    retailer: Annotated[str, typer.Argument(metavar="CODE", help="Retailer code of 5 digits.")],
    *,
    begin: Annotated[str, typer.Option("--from", metavar="YYYYMMDD", help="First day.")],
    end: Annotated[
        str, typer.Option("--to", metavar="YYYYMMDD", help="Day before which to end; one day if not given.")
    ] = "",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to copy into.")],
    by: By,
    why: Annotated[str, typer.Option(metavar="TEXT", help="Who asked, and why.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Copy what a retailer was issued into a folder, the same bytes, each held against its checksum.

    Nothing is issued anew; who gave what again and why is kept in ledger/resends.jsonl.
    """
    from pipeline.home import open_home  # noqa: PLC0415  see above
    from pipeline.resend import resend as given_again  # noqa: PLC0415

    try:
        if not (by.strip() and why.strip()):
            raise typer.BadParameter("--by and --why are needed: who gives it again, and for whom and why")
        first = _day(begin)
        days = (first, _day(end) if end else first + timedelta(days=1))
        opened = open_home(load_settings(home=home).home, create=False)
        code = parse_retailer_code(retailer)
        result = given_again(opened, code, days, out, by=by, why=why)
        emit(
            {
                "files": result.files,
                "bytes": result.bytes,
                "out": out / code,
                "empty_days": result.empty_days,
                "damaged": result.damaged,
            }
        )
        if result.damaged:
            raise HomeError(
                f"{len(result.damaged)} files are gone or not what their manifest says: {result.damaged[0]}",
                hint="restore them from a copy of the home; the others were copied",
            )
    except KomaError as error:
        fail(error, as_json=json)


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=JST).date()
    except ValueError:
        raise typer.BadParameter(f"{text} is no day such as 20261007") from None
