# SPDX-License-Identifier: Apache-2.0
"""Registrations: the inner zone's own book of clients, kept under four eyes.

A change is proposed by one person and approved by another; only then does it hold. Suspension and revocation hold at
once and need one person. Everything stays in the book: who, what, when.
"""

import json
import re
import sqlite3
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from gateway import jose
from gateway.clients import ACTIVE, REVOKED, SCOPES, SUSPENDED, Certificate, Client, Registry, client_of
from gateway.errors import FourEyesError, KeyFormError, RegistrationError
from gateway.names import CLIENT_ID, RETAILER

KEYS_MAX = 8
"""Keys of one client, so that rotation never needs a gap."""
RETAILERS_MAX = 64

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SCHEMA = """
create table if not exists book (version integer not null);
create table if not exists client (id text primary key, content text not null) without rowid;
create table if not exists change (
    id text primary key, client text not null, content text not null, proposed_by text not null,
    proposed_ms integer not null, approved_by text, approved_ms integer
) without rowid;
create table if not exists event (
    number integer primary key, at_ms integer not null, what text not null, client text not null, by text not null
);
insert into book select 0 where not exists (select 1 from book);
"""


class Registrations:
    """The book. Safe between threads and processes; every process may write it, one transaction at a time.

    Args:
        file: SQLite file, made when absent; None for an empty book in memory, where nothing is to be made.

    """

    def __init__(self, file: Path | None) -> None:
        """Open the book."""
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._connection = sqlite3.connect(
            file or ":memory:", timeout=10, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("pragma journal_mode=wal")
        self._connection.execute("pragma synchronous=full")
        self._connection.executescript(_SCHEMA)
        self._registry = Registry(-1, ())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def registry(self) -> Registry:
        """Clients as they stand now, whoever wrote them."""
        with self._lock:
            version = int(self._connection.execute("select version from book").fetchone()[0])
            if version != self._registry.version:
                rows = self._connection.execute("select content from client order by id").fetchall()
                self._registry = Registry(version, tuple(client_of(json.loads(row[0])) for row in rows))
            return self._registry

    def propose(self, client: Client, *, by: str, now_ms: int) -> str:
        """Write down a change to be approved by somebody else; gives its id.

        Raises:
            RegistrationError: nobody proposes it, or the client is revoked.

        """
        person = _person(by)
        change = uuid.uuid4().hex
        with self._transaction() as connection:
            _refuse_revoked(_find(connection, client.id))
            connection.execute(
                "insert into change (id, client, content, proposed_by, proposed_ms) values (?, ?, ?, ?, ?)",
                (change, client.id, json.dumps(client.as_dict()), person, now_ms),
            )
            _note(connection, "propose", client.id, person, now_ms)
        return change

    def approve(self, change: str, *, by: str, now_ms: int) -> Client:
        """Let a proposed change hold.

        Raises:
            RegistrationError: no such change, approved before, its client is revoked, or it contradicts another client.
            FourEyesError: the same person proposed it.

        """
        person = _person(by)
        with self._transaction() as connection:
            row = connection.execute(
                "select content, proposed_by, approved_by from change where id = ?", (change,)
            ).fetchone()
            if row is None:
                raise RegistrationError(f"there is no change {change!r:.80}")
            content, proposed_by, approved_by = row
            if approved_by is not None:
                raise RegistrationError(f"change {change} was approved by {approved_by} already")
            if _same_person(person, proposed_by):
                raise FourEyesError(
                    f"change {change} was proposed by {proposed_by}", hint="Somebody else has to approve it"
                )
            proposed = client_of(json.loads(content))
            held = _find(connection, proposed.id)
            _refuse_revoked(held)
            _refuse_shared_keys(connection, proposed)
            client = _with(proposed, ACTIVE, 1 if held is None else held.epoch + (not held.active))
            _store(connection, client)
            connection.execute(
                "update change set approved_by = ?, approved_ms = ? where id = ?", (person, now_ms, change)
            )
            _note(connection, "approve", client.id, person, now_ms)
        return client

    def stop(self, client_id: str, state: str, *, by: str, now_ms: int) -> Client:
        """Suspend or revoke a client: from now on its tokens, keys and certificates open nothing.

        Raises:
            RegistrationError: no such client, or it is revoked and shall be suspended.

        """
        person = _person(by)
        with self._transaction() as connection:
            held = _find(connection, client_id)
            if held is None:
                raise RegistrationError(f"there is no client {client_id!r:.80}")
            if state == SUSPENDED and held.state == REVOKED:
                raise RegistrationError(f"client {client_id} is revoked")
            client = _with(held, state, held.epoch + 1)
            _store(connection, client)
            _note(connection, state, client_id, person, now_ms)
        return client

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")


def client_from_files(
    client_id: str,
    *,
    retailers: Iterable[str],
    scope: str,
    jwks: Path | None,
    proof: Iterable[str],
    certificates: Iterable[Path],
    now_s: float,
) -> Client:
    """Client as proposed on the command line.

    Args:
        client_id: its id.
        retailers: codes it may read.
        scope: scopes, with blanks between.
        jwks: public keys that sign its assertions; may be absent where certificates are given.
        proof: files with public keys that sign its proofs, or `any`; the keys of `jwks` unless given.
        certificates: PEM files.
        now_s: seconds since the epoch; an expired certificate is refused.

    Raises:
        RegistrationError: something is missing or not of its form.
        KeyFormError: a key or certificate is not acceptable.

    """
    if not CLIENT_ID.fullmatch(client_id):
        raise RegistrationError(f"{client_id!r:.80} is not a client id", hint="Use letters, digits, . _ - (64 at most)")
    codes = tuple(dict.fromkeys(retailers))
    if not 1 <= len(codes) <= RETAILERS_MAX or not all(RETAILER.fullmatch(code) for code in codes):
        raise RegistrationError("retailer codes of five digits are needed", hint="--retailer 10013 --retailer 10021")
    scopes = tuple(dict.fromkeys(scope.split()))
    if not scopes or not set(scopes) <= set(SCOPES):
        raise RegistrationError(f"scope {scope!r:.80} is not known", hint=f"Choose from {' '.join(SCOPES)}")
    keys = _read_keys(jwks) if jwks is not None else ()
    held = tuple(each for file in certificates for each in read_certificates(file, now_s))
    if not keys and not held:
        raise RegistrationError("neither keys nor certificates are given", hint="--jwks FILE or --cert PEM")
    wanted = tuple(proof)
    proof_keys: frozenset[str] | None = frozenset(str(key["kid"]) for key in keys)
    if wanted == ("any",):
        proof_keys = None
    elif wanted:
        proof_keys = frozenset(str(key["kid"]) for text in wanted for key in _read_keys(Path(text)))
    return Client(client_id, ACTIVE, 0, codes, scopes, keys, proof_keys, held)


def read_certificates(file: Path, now_s: float) -> tuple[Certificate, ...]:
    """Certificates of a PEM file.

    Raises:
        KeyFormError: none in it, unreadable, or expired.

    """
    try:
        found = [x509.load_pem_x509_certificate(block) for block in _PEM.findall(file.read_bytes())]
    except (OSError, ValueError) as error:
        raise KeyFormError(f"{file} cannot be read: {error}") from error
    if not found:
        raise KeyFormError(f"{file} holds no certificate", hint="PEM is needed")
    held = tuple(certificate_of(each) for each in found)
    if any(each.not_after_s < now_s for each in held):
        raise KeyFormError(f"{file} holds an expired certificate")
    return held


def certificate_of(certificate: x509.Certificate) -> Certificate:
    """Fingerprint and validity of a certificate."""
    return Certificate(
        certificate.fingerprint(hashes.SHA256()).hex(),
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def _read_keys(file: Path) -> tuple[dict[str, Any], ...]:
    """Public keys of a file that holds a JWK or a set of them."""
    try:
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise KeyFormError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise KeyFormError(f"{file} is not JSON", hint="A JWK or a JWK set is needed") from error
    members = value["keys"] if isinstance(value, dict) and "keys" in value else [value]
    if not isinstance(members, list) or not 1 <= len(members) <= KEYS_MAX:
        raise KeyFormError(f"{file} holds no key, or more than {KEYS_MAX}")
    return tuple(jose.public_member(jose.public_key(member)) for member in members)


def _person(name: str) -> str:
    person = " ".join(unicodedata.normalize("NFKC", name).split())
    if not person:
        raise RegistrationError("nobody is named", hint="--by NAME")
    return person


def _same_person(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _find(connection: sqlite3.Connection, client_id: str) -> Client | None:
    row = connection.execute("select content from client where id = ?", (client_id,)).fetchone()
    return None if row is None else client_of(json.loads(row[0]))


def _refuse_revoked(held: Client | None) -> None:
    """Revocation is for good: a change proposed before it does not undo it either."""
    if held is not None and held.state == REVOKED:
        raise RegistrationError(
            f"client {held.id} is revoked for good", hint="Register a new id, with new keys and certificates"
        )


def _with(client: Client, state: str, epoch: int) -> Client:
    return client_of({**client.as_dict(), "state": state, "epoch": epoch})


def _store(connection: sqlite3.Connection, client: Client) -> None:
    connection.execute(
        "insert into client values (?, ?) on conflict (id) do update set content = excluded.content",
        (client.id, json.dumps(client.as_dict())),
    )
    connection.execute("update book set version = version + 1")


def _refuse_shared_keys(connection: sqlite3.Connection, proposed: Client) -> None:
    """A proof key or certificate names one client; the guard finds the client by it."""
    prints = {each.sha256 for each in proposed.certificates}
    for (content,) in connection.execute("select content from client where id <> ?", (proposed.id,)):
        other = client_of(json.loads(content))
        if (proposed.proof_keys or frozenset()) & (other.proof_keys or frozenset()):
            raise RegistrationError(f"client {other.id} has the same proof key", hint="Each client needs its own")
        if prints & {each.sha256 for each in other.certificates}:
            raise RegistrationError(f"client {other.id} has the same certificate", hint="Each client needs its own")


def _note(connection: sqlite3.Connection, what: str, client: str, by: str, now_ms: int) -> None:
    connection.execute("insert into event (at_ms, what, client, by) values (?, ?, ?, ?)", (now_ms, what, client, by))
