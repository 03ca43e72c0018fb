# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from gateway.cursors import Cursor, cursor_of
from gateway.errors import CursorGoneRefusal
from gateway.names import parse_object
from gateway.release_index import ReleaseIndex
from gateway.releases import Signer
from tests.gateway_world import Deliveries, points, slot_start

KEY = OKPKey.generate_key("Ed25519")
ROWS = [(point, 10) for point in points(3)]
Open = Callable[..., ReleaseIndex]


@pytest.fixture
def deliveries(tmp_path: Path) -> Deliveries:
    (tmp_path / "deliveries").mkdir()
    return Deliveries(tmp_path / "deliveries")


@pytest.fixture
def open_index(tmp_path: Path) -> Iterator[Open]:
    """Open the index, over and over."""
    opened: list[ReleaseIndex] = []

    def again(base: str = "https://a.example", name: str = "index.sqlite") -> ReleaseIndex:
        opened.append(ReleaseIndex(tmp_path / name, tmp_path / "deliveries", Signer(base, KEY)))
        return opened[-1]

    yield again
    for each in opened:
        each.close()


def told(index: ReleaseIndex, code: str = "10013") -> list[dict[str, Any]]:
    return index.page([code], None, 500).releases


def test_one_release_for_each_instant_with_all_its_files(deliveries: Deliveries, open_index: Open) -> None:
    deliveries.issue("10013", slot_start(), ROWS[:1], more=[ROWS[1:]], after_min=75, closed=(3, 3, 0))
    index = open_index()
    assert index.sweep(0).published == 1
    (release,) = told(index)
    assert [file["rows"] for file in release["files"]] == [1, 1, 2, 2]
    assert index.sweep(0).published == 0


def test_looking_again_gives_the_same_and_a_lost_index_is_made_anew(deliveries: Deliveries, open_index: Open) -> None:
    """Same content and signature; another epoch, so that old cursors are gone rather than wrong."""
    for number in range(4):
        deliveries.issue("10013", slot_start() + timedelta(minutes=30 * number), ROWS, after_min=75, closed=(3, 3, 0))
    first, second = open_index(), open_index(name="other.sqlite")
    first.sweep(0)
    second.sweep(0)
    assert told(first) == told(second)
    assert first.epoch != second.epoch
    cursor = first.page(["10013"], None, 2).cursor
    assert len(first.page(["10013"], cursor, 500).releases) == 2
    with pytest.raises(CursorGoneRefusal):
        second.page(["10013"], cursor, 500)


def test_lines_are_read_on_where_they_ended(deliveries: Deliveries, open_index: Open) -> None:
    index, start = open_index(), slot_start()
    deliveries.issue("10013", start, ROWS[:1], after_min=40)
    index.sweep(0)
    deliveries.issue("10013", start, ROWS[1:], split=2, after_min=75, closed=(3, 3, 0))
    again = open_index()
    assert again.sweep(0).published == 1
    assert [each["kind"] for each in told(again)] == ["split", "closing"]


def test_lines_that_come_to_a_known_instant_later_are_not_lost(deliveries: Deliveries, open_index: Open) -> None:
    index, start = open_index(), slot_start()
    deliveries.issue("10013", start, ROWS[:1], after_min=75)
    index.sweep(0)
    deliveries.issue("10013", start, ROWS[1:], split=2, after_min=75, closed=(3, 3, 0))
    index.sweep(0)
    first, second = told(index)
    assert first["id"] != second["id"]
    assert second["rows"] == 2
    assert second["closed"] == {"expected": 3, "available": 3, "missing": 0}


