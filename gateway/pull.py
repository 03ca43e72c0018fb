# SPDX-License-Identifier: Apache-2.0
"""The retailer's client: fetch what is new, check it, let it count in the ledger, remember how far it got.

The order makes a cut harmless at any point: files are durable before they are applied, the ledger before the state.
A second delivery of anything changes nothing.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from gateway import jose
from gateway.errors import PullMismatchError
from gateway.names import DAYS, RETAILER, SLOTS, ObjectName, parse_object
from gateway.pull_http import Ask, CertificateDoor, OAuthDoor, Wanted, download, path_of
from gateway.pull_ledger import Agreement, Ledger, Sums, compared
from gateway.pull_read import Rows, read_delivery
from gateway.pull_state import State, write_state
from gateway.pull_whole import read_day, read_month
from gateway.releases import UNSIGNED
from koma.errors import GatewayError
from koma.slots import parse_jst, slot_at_ms

PAGE_RELEASES = 100
LIST_BATCH = 64
"""Files of a file list between two writings of the state."""
MANIFEST_CHARS_MAX = 1 << 20

_LISTED = re.compile(r'rfilename([0-9]+):"([^"]*)",rfilesize\1:"([0-9]+)"', re.ASCII)

Tell = Callable[[int], None]
"""Told how many files are done."""


@dataclass(slots=True)
class Account:
    """What one run did for one retailer."""

    files: int = 0
    rows: int = 0
    incomplete: list[str] = field(default_factory=list)
    """Ids of closing releases behind which the ledger holds fewer cells than were announced."""
    days: Agreement = field(default_factory=Agreement)
    """Cells of the slots that this run had from files of days, against those of the slots' own files."""
    day_files: int = 0
    month_files: int = 0
    month_rows: int = 0


@dataclass(slots=True)
class Summary:
    """What one run did."""

    mode: str
    releases: int = 0
    files: int = 0
    bytes: int = 0
    """Received in this run; less than the files have where an earlier run was cut."""
    rows: int = 0
    accounts: dict[str, Account] = field(default_factory=lambda: defaultdict(Account))

    def as_dict(self, ledger: Ledger, days: Ledger, retailers: Iterable[str]) -> dict[str, Any]:
        """Form for JSON, with what the ledgers hold now."""
        codes = sorted({*retailers, *self.accounts})
        held = {code: ledger.sums(code) for code in codes}
        total = sum(held.values(), Sums())
        return {
            "mode": self.mode,
            "releases": self.releases,
            "files": self.files,
            "bytes": self.bytes,
            "rows": self.rows,
            "sum_dwh": total.sum_dwh,
            "retailers": {
                code: {
                    "files": self.accounts[code].files,
                    "rows": self.accounts[code].rows,
                    "incomplete": self.accounts[code].incomplete,
                    "ledger": sums.as_dict(),
                    "days": {
                        "files": self.accounts[code].day_files,
                        **asdict(self.accounts[code].days),
                        "ledger": days.sums(code).as_dict(),
                    },
                    "months": {"files": self.accounts[code].month_files, "rows": self.accounts[code].month_rows},
                }
                for code, sums in held.items()
            },
        }


@dataclass(frozen=True, slots=True)
class _Task:
    """A file to fetch and what was announced of it."""

    named: ObjectName
    wanted: Wanted
    rows: int | None
    ask: Ask


