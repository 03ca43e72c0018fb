# SPDX-License-Identifier: Apache-2.0
"""Manifests of delivery folders: lines of an issue behind those that earlier issues wrote."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from koma.slots import format_jst, slot_date
from pipeline.home import Home, in_parallel

SLOTS: Final = "manifest.jsonl"
"""Of the files a slot."""
DAYS: Final = "manifest-W41120.jsonl"
"""Of the files a day."""
MONTHS: Final = "manifest-W51220.jsonl"
"""Of the files of a month, in the folder of the meter-reading day."""

Lines = Mapping[tuple[str, str], Sequence[tuple[object, bytes]]]
"""By retailer and day: lines, each with its place among the others."""


def write_manifests(home: Home, folder: Path, lines: Lines, name: str, from_ms: int) -> None:
    """Write the manifests `name` that an issue of the instants after `from_ms` leads to, flat, into a new folder."""
    folder.mkdir()

    def write(retailer_day: tuple[str, str]) -> None:
        retailer, day = retailer_day
        old = kept(home.deliveries / retailer / day / name, from_ms)
        new = b"".join(line for _, line in sorted(lines[retailer_day]))
        (folder / f"{retailer}-{day}-{name}").write_bytes(old + new)

    in_parallel(write, lines)


def manifest_place(flat: str) -> Path:
    """Return where a manifest belongs below the deliveries.

    >>> manifest_place("90013-20261007-manifest.jsonl").as_posix()
    '90013/20261007/manifest.jsonl'
    """
    return Path(*flat.split("-", 2))


def day_name(slot: int) -> str:
    """Return the name of a slot's folder."""
    return slot_date(slot).strftime("%Y%m%d")


def kept(manifest: Path, from_ms: int) -> bytes:
    """Return the lines of a manifest that earlier issues wrote: a cut-off run of this issue may have added its own."""
    if not manifest.exists():
        return b""
    last = format_jst(from_ms) if from_ms > 0 else ""
    text = manifest.read_bytes()
    lines = text.splitlines(keepends=True)
    if not lines or json.loads(lines[-1])["issued_at"] <= last:  # lines ascend by instant: nothing was cut off
        return text
    return b"".join(line for line in lines if json.loads(line)["issued_at"] <= last)
