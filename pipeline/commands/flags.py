# SPDX-License-Identifier: Apache-2.0
"""Look at what the rules found in the days of points."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from koma.errors import KomaError
from koma.output import emit, fail, note, table
from koma.settings import load_settings

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, epilog="Example: koma flags list --rule silent"
)

Home = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Day = Annotated[str, typer.Option(metavar="YYYYMMDD", help="Only this day.")]


@app.command("list", epilog="Example: koma flags list --day 20261006 --rule use_inactive")
def list_flags(
    *,
    day: Day = "",
    rule: Annotated[str, typer.Option(metavar="CODE", help="Only flags of this rule.")] = "",
    point: Annotated[str, typer.Option(metavar="ID", help="Only flags of this supply point.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most flags shown.")] = 50,
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON line a flag on standard output.")] = False,
) -> None:
    """Show flags, the newest day first: day, point, rule, severity, slot, amount, and what to do.

    A day has its flags once its daily file is issued; docs/reference/rules.md tells what the codes mean.
    """
    from pipeline.flags import known_rule, read_flags  # noqa: PLC0415  Arrow loads only when the command runs
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        says = known_rule(rule)
        rows = list(islice(read_flags(opened, day=day, rule=rule, point=point), limit))
        if json:
            for row in rows:
                emit(row)
        elif rows:
            names = ("day", "point_id", "rule", "severity", "slot_start", "amount")
            shown = [[*("" if row[name] is None else row[name] for name in names), says[row["rule"]]] for row in rows]
            table("Flags", ("day", "point", "rule", "severity", "slot", "amount", "what to do"), shown)
        else:
            note("no flag")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma flags counts --day 20261006")
def counts(
    *,
    day: Day = "",
    limit: Annotated[int, typer.Option(min=1, help="Most days shown.")] = 10,
    home: Home = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON line a day on standard output.")] = False,
) -> None:
    """Show how many points each rule flagged on a day, and how many cells had which quality; the newest day first."""
    from pipeline.flags import read_counts  # noqa: PLC0415  Arrow loads only when the command runs
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        records = list(islice(read_counts(opened, day=day), limit))
        for record in records:
            if json:
                emit(record)
                continue
            found = [("points flagged", *each) for each in record["points"].items()]
            found += [("cells", *each) for each in record["cells"].items()]
            table(record["day"], ("what", "code", "number"), found)
        if not records and not json:
            note("no day has its daily file yet")
    except KomaError as error:
        fail(error, as_json=json)
