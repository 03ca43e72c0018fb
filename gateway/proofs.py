# SPDX-License-Identifier: Apache-2.0
"""DPoP proofs (RFC 9449): that whoever sends this very request holds a registered key.

Both zones check them, each for itself. The address compared with `htu` comes from the settings and the path, never from
a Host header. `jti` goes to the replay memory only after everything else was found right.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from gateway import jose
from gateway.errors import JoseRefusedError, KeyFormError

AGE_MAX_S = 60
AHEAD_MAX_S = 10
NONCE_S = 120
"""How long a nonce is handed out; the one before it is still accepted."""

_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that is right but for its replay: key, and what the replay memory needs."""

    thumbprint: str
    jti: str
    issued_s: float

    @property
    def replay_name(self) -> str:
        """Name under which the proof is remembered."""
        return hashlib.sha256(f"{self.thumbprint}\0{self.jti}".encode()).hexdigest()

    def remaining_s(self, now_s: float) -> int:
        """Seconds for which the proof would still be accepted, rounded up with a reserve."""
        return max(1, int(self.issued_s + AGE_MAX_S - now_s) + 5)


@lru_cache(maxsize=4096)
def normalised(url: str) -> str:
    """Address without query and fragment, scheme and host in small letters, no default port (RFC 3986 6.2.2, 6.2.3).

    Raises:
        JoseRefusedError: no address.

    >>> normalised("HTTPS://Localhost:443/v1/me?x#y")
    'https://localhost/v1/me'
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise JoseRefusedError("htu is no address") from error
    if not parts.scheme or not host or parts.username is not None:
        raise JoseRefusedError("htu is no address")
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
        place = f"{place}:{port}"
    return f"{parts.scheme}://{place}{parts.path or '/'}"


def token_hash(token: str) -> str:
    """`ath` of an access token."""
    return jose.encode_base64url(hashlib.sha256(token.encode("ascii")).digest())


def proof_thumbprint(text: str) -> str:
    """Thumbprint of the key that a proof claims to be signed with, before any check.

    Raises:
        JoseRefusedError: no proof, or it carries no public key.

    """
    header, _ = jose.unverified(text)
    try:
        return jose.thumbprint(header.get("jwk"))
    except KeyFormError as error:
        raise JoseRefusedError(f"proof key: {error.message}") from error


def verify_proof(text: str, *, method: str, url: str, now_s: float, token: str | None) -> Proof:
    """Check a proof by RFC 9449 4.3, all but nonce and replay.

    Args:
        text: value of the only DPoP header.
        method: method of the request.
        url: address of the request: base from the settings, path as sent.
        now_s: wall time, seconds since the epoch.
        token: access token sent with it; None at the token endpoint.

    Raises:
        JoseRefusedError: the proof is not acceptable; the message says why, for the audit.

    """
    header, _ = jose.unverified(text)
    if header.get("typ") != "dpop+jwt":
        raise JoseRefusedError("typ is not dpop+jwt")
    try:
        key = jose.public_key(header.get("jwk"))
    except KeyFormError as error:
        raise JoseRefusedError(f"proof key: {error.message}") from error
    claims = jose.verify_claims(text, key).claims
    if claims.get("htm") != method:
        raise JoseRefusedError("htm differs")
    address = claims.get("htu")
    if not isinstance(address, str) or normalised(address) != normalised(url):
        raise JoseRefusedError("htu differs")
    issued = jose.seconds(claims, "iat")
    if issued is None or not now_s - AGE_MAX_S <= issued <= now_s + AHEAD_MAX_S:
        raise JoseRefusedError("iat out of range")
    ends, starts = jose.seconds(claims, "exp"), jose.seconds(claims, "nbf")
    if (ends is not None and ends <= now_s) or (starts is not None and starts > now_s + AHEAD_MAX_S):
        raise JoseRefusedError("outside exp or nbf")
    if token is not None and claims.get("ath") != token_hash(token):
        raise JoseRefusedError("ath differs")
    return Proof(jose.thumbprint(header.get("jwk")), jose.identifier(claims), issued)


def proof_nonce(text: str) -> object:
    """Nonce claim of a proof that has been verified."""
    return jose.unverified(text)[1].get("nonce")


class Nonces:
    """Nonces that need no memory: a time and its MAC (RFC 9449 8).

    Args:
        secret: at least 32 bytes, the same on all nodes.

    """

    def __init__(self, secret: bytes) -> None:
        """Keep the secret."""
        self._secret = secret

    def current(self, now_s: float) -> str:
        """Nonce to hand out now."""
        return self._of(int(now_s) // NONCE_S)

    def accepts(self, nonce: object, now_s: float) -> bool:
        """Whether a nonce was handed out recently."""
        turn = int(now_s) // NONCE_S
        return isinstance(nonce, str) and any(
            hmac.compare_digest(nonce.encode(), self._of(each).encode()) for each in (turn, turn - 1)
        )

    def _of(self, turn: int) -> str:
        return jose.encode_base64url(hmac.digest(self._secret, struct.pack(">q", turn), "sha256")[:18])
