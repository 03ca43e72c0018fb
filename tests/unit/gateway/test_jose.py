# SPDX-License-Identifier: Apache-2.0
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway import jose
from gateway.errors import JoseRefusedError, KeyFormError
from tests.gateway_world import jws_of

KEYS: list[Any] = [ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)]


@pytest.mark.parametrize("key", KEYS, ids=["EC", "OKP", "RSA"])
def test_a_thumbprint_needs_no_import_and_equals_the_library_s(key: Any) -> None:
    assert jose.thumbprint(jose.public_member(key)) == key.thumbprint()


def test_the_thumbprint_of_rfc_7638_is_found() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    member = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert jose.thumbprint(member) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize(
    "member",
    [
        None,
        [],
        {},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "Ed448", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": 5},
        KEYS[0].as_dict(private=True),
        {"kty": "RSA", "e": "AQAB", "n": jose.encode_base64url(b"\xff" * 128)},
        {"kty": "RSA", "e": "AQAB", "n": jose.encode_base64url(b"\xff" * 1024)},
        {"kty": "RSA", "e": "AQAB", "n": "!"},
    ],
)
def test_keys_of_other_kinds_are_refused(member: object) -> None:
    with pytest.raises(KeyFormError):
        jose.public_key(member)


def test_the_legacy_name_of_ed25519_is_accepted_with_such_a_key_only() -> None:
    text = jws_of({}, {"a": 1}, KEYS[1], "EdDSA")
    assert jose.verify_claims(text, KEYS[1]).claims == {"a": 1}
    with pytest.raises(JoseRefusedError):
        jose.verify_claims(text, KEYS[0])


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "...", "e30.e30", "e30.W10.x", "W10.e30.x", "é.é.é", "x" * 9000])
def test_what_is_no_jwt_is_refused_before_anything_is_computed(text: str) -> None:
    with pytest.raises(JoseRefusedError):
        jose.unverified(text)


def test_deep_nesting_is_refused() -> None:
    bomb = jose.encode_base64url(b"[" * 4000)
    with pytest.raises(JoseRefusedError):
        jose.unverified(f"{bomb}.{bomb}.x")


@pytest.mark.parametrize("form", ["jwk", "pem"])
@pytest.mark.parametrize("key", KEYS, ids=["EC", "OKP", "RSA"])
def test_a_private_key_is_read_as_jwk_or_pem(tmp_path: Any, key: Any, form: str) -> None:
    file = tmp_path / "key"
    if form == "jwk":
        file.write_text(json.dumps(key.as_dict(private=True)))
    else:
        file.write_bytes(
            key.private_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    assert jose.read_private_key(file).thumbprint() == key.thumbprint()


@pytest.mark.parametrize("content", [b"", b"{}", b"{", b"-----BEGIN PRIVATE KEY-----", b'{"kty":"oct","k":"AA"}'])
def test_a_file_that_holds_no_private_key_is_named(tmp_path: Any, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(KeyFormError):
        jose.read_private_key(file)


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), True, "1"])
def test_a_date_that_no_float_can_carry_is_refused(value: object) -> None:
    with pytest.raises(JoseRefusedError):
        jose.seconds({"exp": value}, "exp")
