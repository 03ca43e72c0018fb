# SPDX-License-Identifier: Apache-2.0
"""Enter values that operator and retailer agreed on (協議値)."""

from pathlib import Path
from typing import Annotated

import typer

from koma.clock import WallClock
from koma.energy import format_kwh, parse_kwh
from koma.errors import EstimateError, KomaError
from koma.output import emit, fail, note, table
from koma.settings import load_settings
from koma.slots import MS_PER_SLOT, format_jst, parse_jst, slot_at_ms

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Enter values that operator and retailer agreed on (協議値).",
    epilog="Example: koma agree list",
)

Home = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")]
By = Annotated[str, typer.Option(metavar="NAME", help="Who enters it.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="Why, and what it is based on.")]
EXAMPLE = (
    "koma agree set 0300000000000000000001 --from 2026-10-07T10:00 --to 2026-10-07T12:00 --kwh 1.2 "
    '--by "duty desk" --why "failed meter, as in October a year before"'
)


def _stamp(text: str, option: str) -> int:
    ms = parse_jst(text)
    if ms % MS_PER_SLOT:
        near = format_jst(ms - ms % MS_PER_SLOT)
        raise EstimateError(f"{option} {text} is no boundary between slots", hint=f"Give one such as {near}")
    return slot_at_ms(ms)


@app.command("set", epilog=f"Example: {EXAMPLE}")
def enter(
    point: Annotated[str, typer.Argument(metavar="POINT", help="Supply point id, 22 digits.")],
    *,
    since: Annotated[str, typer.Option("--from", metavar="TIME", help="Start of the first slot, JST.")],
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="End of the last slot, JST.")],
    kwh: Annotated[str, typer.Option(metavar="KWH", help="Energy of all these slots, which share it evenly.")],
    by: By,
    why: Why,
    home: Home = None,
    json: Json = False,
) -> None:
    """Enter an agreed value; it goes into the next version of the days it belongs to (koma estimate run).

    It stands ahead of every estimate, and of what was measured, until it is withdrawn. Of several for a slot the one
    entered last holds.
    """
    from pipeline.estimates.agreed import agree  # noqa: PLC0415  numba loads only when the command runs
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        first, end = _stamp(since, "--from"), _stamp(until, "--to")
        now_ms = WallClock().now_ms()
        emit(agree(opened, point, first, end, parse_kwh(kwh), by=by, why=why, now_ms=now_ms).as_json())
    except KomaError as error:
        fail(error, as_json=json)


@app.command("list", epilog="Example: koma agree list --all")
def list_values(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also what was withdrawn.")] = False,
    home: Home = None,
    json: Json = False,
) -> None:
    """Show the agreed values: number, point, slots, energy, who, when, why."""
    from pipeline.estimates.agreed import agreements  # noqa: PLC0415  see above
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        found = [each.as_json() for each in agreements(opened) if every or each.withdrawn is None]
        if json:
            for each in found:
                emit(each)
        elif found:
            names = ("number", "point_id", "from", "to", "kWh", "by", "at", "why", "withdrawn")
            shown = [each | {"kWh": format_kwh(each["energy_dwh"])} for each in found]
            table("Agreed values", names, [[each[name] or "" for name in names] for each in shown])
        else:
            note("no agreed value")
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog='Example: koma agree withdraw 3 --by "duty desk" --why "the register was found"')
def withdraw(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As list shows it.")],
    *,
    by: By,
    why: Why,
    home: Home = None,
    json: Json = False,
) -> None:
    """Withdraw an agreed value: what was agreed before, or else the estimate, holds again. Nothing is deleted."""
    from pipeline.estimates.agreed import withdraw as withdraw_value  # noqa: PLC0415  see above
    from pipeline.home import open_home  # noqa: PLC0415

    try:
        opened = open_home(load_settings(home=home).home, create=False)
        emit(withdraw_value(opened, number, by=by, why=why, now_ms=WallClock().now_ms()).as_json())
    except KomaError as error:
        fail(error, as_json=json)
