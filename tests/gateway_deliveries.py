# SPDX-License-Identifier: Apache-2.0
"""Delivery trees by the contract, for tests of the gateway: files first, manifest line last."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JST = timezone(timedelta(hours=9))

MORNING_MIN = 24 * 60 + 375
"""From the start of a day to 06:15 of the next one."""
Row = tuple[str, int | None]
"""Point id and energy in dWh; None where it is missing."""


def xml_of(start: datetime, retailer: str, rows: Sequence[Row]) -> bytes:
    """XML of a delivery file, by the contract."""
    lines = _xml_rows("JPMR00010", "JP06122", "JP06125", rows)
    code = start.hour * 2 + start.minute // 30 + 1
    return (
        '<?xml version="1.0" encoding="UTF-8"?><SBD-MSG><JPMGRP><JPMGH/><JPTRM><JP00002>1110</JP00002>'
        f"<JP06112>{retailer}</JP06112><JP06116>{start:%Y%m%d}</JP06116><JP06219>{code:02d}</JP06219>"
        f"<JPM00010>{''.join(lines)}</JPM00010></JPTRM></JPMGRP></SBD-MSG>"
    ).encode()


def _xml_rows(tag: str, flag: str, value: str, rows: Sequence[Row]) -> list[str]:
    lines = []
    for point, energy in rows:
        if energy is None:
            lines.append(f"<{tag}><JP06400>{point}</JP06400><{flag}>1</{flag}></{tag}>")
            continue
        whole, rest = divmod(energy, 10_000)
        kwh = f"{whole}.{rest:04d}".rstrip("0").rstrip(".")
        lines.append(
            f"<{tag}><JP06400>{point}</JP06400><JP06119>{point[-6:]}</JP06119><{flag}>0</{flag}>"
            f"<{value}>{kwh}</{value}></{tag}>"
        )
    return lines


def xml_of_day(day: datetime, retailer: str, slots: Mapping[int, Sequence[Row]]) -> bytes:
    """XML of a day's file: rows by time code."""
    parts = [
        f"<JPMR00010><JP06219>{code:02d}</JP06219><JPM00011>"
        f"{''.join(_xml_rows('JPMR00011', 'JP06122', 'JP06125', slots[code]))}</JPM00011></JPMR00010>"
        for code in sorted(slots)
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?><SBD-MSG><JPMGRP><JPMGH/><JPTRM><JP00002>1120</JP00002>'
        f"<JP06112>{retailer}</JP06112><JP06116>{day:%Y%m%d}</JP06116>"
        f"<JPM00010>{''.join(parts)}</JPM00010></JPTRM></JPMGRP></SBD-MSG>"
    ).encode()


def xml_of_month(reading: datetime, retailer: str, rows: Sequence[Row]) -> bytes:
    """XML of the file of a meter-reading day."""
    lines = _xml_rows("JPMR00010", "JP06405", "JP06426", rows)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><SBD-MSG><JPMGRP><JPMGH/><JPTRM><JP00002>1220</JP00002>'
        f"<JP06112>{retailer}</JP06112><JP06116>{reading:%Y%m%d}</JP06116><JP06401>{reading:%Y%m}</JP06401>"
        f"<JPM00010>{''.join(lines)}</JPM00010></JPTRM></JPMGRP></SBD-MSG>"
    ).encode()