class Puller:
    """One client's folder: `files/`, `ledger/`, `days/`, `state.json`.

    Args:
        folder: where everything lies.
        state: as read from it.
        mode: `oauth` or `mutual-tls`, for the summary.

    """

    def __init__(self, folder: Path, state: State, mode: str) -> None:
        """Open the ledgers."""
        self._folder, self._state = folder, state
        self.ledger = Ledger(folder / "ledger")
        self.days = Ledger(folder / "days")
        self.summary = Summary(mode)

    def pull_feed(self, door: OAuthDoor, suffix: str, wait_s: int, tell: Tell, *, accept_keys: bool = False) -> Summary:
        """Follow the feed to its end.

        Args:
            door: the gateway.
            suffix: `zip` or `parquet`.
            wait_s: seconds to wait for something, once.
            tell: told of each file done.
            accept_keys: take up release keys that were not seen before.

        Raises:
            PullError: refused, cut, or not as announced. What was applied until then stays applied.

        """
        keys = self._release_keys(door, accept_keys=accept_keys)
        while True:
            query = {"limit": str(PAGE_RELEASES), "wait": str(wait_s)}
            if self._state.cursor is not None:
                query["after"] = self._state.cursor
            status, page = door.json("/v1/releases", query)
            wait_s = 0
            if status == 410:
                self._state.cursor = None
                continue
            releases = page["releases"]
            for release in releases:
                _check_release(release, keys)
            tasks = [
                self._announced(file, door) for release in releases for file in release["files"] if _is(file, suffix)
            ]
            self._fetch_and_apply(tasks, tell)
            for release in releases:
                self._check_complete(release)
            self.summary.releases += len(releases)
            self._state.cursor = str(page["next"])
            write_state(self._folder, self._state)
            if not releases or page["poll_after_s"]:
                return self.summary

    def pull_list(
        self, door: CertificateDoor, retailers: Iterable[str], days: Iterable[str | None], tell: Tell
    ) -> Summary:
        """Fetch what the file lists hold and was not applied yet.

        Args:
            door: the mutual-TLS listener.
            retailers: codes to fetch.
            days: dates YYYYMMDD to list; None for the newest list.
            tell: told of each file done.

        Raises:
            PullError: as `pull_feed`.

        """
        for code in retailers:
            known = self._state.applied.setdefault(code, [])
            seen = set(known)
            listed = [each for day in days for each in parse_list(door.list_page(code, day))]
            new = iter([(name, size) for name, size in dict(listed).items() if name not in seen])
            while batch := list(islice(new, LIST_BATCH)):
                tasks = [self._listed(code, name, size, door) for name, size in batch]
                self._fetch_and_apply(tasks, tell)
                known.extend(name for name, _ in batch)
                write_state(self._folder, self._state)
        return self.summary

    def _fetch_and_apply(self, tasks: list[_Task], tell: Tell) -> None:
        """Fetch files and let them count, slot by slot, so that memory holds one slot at most.

        Days come behind the slots, so that they are compared with the newest values; both have ledgers of their own.
        """
        parts: dict[tuple[bool, str, int], list[_Task]] = defaultdict(list)
        for task in tasks:
            parts[task.named.product is not SLOTS, task.named.retailer_code, task.named.slot_id].append(task)
        for (whole, code, slot_id), those in sorted(parts.items(), key=lambda each: each[0][0]):
            if whole:
                self._apply_whole(code, those, tell)
                continue
            pieces = []
            for task in those:
                pieces.append(self._checked(task, read_delivery(self._fetched(task), task.named)))
                tell(1)
            self.ledger.apply(code, slot_id, pieces)
            self._count(code, len(pieces), sum(map(len, pieces)))

    def _apply_whole(self, code: str, tasks: list[_Task], tell: Tell) -> None:
        """Let the files of one day count in the days' ledger; look through those of months that end on it."""
        account = self.summary.accounts[code]
        days: list[_Task] = []
        for task in tasks:
            path = self._fetched(task)
            tell(1)
            if task.named.product is DAYS:
                days.append(task)
                continue
            rows = self._checked(task, read_month(path, task.named))
            account.month_files += 1
            account.month_rows += len(rows)
            self._count(code, 1, len(rows))
        readers = [self._counted(task, read_day(task.wanted.target, task.named)) for task in days]
        for slot_id, pieces in groupby(merge(*readers, key=itemgetter(0)), key=itemgetter(0)):
            self.days.apply(code, slot_id, [rows for _, rows in pieces])
            held = self.days.cells(code, slot_id)
            if held is not None:
                account.days += compared(held, self.ledger.cells(code, slot_id))
        account.day_files += len(days)

    def _counted(self, task: _Task, slots: Iterator[tuple[int, Rows]]) -> Iterator[tuple[int, Rows]]:
        """Pass the slots of a day on; at the end, hold their number of rows against what was announced."""
        count = 0
        for slot_id, rows in slots:
            count += len(rows)
            yield slot_id, rows
        _refuse_other_count(task, count)
        self._count(task.named.retailer_code, 1, count)

    def _count(self, code: str, files: int, rows: int) -> None:
        account = self.summary.accounts[code]
        account.files += files
        account.rows += rows
        self.summary.files += files
        self.summary.rows += rows

    def _fetched(self, task: _Task) -> Path:
        if not task.wanted.target.exists():
            self.summary.bytes += download(task.wanted, task.ask)
        return task.wanted.target

    def _checked(self, task: _Task, rows: Rows) -> Rows:
        _refuse_other_count(task, len(rows))
        return rows

    def _announced(self, file: dict[str, Any], door: OAuthDoor) -> _Task:
        address = str(file["url"])
        parts = path_of(address).split("/")
        named = parse_object(parts[-2], parts[-1]) if len(parts) > 2 else None
        if named is None:
            raise PullMismatchError(f"{address!r:.100} names no delivery file")
        wanted = Wanted(self._target(named), int(file["bytes"]), str(file["sha256"]))
        return _Task(named, wanted, int(file["rows"]), lambda headers: door.stream(address, headers))

    def _listed(self, code: str, name: str, size: int, door: CertificateDoor) -> _Task:
        named = parse_object(code, name)
        if named is None or named.suffix != "zip":
            raise PullMismatchError(f"{name!r:.100} names no delivery file")
        return _Task(named, Wanted(self._target(named), size, None), None, door.ask_file(code, name))

    def _target(self, named: ObjectName) -> Path:
        return self._folder / "files" / named.place

    def _check_complete(self, release: dict[str, Any]) -> None:
        """A slot that was closed has at least as many cells as were expected: no file was withheld on the way."""
        closed = release["closed"]
        if closed is None:
            return
        held = self.ledger.slot_sums(release["retailer_code"], slot_at_ms(parse_jst(release["from"])))
        if held.cells < closed["expected"]:
            self.summary.accounts[release["retailer_code"]].incomplete.append(release["id"])

    def _release_keys(self, door: OAuthDoor, *, accept_keys: bool) -> dict[str, jose.Key]:
        """Keys of the manifests: those seen first are kept to; whoever owns the edge cannot slip in others."""
        _, told = door.json("/v1/release-keys")
        keys = {key.thumbprint(): key for key in map(jose.public_key, told["keys"])}
        pinned = self._state.release_keys
        if pinned and not accept_keys:
            return {name: key for name, key in keys.items() if name in pinned}
        self._state.release_keys = sorted({*pinned, *keys})
        return keys


