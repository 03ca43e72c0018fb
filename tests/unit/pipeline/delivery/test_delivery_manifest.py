# SPDX-License-Identifier: Apache-2.0
"""Lines of the manifest and their order."""

from koma.slots import parse_jst
from pipeline.delivery import ManifestEntry, closed_line, closed_sort_key, manifest_line, sort_key
from tests.unit.pipeline.delivery.rows import ISSUED_MS, SLOT


def entry(*, slot_id: int = SLOT, revision: int = 0, split: int = 1, issued_ms: int = ISSUED_MS) -> ManifestEntry:
    name = "W41110202608221630000001.zip"
    return ManifestEntry("12345", slot_id, revision, split, 3, 2, name, 900, "ab" * 32, issued_ms, 800)


def test_line_of_a_file() -> None:
    assert manifest_line(entry()) == (
        b'{"file":"W41110202608221630000001.zip","slot_start":"2026-08-22T16:30:00+09:00","revision":0,"split":1,'
        b'"rows":3,"available":2,"bytes":900,"sha256":"' + b"ab" * 32 + b'","issued_at":"2026-08-22T17:45:00+09:00"}\n'
    )


def test_line_of_a_closed_slot() -> None:
    assert closed_line(SLOT, 10, 7, 3, ISSUED_MS) == (
        b'{"slot_start":"2026-08-22T16:30:00+09:00","closed":true,"expected":10,"available":7,"missing":3,'
        b'"issued_at":"2026-08-22T17:45:00+09:00"}\n'
    )


def test_lines_go_by_instant_slot_revision_and_split() -> None:
    later = parse_jst("2026-08-22T18:15")
    in_order = [
        sort_key(entry(slot_id=SLOT - 1, revision=1)),
        sort_key(entry(split=1)),
        sort_key(entry(split=2)),
        closed_sort_key(SLOT, ISSUED_MS),
        sort_key(entry(revision=1)),
        sort_key(entry(slot_id=SLOT + 1)),
        sort_key(entry(slot_id=SLOT - 1, issued_ms=later)),
    ]
    shuffled = [in_order[index] for index in (4, 0, 6, 2, 5, 1, 3)]
    assert sorted(shuffled) == in_order
