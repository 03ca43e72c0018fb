# SPDX-License-Identifier: Apache-2.0
"""Giving a retailer once more what it was issued: the same bytes, by another way, and a record of who asked why.

What was issued is never issued again under another name, and nothing is computed. Files that are no longer kept are
named; their values stand in the history.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from koma.errors import DeliveryError
from pipeline.columns import replace_file
from pipeline.home import Home
from pipeline.manifests import DAYS, MONTHS, SLOTS

LOG: Final = "resends.jsonl"
"""Below ledger/."""


@dataclass(slots=True)
class Resent:
    """What was given once more.

    Attributes:
        files: copied, with their manifests.
        bytes: of them.
        empty_days: days of which nothing is kept.
        damaged: files that are not what their manifest says; not copied.
    """

    files: int = 0
    bytes: int = 0
    empty_days: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def resend(home: Home, retailer: str, days: tuple[date, date], out: Path, *, by: str, why: str) -> Resent:
    """Copy what a retailer was issued for some days into a folder.

    Args:
        home: whose deliveries they are.
        retailer: code.
        days: the first, and the one before which to end.
        out: folder for them; a folder a day is made below it.
        by: who gives them.
        why: who asked, and why.

    Raises:
        DeliveryError: nothing is kept of these days, or `out` cannot be written.

    """
    result = Resent()
    try:
        for each in _each_day(days):
            folder = home.deliveries / retailer / f"{each:%Y%m%d}"
            if not _copied(folder, out / retailer / folder.name, result):
                result.empty_days.append(folder.name)
    except OSError as error:
        raise DeliveryError(f"{out} cannot be written: {error.strerror}", hint="name a writable folder") from None
    if not result.files and not result.damaged:
        raise DeliveryError(
            f"nothing that {retailer} was issued for these days is kept",
            hint=f"koma history day {retailer} {days[0]:%Y%m%d} has the values",
        )
    _record(home, retailer, days, result, by=by, why=why)
    return result


def _each_day(days: tuple[date, date]) -> Iterator[date]:
    day = days[0]
    while day < days[1]:
        yield day
        day += timedelta(days=1)


def _copied(folder: Path, target: Path, result: Resent) -> bool:
    """Copy a day's files and manifests; says whether there are any."""
    found = False
    for name in (SLOTS, DAYS, MONTHS):
        manifest = folder / name
        if not manifest.exists():
            continue
        found = True
        target.mkdir(parents=True, exist_ok=True)
        for line in manifest.read_bytes().splitlines():
            told: dict[str, Any] = json.loads(line)
            if told.get("file"):
                _copy(folder / told["file"], target, told["sha256"], result)
        shutil.copyfile(manifest, target / name)
    return found


def _copy(path: Path, target: Path, sha256: str, result: Resent) -> None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        result.damaged.append(path.name)
        return
    if hashlib.sha256(content).hexdigest() != sha256:
        result.damaged.append(path.name)
        return
    (target / path.name).write_bytes(content)
    result.files += 1
    result.bytes += len(content)


def _record(home: Home, retailer: str, days: tuple[date, date], result: Resent, *, by: str, why: str) -> None:
    """Add a line to the record of what was given once more, durable on return."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "retailer_code": retailer,
        "from": days[0].isoformat(),
        "to": days[1].isoformat(),
        "files": result.files,
        "bytes": result.bytes,
        "by": by.strip(),
        "why": why.strip(),
    }
    with home.in_turn("resend"):
        path = home.path("ledger") / LOG
        old = path.read_bytes() if path.exists() else b""
        replace_file(path, old + json.dumps(line, ensure_ascii=False).encode() + b"\n")
