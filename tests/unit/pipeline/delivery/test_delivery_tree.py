# SPDX-License-Identifier: Apache-2.0
"""The independent reader: it applies revisions, and lets nothing pass that a manifest does not say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from koma.slots import MS_PER_SLOT
from pipeline.delivery import closed_line, closed_sort_key, manifest_line, sort_key, write_delivery
from tests.independent_reader import Cell, Closing, closings, files, read_tree
from tests.unit.pipeline.delivery.rows import ISSUED_MS, SLOT, Wanted, delivery, point

SLOT_START = "2026-08-22T16:30:00+09:00"
ISSUED = "2026-08-22T17:45:00+09:00"
REVISED = "2026-08-22T18:15:00+09:00"
FOLDER = "12345/20260822"
ZIP = "W41110202608221630000001.zip"


def build(directory: Path) -> Path:
    """Build a tree of one slot: two splits, closed, one revision; and another retailer's."""
    later = ISSUED_MS + MS_PER_SLOT
    first = [Wanted(point(1), 100, "a"), Wanted(point(2), None, "b", "missing")]
    taken = [Wanted(point(1), None, "a", "withdrawn"), Wanted(point(2), 7, "b")]
    for retailer in ("12345", "54321"):
        issued = [
            delivery(first, retailer=retailer),
            delivery([Wanted(point(3), 300)], retailer=retailer, split=2),
            delivery(taken, retailer=retailer, revision=1, issued_ms=later),
        ]
        entries = [write_delivery(file, directory) for file in issued]
        lines = [(sort_key(entry), manifest_line(entry)) for entry in entries]
        lines.append((closed_sort_key(SLOT, ISSUED_MS), closed_line(SLOT, 3, 2, 1, ISSUED_MS)))
        manifest = b"".join(line for _, line in sorted(lines))
        (directory / retailer / "20260822" / "manifest.jsonl").write_bytes(manifest)
    return directory


def test_reader_applies_revisions(tmp_path: Path) -> None:
    cells = read_tree(build(tmp_path))
    assert {key: cell for key, cell in cells.items() if key[0] == "12345"} == {
        ("12345", SLOT_START, point(1)): Cell(None, False, "withdrawn", 1, "a", REVISED),  # noqa: FBT003
        ("12345", SLOT_START, point(2)): Cell(7, True, "actual", 1, "b", REVISED),  # noqa: FBT003
        ("12345", SLOT_START, point(3)): Cell(300, True, "actual", 0, "", ISSUED),  # noqa: FBT003
    }
    assert len(cells) == 6


def test_reader_without_parquet_differs_in_quality_alone(tmp_path: Path) -> None:
    build(tmp_path)
    whole, quick = read_tree(tmp_path), read_tree(tmp_path, parquet=False)
    assert {key: cell.energy_dwh for key, cell in whole.items()} == {k: c.energy_dwh for k, c in quick.items()}
    assert {cell.quality for cell in quick.values()} == {""}


def test_reader_gives_closings_and_files_in_order(tmp_path: Path) -> None:
    build(tmp_path)
    assert closings(tmp_path)["12345", SLOT_START] == Closing(3, 2, 1, ISSUED)
    assert [(file.retailer, file.revision, file.split, file.time_code) for file in files(tmp_path)] == [
        ("12345", 0, 1, 34),
        ("12345", 0, 2, 34),
        ("12345", 1, 1, 34),
        ("54321", 0, 1, 34),
        ("54321", 0, 2, 34),
        ("54321", 1, 1, 34),
    ]


def _edit(field: str, value: object) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        lines = (folder / "manifest.jsonl").read_bytes().splitlines()
        first = json.loads(lines[0])
        first[field] = value
        lines[0] = json.dumps(first, separators=(",", ":")).encode()
        (folder / "manifest.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    return tamper


def _swap_lines(folder: Path) -> None:
    lines = (folder / "manifest.jsonl").read_bytes().splitlines()
    (folder / "manifest.jsonl").write_bytes(b"\n".join([lines[1], lines[0], *lines[2:]]) + b"\n")


def _flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / ZIP).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / ZIP).write_bytes(content)


def _take_another_parquet(folder: Path) -> None:
    shutil.copy(folder / ZIP.replace("000001.zip", "010001.parquet"), folder / ZIP.replace(".zip", ".parquet"))


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such file": (lambda folder: (folder / ZIP).unlink(), "files and manifest differ"),
    "an extra file": (lambda folder: shutil.copy(folder / ZIP, folder / "other.zip"), "files and manifest differ"),
    "bytes": (_edit("bytes", 1), "manifest says 1"),
    "digest": (_edit("sha256", "0" * 64), "digest differs"),
    "content": (_flip_a_byte, "digest differs"),
    "rows": (_edit("rows", 3), "manifest says"),
    "available": (_edit("available", 2), "manifest says"),
    "instant": (_edit("issued_at", "2026-08-22T17:40:00+09:00"), "manifest says"),
    "order": (_swap_lines, "not sorted"),
    "gap": (_edit("split", 2), "leaves a gap"),
    "parquet": (_take_another_parquet, "revision"),
    "new key": (_edit("note", "x"), "keys"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_reader_notices(what: str, tmp_path: Path) -> None:
    tamper, reason = TAMPERED[what]
    tamper(build(tmp_path) / FOLDER)
    with pytest.raises(AssertionError, match=reason):
        read_tree(tmp_path)


def test_reader_notices_a_point_that_stands_twice_in_a_revision(tmp_path: Path) -> None:
    file = delivery([Wanted(point(1), 1)])
    again = delivery([Wanted(point(1), 1)], split=2)
    lines = [manifest_line(write_delivery(each, tmp_path)) for each in (file, again)]
    (tmp_path / FOLDER / "manifest.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(AssertionError, match="twice in a revision"):
        read_tree(tmp_path)
