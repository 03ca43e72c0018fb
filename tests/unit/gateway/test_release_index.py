# SPDX-License-Identifier: Apache-2.0
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey

from gateway import release_index
from gateway.cursors import Cursor, cursor_of
from gateway.errors import CursorGoneRefusal
from gateway.names import ObjectName, parse_object
from gateway.release_index import ReleaseIndex
from gateway.releases import Signer
from tests.gateway_deliveries import Deliveries, points, slot_start

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


def test_what_went_late_does_not_hide_what_is_kept(deliveries: Deliveries, open_index: Open) -> None:
    """A late revision of an old slot has a high number; when its day goes, lower ones of other days are still there."""
    index, start = open_index(), slot_start()
    deliveries.issue("10013", start, ROWS, after_min=75, closed=(3, 3, 0))
    index.sweep(0)
    for number in (1, 2, 3):
        deliveries.issue("10013", start + timedelta(days=number), ROWS, after_min=75, closed=(3, 3, 0))
    index.sweep(0)
    stale = index.page(["10013"], None, 1).cursor
    deliveries.issue("10013", start, ROWS[:1], revision=1, after_min=6 * 24 * 60)
    index.sweep(0)
    (deliveries.root / "10013" / "20260822" / "manifest.jsonl").unlink()
    index.sweep(0)

    with pytest.raises(CursorGoneRefusal):
        index.page(["10013"], stale, 500)
    told_days, cursor = [], None
    for _ in range(3):
        page = index.page(["10013"], cursor, 1)
        told_days += [each["from"][:10] for each in page.releases]
        cursor = cursor_of(page.cursor.text())
    assert told_days == ["2026-08-23", "2026-08-24", "2026-08-25"]
    deliveries.issue("10013", start + timedelta(days=7), ROWS, after_min=75, closed=(3, 3, 0))
    index.sweep(0)
    page = index.page(["10013"], cursor, 1)
    assert (len(page.releases), page.cursor.gone) == (1, ())


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
    for cursor in (Cursor("e", (("10013", 7), ("10021", 0))), Cursor("e", (("10013", 7),), (("10013", 9),))):
        assert cursor_of(cursor.text()) == cursor


DAY = slot_start("2026-08-22T00:00")
DAYS = {1: ROWS, 34: ROWS[:2]}
OF_ONE_PRODUCT = """
create table book (epoch text not null, base text not null);
create table manifest (
    retailer text, day text, size integer, mtime_ns integer, length integer, sha256 text, primary key (retailer, day)
) without rowid;
create table release (
    number integer primary key autoincrement, retailer text not null, seq integer not null, id text not null unique,
    day text not null, slot integer not null, revision integer not null, issued_ms integer not null,
    kind text not null, content text not null, published_ms integer not null, signed text not null
);
create unique index release_seq on release (retailer, seq);
create index release_slot on release (retailer, slot, revision);
create index release_issued on release (issued_ms);
create table object (
    retailer text, name text, day text not null, bytes integer not null, sha256 text not null,
    issued_ms integer not null, primary key (retailer, name)
) without rowid;
create table floor (retailer text primary key, seq integer not null) without rowid;
"""


def test_an_index_of_before_there_were_days_goes_on(tmp_path: Path, deliveries: Deliveries, open_index: Open) -> None:
    """Numbers, signatures and cursors stay; what it holds is not told again, and days are told behind it."""
    deliveries.issue("10013", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    open_index(name="new.sqlite").sweep(7)
    old = sqlite3.connect(tmp_path / "index.sqlite")
    old.executescript(OF_ONE_PRODUCT)
    old.execute("attach ? as new", (str(tmp_path / "new.sqlite"),))
    for table, columns in (
        ("book", "epoch, base"),
        ("release", "number, retailer, seq, id, day, slot, revision, issued_ms, kind, content, published_ms, signed"),
        ("object", "retailer, name, day, bytes, sha256, issued_ms"),
    ):
        old.execute(f"insert into {table} ({columns}) select {columns} from new.{table}")  # noqa: S608
    old.commit()
    old.close()

    index = open_index()
    before = told(index)
    cursor = index.page(["10013"], None, 500).cursor
    assert index.sweep(9).published == 0
    assert told(index) == before
    deliveries.issue_day("10013", DAY, DAYS)
    assert index.sweep(11).published == 1
    assert [each["product"] for each in index.page(["10013"], cursor, 500).releases] == ["W41120"]
    assert open_index().epoch == index.epoch


def test_slots_are_told_before_days_and_many_days_sweep_by_sweep(
    deliveries: Deliveries, open_index: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_index, "SWEEP_BYTES_MAX", 1)
    for number in range(3):
        deliveries.issue_day("10013", DAY + timedelta(days=number), DAYS)
    deliveries.issue("10013", slot_start("2026-08-29T00:00"), ROWS, after_min=75, closed=(3, 3, 0))
    index = open_index()
    assert [index.sweep(0).published for _ in range(4)] == [2, 1, 1, 0]
    assert [each["product"] for each in told(index)] == ["W41110", "W41120", "W41120", "W41120"]
    assert open_index(name="other.sqlite").sweep(0).published == 2


def test_a_product_that_is_no_longer_kept_takes_no_other_with_it(deliveries: Deliveries, open_index: Open) -> None:
    deliveries.issue("10013", slot_start(), ROWS, after_min=75, closed=(3, 3, 0))
    deliveries.issue_day("10013", DAY, DAYS)
    deliveries.issue_month("10013", DAY, ROWS)
    index = open_index()
    index.sweep(0)
    (deliveries.root / "10013" / "20260822" / "manifest-W41120.jsonl").unlink()
    index.sweep(0)
    assert [each["product"] for each in told(index)] == ["W41110", "W51220"]
    assert index.find(named("W41120202608220000000001.zip")) is None
    assert index.find(named("W51220202608220000001.zip")) is not None


def named(name: str) -> ObjectName:
    found = parse_object("10013", name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reading", "start"),
    [
        ("2026-03-31", "2026-02-28"),
        ("2026-01-15", "2025-12-15"),
        ("2028-03-29", "2028-02-29"),
        ("2026-07-01", "2026-06-01"),
    ],
)
def test_a_month_spans_from_the_same_day_of_the_month_before(
    deliveries: Deliveries, open_index: Open, reading: str, start: str
) -> None:
    deliveries.issue_month("10013", slot_start(f"{reading}T00:00"), ROWS)
    index = open_index()
    index.sweep(0)
    (month,) = told(index)
    assert (month["from"][:10], month["to"][:10]) == (start, reading)
