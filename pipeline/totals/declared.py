# SPDX-License-Identifier: Apache-2.0
"""What operators declare for totals: loss rates, settlement rounding, sources and their energy, as dated tables.

Each import is one line of `totals/imports.jsonl`, with who and when; the energy of sources lies beside it, a file a
day. Lines are only ever added: a row of the same key that is imported later stands in place of the earlier one, from
then on. The first import of a table counts since always, later ones from the home's time of the import on, so that a
total of before can be told again as it was known.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from koma.energy import parse_kwh
from koma.errors import TotalsError
from koma.ids import parse_area, parse_point_id
from koma.slots import format_jst, format_utc, slot_date, slot_start_ms
from pipeline.columns import replace_file
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.master.view import ALWAYS_MS, VOLTAGES
from pipeline.totals.exact import MODES, parse_rate
from pipeline.totals.tables import Table, Wrong, digest, end_of_text, json_lines, read_table, slot_of_text

RATES, ROUNDING, SOURCES, ENERGY = "loss_rates", "settlement_rounding", "sources", "source_energy"
TABLES: Final = {
    RATES: Table(RATES, ("area", "voltage", "rate", "valid_from"), ("source",)),
    ROUNDING: Table(ROUNDING, ("area", "unit_kwh", "mode", "valid_from"), ("source",)),
    SOURCES: Table(
        SOURCES, ("source_id", "kind", "area", "direction", "valid_from"), ("valid_to", "point_id", "tolerance_kwh")
    ),
    ENERGY: Table(ENERGY, ("source_id", "slot_start", "energy_kwh")),
}
KEYS: Final = {RATES: ("area", "voltage", "slot"), ROUNDING: ("area", "slot"), SOURCES: ("source_id", "slot")}
KINDS: Final = ("interconnector", "plant", "storage", "adjustment", "other", "reference")
"""`reference` is what an area's balance is held against; it is no part of it."""
REFERENCE: Final = KINDS[-1]
IN, OUT, BOTH = "in", "out", "both"
SIGNS: Final = (IN, OUT, BOTH)
"""Energy into the area is positive, out of it negative."""
LOG: Final = "imports.jsonl"
SOURCE_ID_CHARS: Final = 40
_DAY: Final = "energy-{day}.jsonl"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought.

    Attributes:
        number: counts from 1.
        rows: how many of each table.
    """

    number: int
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Declared:
    """All that is declared, as known at a time.

    Attributes:
        rows: by table, of each key the one imported last.
        imports: how many imports brought any of them.
    """

    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    imports: int = 0

    def of(self, table: str) -> Sequence[Row]:
        """Return the rows of a table, ascending by key."""
        return self.rows.get(table, ())


def import_declared(home: Home, folder: Path, *, by: str, replace: bool, now_ms: int) -> Imported:
    """Take in the tables that a folder holds, all of them or nothing.

    Args:
        home: which takes them.
        folder: with any of `TABLES` as `<name>.csv`.
        by: who imports.
        replace: the energy of sources stands in place of what was imported before for the same slots.
        now_ms: the machine's time, for the record.

    Raises:
        TotalsError: there is no table, a line is wrong, or it is not said who imports.

    """
    if not by.strip():
        raise TotalsError("it is not said who imports", hint="give --by NAME")
    paths = {name: folder / f"{name}.csv" for name in TABLES if (folder / f"{name}.csv").is_file()}
    if not paths:
        names = ", ".join(f"{name}.csv" for name in TABLES)
        raise TotalsError(f"{folder} holds none of {names}", hint="name the folder of these files")
    wrong = Wrong()
    tables = {name: read_table(path, TABLES[name], wrong, _MAKERS[name]) for name, path in paths.items()}
    for name in KEYS.keys() & tables.keys():
        _refuse_repeats(paths[name], name, tables[name], wrong)
    wrong.refuse()
    with _one_at_a_time(home):
        log = json_lines(home.path("totals") / LOG)
        since_ms = read_state(home.path("journal")).next_fact_ms
        seen = {name for each in log for name in each["since_ms"]}
        record = {
            "import": len(log) + 1,
            "at": format_utc(now_ms),
            "by": by.strip(),
            "replace": replace,
            "files": {path.name: digest(path) for path in paths.values()},
            "since_ms": {name: since_ms if name in seen else None for name in tables},
            "days": sorted({day_of(row["slot"]) for _, row in tables.get(ENERGY, [])}),
            **{name: [row for _, row in tables[name]] for name in KEYS if name in tables},
        }
        _refuse_overlaps(_merged([*log, record], SOURCES, None))
        _add_energy(home, len(log) + 1, tables.get(ENERGY, []))
        _replace_lines(home.path("totals") / LOG, [*log, record])
    return Imported(len(log) + 1, {name: len(rows) for name, rows in tables.items()})


def declared(home: Home, as_of_ms: int | None = None) -> Declared:
    """Return what is declared: all of it, or what was at a time of the home."""
    log = json_lines(home.path("totals") / LOG)
    imports = sum(any(name in each and _counts(each, name, as_of_ms) for name in KEYS) for each in log)
    return Declared({name: _merged(log, name, as_of_ms) for name in KEYS}, imports)


@dataclass(frozen=True, slots=True)
class Contribution:
    """Energy of a source in a slot, as one line of one import says; positive into the area."""

    source_id: str
    slot: int
    energy_dwh: int
    number: int
    """Of the import."""
    line: int
    replaces: bool


def contributions(home: Home, day: str, as_of_ms: int | None = None) -> list[Contribution]:
    """Return what was imported for the slots of a day (YYYYMMDD), in that order."""
    log = json_lines(home.path("totals") / LOG)
    imports = {each["import"]: each for each in log if day in each["days"] and _counts(each, ENERGY, as_of_ms)}
    return [
        Contribution(
            each["source_id"],
            each["slot"],
            each["energy_dwh"],
            each["import"],
            each["line"],
            imports[each["import"]]["replace"],
        )
        for each in json_lines(home.path("totals") / _DAY.format(day=day))
        if each["import"] in imports
    ]


def day_of(slot: int) -> str:
    """Return the JST day of a slot as YYYYMMDD."""
    return slot_date(slot).strftime("%Y%m%d")


def _counts(record: Row, table: str, as_of_ms: int | None) -> bool:
    since_ms = record["since_ms"].get(table)
    return as_of_ms is None or (ALWAYS_MS if since_ms is None else since_ms) <= as_of_ms


def _merged(log: Sequence[Row], table: str, as_of_ms: int | None) -> list[Row]:
    """Return the rows of a table in force, of each key the one imported last."""
    found: dict[tuple[Any, ...], Row] = {}
    for record in log:
        if table in record and _counts(record, table, as_of_ms):
            for row in record[table]:
                found[tuple(row[name] for name in KEYS[table])] = row
    return [found[key] for key in sorted(found)]


def _refuse_repeats(path: Path, table: str, rows: Sequence[tuple[int, Row]], wrong: Wrong) -> None:
    first: dict[tuple[Any, ...], int] = {}
    for line, row in rows:
        before = first.setdefault(tuple(row[name] for name in KEYS[table]), line)
        if before != line:
            wrong.add(path, line, TotalsError(f"the same key as line {before}", hint="keep one of them"))


def _refuse_overlaps(rows: Sequence[Row]) -> None:
    """Refuse sources of which two rows hold in one slot."""
    ends: dict[str, int] = {}
    for row in rows:
        if row["slot"] >= row["end"]:
            continue  # cancelled
        if row["slot"] < ends.get(row["source_id"], row["slot"]):
            since = format_jst(slot_start_ms(row["slot"]))
            raise TotalsError(
                f"source {row['source_id']} is declared twice from {since} on",
                hint="end the earlier row (valid_to) in the same file; a row with valid_to = valid_from is cancelled",
            )
        ends[row["source_id"]] = row["end"]


def _add_energy(home: Home, number: int, rows: Sequence[tuple[int, Row]]) -> None:
    """Write the energy of an import to the files of its days.

    What a crash left of an import that never was goes; in files of other days it counts for nothing (`days`).
    """
    by_day: dict[str, list[Row]] = {}
    for line, row in rows:
        by_day.setdefault(day_of(row["slot"]), []).append({"import": number, "line": line} | row)
    for day, mine in sorted(by_day.items()):
        path = home.path("totals") / _DAY.format(day=day)
        _replace_lines(path, [*(each for each in json_lines(path) if each["import"] < number), *mine])


def _replace_lines(path: Path, lines: Sequence[Row]) -> None:
    replace_file(path, b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in lines))


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    with (home.path("run") / "totals.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _one_of(text: str, allowed: Sequence[str], what: str) -> str:
    if text not in allowed:
        raise TotalsError(f"{text[:40]!r} is no {what}", hint=f"write one of {', '.join(allowed)}")
    return text


def _rate(row: dict[str, str]) -> Row:
    if row["rate"]:
        parse_rate(row["rate"])
    return {
        "area": parse_area(row["area"]).code,
        "voltage": _one_of(row["voltage"], VOLTAGES, "voltage class"),
        "slot": slot_of_text(row["valid_from"]),
        "rate": row["rate"] or None,
        "source": row.get("source", ""),
    }


def _rounding(row: dict[str, str]) -> Row:
    unit = row["unit_kwh"]
    if not (unit.isascii() and unit.isdigit() and 0 < int(unit) <= 1_000_000):
        raise TotalsError(f"{unit[:40]!r} is no unit of kWh", hint="write a whole number, 1 or more")
    return {
        "area": parse_area(row["area"]).code,
        "slot": slot_of_text(row["valid_from"]),
        "unit_kwh": int(unit),
        "mode": _one_of(row["mode"], MODES, "way of rounding"),
        "source": row.get("source", ""),
    }


def _source_id(text: str) -> str:
    if not (text.isprintable() and 0 < len(text) <= SOURCE_ID_CHARS):
        raise TotalsError(f"{text[:40]!r} is no source id", hint=f"it has 1 to {SOURCE_ID_CHARS} characters")
    return text


def _source(row: dict[str, str]) -> Row:
    since, until = slot_of_text(row["valid_from"]), end_of_text(row.get("valid_to", ""))
    if until < since:
        raise TotalsError("valid_to lies before valid_from", hint="leave it empty for an open end")
    tolerance, kind = row.get("tolerance_kwh", ""), _one_of(row["kind"], KINDS, "kind of source")
    if tolerance and (kind != REFERENCE or parse_kwh(tolerance) < 0):
        raise TotalsError("tolerance_kwh is wrong here", hint=f"only a {REFERENCE} has one, 0 or more")
    return {
        "source_id": _source_id(row["source_id"]),
        "kind": kind,
        "area": parse_area(row["area"]).code,
        "direction": _one_of(row["direction"], SIGNS, "direction"),
        "slot": since,
        "end": until,
        "point_id": parse_point_id(row["point_id"]) if row.get("point_id") else "",
        "tolerance_dwh": parse_kwh(tolerance) if tolerance else None,
    }


def _energy(row: dict[str, str]) -> Row:
    return {
        "source_id": _source_id(row["source_id"]),
        "slot": slot_of_text(row["slot_start"]),
        "energy_dwh": parse_kwh(row["energy_kwh"]),
    }


_MAKERS: Final = {RATES: _rate, ROUNDING: _rounding, SOURCES: _source, ENERGY: _energy}
