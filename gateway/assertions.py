# SPDX-License-Identifier: Apache-2.0
"""Client assertions (private_key_jwt, RFC 7523) as FAPI 2.0 and RFC 10070 want them.

Authlib's own check would take RS256, an audience list with a foreign member, an `exp` ten years ahead and another
client's `client_id`; so the whole check is ours, and Authlib only asks for it. Whoever fails learns nothing of why.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey, OKPKey

from gateway import jose
from gateway.clients import Client
from gateway.errors import AssertionRefusedError, JoseRefusedError, KeyFormError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE_MAX_S = 300
SKEW_S = 10

_TYPES = (None, "JWT", "jwt", "client-authentication+jwt")


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion that is right but for its replay."""

    client: Client
    jti: str
    expires_s: float

    @property
    def replay_name(self) -> str:
        """Name under which it is remembered."""
        return hashlib.sha256(f"{self.client.id}\0{self.jti}".encode()).hexdigest()

    def remaining_s(self, now_s: float) -> int:
        """Seconds for which it would still be accepted, rounded up with a reserve."""
        return max(1, int(self.expires_s + SKEW_S - now_s) + 5)


class AssertionCheck:
    """Checks assertions of registered clients.

    Args:
        issuer: the only audience that is accepted, as one string.
        find: active client of an id.

    """

    def __init__(self, issuer: str, find: Callable[[str], Client | None]) -> None:
        """Make the stand-in key that unknown clients are checked against, so that they take as long."""
        self._issuer = issuer
        self._find = find
        self._stand_in: tuple[jose.Key, ...] = (
            ECKey.generate_key("P-256", private=False),
            OKPKey.generate_key("Ed25519", private=False),
        )

    def verify(self, text: str, form_client_id: str | None, now_s: float) -> Assertion:
        """Check an assertion.

        Args:
            text: `client_assertion` of the form.
            form_client_id: `client_id` of the form, where it was sent.
            now_s: wall time, seconds since the epoch.

        Raises:
            AssertionRefusedError: signed by the client, and not acceptable; the reason is for the audit only.
            JoseRefusedError: not signed by any client, likewise.

        """
        header, claims = jose.unverified(text)
        subject = claims.get("sub")
        client = self._find(subject) if isinstance(subject, str) else None
        signed = _verified(text, header, _keys(client) if client is not None else self._stand_in)
        if client is None:
            raise JoseRefusedError("unknown client")
        if signed is None:
            raise JoseRefusedError(f"says it is {client.id}, wrong signature")
        try:
            return self._checked(client, header, claims, form_client_id, now_s)
        except JoseRefusedError as error:
            raise AssertionRefusedError(error.message, client.id) from error

    def _checked(
        self, client: Client, header: dict[str, Any], claims: dict[str, Any], form_client_id: str | None, now_s: float
    ) -> Assertion:
        if header.get("typ") not in _TYPES:
            raise JoseRefusedError("typ of the assertion")
        if claims.get("iss") != client.id or (form_client_id is not None and form_client_id != client.id):
            raise JoseRefusedError("iss, sub and client_id differ")
        if claims.get("aud") != self._issuer:
            raise JoseRefusedError("aud is not the issuer as one string")
        expires, issued, starts = (jose.seconds(claims, name) for name in ("exp", "iat", "nbf"))
        if expires is None or not now_s - SKEW_S < expires <= now_s + LIFE_MAX_S + SKEW_S:
            raise JoseRefusedError("exp absent, past or too far ahead")
        if any(each is not None and each > now_s + SKEW_S for each in (issued, starts)):
            raise JoseRefusedError("iat or nbf ahead")
        return Assertion(client, jose.identifier(claims), expires)


def _keys(client: Client) -> tuple[jose.Key, ...]:
    try:
        return tuple(jose.public_key(member) for member in client.keys)
    except KeyFormError as error:
        raise JoseRefusedError(f"registered key: {error.message}") from error


def _verified(text: str, header: dict[str, object], keys: tuple[jose.Key, ...]) -> jose.Signed | None:
    """Try the keys that go with the announced algorithm; a client has few, and names them as it likes."""
    for key in keys:
        if header.get("alg") in jose.algorithms_of(key):
            try:
                return jose.verify_claims(text, key)
            except JoseRefusedError:
                continue
    return None
