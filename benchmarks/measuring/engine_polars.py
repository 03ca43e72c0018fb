# SPDX-License-Identifier: Apache-2.0
"""Polars doing the slot: a lazy query over mapped files, run by the streaming engine into one Parquet file a retailer.

Grouping the reads by meter, joining the master first, and collecting before writing were tried and take as long or
longer; so does writing without compression.
"""

from datetime import UTC, datetime
from typing import Any

import polars as pl

from benchmarks.measuring.area import SLOT, SPLIT_MS
from benchmarks.measuring.task import ONE, Task
from koma.slots import slot_start_ms


def run(task: Task) -> dict[str, Any]:
    """Do the slot."""
    start, end, instant = (
        datetime.fromtimestamp(ms / 1000, UTC) for ms in (slot_start_ms(SLOT), slot_start_ms(SLOT + 1), SPLIT_MS)
    )
    reads = pl.scan_ipc(task.handover).filter(pl.col("received_at") <= instant)
    ends = reads.filter(pl.col("read_at") == end).select("meter_id", last="import_register")
    master = pl.scan_ipc(task.area / "flat.arrow")
    if task.stamps == ONE:
        joined = ends.join(master.rename({"start_register": "first"}), on="meter_id")
    else:
        starts = reads.filter(pl.col("read_at") == start).select("meter_id", first="import_register")
        joined = ends.join(starts, on="meter_id").join(master, on="meter_id")
    units = (pl.col("last").cast(pl.Int64) - pl.col("first") + pl.col("modulus")) % pl.col("modulus")
    joined.select(
        "retailer_code", "point_id", slot_start=pl.lit(start), energy_dwh=units * pl.col("factor")
    ).sink_parquet(
        pl.PartitionBy(task.out, key="retailer_code", include_key=False),
        compression="snappy",
        maintain_order=False,
        mkdir=True,
        engine="streaming",
    )
    return {}
