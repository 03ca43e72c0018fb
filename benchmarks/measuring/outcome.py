# SPDX-License-Identifier: Apache-2.0
"""What an engine wrote, added up by retailer and held against the truth."""

import hashlib
import json
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Sums = dict[str, tuple[int, int]]
"""Retailer code to (rows, dWh)."""

_KWH: Final = re.compile(rb"<JP06125>([0-9.]+)</JP06125>")
_DWH_PER_KWH: Final = 10_000


def truth_of(area: Path) -> Sums:
    """Read what has to come out."""
    told = json.loads((area / "truth.json").read_text())["retailers"]
    return {code: (rows, energy) for code, (rows, energy) in told.items()}


def peer_sums(out: Path) -> Sums:
    """Add up `retailer_code=<code>/*.parquet`."""
    return _added({path.name.partition("=")[2]: sorted(path.glob("*.parquet")) for path in out.iterdir()})


def koma_sums(home: Path) -> Sums:
    """Add up the Parquet files of a home's deliveries."""
    return _added({path.name: sorted(path.glob("*/*.parquet")) for path in (home / "deliveries").iterdir()})


def zip_sums(home: Path) -> Sums:
    """Add up the zips that the manifests name, after holding each against its size and checksum."""
    manifests = sorted((home / "deliveries").glob("*/*/manifest.jsonl"))
    with ThreadPoolExecutor(2) as pool:
        return {
            path.parent.parent.name: sums for path, sums in zip(manifests, pool.map(_zipped, manifests), strict=True)
        }


def differences(found: Sums, truth: Sums) -> list[str]:
    """Name the retailers whose rows or energy are not the truth's."""
    return [
        f"{code}: {found.get(code)} is not {truth.get(code)}"
        for code in sorted({*found, *truth})
        if found.get(code) != truth.get(code)
    ]


def _added(files: dict[str, list[Path]]) -> Sums:
    sums: Sums = {}
    for code, paths in files.items():
        columns = [pq.read_table(path, columns=["energy_dwh"], partitioning=None).column(0) for path in paths]
        rows = sum(len(each) - each.null_count for each in columns)
        sums[code] = rows, sum(pc.sum(each).as_py() or 0 for each in columns)
    return sums


def _zipped(manifest: Path) -> tuple[int, int]:
    rows, energy = 0, 0
    for line in manifest.read_text().splitlines():
        entry = json.loads(line)
        if "file" not in entry:
            continue
        path = manifest.parent / entry["file"]
        content = path.read_bytes()
        if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise ValueError(f"{path} is not what its manifest says")
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            kwh = pa.array(_KWH.findall(archive.read(name)), pa.binary()).cast(pa.string()).cast(pa.decimal128(18, 4))
        rows += len(kwh)
        energy += int(pc.sum(kwh).as_py() * _DWH_PER_KWH)
    return rows, energy
