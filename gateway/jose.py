# SPDX-License-Identifier: Apache-2.0
"""Signed texts and keys, always with an explicit key and an explicit list of algorithms.

Accepted: ES256, PS256, Ed25519, and the legacy name EdDSA with an Ed25519 key. RS256, HS* and none are not
(FAPI 2.0 security profile 5.4). Nothing outside this module calls a JWS function.
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.errors import JoseRefusedError, KeyFormError

ALGORITHMS = ("ES256", "PS256", "Ed25519", "EdDSA")
"""What clients may sign with."""
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 4096

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PUBLIC_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
"""By kind, what makes the key and its thumbprint (RFC 7638 3.2)."""
_TEXT_BYTES_MAX = 8192

Key = ECKey | RSAKey | OKPKey
Claims = dict[str, Any]


class _Registry(JWSRegistry):
    """Explicit list only; a proof's header carries an RSA key, so it may be longer than joserfc's 512 bytes."""

    max_header_length = 4096
    max_payload_length = 6144

    def get_alg(self, name: str) -> Any:
        """Answer from the explicit list, without joserfc's warning at the legacy name EdDSA."""
        if not self.allowed or name not in self.allowed or name not in self.algorithms:
            raise JoseRefusedError(f"algorithm {name!r:.40} is not accepted")
        return self.algorithms[name]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed text whose signature has been verified."""

    header: Mapping[str, Any]
    claims: Claims


def encode_base64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Bytes of base64url without padding.

    Raises:
        JoseRefusedError: not base64url.

    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise JoseRefusedError("not base64url") from error


@lru_cache(maxsize=4096)
def _imported(text: str) -> Key:
    member = json.loads(text)
    kind, curve = member.get("kty"), member.get("crv")
    try:
        if kind == "EC" and curve == "P-256":
            key: Key = ECKey.import_key(member)
        elif kind == "OKP" and curve == "Ed25519":
            key = OKPKey.import_key(member)
        elif kind == "RSA":
            bits = int.from_bytes(decode_base64url(member["n"])).bit_length()
            if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
                raise KeyFormError(f"RSA key of {bits} bits")
            key = RSAKey.import_key(member)
        else:
            raise KeyFormError(f"key of kind {kind!r:.20} {curve!r:.20}", hint="Use EC P-256, Ed25519 or RSA")
        key.thumbprint()
    except (JoseError, JoseRefusedError, ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
        raise KeyFormError(f"key cannot be read: {error}") from error
    return key


def public_key(member: object) -> Key:
    """Public key of a JWK.

    Raises:
        KeyFormError: not a JWK of EC P-256, Ed25519 or RSA of 2048 to 4096 bits, or one with private members.

    """
    return _imported(_essence(member))


def thumbprint(member: object) -> str:
    """Thumbprint (RFC 7638) of a public JWK, computed without importing the key.

    Raises:
        KeyFormError: not a public JWK of a known kind.

    """
    return encode_base64url(hashlib.sha256(_essence(member).encode()).digest())


def _essence(member: object) -> str:
    """The members that make a public key, in the order of RFC 7638; what else stands in a JWK binds nobody."""
    if not isinstance(member, dict):
        raise KeyFormError("a JWK is a JSON object")
    if _PRIVATE_MEMBERS & member.keys():
        raise KeyFormError("the JWK holds private members", hint="Register the public part only")
    names = _PUBLIC_MEMBERS.get(str(member.get("kty")), ())
    values = {name: member.get(name) for name in names}
    if not names or not all(isinstance(value, str) for value in values.values()):
        raise KeyFormError("not a JWK of kind EC, OKP or RSA")
    return json.dumps(values, separators=(",", ":"))


def private_key(member: Mapping[str, Any]) -> Key:
    """Private key of a JWK.

    Raises:
        KeyFormError: as `public_key`, or there is no private part.

    """
    key = _imported(json.dumps(member, sort_keys=True))
    if not key.is_private:
        raise KeyFormError("the JWK has no private part")
    return key


def read_private_key(path: Path) -> Key:
    """Private key of a file: a JWK, or PEM without a password.

    Raises:
        KeyFormError: unreadable or of another kind.

    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyFormError(f"{path} cannot be read: {error.strerror}") from error
    if data.lstrip().startswith(b"{"):
        try:
            return private_key(json.loads(data))
        except ValueError as error:
            raise KeyFormError(f"{path} is not JSON") from error
    try:
        loaded = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFormError(f"{path} is not a private key", hint="Give a JWK or PEM without a password") from error
    if isinstance(loaded, ec.EllipticCurvePrivateKey):
        return private_key(ECKey.import_key(loaded).as_dict(private=True))
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        return private_key(OKPKey.import_key(loaded).as_dict(private=True))
    if isinstance(loaded, rsa.RSAPrivateKey):
        return private_key(RSAKey.import_key(loaded).as_dict(private=True))
    raise KeyFormError(f"{path} holds a key of another kind", hint="Use EC P-256, Ed25519 or RSA")


