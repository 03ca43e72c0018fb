# SPDX-License-Identifier: Apache-2.0
"""The inner zone's index of what was issued: it follows the manifests and numbers releases for the feed.

Numbers grow per retailer and are given once: a committed number is never given to another release, so a cursor skips
nothing. The index can be thrown away; it is then made anew from the manifests under another epoch, and old cursors are
answered as gone.
"""

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from gateway.cursors import Cursor
from gateway.errors import CursorGoneRefusal, ManifestError
from gateway.manifests import Delivered, Issue, Tail, find_manifests, product_of, read_issues
from gateway.names import SLOTS, ObjectName, parse_object
from gateway.releases import Signer, content_of, release_id
from koma.slots import format_jst, slot_date

_SCHEMA = """
create table if not exists book (epoch text not null, base text not null);
create table if not exists manifest_file (
    retailer text, day text, name text, size integer, mtime_ns integer, length integer, sha256 text,
    primary key (retailer, day, name)
) without rowid;
create table if not exists release (
    number integer primary key autoincrement, retailer text not null, seq integer not null, id text not null unique,
    product text not null default 'W41110', day text not null, slot integer not null, revision integer not null,
    issued_ms integer not null,
    kind text not null, content text not null, published_ms integer not null, signed text not null
);
create unique index if not exists release_seq on release (retailer, seq);
create index if not exists release_issued on release (issued_ms);
create table if not exists object (
    retailer text, name text, product text not null default 'W41110', day text not null, bytes integer not null,
    sha256 text not null, issued_ms integer not null, primary key (retailer, name)
) without rowid;
create table if not exists floor (retailer text primary key, seq integer not null) without rowid;
"""
_ONE_PRODUCT = """
drop table manifest;
drop index release_slot;
alter table release add column product text not null default 'W41110';
alter table object add column product text not null default 'W41110';
"""
"""Of an index that knew W41110 only; its manifests are read once more, and what they name is known by name."""
_BY_SLOT = "create index if not exists release_of on release (retailer, product, slot, revision)"


SWEEP_BYTES_MAX = 256 << 20
"""Zips of days and months that one sweep takes up before it ends, so that the next one finds new slots."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that may be fetched."""

    object: ObjectName
    bytes: int
    sha256: str
    issued_ms: int


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a feed, the cursor behind it, and whether more is there already."""

    releases: list[dict[str, Any]]
    cursor: Cursor
    more: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one look at the manifests found."""

    published: int
    problems: tuple[str, ...]