def _refuse_other_count(task: _Task, rows: int) -> None:
    if task.rows is not None and task.rows != rows:
        raise PullMismatchError(f"{task.named.name} holds {rows} rows, {task.rows} were announced")


def parse_list(page: str) -> list[tuple[str, int]]:
    """Names and sizes of a file list, in its order.

    Raises:
        PullMismatchError: numbers are missing or stand twice.

    >>> parse_list('<!-- rfilename1:"a.zip",rfilesize1:"10",rfilename2:"b.zip",rfilesize2:"11" -->')
    [('a.zip', 10), ('b.zip', 11)]
    """
    found = _LISTED.findall(page)
    if [int(number) for number, _, _ in found] != list(range(1, len(found) + 1)):
        raise PullMismatchError("the file list is not numbered from 1 without gaps")
    return [(name, int(size)) for _, name, size in found]


def _is(file: dict[str, Any], suffix: str) -> bool:
    return str(file["url"]).endswith(f".{suffix}")


def _check_release(release: dict[str, Any], keys: dict[str, jose.Key]) -> None:
    """The signed manifest says the same as the release beside it, signed inside by a known key.

    Raises:
        PullMismatchError: it does not.

    """
    try:
        text = str(release["manifest"])
        if not RETAILER.fullmatch(str(release["retailer_code"])):
            raise PullMismatchError("a release of no retailer")
        key = keys.get(jose.key_id(text))
        if key is None:
            raise PullMismatchError(
                f"release {release['id']} is signed with a key not seen before",
                hint="Compare it with the operator by another way, then use --accept-release-keys",
            )
        _, payload = jose.verify(text, key, length_max=MANIFEST_CHARS_MAX)
        signed = json.loads(payload)
    except (GatewayError, ValueError, KeyError) as error:
        raise PullMismatchError(f"a release is not signed as it must be: {error}") from error
    if signed != {name: value for name, value in release.items() if name not in UNSIGNED}:
        raise PullMismatchError(f"release {release['id']} differs from its signed manifest", hint="Tell the operator")
