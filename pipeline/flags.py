# SPDX-License-Identifier: Apache-2.0
"""The flags of a day: what rules found in its cells and in the days of its points when its daily file was first issued.

`ledger/flags/YYYYMMDD.parquet` has a row a flag, `YYYYMMDD.json` beside it counts by rule and by quality. They are made
anew only where a daily issue was cut off, and are then the same; later revisions of the day leave them alone.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from koma.errors import IdentifierError
from koma.slots import MS_PER_SLOT, format_jst, slot_start_ms
from pipeline.columns import Columns
from pipeline.home import Home
from pipeline.manifests import day_name
from pipeline.master import MasterView
from pipeline.quality import QUALITIES
from pipeline.rules.table import RULES

FOLDER: Final = "flags"
SCHEMA: Final = pa.schema(
    [
        pa.field("point_id", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("slot_start", pa.timestamp("ms", "Asia/Tokyo")),  # the first slot it is about; null: the day
        pa.field("amount", pa.int64(), nullable=False),
    ]
)


def write_flags(folder: Path, view: MasterView, day: int, issued_ms: int, shards: Sequence[Columns]) -> None:
    """Write the flags of the day whose first slot is `day`, by point id and rule, from those of its shards."""
    folder.mkdir(exist_ok=True)
    found = {name: np.concatenate([each[name] for each in shards]) for name in ("rule", "position", "slot", "amount")}
    order = np.lexsort((found["slot"], found["rule"], view.rank[found["position"]]))
    rule, position, slot = (found[name][order] for name in ("rule", "position", "slot"))
    numbers = pa.array(rule.astype(np.int64))
    point_ids = np.ascontiguousarray(view.point_id[position])
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(22), len(position), [None, pa.py_buffer(point_ids)])
    start_ms = (day + slot.astype(np.int64)) * MS_PER_SLOT
    table = pa.table(
        [
            fixed.cast(pa.binary()).cast(pa.string()),
            pa.array([each.code for each in RULES]).take(numbers),
            pa.array([each.severity for each in RULES]).take(numbers),
            pa.array(start_ms, mask=slot < 0).cast(SCHEMA.field("slot_start").type),
            pa.array(found["amount"][order]),
        ],
        schema=SCHEMA,
    )
    name = day_name(day)
    pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    counts = np.bincount(rule, minlength=len(RULES)).tolist()
    cells = sum((each["cells"] for each in shards), np.zeros(len(QUALITIES), np.int64)).tolist()
    record = {
        "day": format_jst(slot_start_ms(day))[:10],
        "issued_at": format_jst(issued_ms),
        "points": {each.code: number for each, number in zip(RULES, counts, strict=True) if number},
        "cells": {word: number for word, number in zip(QUALITIES, cells, strict=True) if number},
    }
    (folder / f"{name}.json").write_text(json.dumps(record, separators=(",", ":")) + "\n", encoding="utf-8")


def read_flags(home: Home, *, day: str = "", rule: str = "", point: str = "") -> Iterator[dict[str, Any]]:
    """Yield flags, the newest day first: all, or those of a day (YYYYMMDD), a rule, a point."""
    chosen = [(name, "==", value) for name, value in (("rule", rule), ("point_id", point)) if value]
    for path in _files(home, "parquet", day):
        rows = pq.read_table(path, filters=chosen or None, schema=SCHEMA)
        for row in rows.to_pylist():
            start = row["slot_start"]
            shown = None if start is None else format_jst(int(start.timestamp() * 1000))
            yield {"day": path.stem, **row, "slot_start": shown}


def known_rule(code: str) -> dict[str, str]:
    """Return what each rule says, by code; an unknown `code` is refused.

    Raises:
        IdentifierError: no rule has this code.

    """
    says = {each.code: each.says for each in RULES}
    if code and code not in says:
        raise IdentifierError(f"no rule has the code {code}", hint=f"the codes are {', '.join(says)}")
    return says


def read_counts(home: Home, *, day: str = "") -> Iterator[dict[str, Any]]:
    """Yield what was counted, the newest day first."""
    for path in _files(home, "json", day):
        yield json.loads(path.read_text(encoding="utf-8"))


def _files(home: Home, ending: str, day: str) -> Iterable[Path]:
    return sorted((home.path("ledger") / FOLDER).glob(f"{day or '[0-9]' * 8}.{ending}"), reverse=True)