class ReleaseIndex:
    """The index. One process sweeps; reads are safe from any thread of it.

    Args:
        file: SQLite file, made when absent.
        deliveries: folder the pipeline delivers into.
        signer: signs what is published.

    """

    def __init__(self, file: Path, deliveries: Path, signer: Signer) -> None:
        """Open or make the index."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._deliveries, self._signer = deliveries, signer
        self._writer, self._reader = (_connect(file) for _ in range(2))
        self._lock = Lock()
        if self._writer.execute("select 1 from sqlite_master where name = 'manifest'").fetchone() is not None:
            self._writer.executescript(f"begin immediate; {_ONE_PRODUCT} commit;")
        self._writer.executescript(f"{_SCHEMA}{_BY_SLOT}")
        row = self._writer.execute("select epoch, base from book").fetchone()
        if row is None:
            self.epoch = uuid.uuid4().hex[:16]
            self._writer.execute("insert into book values (?, ?)", (self.epoch, signer.base))
        else:
            self.epoch = str(row[0])
            if row[1] != signer.base:
                self._move(str(row[1]))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
        with self._lock:
            self._reader.close()

    def sweep(self, now_ms: int) -> Sweep:
        """Publish what the manifests newly say; forget days that are no longer kept.

        What cannot be published (a file missing, of another size, an unreadable line) is left for the next sweep and
        reported. Slots are published before days are digested, and of days no more in one sweep than a slot may wait.
        """
        rows = self._writer.execute("select retailer, day, name, size, mtime_ns, length, sha256 from manifest_file")
        known = {row[:3]: row[3:] for row in rows}
        found = list(find_manifests(self._deliveries))
        slots = self._publish_new((each for each in found if each[2].name == SLOTS.manifest), known, now_ms)
        whole = self._publish_new((each for each in found if each[2].name != SLOTS.manifest), known, now_ms)
        gone = known.keys() - {(retailer, day, file.name) for retailer, day, file in found}
        if gone and self._deliveries.is_dir():
            self._write([], [], sorted(gone), now_ms)
        return Sweep(slots.published + whole.published, slots.problems + whole.problems)

    def _publish_new(
        self, manifests: Iterable[tuple[str, str, Path]], known: Mapping[tuple[str, str, str], Any], now_ms: int
    ) -> Sweep:
        """Publish what manifests say beyond what is known of them, until `SWEEP_BYTES_MAX` of files are reached."""
        problems: list[str] = []
        fresh: list[Issue] = []
        tails: list[tuple[Any, ...]] = []
        size = 0
        for retailer, day, file in manifests:
            if size > SWEEP_BYTES_MAX and file.name != SLOTS.manifest:
                break
            state = file.stat()
            held = known.get((retailer, day, file.name), (-1, -1, 0, Tail().sha256))
            if held[:2] == (state.st_size, state.st_mtime_ns):
                continue
            try:
                issues, tail = read_issues(retailer, file, Tail(held[2], held[3]))
                for issue in issues:
                    self._refuse_incomplete(issue)
            except (ManifestError, OSError) as error:
                problems.append(str(error))
                continue
            size += sum(each.bytes for issue in issues for each in issue.files)
            fresh += issues
            tails.append((retailer, day, file.name, state.st_size, state.st_mtime_ns, tail.length, tail.sha256))
        return Sweep(self._write(fresh, tails, [], now_ms) if tails else 0, tuple(problems))

    def page(self, retailers: Sequence[str], after: Cursor | None, limit: int) -> Page:
        """Releases of some retailers behind a cursor, in the order of publication.

        Raises:
            CursorGoneRefusal: the cursor is of another epoch, or behind it something is no longer kept.

        """
        if after is not None and after.epoch != self.epoch:
            raise CursorGoneRefusal("cursor of another epoch")
        places, known_gone = (dict(after.places), dict(after.gone)) if after is not None else ({}, {})
        gone: dict[str, int] = {}
        found: list[tuple[Any, ...]] = []
        with self._lock:
            for code in retailers:
                row = self._reader.execute("select seq from floor where retailer = ?", (code,)).fetchone()
                floor = int(row[0]) if row is not None else 0
                if code in places and floor > max(places[code], known_gone.get(code, 0)):
                    raise CursorGoneRefusal("releases behind the cursor are no longer kept")
                places.setdefault(code, 0)
                gone[code] = floor
                found += self._reader.execute(
                    "select number, retailer, seq, content, published_ms, signed from release"
                    " where retailer = ? and seq > ? order by seq limit ?",
                    (code, places[code], limit + 1),
                ).fetchall()
        found.sort()
        for _, code, seq, *_ in found[:limit]:
            places[code] = seq
        kept = tuple((code, places[code]) for code in retailers)
        cursor = Cursor(self.epoch, kept, tuple((code, gone[code]) for code in retailers if gone[code] > places[code]))
        return Page([_release(*row[3:]) for row in found[:limit]], cursor, len(found) > limit)

    def slot(self, retailer: str, slot_id: int) -> list[dict[str, Any]]:
        """Releases of one slot, oldest first."""
        rows = self._read(
            "select content, published_ms, signed from release where retailer = ? and product = ? and slot = ?"
            " order by number",
            (retailer, SLOTS.name, slot_id),
        )
        return [_release(*row) for row in rows]

    def find(self, named: ObjectName) -> Stored | None:
        """File of a name; None where none was issued."""
        rows = self._read(
            "select name, bytes, sha256, issued_ms from object where retailer = ? and name = ?",
            (named.retailer_code, named.name),
        )
        return _stored(named.retailer_code, rows)[0] if rows else None

    def zips_since(self, retailer: str, since_ms: int) -> list[Stored]:
        """Zips issued later than an instant, oldest first."""
        return self._zips(retailer, "issued_ms > ?", since_ms)

    def zips_of_day(self, retailer: str, day: str) -> list[Stored]:
        """Zips of the slots of a day, of the day itself, and of months that end on it, oldest first."""
        return self._zips(retailer, "day = ?", day)

    def latest_issued_ms(self) -> int:
        """Newest instant of issue; 0 where nothing was issued."""
        return int(self._read("select coalesce(max(issued_ms), 0) from release", ())[0][0])

    def _zips(self, retailer: str, condition: str, value: object) -> list[Stored]:
        rows = self._read(
            "select name, bytes, sha256, issued_ms from object"  # noqa: S608  the condition is one of two literals
            f" where retailer = ? and {condition} and name like '%.zip' order by issued_ms, name",
            (retailer, value),
        )
        return _stored(retailer, rows)

    def _read(self, query: str, values: tuple[object, ...]) -> list[Any]:
        with self._lock:
            return self._reader.execute(query, values).fetchall()

    def _refuse_incomplete(self, issue: Issue) -> None:
        for each in issue.files:
            path = self._deliveries / each.object.place
            if path.stat().st_size != each.bytes:
                raise ManifestError(f"{path} has not the {each.bytes} bytes that the manifest says")

    def _write(
        self,
        fresh: list[Issue],
        tails: list[tuple[Any, ...]],
        gone: list[tuple[str, str, str]],
        now_ms: int,
    ) -> int:
        fresh.sort(
            key=lambda each: (each.issued_ms, each.retailer_code, each.product.name, each.slot_id, each.revision)
        )
        self._writer.execute("begin immediate")
        try:
            published = sum(self._publish(issue, now_ms) for issue in fresh)
            self._writer.executemany("insert or replace into manifest_file values (?, ?, ?, ?, ?, ?, ?)", tails)
            for each in gone:
                self._forget(*each)
        except BaseException:
            self._writer.execute("rollback")
            raise
        self._writer.execute("commit")
        return published

    def _publish(self, issue: Issue, now_ms: int) -> bool:
        """Number one issue unless it is known; lines that come to a known one later become a release of their own."""
        code, identity = issue.retailer_code, release_id(issue)
        like = self._writer.execute(  # this id, and those of later lines to it: a dash and a number behind
            "select count(*), coalesce(max(kind = 'closing'), 0) from release where id >= ?1 and id < ?1 || '.'",
            (identity,),
        ).fetchone()
        new = tuple(each for each in issue.files if not self._known(each))
        if like[0] and not new and (issue.closed is None or like[1]):
            return False
        if like[0]:
            identity = f"{identity}-{like[0]}"
            issue = replace(issue, files=new)
        files = [part for each in issue.files for part in self._with_parquet(each)]
        content = content_of(issue, files, identity, self._superseded(issue), self._signer.base)
        day, product = slot_date(issue.slot_id).strftime("%Y%m%d"), issue.product.name
        self._writer.executemany(
            "insert or ignore into object (retailer, name, product, day, bytes, sha256, issued_ms)"
            " values (?, ?, ?, ?, ?, ?, ?)",
            [(code, each.object.name, product, day, each.bytes, each.sha256, issue.issued_ms) for each in files],
        )
        seq = self._writer.execute(
            "select max(coalesce((select max(seq) from release where retailer = ?1), 0),"
            " coalesce((select seq from floor where retailer = ?1), 0)) + 1",
            (code,),
        ).fetchone()[0]
        text = json.dumps(content, ensure_ascii=False)
        row = (
            code,
            seq,
            identity,
            product,
            day,
            issue.slot_id,
            issue.revision,
            issue.issued_ms,
            issue.kind,
            text,
            now_ms,
        )
        self._writer.execute(
            "insert into release (retailer, seq, id, product, day, slot, revision, issued_ms, kind, content,"
            " published_ms, signed) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, self._signer.sign(content)),
        )
        return True

    def _known(self, file: Delivered) -> bool:
        return (
            self._writer.execute(
                "select 1 from object where retailer = ? and name = ?", (file.object.retailer_code, file.object.name)
            ).fetchone()
            is not None
        )

    def _with_parquet(self, file: Delivered) -> Iterable[Delivered]:
        """The zip, and the Parquet file beside it where there is one; the manifest names the zip alone."""
        yield file
        named = parse_object(file.object.retailer_code, f"{file.object.stem}.parquet")
        if named is None:
            return
        try:
            with (self._deliveries / named.place).open("rb") as source:
                digest = hashlib.file_digest(source, "sha256").hexdigest()
                yield Delivered(named, file.rows, file.available, source.tell(), digest)
        except FileNotFoundError:
            return

    def _superseded(self, issue: Issue) -> list[str]:
        if not issue.revision:
            return []
        rows = self._writer.execute(
            "select id from release where retailer = ? and product = ? and slot = ? and revision = ?"
            " order by issued_ms, id",
            (issue.retailer_code, issue.product.name, issue.slot_id, issue.revision - 1),
        )
        return [row[0] for row in rows]

    def _forget(self, retailer: str, day: str, manifest: str) -> None:
        """Drop a day of a product that is no longer kept; cursors before it are gone from now on."""
        product = product_of(manifest).name
        self._writer.execute(
            "insert into floor select retailer, max(seq) from release where retailer = ?1 and day = ?2"
            " and product = ?3 group by 1 on conflict (retailer) do update set seq = max(seq, excluded.seq)",
            (retailer, day, product),
        )
        for table in ("release", "object"):
            self._writer.execute(
                f"delete from {table} where retailer = ? and day = ? and product = ?",  # noqa: S608  one of two names
                (retailer, day, product),
            )
        self._writer.execute(
            "delete from manifest_file where retailer = ? and day = ? and name = ?", (retailer, day, manifest)
        )

    def _move(self, old: str) -> None:
        """Give every release the new base address, and sign it anew."""
        self._writer.execute("begin immediate")
        for number, text in self._writer.execute("select number, content from release").fetchall():
            content = json.loads(text)
            for file in content["files"]:
                file["url"] = self._signer.base + str(file["url"]).removeprefix(old)
            self._writer.execute(
                "update release set content = ?, signed = ? where number = ?",
                (json.dumps(content, ensure_ascii=False), self._signer.sign(content), number),
            )
        self._writer.execute("update book set base = ?", (self._signer.base,))
        self._writer.execute("commit")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    return connection


def _release(content: str, published_ms: int, signed: str) -> dict[str, Any]:
    return {**json.loads(content), "published_at": format_jst(published_ms), "manifest": signed}


def _stored(retailer: str, rows: Iterable[tuple[str, int, str, int]]) -> list[Stored]:
    found = ((parse_object(retailer, name), size, sha256, issued) for name, size, sha256, issued in rows)
    return [Stored(named, size, sha256, issued) for named, size, sha256, issued in found if named is not None]
