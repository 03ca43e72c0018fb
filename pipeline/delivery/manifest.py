# SPDX-License-Identifier: Apache-2.0
"""The lines of a delivery folder's `manifest.jsonl`: what was issued, in the order in which it was."""

import json
from typing import Final

from koma.slots import format_jst, slot_start_ms
from pipeline.delivery.file import ManifestEntry

SortKey = tuple[int, int, int, int]

_AFTER_ALL_FILES: Final = 2**31 - 1


def manifest_line(entry: ManifestEntry) -> bytes:
    """Give the line of one file, compact JSON with fixed key order, ended by a newline."""
    return _line(
        {
            "file": entry.file,
            "slot_start": format_jst(slot_start_ms(entry.slot_id)),
            "revision": entry.revision,
            "split": entry.split,
            "rows": entry.rows,
            "available": entry.available,
            "bytes": entry.bytes,
            "sha256": entry.sha256,
            "issued_at": format_jst(entry.issued_ms),
        }
    )


def closed_line(slot_id: int, expected: int, available: int, missing: int, issued_ms: int) -> bytes:
    """Give the line that says that every expected cell of the slot has been issued, ended by a newline."""
    return _line(
        {
            "slot_start": format_jst(slot_start_ms(slot_id)),
            "closed": True,
            "expected": expected,
            "available": available,
            "missing": missing,
            "issued_at": format_jst(issued_ms),
        }
    )


def sort_key(entry: ManifestEntry) -> SortKey:
    """Give the place of a file's line in the manifest: instant, slot, revision, split."""
    return (entry.issued_ms, entry.slot_id, entry.revision, entry.split)


def closed_sort_key(slot_id: int, issued_ms: int) -> SortKey:
    """Give the place of a closed line: after the files of revision 00 of its slot at its instant."""
    return (issued_ms, slot_id, 0, _AFTER_ALL_FILES)


def _line(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
