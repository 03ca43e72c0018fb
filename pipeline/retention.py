# SPDX-License-Identifier: Apache-2.0
"""Retention: delivery folders whose last file was issued longer ago than they are kept.

Only a home that goes on by the wall clock forgets; a replay over old data keeps all it issues.
"""

import json
import shutil
from pathlib import Path

from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE, format_jst
from pipeline.home import Home


def forget_deliveries(home: Home, issued_ms: int, days: int) -> list[Path]:
    """Remove the day folders of which every file was issued more than `days` before `issued_ms`; returns them."""
    limit = format_jst(issued_ms - days * MS_PER_DAY)
    oldest_day = limit[:10].replace("-", "")
    gone: list[Path] = []
    for manifest in sorted(home.deliveries.glob("*/*/manifest.jsonl")):
        if manifest.parent.name >= oldest_day:
            continue
        lines = manifest.read_bytes().splitlines()
        if all(json.loads(line)["issued_at"] < limit for line in lines):
            manifest.unlink()  # first, so that nobody is told of a file that is going
            shutil.rmtree(manifest.parent)
            gone.append(manifest.parent)
    return gone


def day_of(ms: int) -> int:
    """Return the number of the JST day that holds an instant."""
    return (ms + JST_OFFSET_MINUTES * MS_PER_MINUTE) // MS_PER_DAY
