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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from gateway.cursors import Cursor
from gateway.errors import CursorGoneRefusal, ManifestError
from gateway.manifests import Delivered, Issue, Tail, find_manifests, read_issues
from gateway.names import ObjectName, parse_object
from gateway.releases import Signer, content_of, release_id
from koma.slots import format_jst

_SCHEMA = """
create table if not exists book (epoch text not null, base text not null);
create table if not exists manifest (
    retailer text, day text, size integer, mtime_ns integer, length integer, sha256 text, primary key (retailer, day)
) without rowid;
create table if not exists release (
    number integer primary key autoincrement, retailer text not null, seq integer not null, id text not null unique,
    day text not null, slot integer not null, revision integer not null, issued_ms integer not null,
    kind text not null, content text not null, published_ms integer not null, signed text not null
);
create unique index if not exists release_seq on release (retailer, seq);
create index if not exists release_slot on release (retailer, slot, revision);
create index if not exists release_issued on release (issued_ms);
create table if not exists object (
    retailer text, name text, day text not null, bytes integer not null, sha256 text not null,
    issued_ms integer not null, primary key (retailer, name)
) without rowid;
create table if not exists floor (retailer text primary key, seq integer not null) without rowid;
"""


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
        self._writer.executescript(_SCHEMA)
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
        reported.
        """
        rows = self._writer.execute("select retailer, day, size, mtime_ns, length, sha256 from manifest")
        known = {(row[0], row[1]): row[2:] for row in rows}
        problems: list[str] = []
        fresh: list[Issue] = []
        tails: list[tuple[str, str, int, int, int, str]] = []
        seen: set[tuple[str, str]] = set()
        for retailer, day, file in find_manifests(self._deliveries):
            seen.add((retailer, day))
            state = file.stat()
            held = known.get((retailer, day), (-1, -1, 0, Tail().sha256))
            if held[:2] == (state.st_size, state.st_mtime_ns):
                continue
            try:
                issues, tail = read_issues(retailer, file, Tail(held[2], held[3]))
                for issue in issues:
                    self._refuse_incomplete(issue)
            except (ManifestError, OSError) as error:
                problems.append(str(error))
                continue
            fresh += issues
            tails.append((retailer, day, state.st_size, state.st_mtime_ns, tail.length, tail.sha256))
        gone = [each for each in known if each not in seen] if self._deliveries.is_dir() else []
        published = self._write(fresh, tails, gone, now_ms) if fresh or tails or gone else 0
        return Sweep(published, tuple(problems))

    def page(self, retailers: Sequence[str], after: Cursor | None, limit: int) -> Page:
        """Releases of some retailers behind a cursor, in the order of publication.

        Raises:
            CursorGoneRefusal: the cursor is of another epoch, or behind it something is no longer kept.

        """
        if after is not None and after.epoch != self.epoch:
            raise CursorGoneRefusal("cursor of another epoch")
        places = dict(after.places) if after is not None else {}
        found: list[tuple[Any, ...]] = []
        with self._lock:
            for code in retailers:
                row = self._reader.execute("select seq from floor where retailer = ?", (code,)).fetchone()
                floor = int(row[0]) if row is not None else 0
                if places.setdefault(code, floor) < floor:
                    raise CursorGoneRefusal("releases behind the cursor are no longer kept")
                found += self._reader.execute(
                    "select number, retailer, seq, content, published_ms, signed from release"
                    " where retailer = ? and seq > ? order by seq limit ?",
                    (code, places[code], limit + 1),
                ).fetchall()
        found.sort()
        for _, code, seq, *_ in found[:limit]:
            places[code] = seq
        kept = tuple((code, places[code]) for code in retailers)
        return Page([_release(*row[3:]) for row in found[:limit]], Cursor(self.epoch, kept), len(found) > limit)

    def slot(self, retailer: str, slot_id: int) -> list[dict[str, Any]]:
        """Releases of one slot, oldest first."""
        rows = self._read(
            "select content, published_ms, signed from release where retailer = ? and slot = ? order by number",
            (retailer, slot_id),
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
        """Zips of slots that start on a day, oldest first."""
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
        tails: list[tuple[str, str, int, int, int, str]],
        gone: list[tuple[str, str]],
        now_ms: int,
    ) -> int:
        fresh.sort(key=lambda each: (each.issued_ms, each.retailer_code, each.slot_id, each.revision))
        self._writer.execute("begin immediate")
        try:
            published = sum(self._publish(issue, now_ms) for issue in fresh)
            self._writer.executemany("insert or replace into manifest values (?, ?, ?, ?, ?, ?)", tails)
            for retailer, day in gone:
                self._forget(retailer, day)
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
            issue = Issue(code, issue.slot_id, issue.revision, issue.issued_ms, new, issue.closed)
        files = [part for each in issue.files for part in self._with_parquet(each)]
        content = content_of(issue, files, identity, self._superseded(issue), self._signer.base)
        day = content["from"][:10].replace("-", "")
        self._writer.executemany(
            "insert or ignore into object values (?, ?, ?, ?, ?, ?)",
            [(code, each.object.name, day, each.bytes, each.sha256, issue.issued_ms) for each in files],
        )
        seq = self._writer.execute(
            "select max(coalesce((select max(seq) from release where retailer = ?1), 0),"
            " coalesce((select seq from floor where retailer = ?1), 0)) + 1",
            (code,),
        ).fetchone()[0]
        text = json.dumps(content, ensure_ascii=False)
        row = (code, seq, identity, day, issue.slot_id, issue.revision, issue.issued_ms, issue.kind, text, now_ms)
        self._writer.execute(
            "insert into release (retailer, seq, id, day, slot, revision, issued_ms, kind, content, published_ms,"
            " signed) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            "select id from release where retailer = ? and slot = ? and revision = ? order by issued_ms, id",
            (issue.retailer_code, issue.slot_id, issue.revision - 1),
        )
        return [row[0] for row in rows]

    def _forget(self, retailer: str, day: str) -> None:
        """Drop a day that is no longer kept; cursors before it are gone from now on."""
        self._writer.execute(
            "insert into floor select retailer, max(seq) from release where retailer = ?1 and day = ?2 group by 1"
            " on conflict (retailer) do update set seq = max(seq, excluded.seq)",
            (retailer, day),
        )
        for table in ("release", "object", "manifest"):
            self._writer.execute(f"delete from {table} where retailer = ? and day = ?", (retailer, day))  # noqa: S608

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
