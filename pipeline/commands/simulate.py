# SPDX-License-Identifier: Apache-2.0
"""Simulate a head-end: hand-over files, master and truth from a seed."""

import inspect
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from koma.output import emit, note, progress, table
from koma.slots import parse_jst
from pipeline.simulate import PLAIN, Faults, Options, Summary, describe, simulate, steps
from pipeline.simulate.options import FORMATS, MASTER_CSV_POINTS_MAX, TRUTH_CELLS_POINTS_MAX

app = typer.Typer(add_completion=False)

_WHAT = "What there is"
_FILES = "Files"
_WRONG = "What goes wrong (shares from 0 to 1)"
_EXAMPLE = "Example: koma simulate /tmp/sim --points 100000 --slots 6 --start 2026-10-06T22:30"


def command(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for landing/, master/ and the truth.")],
    *,
    points: Annotated[int, typer.Option(help="Supply points.", rich_help_panel=_WHAT)] = 10_000,
    slots: Annotated[int, typer.Option(help="Half-hours; slots + 1 stamps are read.", rich_help_panel=_WHAT)] = 6,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.", rich_help_panel=_WHAT)] = 1,
    start: Annotated[str, typer.Option(help="First slot's start, JST.", rich_help_panel=_WHAT)] = "2026-10-06T22:30",
    retailers: Annotated[int, typer.Option(help="Operators, by falling share.", rich_help_panel=_WHAT)] = 12,
    areas: Annotated[str, typer.Option(help="Areas 01..10, with commas between.", rich_help_panel=_WHAT)] = "03",
    solar: Annotated[float, typer.Option(help="Share of homes with generation.", rich_help_panel=_WHAT)] = 0.09,
    high_voltage: Annotated[float, typer.Option(help="Share of such points.", rich_help_panel=_WHAT)] = 0.001,
    form: Annotated[
        str, typer.Option("--format", help=f"mixed, or of {', '.join(FORMATS)}.", rich_help_panel=_FILES)
    ] = "arrow",
    cut_minutes: Annotated[int, typer.Option(help="Minutes of arrival in a file.", rich_help_panel=_FILES)] = 5,
    shuffle: Annotated[bool, typer.Option(help="Rows of a file in random order.", rich_help_panel=_FILES)] = True,
    master_format: Annotated[str, typer.Option(help="csv (up to 1 M points) or parquet.", rich_help_panel=_FILES)] = "",
    truth: Annotated[str, typer.Option(help="cells (up to 2 M), totals or none.", rich_help_panel=_FILES)] = "",
    outage_start: Annotated[str, typer.Option(help="JST; else an hour into the window.", rich_help_panel=_WRONG)] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Nothing but what is named.", rich_help_panel=_WRONG)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON line.")] = False,
    **faults: float | None,
) -> None:
    """Write what a head-end would hand over for a number of points and slots, and what must come out of it.

    DIR/landing holds hand-over files by time of arrival, DIR/master the files of `koma master import`,
    DIR/truth.parquet the value of every cell and DIR/truth_totals.csv the sums by retailer and slot.
    """
    named: dict[str, Any] = {name: value for name, value in faults.items() if value is not None}
    options = Options(
        points=points,
        slots=slots,
        seed=seed,
        start_ms=parse_jst(start),
        retailers=retailers,
        areas=tuple(areas.split(",")),
        formats=FORMATS if form == "mixed" else tuple(form.split(",")),
        cut_minutes=cut_minutes,
        shuffle=shuffle,
        truth=truth or ("cells" if points <= TRUTH_CELLS_POINTS_MAX else "totals"),
        master_format=master_format or ("csv" if points <= MASTER_CSV_POINTS_MAX else "parquet"),
        names=points <= MASTER_CSV_POINTS_MAX,
        solar=solar,
        high_voltage=high_voltage,
        outage_start_ms=parse_jst(outage_start) if outage_start else 0,
        faults=replace(PLAIN if plain else Faults(), **named),
    )
    _run(options, out, as_json=as_json)


def _with_fault_options() -> inspect.Signature:
    """Return the signature of `command` with one option for each field of `Faults`, helped by the field's own words."""
    signature = inspect.signature(command)
    options = []
    for each in fields(Faults):
        option = typer.Option(help=each.metadata["help"], rich_help_panel=_WRONG, show_default=str(each.default))
        kind: Any = Annotated[int | None if each.type is int else float | None, option]
        options.append(inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind))
    return signature.replace(parameters=[*list(signature.parameters.values())[:-1], *options])


vars(command)["__signature__"] = _with_fault_options()
app.command(epilog=_EXAMPLE)(command)


def _run(options: Options, out: Path, *, as_json: bool) -> None:
    with progress("simulating", steps(options)) as advance:
        summary = simulate(options, out, advance)
    record = {"options": describe(options), "summary": summary.as_dict()}
    (out / "simulation.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        emit({"out": str(out), **summary.as_dict()})
    else:
        _show(out, summary)


def _show(out: Path, summary: Summary) -> None:
    rows = [(name.replace("_", " "), value) for name, value in summary.as_dict().items() if isinstance(value, int)]
    table("Simulated head-end", ("what", "number"), rows)
    note(f"Files in {out}. Next:")
    note(f"  koma master import {out / 'master'}")
    note(f'  cp {out / "landing"}/* "${{KOMA_HOME:-var/koma}}"/landing/')
    note("  koma pipeline run --once")
