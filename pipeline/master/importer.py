# SPDX-License-Identifier: Apache-2.0
"""Importing a folder of master files: read, judge, build the next version, publish it in one step.

A crash at any point leaves the version before. Importing the same files again changes nothing.
"""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.master.build import (
    carried_arrays,
    change_arrays,
    lay_out,
    logged,
    number_codes,
    point_arrays,
    table_arrays,
    untouched_arrays,
)
from pipeline.master.judge import DATED_TABLES, Judgement
from pipeline.master.ledger import Moment
from pipeline.master.ledger_kernels import NEW, SUPERSEDING
from pipeline.master.log import empty_texts, read_log, read_texts, write_log
from pipeline.master.points import PointIndex
from pipeline.master.report import BAD_ROWS_SHOWN, BadRows, ImportReport, TableCounts, count_codes, count_rows
from pipeline.master.retailers import judge_retailers
from pipeline.master.rows import Reading, Rows, read_rows
from pipeline.master.source import find_files
from pipeline.master.store import ARRAYS, MasterStore, open_master
from pipeline.master.view import ALWAYS_MS, MasterView


def import_master(
    home: Path,
    source: Path,
    *,
    now_ms: int | None,
    first: bool,
    strict: bool,
    issued_ms: int | None = None,
    cap_factor: int = 4,
    cap_kw_default: int = 100,
) -> ImportReport:
    """Import the master files of a folder into a home.

    Args:
        home: the data directory.
        source: folder with any of points, meters, supply, retailers, each `.csv` or `.parquet`.
        now_ms: the home's clock: rows that state no recorded_at, or a later one, count from here. None where nothing
            was accepted yet: a row then counts from its recorded_at, or since always.
        first: whether this is the first import into the home: its rows count since always.
        strict: apply nothing if any row is bad.
        issued_ms: the last instant issued or announced, if there is one: no row counts at it or before.
        cap_factor: what a slot may hold at most, as a multiple of contract power times half an hour.
        cap_kw_default: contract power of points that have none, kW.

    Raises:
        MasterError: a file cannot be read or lacks a required column; nothing was applied.
        BusyError: another import is running.

    """
    files = find_files(source)
    store = MasterStore(home.absolute())
    with store.importing():
        view = open_master(store.home)
        reading = Reading(cap_factor, cap_kw_default, {code: number for number, code in enumerate(view.bgs)})
        folders = store.logged()
        moment = Moment(now_ms, first, ALWAYS_MS if issued_ms is None else issued_ms)
        judged = Judgement(PointIndex.of(view), partial(read_log, folders), moment)
        for each in files:
            judged.take(read_rows(each, reading))
        judged.judge()
        status = {name: np.zeros(0, np.uint8) for name in judged.rows}
        status.update({name: ledger.status for name, ledger in judged.ledgers.items()})
        if "retailers" in judged.rows:
            status["retailers"] = judge_retailers(judged.rows["retailers"], read_log(folders, "retailers"))
        number = store.next_number()
        report = _report(store, view, judged, status, number, strict=strict)
        if report.quarantine is not None:
            store.stage_quarantine(number, BadRows(judged).lines(number))
        if report.applied:
            _make_version(store, view, judged, reading, status, number)
        elif report.quarantine is not None:
            store.publish_quarantine(number)
        return report


def _report(
    store: MasterStore,
    view: MasterView,
    judged: Judgement,
    status: dict[str, NDArray[np.uint8]],
    number: int,
    *,
    strict: bool,
) -> ImportReport:
    """Say what the import is going to do."""
    rows = judged.rows
    tables = {name: count_rows(rows[name], status[name]) for name in rows}
    quarantined = sum(each.quarantined for each in tables.values())
    applied = not (strict and quarantined) and any(_adds(each) for each in tables.values())
    return ImportReport(
        version=number if applied else view.version,
        applied=applied,
        first=judged.moment.first,
        strict=strict,
        tables=tables,
        codes=count_codes(rows),
        bad=tuple(islice(BadRows(judged), BAD_ROWS_SHOWN)) if quarantined else (),
        quarantine=store.quarantine_file(number) if quarantined and not strict else None,
        ignored_columns={each.source.name: each.source.ignored for each in rows.values() if each.source.ignored},
    )


def _adds(counts: TableCounts) -> bool:
    return counts.new + counts.superseding + counts.cancelled + counts.older > 0


def _make_version(
    store: MasterStore,
    view: MasterView,
    judged: Judgement,
    reading: Reading,
    status: dict[str, NDArray[np.uint8]],
    number: int,
) -> None:
    """Write log, arrays and quarantine of version `number`, then let them count. Uses up what was judged."""
    layout = lay_out(view, judged)
    retailers, bgs = number_codes(view, judged, reading.bgs)
    folder = store.log_folder(number)
    version = store.stage_version(number, view.version)
    points = point_arrays(view, judged, layout)
    version.put(points)
    point_id, area = points.get("point_id", view.point_id), points.get("area", view.area)
    changes: dict[str, list[NDArray[Any]]] = {
        each: [getattr(view, each)] for each in ARRAYS if each.startswith(("changed_", "carried_"))
    }
    if "retailers" in judged.rows:
        _log_retailers(folder, judged, status["retailers"])
    for name in DATED_TABLES:
        ledger = judged.ledgers.pop(name, None)
        if ledger is None:
            if layout.grown:
                version.put(untouched_arrays(view, layout, name))
            continue
        rows = judged.rows.pop(name)
        references = _references(store, rows) if name == "supply" else None
        version.put(table_arrays(ledger, layout, references, area))
        write_log(folder, name, *logged(ledger, rows, layout, point_id))
        if view.version:
            added = change_arrays(ledger, layout, number)
            added |= carried_arrays(ledger, layout, number) if name == "meters" else {}
            for each, column in added.items():
                changes[each].append(column)
        status.pop(name)
        del ledger, rows, references  # before the next table is built
    version.put({each: np.concatenate(columns) for each, columns in changes.items()})
    version.close({"retailers": retailers, "bgs": bgs})
    store.publish_version(number)


def _references(store: MasterStore, rows: Rows) -> pa.ChunkedArray:
    """Return customer_ref of all rows of the supply ledger."""
    known = read_texts(store.logged(), "supply", "customer_ref")
    fresh = rows.texts.get("customer_ref", pa.chunked_array([empty_texts(len(rows))]))
    return pa.chunked_array([*known.chunks, *fresh.chunks], pa.string())


def _log_retailers(folder: Path, judged: Judgement, status: NDArray[np.uint8]) -> None:
    rows = judged.rows["retailers"]
    kept = np.flatnonzero((status == NEW) | (status == SUPERSEDING))
    numbers: dict[str, Any] = {name: column[kept] for name, column in rows.columns.items()}
    texts = {name: column.take(pa.array(kept)) for name, column in rows.texts.items()}
    write_log(folder, "retailers", numbers, texts, np.zeros(len(kept), np.uint8))
