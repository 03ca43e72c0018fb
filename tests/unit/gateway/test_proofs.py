# SPDX-License-Identifier: Apache-2.0
import pytest
from joserfc.jwk import ECKey

from gateway import jose
from gateway.errors import JoseRefusedError
from gateway.proofs import NONCE_S, Nonces, normalised, verify_proof

URL = "https://localhost:8443/v1/me"
NOW = 1_800_000_000.0


def proof(**claims: object) -> str:
    key = ECKey.generate_key("P-256")
    member = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
    base = {"jti": "a", "htm": "GET", "htu": URL, "iat": NOW}
    return jose.sign_claims({"typ": "dpop+jwt", "jwk": member}, {**base, **claims}, key)


def accepted(text: str, now_s: float = NOW) -> bool:
    try:
        verify_proof(text, method="GET", url=URL, now_s=now_s, token=None)
    except JoseRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("age_s", "expected"), [(-10, True), (-11, False), (0, True), (60, True), (61, False), (9, True)]
)
def test_a_proof_is_good_from_sixty_seconds_back_to_ten_ahead(age_s: int, expected: object) -> None:
    assert accepted(proof(), NOW + age_s) is expected


@pytest.mark.parametrize(
    "written",
    ["HTTPS://LOCALHOST:8443/v1/me", URL + "?a=b", URL + "#c"],
)
def test_one_address_may_be_written_in_several_ways(written: str) -> None:
    assert accepted(proof(htu=written))


@pytest.mark.parametrize(
    "written",
    [
        "https://localhost/v1/me",
        "https://user@localhost:8443/v1/me",
        "https://localhost:8443/v1/me/",
        "https://localhost:8443/v1/./me",
        "//localhost:8443/v1/me",
        "https://localhost:port/v1/me",
        "",
        7,
    ],
)
def test_another_address_is_another(written: object) -> None:
    assert not accepted(proof(htu=written))


def test_the_default_port_counts_as_written() -> None:
    assert normalised("https://a.example/x") == normalised("https://A.example:443/x")
    assert normalised("https://a.example") == normalised("https://a.example/")


@pytest.mark.parametrize("iat", ["now", None, True, float("1e400"), [NOW]])
def test_a_time_that_is_no_number_is_refused(iat: object) -> None:
    assert not accepted(proof(iat=iat))


def test_a_nonce_is_good_for_its_turn_and_the_next() -> None:
    nonces = Nonces(b"s" * 32)
    given = nonces.current(NOW)
    assert nonces.accepts(given, NOW)
    assert nonces.accepts(given, NOW + NONCE_S)
    assert not nonces.accepts(given, NOW + 2 * NONCE_S)
    assert not nonces.accepts(given + "x", NOW)
    assert not nonces.accepts(None, NOW)
    assert not Nonces(b"t" * 32).accepts(given, NOW)
