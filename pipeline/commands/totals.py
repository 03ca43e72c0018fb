# SPDX-License-Identifier: Apache-2.0
"""Totals by retailer, balancing group and area; the balance of areas."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from koma.clock import WallClock
from koma.energy import format_kwh
from koma.errors import HomeError, KomaError
from koma.output import emit, fail, note, progress, table
from koma.settings import load_settings
from koma.slots import JST, SLOTS_PER_DAY, first_slot_of_day, format_jst, parse_jst, slot_start_ms

if TYPE_CHECKING:
    from pipeline.home import Home
    from pipeline.totals.asking import Question

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, epilog="Example: koma totals show --day 20261007"
)

Slot = Annotated[str, typer.Option("--slot", metavar="TIME", help="Start of one slot, JST.")]
Day = Annotated[str, typer.Option("--day", metavar="YYYYMMDD", help="A day (JST).")]
Since = Annotated[str, typer.Option("--from", metavar="TIME", help="Start of the first slot of a period, JST.")]
Until = Annotated[str, typer.Option("--to", metavar="TIME", help="End of its last slot, JST.")]
AsOf = Annotated[str, typer.Option("--as-of", metavar="TIME", help="As known at an earlier instant, JST.")]
Where = Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")]
Json = Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")]
SHOWN = ("by", "code", "area", "direction", "cells", "missing", "kWh", "at generation end", "loss rates", "settled kWh")


@app.command("import", epilog='Example: koma totals import ./declared --by "duty desk"')
def import_tables(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with the CSV files.")],
    *,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who imports.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="The energy of sources stands in place of earlier imports of its slots.")
    ] = False,
    home: Where = None,
    json: Json = False,
) -> None:
    """Import loss_rates.csv, settlement_rounding.csv, sources.csv and source_energy.csv, any of them.

    A file with a bad line is refused as a whole, with all of them: half a formula is worse than none.
    """
    from pipeline.totals.declared import import_declared  # noqa: PLC0415  Arrow loads only when the command runs

    try:
        now_ms = WallClock().now_ms()
        found = import_declared(_home(home), folder, by=by, replace=replace, now_ms=now_ms)
    except KomaError as error:
        fail(error, as_json=json)
    if not json:
        table(f"Import {found.number}", ("table", "rows"), found.rows.items())
    emit({"import": found.number, "rows": found.rows})


@app.command(epilog="Example: koma totals show --day 20261007 --by balancing_group")
def show(
    *,
    slot: Slot = "",
    day: Day = "",
    since: Since = "",
    until: Until = "",
    by: Annotated[str, typer.Option(metavar="WHAT", help="Only by retailer, balancing_group or area.")] = "",
    each_slot: Annotated[bool, typer.Option("--each-slot", help="Each slot apart.")] = False,
    as_of: AsOf = "",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV file to write all rows to.")] = None,
    home: Where = None,
    json: Json = False,
) -> None:
    """Show totals: cells, energy at the customer's end, at the generation end, and what is settled.

    Of the newest closed slot, unless told otherwise. Demand and generation stand apart. The settled kWh are the exact
    sum, rounded once; parts_settlement_kwh are the rounded parts added up, which may come to something else. Ends with
    status 1 where the sums over points, retailers, groups and areas differ.
    """
    from pipeline.totals.cells import BY  # noqa: PLC0415  numba loads only when the command runs

    if by and by not in BY:
        raise typer.BadParameter(f"--by is one of {', '.join(BY)}")
    try:
        what = _question(home, as_of)
        first, end = _period(what, slot, day, since, until)
        with progress("adding up", end - first):
            rows, differing = _rows(what, first, end, each_slot=each_slot)
        rows = [row for row in rows if by in ("", row["by"])]
        if out is not None:
            from pipeline.totals.tables import write_csv  # noqa: PLC0415  see above

            write_csv(out, rows)
        if json:
            for row in rows:
                emit(row)
        elif out is None:
            _show(rows)
        emit(_closing(what, first, end) | {"rows": len(rows), "conserved": not differing})
        if differing:
            raise HomeError(
                f"sums differ in {len(differing)} slots, the first {differing[0]}",
                hint="koma totals balance tells how; keep the home as it is for whoever looks for the cause",
            )
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma totals balance --day 20261007")
def balance(
    *,
    slot: Slot = "",
    day: Day = "",
    since: Since = "",
    until: Until = "",
    as_of: AsOf = "",
    home: Where = None,
    json: Json = False,
) -> None:
    """Balance each area, slot by slot, and check it: sources absent, imported twice or of the wrong sign, conservation.

    Of the newest closed slot, unless told otherwise. What is found is kept in totals/balance-YYYYMMDD.jsonl and shown
    by koma pipeline status until a later check finds it no more; nothing of --as-of is kept. No delivery waits for it.
    """
    from pipeline.totals.checks import checked_slots  # noqa: PLC0415  see above
    from pipeline.totals.records import record  # noqa: PLC0415

    try:
        what = _question(home, as_of)
        first, end = _period(what, slot, day, since, until)
        with progress("balancing", end - first):
            found = [each.as_json() for each in checked_slots(what, first, end)]
        new = 0 if what.as_of_ms is not None else record(what.asked.home, found, what.instant_ms)
        if json:
            for each in found:
                emit(each)
        else:
            _show_balances(found)
        findings = sum(len(each["findings"]) for each in found)
        emit(_closing(what, first, end) | {"findings": findings, "recorded": new})
    except KomaError as error:
        fail(error, as_json=json)


@app.command(epilog="Example: koma totals declared")
def declared(*, as_of: AsOf = "", home: Where = None, json: Json = False) -> None:
    """Show the loss rates, the rounding and the sources that are declared."""
    from pipeline.totals.declared import KEYS  # noqa: PLC0415  see above
    from pipeline.totals.declared import declared as known  # noqa: PLC0415

    try:
        found = known(_home(home), parse_jst(as_of) if as_of else None)
        for name in KEYS:
            rows = [_dated(row) for row in found.of(name)]
            if json:
                for row in rows:
                    emit({"table": name} | row)
            elif rows:
                table(name, list(rows[0]), [["" if each is None else each for each in row.values()] for row in rows])
            else:
                note(f"nothing in {name}")
    except KomaError as error:
        fail(error, as_json=json)


def _home(home: Path | None) -> "Home":
    from pipeline.home import open_home  # noqa: PLC0415  see above

    return open_home(load_settings(home=home).home, create=False)


def _question(home: Path | None, as_of: str) -> "Question":
    from pipeline.totals.asking import question  # noqa: PLC0415  see above

    return question(_home(home), load_settings(home=home).workers, parse_jst(as_of) if as_of else None)


def _period(what: "Question", slot: str, day: str, since: str, until: str) -> tuple[int, int]:
    """Return the slots that options name: one, those of a day, from one to another, or the newest closed one."""
    from pipeline.totals.asking import newest_closed  # noqa: PLC0415  see above
    from pipeline.totals.tables import slot_of_text  # noqa: PLC0415

    if [bool(slot), bool(day), bool(since or until)].count(True) > 1 or bool(since) != bool(until):
        raise typer.BadParameter("give --slot, or --day, or --from with --to")
    if since:
        return slot_of_text(since), slot_of_text(until)
    if day:
        try:
            first = first_slot_of_day(datetime.strptime(day, "%Y%m%d").replace(tzinfo=JST).date())
        except ValueError:
            raise typer.BadParameter("a day such as 20261007 is needed") from None
        return first, first + SLOTS_PER_DAY
    first = slot_of_text(slot) if slot else newest_closed(what)
    return first, first + 1


def _closing(what: "Question", first: int, end: int) -> dict[str, Any]:
    return {
        "from": format_jst(slot_start_ms(first)),
        "to": format_jst(slot_start_ms(end)),
        "as_of": format_jst(what.instant_ms),
        "master": what.asked.view.version,
    }


def _rows(what: "Question", first: int, end: int, *, each_slot: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of some slots, and the slots whose sums differ."""
    from pipeline.totals.asking import sums_of  # noqa: PLC0415  see above
    from pipeline.totals.rates import Rates  # noqa: PLC0415
    from pipeline.totals.rows import Period, slot_totals  # noqa: PLC0415

    rates, differing, found = Rates.of(what.declared), [], []
    period = Period(first, end)
    for sums in sums_of(what, first, end):
        if sums.unbalanced():
            differing.append(format_jst(slot_start_ms(sums.slot)))
        if each_slot:
            period = Period(sums.slot, sums.slot + 1)
        period.add(slot_totals(sums, rates))
        if each_slot:
            found += period.totals()
    return [each.as_json() for each in (found if each_slot else period.totals())], differing


