# SPDX-License-Identifier: Apache-2.0
"""Registered clients as both zones see them: made inside, read only in the DMZ."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

ACTIVE, SUSPENDED, REVOKED = "active", "suspended", "revoked"

SCOPES = ("slots.read", "usage.read", "switching.read", "switching.write")
"""Every scope there is."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A registered client certificate."""

    sha256: str
    """Fingerprint of the DER form, hexadecimal."""
    not_before_s: int
    not_after_s: int

    def covers(self, now_s: float) -> bool:
        """Whether an instant lies in its validity."""
        return self.not_before_s <= now_s <= self.not_after_s


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client."""

    id: str
    state: str
    epoch: int
    """Grows with every suspension and revocation; older tokens are refused at once."""
    retailers: tuple[str, ...]
    """RET-004: the codes whose files it may have."""
    scopes: tuple[str, ...]
    keys: tuple[dict[str, Any], ...]
    """Public JWKs that sign client assertions."""
    proof_keys: frozenset[str] | None
    """Thumbprints that may sign proofs; None: any key, and then no data."""
    certificates: tuple[Certificate, ...]

    @property
    def active(self) -> bool:
        """Whether it may do anything at all."""
        return self.state == ACTIVE

    @property
    def reads_data(self) -> bool:
        """Whether it may have more than tokens and `/v1/me`: not with arbitrary proof keys."""
        return self.proof_keys is not None

    def allows(self, scope: str) -> bool:
        """Whether it may read what a scope stands for, whichever way it comes."""
        return self.active and self.reads_data and scope in self.scopes

    def accepts_proof_key(self, thumbprint: str) -> bool:
        """Whether a key of this thumbprint may prove possession."""
        return self.proof_keys is None or thumbprint in self.proof_keys

    def as_dict(self) -> dict[str, Any]:
        """Form for JSON."""
        return {
            "id": self.id,
            "state": self.state,
            "epoch": self.epoch,
            "retailers": list(self.retailers),
            "scopes": list(self.scopes),
            "keys": list(self.keys),
            "proof_keys": None if self.proof_keys is None else sorted(self.proof_keys),
            "certificates": [[each.sha256, each.not_before_s, each.not_after_s] for each in self.certificates],
        }


def client_of(value: Mapping[str, Any]) -> Client:
    """Client of its JSON form."""
    proof_keys = value["proof_keys"]
    return Client(
        id=value["id"],
        state=value["state"],
        epoch=int(value["epoch"]),
        retailers=tuple(value["retailers"]),
        scopes=tuple(value["scopes"]),
        keys=tuple(value["keys"]),
        proof_keys=None if proof_keys is None else frozenset(proof_keys),
        certificates=tuple(Certificate(*each) for each in value["certificates"]),
    )


@dataclass(frozen=True)
class Registry:
    """All clients at one version of the registrations."""

    version: int
    clients: tuple[Client, ...]
    release_keys: tuple[dict[str, Any], ...] = field(default=())
    """Public keys of the release manifests, the present one first."""

    @cached_property
    def _by_id(self) -> dict[str, Client]:
        return {client.id: client for client in self.clients}

    @cached_property
    def _by_proof_key(self) -> dict[str, Client]:
        return {key: client for client in self.clients for key in client.proof_keys or ()}

    @cached_property
    def _by_certificate(self) -> dict[str, tuple[Client, Certificate]]:
        return {each.sha256: (client, each) for client in self.clients for each in client.certificates}

    def active(self, client_id: str) -> Client | None:
        """Active client of an id."""
        client = self._by_id.get(client_id)
        return client if client is not None and client.active else None

    def by_proof_key(self, thumbprint: str) -> Client | None:
        """Active client whose registered proof key has this thumbprint."""
        client = self._by_proof_key.get(thumbprint)
        return client if client is not None and client.active else None

    def by_certificate(self, sha256: str, now_s: float) -> Client | None:
        """Active client of a certificate that is valid now."""
        client, certificate = self._by_certificate.get(sha256, (None, None))
        if client is None or certificate is None or not client.active or not certificate.covers(now_s):
            return None
        return client

    def as_json(self) -> str:
        """Form in which it crosses the zones."""
        return json.dumps(
            {
                "version": self.version,
                "clients": [client.as_dict() for client in self.clients],
                "release_keys": list(self.release_keys),
            }
        )


def registry_of(text: str | bytes) -> Registry:
    """Registry of its JSON form."""
    value = json.loads(text)
    return Registry(
        int(value["version"]), tuple(client_of(each) for each in value["clients"]), tuple(value["release_keys"])
    )


EMPTY = Registry(0, ())
"""No client at all."""
