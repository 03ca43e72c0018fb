# SPDX-License-Identifier: Apache-2.0
"""Take in the dated master: points, meters, supply, retailers.

Example: koma master import ./master
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from koma.clock import KeptClock
from koma.errors import KomaError, MasterError
from koma.output import emit, fail, note, progress, table
from koma.settings import load_settings

if TYPE_CHECKING:
    from pipeline.master import ImportReport

CUT_OFF = "Make room on the home's disk (or raise ulimit -f), then import the same folder again: nothing counts twice"
"""Arrays that do not fit the disk are reported by how much of them was written, without a number of the system."""

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.callback()
def master() -> None:
    """Take in the dated master: points, meters, supply, retailers."""


@app.command("import", epilog="Example: koma master import ./master --strict")
def import_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with points, meters, supply, retailers.")],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Apply nothing if any row is bad; exit 1.")] = False,
    home: Annotated[Path | None, typer.Option("--home", metavar="PATH", help="Data directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Import a folder of master files: CSV with a header, or Parquet, any of the four.

    An import is a delta. A bad row and all rows of its point wait in quarantine, the rest is applied.
    """
    from pipeline.home import open_home  # noqa: PLC0415  `--help` has no need of arrays
    from pipeline.journal import NEVER, read_state  # noqa: PLC0415
    from pipeline.master import import_master, open_master  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        root = open_home(settings.home).root
        state = read_state(root / "journal")
        by_hand_ms = KeptClock(root / "run").stands_at() if settings.clock == "manual" else None
        now_ms = state.now_ms if by_hand_ms is None else max(state.now_ms, by_hand_ms)
        with progress(f"importing {folder}", None):
            report = import_master(
                root,
                folder,
                now_ms=None if now_ms == NEVER else now_ms,
                first=open_master(root).version == 0,
                strict=strict,
                issued_ms=None if state.announced_ms == NEVER else state.announced_ms,
                cap_factor=settings.cap_factor,
                cap_kw_default=settings.cap_kw_default,
            )
    except KomaError as error:
        fail(error, as_json=as_json)
    except OSError as error:
        if error.errno is not None:
            raise  # the command knows what to say of it
        known = MasterError(f"the import was cut off: a file could not be written ({error})", hint=CUT_OFF)
        fail(known, as_json=as_json)
    if as_json:
        emit(report.as_dict())
    else:
        _show(report)
    if report.refused:
        raise SystemExit(1)


def _show(report: "ImportReport") -> None:
    """Show counts and the first refused rows."""
    columns = ("rows", "new", "superseding", "unchanged", "older", "cancelled", "quarantined")
    counts = [(name, *(getattr(each, column) for column in columns)) for name, each in report.tables.items()]
    if len(report.tables) > 1:
        counts.append(("all", *(sum(getattr(each, column) for each in report.tables.values()) for column in columns)))
    table("", ("table", *columns), counts)
    for bad in report.bad:
        note(f"{bad.file} line {bad.line}: {bad.code}: {bad.detail}.")
    more = report.quarantined - len(report.bad)
    if more > 0:
        note(f"... and {more:,} more")
    for file, names in report.ignored_columns.items():
        note(f"{file}: columns without meaning: {', '.join(names)}")
    older = sum(each.older for each in report.tables.values())
    if older:
        note(f"{older:,} rows are no later than what is known of their key: kept in the log, out of current knowledge.")
    reasons = ", ".join(f"{count:,} {code}" for code, count in report.codes.items())
    if report.refused:
        note(f"Nothing was applied (--strict): {report.quarantined:,} rows are bad ({reasons}): {report.what_to_do}.")
        note(f"Master version {report.version} stays.")
        return
    if report.quarantine is not None:
        note(f"{report.quarantined:,} rows wait in {report.quarantine} ({reasons}): {report.what_to_do}.")
    note(f"Master version {report.version}" + (" is current." if report.applied else " stays: nothing new."))