def _show(rows: list[dict[str, Any]]) -> None:
    """Show the rows over all voltage classes."""
    from pipeline.totals.rows import ALL  # noqa: PLC0415  see above

    def told(row: dict[str, Any]) -> Iterator[object]:
        yield from (row[name] for name in ("by", "code", "area", "direction", "cells", "missing", "energy_kwh"))
        dwh = row["generation_end_dwh"]
        yield row["state"] if dwh is None else format_kwh(dwh)
        yield " ".join(row["loss_rates"])
        settled, parts = row["settlement_kwh"], row["parts_settlement_kwh"]
        yield "" if settled is None else f"{settled:,}" if settled == parts else f"{settled:,} (parts {parts:,})"

    spans = sorted({(row["from"], row["to"]) for row in rows})
    for since, until in spans:
        mine = [row for row in rows if (row["from"], row["to"]) == (since, until) and row["voltage"] == ALL]
        table(f"Totals from {since} to {until}", SHOWN, [list(told(row)) for row in mine])


def _show_balances(found: list[dict[str, Any]]) -> None:
    names = ("slot_start", "area", "demand_dwh", "generation_dwh", "sources_dwh", "missing", "balance_dwh")
    lines = [["" if each[name] is None else each[name] for name in names] for one in found for each in one["balances"]]
    table("Balances, dWh", ("slot", "area", "demand", "generation", "sources", "missing cells", "balance"), lines)
    for each in (finding for one in found for finding in one["findings"]):
        where = " ".join(part for part in (each["area"], each["source"]) if part)
        note(f"{each['code']} {each['slot_start']} {where}: {each['detail']}; {each['do']}")


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    """Return a declared row as people read it: times in place of slots."""
    from pipeline.master.view import OPEN_SLOT  # noqa: PLC0415  see above

    def time(slot: int) -> str:
        return "" if slot == OPEN_SLOT else format_jst(slot_start_ms(slot))

    names = {"slot": "valid_from", "end": "valid_to"}
    return {names.get(name, name): time(value) if name in names else value for name, value in row.items()}