@dataclass
class Deliveries:
    """A delivery tree that grows the way the pipeline lets it grow: files first, manifest line last."""

    root: Path

    def issue(
        self,
        retailer: str,
        start: datetime,
        rows: Sequence[Row],
        *,
        revision: int = 0,
        split: int = 1,
        after_min: int = 40,
        closed: tuple[int, int, int] | None = None,
        more: Sequence[Sequence[Row]] = (),
    ) -> list[str]:
        """Issue one file, or several splits, of one instant; gives the zips' names."""
        issued = start + timedelta(minutes=after_min)
        lines, names = [], []
        for number, each in enumerate((rows, *more), split):
            if each:
                lines.append(self._files(retailer, start, each, revision, number, issued))
                names.append(lines[-1]["file"])
        if closed is not None:
            expected, available, missing = closed
            counts = {"expected": expected, "available": available, "missing": missing}
            lines.append({"slot_start": start.isoformat(), "closed": True, **counts, "issued_at": issued.isoformat()})
        self._told(retailer, start, "manifest.jsonl", lines)
        return names

    def issue_day(
        self,
        retailer: str,
        day: datetime,
        slots: Mapping[int, Sequence[Row]],
        *,
        revision: int = 0,
        split: int = 1,
        after_min: int = MORNING_MIN,
        more: Sequence[Mapping[int, Sequence[Row]]] = (),
    ) -> list[str]:
        """Issue the file, or the splits, of a day: rows by time code, 1 to 48; gives the zips' names."""
        lines = []
        for number, each in enumerate((slots, *more), split):
            stem = f"W41120{day:%Y%m%d}0000{revision:02d}{number:04d}"
            rows = [(day + timedelta(minutes=30 * (code - 1)), row) for code in sorted(each) for row in each[code]]
            columns = {
                "point_id": pa.array([point for _, (point, _) in rows]),
                "slot_start": pa.array([start for start, _ in rows], pa.timestamp("ms", "Asia/Tokyo")),
            }
            xml = xml_of_day(day, retailer, each)
            told = (stem, revision, number, day + timedelta(minutes=after_min))
            lines.append(self._whole(retailer, day, xml, columns, [row for _, row in rows], *told))
        return self._told(retailer, day, "manifest-W41120.jsonl", lines)

    def issue_month(
        self, retailer: str, reading: datetime, rows: Sequence[Row], *, revision: int = 0, after_min: int = MORNING_MIN
    ) -> list[str]:
        """Issue the file of a meter-reading day; gives its name."""
        stem = f"W51220{reading:%Y%m%d}{revision:02d}00001"
        zone = pa.timestamp("ms", "Asia/Tokyo")
        columns = {
            "point_id": pa.array([point for point, _ in rows]),
            "period_start": pa.array([reading - timedelta(days=30)] * len(rows), zone),
            "period_end": pa.array([reading] * len(rows), zone),
        }
        xml = xml_of_month(reading, retailer, rows)
        told = (stem, revision, 1, reading + timedelta(minutes=after_min))
        line = self._whole(retailer, reading, xml, columns, rows, *told)
        return self._told(retailer, reading, "manifest-W51220.jsonl", [line])

    def _whole(
        self,
        retailer: str,
        day: datetime,
        xml: bytes,
        columns: dict[str, Any],
        rows: Sequence[Row],
        stem: str,
        revision: int,
        split: int,
        issued: datetime,
    ) -> dict[str, Any]:
        """Files of a day or month; gives their line."""
        folder = self.root / retailer / f"{day:%Y%m%d}"
        folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(f"{stem}.xml", (2026, 1, 1, 0, 0, 0)), xml)
        (folder / f"{stem}.zip").write_bytes(buffer.getvalue())
        common = {
            "energy_dwh": pa.array([energy for _, energy in rows], pa.int64()),
            "available": pa.array([energy is not None for _, energy in rows]),
            "quality": pa.array(["missing" if energy is None else "actual" for _, energy in rows]),
            "revision": pa.array([revision] * len(rows), pa.int16()),
            "recorded_at": pa.array([issued] * len(rows), pa.timestamp("ms", "UTC")),
        }
        pq.write_table(pa.table({**columns, **common}), folder / f"{stem}.parquet")
        return {
            "file": f"{stem}.zip",
            "slot_start": day.isoformat(),
            "revision": revision,
            "split": split,
            "rows": len(rows),
            "available": sum(energy is not None for _, energy in rows),
            "bytes": len(buffer.getvalue()),
            "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            "issued_at": issued.isoformat(),
        }

    def _told(self, retailer: str, day: datetime, name: str, lines: Sequence[dict[str, Any]]) -> list[str]:
        """Add lines to a manifest; gives the names of their files."""
        folder = self.root / retailer / f"{day:%Y%m%d}"
        folder.mkdir(parents=True, exist_ok=True)
        manifest = folder / name
        old = manifest.read_text() if manifest.exists() else ""
        temporary = folder / f".{name}"
        temporary.write_text(old + "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        temporary.replace(manifest)
        return [line["file"] for line in lines if "file" in line]

    def _files(
        self, retailer: str, start: datetime, rows: Sequence[Row], revision: int, split: int, issued: datetime
    ) -> dict[str, Any]:
        folder = self.root / retailer / f"{start:%Y%m%d}"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"W41110{start:%Y%m%d%H%M}{revision:02d}{split:04d}"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(f"{stem}.xml", (2026, 1, 1, 0, 0, 0)), xml_of(start, retailer, rows))
        (folder / f"{stem}.zip").write_bytes(buffer.getvalue())
        count = len(rows)
        pq.write_table(
            pa.table(
                {
                    "point_id": pa.array([point for point, _ in rows]),
                    "slot_start": pa.array([start] * count, pa.timestamp("ms", "Asia/Tokyo")),
                    "energy_dwh": pa.array([energy for _, energy in rows], pa.int64()),
                    "available": pa.array([energy is not None for _, energy in rows]),
                    "quality": pa.array(["missing" if energy is None else "actual" for _, energy in rows]),
                    "revision": pa.array([revision] * count, pa.int16()),
                    "recorded_at": pa.array([issued] * count, pa.timestamp("ms", "UTC")),
                }
            ),
            folder / f"{stem}.parquet",
        )
        return {
            "file": f"{stem}.zip",
            "slot_start": start.isoformat(),
            "revision": revision,
            "split": split,
            "rows": count,
            "available": sum(energy is not None for _, energy in rows),
            "bytes": len(buffer.getvalue()),
            "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            "issued_at": issued.isoformat(),
        }


def points(count: int, first: int = 0) -> list[str]:
    """Supply point ids of area 03."""
    return [f"03{number:020d}" for number in range(first, first + count)]


def slot_start(text: str = "2026-08-22T16:30") -> datetime:
    """Start of a slot, in JST."""
    return datetime.fromisoformat(text).replace(tzinfo=JST)
