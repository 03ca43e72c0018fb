# SPDX-License-Identifier: Apache-2.0
"""The other direction: reads to hand-over files, for the simulated head-end and for tests."""

from pathlib import Path
from typing import Literal

from pipeline.handover.batch import ReadBatch


def write_arrow(path: Path, batch: ReadBatch, *, rows_per_batch: int = 65_536) -> None:
    """Write an Arrow IPC file: meter_id string, timestamps in ms with zone UTC, registers uint32 with nulls."""
    raise NotImplementedError


def write_parquet(path: Path, batch: ReadBatch, *, rows_per_group: int = 65_536) -> None:
    """Write a Parquet file with the columns of `write_arrow`."""
    raise NotImplementedError


def write_csv(path: Path, batch: ReadBatch, compression: Literal["", "gz", "zst"] = "") -> None:
    """Write CSV with header; times in ISO 8601, `read_at` in JST with offset, `received_at` in UTC with Z."""
    raise NotImplementedError


def write_echonet(path: Path, batch: ReadBatch, *, announce: bool = False) -> None:
    """Write a telegram container: one frame a row with EA, EB beside it where the row has an export register.

    Get_Res, or INF with `announce`. A row without both registers is left out; stamps are cut to whole seconds.
    """
    raise NotImplementedError
