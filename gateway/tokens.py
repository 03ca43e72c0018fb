# SPDX-License-Identifier: Apache-2.0
"""Access tokens: JWT of RFC 9068, 300 s, bound to a proof key and to the client's epoch."""

import uuid
from dataclasses import dataclass
from typing import Any

from gateway import jose
from gateway.clients import Client
from gateway.errors import JoseRefusedError

LIFE_S = 300
TYPE = "at+jwt"


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token whose signature and claims are right."""

    client_id: str
    epoch: int
    scopes: frozenset[str]
    proof_key: str
    jti: str
    expires_s: float


class TokenKeys:
    """The token service's signing keys: the first signs, all are published and accepted.

    Args:
        issuer: base address of the gateway; issuer and audience of every token.
        keys: private keys, the signing one first.

    """

    def __init__(self, issuer: str, keys: tuple[jose.Key, ...]) -> None:
        """Keep the keys by thumbprint."""
        self.issuer = issuer
        self._keys = keys
        self._by_id = {key.thumbprint(): key for key in keys}

    def published(self) -> dict[str, Any]:
        """JWK set for `/oauth2/jwks`."""
        return {"keys": [jose.public_member(key) for key in self._keys]}

    def issue(self, client: Client, scope: str, proof_key: str, now_s: float) -> str:
        """Token for a client, usable with proofs of one key."""
        now = int(now_s)
        claims = {
            "iss": self.issuer,
            "sub": client.id,
            "client_id": client.id,
            "aud": self.issuer,
            "iat": now,
            "exp": now + LIFE_S,
            "jti": uuid.uuid4().hex,
            "scope": scope,
            "epoch": client.epoch,
            "cnf": {"jkt": proof_key},
        }
        key = self._keys[0]
        return jose.sign_claims({"typ": TYPE, "kid": key.thumbprint()}, claims, key)

    def verify(self, text: str, now_s: float, *, expired: bool = False) -> AccessToken:
        """Check a token.

        Args:
            text: the token.
            now_s: wall time, seconds since the epoch.
            expired: accept one that has expired.

        Raises:
            JoseRefusedError: not ours, expired, or of another form.

        """
        header, _ = jose.unverified(text)
        key = self._by_id.get(str(header.get("kid")))
        if key is None or header.get("typ") != TYPE:
            raise JoseRefusedError("token of a key or type that is not ours")
        claims = jose.verify_claims(text, key).claims
        if claims.get("iss") != self.issuer or claims.get("aud") != self.issuer:
            raise JoseRefusedError("token of another issuer or audience")
        token = read_token(claims)
        if not expired and token.expires_s <= now_s:
            raise JoseRefusedError("token expired")
        return token


def read_token(claims: jose.Claims) -> AccessToken:
    """Token of its claims, whoever verified them.

    Raises:
        JoseRefusedError: a claim is missing or of another form.

    """
    expires, bound, epoch = jose.seconds(claims, "exp"), claims.get("cnf"), claims.get("epoch")
    scope = claims.get("scope")
    if expires is None or not isinstance(bound, dict) or not isinstance(scope, str) or not isinstance(epoch, int):
        raise JoseRefusedError("token without exp, cnf, scope or epoch")
    return AccessToken(
        client_id=jose.identifier(claims, "client_id"),
        epoch=epoch,
        scopes=frozenset(scope.split()),
        proof_key=jose.identifier(bound, "jkt"),
        jti=jose.identifier(claims),
        expires_s=expires,
    )
