# SPDX-License-Identifier: Apache-2.0
"""The retailer's client: fetch what is new, check it, let it count in the ledger, remember how far it got.

The order makes a cut harmless at any point: files are durable before they are applied, the ledger before the state.
A second delivery of anything changes nothing.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from gateway import jose
from gateway.errors import PullMismatchError
from gateway.names import RETAILER, ObjectName, parse_object
from gateway.pull_http import Ask, CertificateDoor, OAuthDoor, Wanted, download, path_of
from gateway.pull_ledger import Ledger, Sums
from gateway.pull_read import Rows, read_delivery
from gateway.pull_state import State, write_state
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

    def as_dict(self, ledger: Ledger, retailers: Iterable[str]) -> dict[str, Any]:
        """Form for JSON, with what the ledger holds now."""
        held = {code: ledger.sums(code) for code in sorted(set(retailers))}
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
    """One client's folder: `files/`, `ledger/`, `state.json`.

    Args:
        folder: where everything lies.
        state: as read from it.
        mode: `oauth` or `mutual-tls`, for the summary.

    """

    def __init__(self, folder: Path, state: State, mode: str) -> None:
        """Open the ledger."""
        self._folder, self._state = folder, state
        self.ledger = Ledger(folder / "ledger")
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
        """Fetch files and let them count, slot by slot, so that memory holds one slot at most."""
        slots: dict[tuple[str, int], list[_Task]] = defaultdict(list)
        for task in tasks:
            slots[task.named.retailer_code, task.named.slot_id].append(task)
        for (code, slot_id), those in slots.items():
            pieces = []
            for task in those:
                pieces.append(self._fetched(task))
                tell(1)
            self.ledger.apply(code, slot_id, pieces)
            account = self.summary.accounts[code]
            account.files += len(pieces)
            account.rows += sum(map(len, pieces))
            self.summary.files += len(pieces)
            self.summary.rows += sum(map(len, pieces))

    def _fetched(self, task: _Task) -> Rows:
        target = task.wanted.target
        if not target.exists():
            self.summary.bytes += download(task.wanted, task.ask)
        rows = read_delivery(target, task.named)
        if task.rows is not None and task.rows != len(rows):
            raise PullMismatchError(f"{target.name} holds {len(rows)} rows, {task.rows} were announced")
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