def test_a_file_that_is_not_as_the_manifest_says_waits(deliveries: Deliveries, open_index: Open) -> None:
    (name,) = deliveries.issue("10013", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    file = deliveries.root / "10013" / "20260822" / name
    good = file.read_bytes()
    file.write_bytes(good + b"x")
    index = open_index()
    sweep = index.sweep(0)
    assert (sweep.published, len(sweep.problems)) == (0, 1)
    assert name in sweep.problems[0]
    file.write_bytes(good)
    assert index.sweep(0).published == 1


def closed_line(**more: object) -> str:
    base = {"slot_start": "2026-08-22T16:30:00+09:00", "closed": True, "expected": 1, "available": 1, "missing": 0}
    return json.dumps(base | {"issued_at": "2026-08-22T17:15:00+09:00"} | more)


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"slot_start":"2026-08-22T16:30:00+09:00"}',
        closed_line(slot_start="2026-08-23T16:30:00+09:00"),
        closed_line(expected=-1),
        closed_line(expected=True),
        closed_line(issued_at="soon"),
        closed_line(closed=False, file="../../x.zip", revision=0, split=1, rows=1, bytes=1, sha256="00" * 32),
        closed_line(
            closed=False, file="W41110202608221630000001.zip", revision=0, split=2, rows=1, bytes=1, sha256="00" * 32
        ),
        closed_line(
            closed=False, file="W41110202608221630000001.zip", revision=0, split=1, rows=1, bytes=1, sha256="00"
        ),
    ],
)
def test_a_line_that_cannot_be_read_is_named_by_file_and_number(
    deliveries: Deliveries, open_index: Open, line: str
) -> None:
    deliveries.issue("10013", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    deliveries.issue("10021", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    with (deliveries.root / "10013" / "20260822" / "manifest.jsonl").open("a") as manifest:
        manifest.write(line + "\n")
    index = open_index()
    sweep = index.sweep(0)
    assert sweep.published == 1
    assert "10013/20260822/manifest.jsonl line 3" in sweep.problems[0]
    assert told(index, "10013") == []
    assert len(told(index, "10021")) == 1


def test_days_that_are_no_longer_kept_leave_and_cursors_before_them_are_gone(
    deliveries: Deliveries, open_index: Open
) -> None:
    index = open_index()
    for number in range(3):
        deliveries.issue("10013", slot_start() + timedelta(days=number), ROWS, after_min=75, closed=(3, 3, 0))
        index.sweep(0)
    start = index.page(["10013"], None, 1).cursor
    for file in sorted((deliveries.root / "10013" / "20260822").iterdir()):
        file.unlink()
    index.sweep(0)
    assert len(told(index)) == 2
    assert index.page(["10013"], start, 500).releases == told(index)
    early = Cursor(index.epoch, (("10013", 0),))
    with pytest.raises(CursorGoneRefusal):
        index.page(["10013"], early, 500)
    named = parse_object("10013", "W41110202608221630000001.zip")
    assert named is not None
    assert index.find(named) is None
    deliveries.issue("10013", slot_start() + timedelta(days=3), ROWS, after_min=75, closed=(3, 3, 0))
    index.sweep(0)
    assert len(index.page(["10013"], start, 500).releases) == 3


def test_a_vanished_tree_is_no_reason_to_forget(deliveries: Deliveries, open_index: Open) -> None:
    """A file system that is not mounted looks like that."""
    deliveries.issue("10013", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    index = open_index()
    index.sweep(0)
    deliveries.root.rename(deliveries.root.with_name("elsewhere"))
    index.sweep(0)
    assert len(told(index)) == 1


def test_a_new_base_address_is_signed_anew_and_keeps_cursors(deliveries: Deliveries, open_index: Open) -> None:
    deliveries.issue("10013", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    before = open_index()
    before.sweep(0)
    cursor = before.page(["10013"], None, 500).cursor
    after = open_index("https://b.example:8443")
    (release,) = told(after)
    assert all(file["url"].startswith("https://b.example:8443/v1/files/10013/") for file in release["files"])
    assert release["manifest"] != told(before)[0].get("x")
    assert after.page(["10013"], cursor, 500).releases == []


def test_a_symbolic_link_is_not_followed(deliveries: Deliveries, open_index: Open) -> None:
    deliveries.issue("10013", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    (deliveries.root / "10021").symlink_to(deliveries.root / "10013")
    index = open_index()
    index.sweep(0)
    assert told(index, "10021") == []


@pytest.mark.parametrize("text", ["", "x", "e30", "W10", "WyJlIix7IjEwMDEzIjotMX1d", "x" * 5000, "WyJlIix7IngiOjF9XQ"])
def test_what_is_no_cursor_is_none(text: str) -> None:
    assert cursor_of(text) is None


def test_a_cursor_survives_its_text() -> None:
    cursor = Cursor("e", (("10013", 7), ("10021", 0)))
    assert cursor_of(cursor.text()) == cursor