def public_member(key: Key) -> dict[str, Any]:
    """Public JWK with its thumbprint (RFC 7638) as `kid`."""
    member = {name: value for name, value in key.as_dict(private=False).items() if name not in {"kid", "use", "alg"}}
    return {**member, "kid": key.thumbprint(), "use": "sig", "alg": algorithms_of(key)[0]}


def algorithms_of(key: Key) -> tuple[str, ...]:
    """Algorithms that go with a key, the best first."""
    if isinstance(key, ECKey):
        return ("ES256",)
    if isinstance(key, RSAKey):
        return ("PS256",)
    return ("Ed25519", "EdDSA")


def sign(header: Mapping[str, Any], payload: bytes, key: Key) -> str:
    """Compact JWS with the key's own algorithm."""
    algorithm = algorithms_of(key)[0]
    registry = _Registry(algorithms=[algorithm], strict_check_header=False)
    registry.max_payload_length = 1 << 20
    return jws.serialize_compact({"alg": algorithm, **header}, payload, key, [algorithm], registry)


def sign_claims(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key) -> str:
    """Compact JWT with the key's own algorithm."""
    return sign(header, json.dumps(claims, separators=(",", ":")).encode(), key)


def unverified(text: str) -> tuple[dict[str, Any], Claims]:
    """Header and claims of a compact JWT **before** any check: to find the key with, and for nothing else.

    Raises:
        JoseRefusedError: not a compact JWT of modest size.

    """
    if len(text) > _TEXT_BYTES_MAX or not text.isascii():
        raise JoseRefusedError("too long or not ASCII")
    parts = text.split(".")
    if len(parts) != 3:
        raise JoseRefusedError("not three parts")
    try:
        header, claims = json.loads(decode_base64url(parts[0])), json.loads(decode_base64url(parts[1]))
    except (ValueError, RecursionError) as error:
        raise JoseRefusedError("not JSON") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise JoseRefusedError("not objects")
    return header, claims


def key_id(text: str) -> str:
    """`kid` of a compact JWS of any size, before any check; empty where there is none.

    Raises:
        JoseRefusedError: the header cannot be read.

    """
    try:
        header = json.loads(decode_base64url(text.partition(".")[0]))
    except (ValueError, RecursionError) as error:
        raise JoseRefusedError("header is not JSON") from error
    return str(header.get("kid", "")) if isinstance(header, dict) else ""


def verify(text: str, key: Key, *, length_max: int = _TEXT_BYTES_MAX) -> tuple[dict[str, Any], bytes]:
    """Header and payload of a compact JWS signed by this key with an algorithm that goes with it.

    Raises:
        JoseRefusedError: anything else.

    """
    if len(text) > length_max:
        raise JoseRefusedError("too long")
    allowed = list(algorithms_of(key))
    registry = _Registry(algorithms=allowed, strict_check_header=False)
    registry.max_payload_length = max(registry.max_payload_length, length_max)
    try:
        found = jws.deserialize_compact(text.encode("ascii"), key, allowed, registry)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise JoseRefusedError(f"signature: {type(error).__name__}") from error
    return dict(found.headers()), found.payload


def verify_claims(text: str, key: Key) -> Signed:
    """Verify a compact JWT and read its claims.

    Raises:
        JoseRefusedError: not signed by this key, or the payload is no JSON object.

    """
    header, payload = verify(text, key)
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise JoseRefusedError("claims are not JSON") from error
    if not isinstance(claims, dict):
        raise JoseRefusedError("claims are no object")
    return Signed(header, claims)


def seconds(claims: Claims, name: str) -> float | None:
    """Numeric date of a claim; None where it is absent.

    Raises:
        JoseRefusedError: there, but not a finite number.

    """
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        pass
    raise JoseRefusedError(f"{name} is not a numeric date")


def identifier(claims: Claims, name: str = "jti") -> str:
    """Text claim of 1 to 128 characters.

    Raises:
        JoseRefusedError: absent or of another form.

    """
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 128:
        raise JoseRefusedError(f"{name} is not a text of 1 to 128 characters")
    return value
