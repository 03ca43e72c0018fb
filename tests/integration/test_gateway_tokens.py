# SPDX-License-Identifier: Apache-2.0
"""The token service seen from outside: who gets a token, who does not, and what nobody may learn from the answer."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.gateway_world import Gateway, Retailer, jws_of, public, running_gateway, until

pytestmark = pytest.mark.xdist_group("test_gateway_tokens")  # one gateway serves the module

FAILED = b'{"error":"invalid_client","error_description":"client authentication failed"}'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def r1(gateway: Gateway, folder: Path) -> Retailer:
    return Retailer(gateway, "r1").register(folder, ["10013"], scope="slots.read usage.read")


@pytest.fixture(scope="module")
def r2(gateway: Gateway, folder: Path) -> Retailer:
    return Retailer(gateway, "r2").register(folder, ["10021"])


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


@pytest.mark.parametrize(
    "key",
    [ECKey.generate_key("P-256"), RSAKey.generate_key(2048), OKPKey.generate_key("Ed25519")],
    ids=["ES256", "PS256", "Ed25519"],
)
def test_each_accepted_algorithm_gets_a_bound_token_of_300_seconds(gateway: Gateway, folder: Path, key: Any) -> None:
    retailer = Retailer(gateway, f"alg-{type(key).__name__}", key).register(folder, ["10013"])
    answer = retailer.ask_token()
    told = answer.json()
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("DPoP", 300, "slots.read")
    assert answer.headers["cache-control"] == "no-store"
    header, claims = part(told["access_token"], 0), part(told["access_token"], 1)
    assert header["typ"] == "at+jwt"
    assert claims["exp"] - claims["iat"] == 300
    assert claims["cnf"] == {"jkt": key.thumbprint()}
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (gateway.issuer, gateway.issuer, retailer.client_id)
    published = retailer.http.get(f"{gateway.issuer}/oauth2/jwks").json()["keys"]
    assert len(published) == 2
    assert header["kid"] in {each["kid"] for each in published}
    assert retailer.get("/v1/me").json()["client_id"] == retailer.client_id


def test_metadata_names_addresses_of_the_settings_alone(gateway: Gateway, r1: Retailer) -> None:
    pages = [
        r1.http.get(f"{gateway.issuer}/.well-known/{name}").json()
        for name in ("oauth-authorization-server", "openid-configuration")
    ]
    assert pages[0] == pages[1]
    assert pages[0]["issuer"] == gateway.issuer
    assert pages[0]["token_endpoint"] == f"{gateway.issuer}/oauth2/token"
    assert pages[0]["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert "RS256" not in json.dumps(pages[0])


def failing_assertions(gateway: Gateway, r1: Retailer, r2: Retailer) -> dict[str, str]:
    """Every way to be no client that we know."""
    now = int(time.time())
    rsa, claims = RSAKey.generate_key(2048), {"iss": "r1", "sub": "r1", "aud": gateway.issuer, "exp": now + 60}
    claims |= {"jti": "a", "iat": now}
    head, body, signature = r1.assertion().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    secret = OctKey.import_key(json.dumps(public(r1.key)))
    return {
        "unknown client": r1.assertion(iss="nobody", sub="nobody"),
        "other client's name": r1.assertion(iss="r2", sub="r2"),
        "iss differs": r1.assertion(iss="r2"),
        "no sub": r1.assertion(sub=None),
        "sub is a list": r1.assertion(sub=["r1"]),
        "wrong key": Retailer(gateway, "r1").assertion(),
        "RS256": jws_of({}, claims, rsa, "RS256"),
        "HS256 with the public key": jws_of({}, claims, secret, "HS256"),
        "alg none": f"{none}.{body}.",
        "signature cut": f"{head}.{body}.{signature[:-4]}",
        "signature of another": f"{head}.{body}.{r2.assertion().split('.')[2]}",
        "key in the header": jws_of({"jwk": public(rsa)}, claims, rsa, "PS256"),
        "aud of a token endpoint": r1.assertion(aud=f"{gateway.issuer}/oauth2/token"),
        "aud of another": r1.assertion(aud="https://other.example"),
        "aud list": r1.assertion(aud=[gateway.issuer, "https://other.example"]),
        "aud list of one": r1.assertion(aud=[gateway.issuer]),
        "no aud": r1.assertion(aud=None),
        "expired": r1.assertion(exp=now - 300),
        "exp in ten years": r1.assertion(exp=now + 10 * 365 * 86400),
        "exp in six minutes": r1.assertion(exp=now + 360),
        "no exp": r1.assertion(exp=None),
        "exp is a text": r1.assertion(exp=str(now + 60)),
        "iat ahead": r1.assertion(iat=now + 61),
        "no jti": r1.assertion(jti=None),
        "long jti": r1.assertion(jti="j" * 129),
        "jti is an object": r1.assertion(jti={"a": 1}),
        "typ of an access token": jws_of({"typ": "at+jwt"}, claims, r1.key, "ES256"),
        "unknown critical header": jws_of({"crit": ["x"], "x": 1}, claims, r1.key, "ES256"),
        "payload no object": jws_of({}, b"[1]", r1.key, "ES256"),
        "garbage": "x" * 8000,
        "not ASCII": "ä.ö.ü",
        "empty": "",
    }


def told_by(answer: httpx.Response) -> tuple[tuple[str, str], ...]:
    """Headers of an answer that may not depend on the cause of a failure."""
    return tuple((key, value) for key, value in answer.headers.items() if key not in {"date", "koma-trace-id"})


def test_whoever_fails_gets_the_same_bytes_whatever_the_cause(gateway: Gateway, r1: Retailer, r2: Retailer) -> None:
    heads = set()
    for name, assertion in failing_assertions(gateway, r1, r2).items():
        answer = r1.ask_token(client_assertion=assertion)
        assert (answer.status_code, answer.content) == (401, FAILED), name
        heads.add(told_by(answer))
    for name, changed in {
        "client_id of another": {"client_id": "r2"},
        "no assertion type": {"client_assertion_type": "x"},
        "secret": {"client_assertion_type": "", "client_secret": "x", "client_id": "r1"},
    }.items():
        answer = r1.ask_token(**changed)
        assert (answer.status_code, answer.content) == (401, FAILED), name
        heads.add(told_by(answer))
    assert len(heads) == 1


def test_the_clock_may_differ_by_nine_seconds_not_by_sixty_one(gateway: Gateway, r1: Retailer) -> None:
    url, now = f"{gateway.issuer}/oauth2/token", time.time()
    for shift, status in ((9, 200), (-9, 200), (-55, 200), (-61, 400), (61, 400), (15, 400)):
        answer = r1.ask_token(proofs=[r1.proof("POST", url, iat=int(now + shift))])
        assert answer.status_code == status, shift
    assert r1.ask_token(client_assertion=r1.assertion(iat=int(now) + 9)).status_code == 200


def bad_proofs(gateway: Gateway, r1: Retailer) -> dict[str, list[str]]:
    url, other = f"{gateway.issuer}/oauth2/token", Retailer(gateway, "r1")
    private = r1.key.as_dict(private=True)
    head, body, _ = r1.proof("POST", url).split(".")
    return {
        "none": [],
        "two": [r1.proof("POST", url), r1.proof("POST", url)],
        "two in one": [f"{r1.proof('POST', url)}, {r1.proof('POST', url)}"],
        "key not registered": [other.proof("POST", url)],
        "signed by another key": [f"{head}.{body}.{other.proof('POST', url).split('.')[2]}"],
        "private key inside": [r1.proof("POST", url, header={"jwk": private})],
        "no key": [r1.proof("POST", url, header={"jwk": None})],
        "typ": [r1.proof("POST", url, header={"typ": "JWT"})],
        "method": [r1.proof("GET", url)],
        "method in small letters": [r1.proof("post", url)],
        "address": [r1.proof("POST", f"{gateway.issuer}/oauth2/revoke")],
        "address of another host": [r1.proof("POST", url.replace("localhost", "other.example"))],
        "http": [r1.proof("POST", url.replace("https:", "http:"))],
        "no iat": [r1.proof("POST", url, iat=None)],
        "no jti": [r1.proof("POST", url, jti=None)],
        "long jti": [r1.proof("POST", url, jti="j" * 129)],
        "exp past": [r1.proof("POST", url, exp=int(time.time()) - 1)],
        "nbf ahead": [r1.proof("POST", url, nbf=int(time.time()) + 60)],
        "garbage": ["x" * 3000],
        "not JSON": ["a.b.c"],
    }


def test_a_proof_that_proves_nothing_is_refused(gateway: Gateway, r1: Retailer) -> None:
    for name, proofs in bad_proofs(gateway, r1).items():
        answer = r1.ask_token(proofs=proofs)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof"), name


def test_addresses_are_compared_normalised(gateway: Gateway, r1: Retailer) -> None:
    url = f"{gateway.issuer}/oauth2/token"
    for written in (url.replace("https://localhost", "HTTPS://LocalHost"), f"{url}?x=1", f"{url}#part"):
        assert r1.ask_token(proofs=[r1.proof("POST", written)]).status_code == 200, written


def test_of_many_copies_of_a_request_exactly_one_passes(gateway: Gateway, r1: Retailer) -> None:
    url = f"{gateway.issuer}/oauth2/token"
    assertion, proof = r1.assertion(), r1.proof("POST", url)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(
            pool.map(lambda _: r1.ask_token(client_assertion=assertion, proofs=[proof]).status_code, range(100))
        )
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 400, 401}
    assert r1.ask_token(proofs=[proof]).json()["error"] == "invalid_dpop_proof"
    assert r1.ask_token(client_assertion=assertion).content == FAILED


def test_whoever_is_no_client_cannot_fill_the_replay_memory(gateway: Gateway, r1: Retailer) -> None:
    stranger = Retailer(gateway, "r1")
    with redis.Redis(unix_socket_path=str(gateway.runtime / "edge-redis.sock")) as store:
        before = store.dbsize()
        for _ in range(50):
            assert stranger.ask_token().status_code == 401
        assert store.dbsize() <= before
        assert r1.ask_token().status_code == 200
        assert store.dbsize() == before + 2
        lives = [store.ttl(key) for key in store.keys("koma:dmz:*")]
    assert max(lives) <= 400


def test_forms_that_are_not_of_their_kind_are_named_so(gateway: Gateway, r1: Retailer) -> None:
    url = f"{gateway.issuer}/oauth2/token"
    for changed, error in (
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"scope": "usage.read everything"}, "invalid_scope"),
        ({"scope": "switching.write"}, "invalid_scope"),
    ):
        answer = r1.ask_token(**changed)
        assert (answer.status_code, answer.json()["error"]) == (400, error), changed
    assert r1.ask_token(scope="usage.read").json()["scope"] == "usage.read"
    for content, kind in (
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b'{"grant_type":"client_credentials"}', "application/json"),
        (b"\xff\xfe", "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
    ):
        answer = r1.http.post(url, content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    answer = r1.http.post(url, content=b"a=" + b"x" * 20_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
    answer = r1.http.get(url)
    assert (answer.status_code, answer.json()["code"]) == (405, "request.method")


def test_a_token_serves_its_holder_only(gateway: Gateway, r1: Retailer, r2: Retailer) -> None:
    token, url = r1.token(), f"{gateway.issuer}/v1/me"
    good = {"Authorization": f"DPoP {token}", "DPoP": r1.proof("GET", url, token)}
    assert r1.http.get(url, headers=good).status_code == 200
    head, body, signature = token.split(".")
    cases: dict[str, tuple[list[tuple[str, str]], str]] = {
        "nothing": ([], "auth.token"),
        "bearer": ([("Authorization", f"Bearer {token}")], "auth.token"),
        "no proof": ([("Authorization", f"DPoP {token}")], "auth.proof"),
        "proof again": (list(good.items()), "auth.proof"),
        "two proofs": (
            [("Authorization", f"DPoP {token}"), *[("DPoP", r1.proof("GET", url, token))] * 2],
            "auth.proof",
        ),
        "another's key": ([("Authorization", f"DPoP {token}"), ("DPoP", r2.proof("GET", url, token))], "auth.proof"),
        "another's token": (
            [("Authorization", f"DPoP {r2.token()}"), ("DPoP", r1.proof("GET", url, token))],
            "auth.proof",
        ),
        "no ath": ([("Authorization", f"DPoP {token}"), ("DPoP", r1.proof("GET", url))], "auth.proof"),
        "other method": ([("Authorization", f"DPoP {token}"), ("DPoP", r1.proof("HEAD", url, token))], "auth.proof"),
        "other path": ([("Authorization", f"DPoP {token}"), ("DPoP", r1.proof("GET", url + "x", token))], "auth.proof"),
        "signature cut": ([("Authorization", f"DPoP {head}.{body}.{signature[:-3]}"), ("DPoP", "x")], "auth.token"),
        "own token": (
            [
                ("Authorization", f"DPoP {jws_of({'typ': 'at+jwt'}, part(token, 1), r1.key, 'ES256')}"),
                ("DPoP", r1.proof("GET", url, token)),
            ],
            "auth.token",
        ),
    }
    for name, (headers, code) in cases.items():
        answer = r1.http.get(url, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code), name
        assert answer.headers["www-authenticate"].startswith("DPoP "), name
    two = r1.http.get(url, headers=[("Authorization", f"DPoP {token}")] * 2 + [("DPoP", r1.proof("GET", url, token))])
    assert two.json()["code"] in {"request.malformed", "auth.token"}  # the edge or the policy, by nginx's version
    scheme = {"Authorization": f"dpop {token}", "DPoP": r1.proof("GET", url, token)}
    assert r1.http.get(url, headers=scheme).status_code == 200


def test_a_revoked_token_opens_nothing_and_another_s_cannot_be_revoked(
    gateway: Gateway, r1: Retailer, r2: Retailer
) -> None:
    token = r1.token()

    def revoke(by: Retailer, text: str) -> httpx.Response:
        form = {
            "token": text,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": by.assertion(),
        }
        return by.http.post(f"{gateway.issuer}/oauth2/revoke", data=form)

    assert revoke(r2, token).status_code == 200
    assert r1.get("/v1/me", token).status_code == 200
    assert revoke(r1, "no token").status_code == 200
    assert revoke(r1, token).status_code == 200
    answer = r1.get("/v1/me", token)
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.token")
    stranger = revoke(Retailer(gateway, "r1"), token)
    assert (stranger.status_code, stranger.content) == (401, FAILED)


@pytest.mark.parametrize("how", ["suspend", "revoke"])
def test_a_stopped_client_is_out_within_a_second_and_only_a_suspended_one_comes_back(
    gateway: Gateway, folder: Path, how: str
) -> None:
    retailer = Retailer(gateway, f"stop-{how}").register(folder, ["10013"])
    token = retailer.token()
    assert retailer.get("/v1/releases", token).status_code == 200
    done = gateway.koma("gateway", "client", how, retailer.client_id, "--by", "Person A")
    assert done.returncode == 0, done.stderr
    begun = time.monotonic()
    until(lambda: retailer.ask_token().content == FAILED, "no more tokens", 1.0)
    until(lambda: retailer.get("/v1/releases", token).status_code == 401, "no more data", 1.0)
    assert time.monotonic() - begun < 2.0
    if how == "revoke":
        jwks = str(retailer.write_jwks(folder))
        wanted = ("--retailer", "10013", "--jwks", jwks, "--scope", "slots.read", "--by", "Person A", "--json")
        refused = gateway.koma("gateway", "client", "propose", retailer.client_id, *wanted)
        assert (refused.returncode, json.loads(refused.stdout)["error"]["code"]) == (1, "gateway.registration")
        return
    retailer.register(folder, ["10013"])  # under four eyes
    assert retailer.get("/v1/releases").status_code == 200
    assert retailer.get("/v1/releases", token).status_code == 401  # of the epoch before


def test_the_audit_says_who_was_refused_and_finds_it_by_the_trace_id_of_the_answer(
    gateway: Gateway, r1: Retailer, r2: Retailer
) -> None:
    """Token decisions too; who is named only where a registered key signed or a token was verified."""
    answers = {
        "issued": r1.ask_token(),
        "signed": r1.ask_token(client_assertion=r1.assertion(aud="https://other.example")),
        "unsigned": Retailer(gateway, "r1").ask_token(),
        "proof": r1.ask_token(proofs=[]),
        "no grant": r1.ask_token(grant_type=""),
        "not its code": r1.get("/v1/files/10021/W41110202608221630000001.zip"),
        "not its slot": r1.get("/v1/slots/10021/20260822/34"),
        "no token": r1.http.get(f"{gateway.issuer}/v1/slots/10021/20260822/34"),
        "open": r1.http.get(f"{gateway.issuer}/v1/status"),
        "edge": r1.http.get(f"{gateway.issuer}/elsewhere"),
    }
    traces = {name: answer.headers["koma-trace-id"] for name, answer in answers.items()}
    assert len(set(traces.values())) == len(traces)
    assert answers["signed"].content == answers["unsigned"].content == FAILED
    for name in ("not its code", "not its slot", "no token", "edge"):
        assert answers[name].json()["trace_id"] == traces[name], name

    def told() -> dict[str, dict[str, Any]] | None:
        lines = {line["trace_id"]: line for line in gateway.audit()}
        found = {name: lines[trace] for name, trace in traces.items() if trace in lines}
        return found if len(found) == len(traces) - 2 else None  # what is open, and what the edge ends, is no decision

    found = until(told, "the decisions to be on record")
    assert {name: (line["decision"], line["client"]) for name, line in found.items()} == {
        "issued": ("token", "r1"),
        "signed": ("token refused", "r1"),
        "unsigned": ("token refused", ""),
        "proof": ("token refused", "r1"),
        "no grant": ("token refused", ""),
        "not its code": ("refuse", "r1"),
        "not its slot": ("refuse", "r1"),
        "no token": ("refuse", ""),
    }
    assert found["unsigned"]["reason"] == "invalid_client says it is r1, wrong signature"
    assert found["not its code"]["object"] == "10021/20260822/W41110202608221630000001.zip"
    assert found["not its slot"]["object"] == "10021 20260822 34"
    assert found["not its slot"]["reason"].startswith("RET-004")
    assert found["not its slot"]["key"] == r1.key.thumbprint()


def test_nobody_approves_what_they_proposed(gateway: Gateway, folder: Path) -> None:
    retailer = Retailer(gateway, "four-eyes")
    jwks = str(retailer.write_jwks(folder))
    wanted = ("propose", "four-eyes", "--retailer", "10013", "--jwks", jwks, "--scope", "slots.read")
    change = json.loads(gateway.koma("gateway", "client", *wanted, "--by", "Person A").stdout)["change"]
    for person in ("Person A", "person a", " Person  A "):
        refused = gateway.koma("gateway", "client", "approve", change, "--by", person, "--json")
        assert refused.returncode == 1
        assert json.loads(refused.stdout)["error"]["code"] == "gateway.four_eyes"
    assert retailer.ask_token().content == FAILED
    assert gateway.koma("gateway", "client", "approve", change, "--by", "Person B").returncode == 0
    again = gateway.koma("gateway", "client", "approve", change, "--by", "Person C", "--json")
    assert json.loads(again.stdout)["error"]["code"] == "gateway.registration"
    until(lambda: retailer.ask_token().status_code == 200, "the approved client")


def test_a_conformance_client_gets_tokens_with_any_key_and_no_data(gateway: Gateway, folder: Path) -> None:
    retailer = Retailer(gateway, "conformance").register(folder, ["10013"], "--dpop", "any")
    signing, retailer.key = retailer.key, ECKey.generate_key("P-256")
    proof = retailer.proof("POST", f"{gateway.issuer}/oauth2/token")
    fresh, retailer.key = retailer.key, signing
    answer = retailer.ask_token(proofs=[proof])
    assert answer.status_code == 200
    retailer.key = fresh
    token = answer.json()["access_token"]
    assert retailer.get("/v1/me", token).status_code == 200
    for path in ("/v1/releases", "/v1/files/10013/W41110202608221630000001.zip", "/v1/slots/10013/20260822/34"):
        answer = retailer.get(path, token)
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope"), path


def test_me_tells_the_caller_what_it_may(gateway: Gateway, r1: Retailer) -> None:
    told = r1.get("/v1/me").json()
    assert told["retailers"] == ["10013"]
    assert told["scopes"] == ["slots.read", "usage.read"]
    assert [key["kid"] for key in told["keys"]] == [r1.key.thumbprint()]
    assert told["limits"]["feed_wait_s_max"] == 25


def test_a_token_without_the_scope_reads_no_slots(gateway: Gateway, r1: Retailer) -> None:
    answer = r1.get("/v1/releases", r1.token("usage.read"))
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope")


def test_with_nonces_on_a_proof_needs_the_server_s_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_gateway(tmp_path_factory.mktemp("home"), KOMA_DPOP_NONCE="on") as gateway:
        folder = tmp_path_factory.mktemp("keys")
        retailer = Retailer(gateway, "r1")
        gateway.register(
            "r1", "--retailer", "10013", "--jwks", str(retailer.write_jwks(folder)), "--scope", "slots.read"
        )
        answer = until(lambda: _known(retailer.ask_token()), "the client to be known")
        assert (answer.status_code, answer.json()["error"]) == (400, "use_dpop_nonce")
        retailer.nonce = "not the server's"
        assert retailer.ask_token().json()["error"] == "use_dpop_nonce"
        retailer.nonce = answer.headers["dpop-nonce"]
        token = retailer.token()
        assert retailer.get("/v1/me", token).status_code == 200
        assert retailer.get("/v1/releases", token).status_code == 200
        retailer.nonce = None
        answer = retailer.get("/v1/me", token)
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.proof")
        assert 'error="use_dpop_nonce"' in answer.headers["www-authenticate"]
        retailer.nonce = answer.headers["dpop-nonce"]
        assert retailer.get("/v1/me", token).status_code == 200
        private = folder / "r1.json"
        private.write_text(json.dumps(retailer.key.as_dict(private=True)))
        credentials = ("--client-id", "r1", "--key", str(private), "--ca", str(gateway.ca))
        done = gateway.koma("pull", *credentials, "--dest", str(folder / "pulled"), "--json")
        assert done.returncode == 0, done.stdout


def _known(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code != 401 else None
