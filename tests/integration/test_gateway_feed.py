# SPDX-License-Identifier: Apache-2.0
"""The release feed, slots, and the second lock behind them."""

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from tests.gateway_deliveries import points, slot_start
from tests.gateway_world import Gateway, Retailer, base64url, jws_of, running_gateway, until

pytestmark = pytest.mark.xdist_group("test_gateway_feed")  # one gateway serves the module

ROWS = [(point, 100 + index) for index, point in enumerate(points(30))]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


CODES = iter(f"2{number:04d}" for number in range(100))


@pytest.fixture
def code() -> str:
    """A retailer code of the test's own."""
    return next(CODES)


@pytest.fixture
def retailer(gateway: Gateway, folder: Path, code: str) -> Retailer:
    return Retailer(gateway, f"client-{code}").register(folder, [code])


def feed(retailer: Retailer, query: str = "") -> dict[str, Any]:
    answer = retailer.get(f"/v1/releases{query}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def until_published(retailer: Retailer, count: int) -> list[dict[str, Any]]:
    def enough() -> list[dict[str, Any]] | None:
        found = feed(retailer)["releases"]
        return found if len(found) >= count else None

    found: list[dict[str, Any]] = until(enough, f"{count} releases")
    return found


def test_a_slot_s_life_is_told_release_by_release(gateway: Gateway, retailer: Retailer, code: str) -> None:
    """A split, the closing with two files, a revision; each with what a client needs to check it."""
    start, issue = slot_start(), gateway.deliveries.issue
    path = f"/v1/slots/{code}/20260822/34"
    state = retailer.get(path).json()
    assert (state["state"], state["releases"]) == ("pending", [])
    assert state["deadline_at"] == "2026-08-22T18:00:00+09:00"

    (first,) = issue(code, start, ROWS[:10], after_min=40)
    until_published(retailer, 1)
    assert retailer.get(path).json()["state"] == "partial"
    rest = issue(code, start, ROWS[10:20], split=2, after_min=75, more=[ROWS[20:]], closed=(30, 30, 0))
    until_published(retailer, 2)
    assert retailer.get(path).json()["state"] == "closed"
    (revised,) = issue(code, start, [(ROWS[0][0], None)], revision=1, after_min=120)
    split, closing, revision = until_published(retailer, 3)
    told = retailer.get(path).json()
    assert told["state"] == "revised"
    assert told["releases"] == [split, closing, revision]

    assert [each["kind"] for each in (split, closing, revision)] == ["split", "closing", "revision"]
    assert [each["revision"] for each in (split, closing, revision)] == [0, 0, 1]
    assert (split["from"], split["to"]) == ("2026-08-22T16:30:00+09:00", "2026-08-22T17:00:00+09:00")
    assert (split["slot_code"], split["product"], split["retailer_code"]) == (34, "W41110", code)
    assert split["issued_at"] == "2026-08-22T17:10:00+09:00"
    assert split["deadline_at"] == "2026-08-22T18:00:00+09:00"
    assert (split["closed"], revision["closed"]) == (None, None)
    assert closing["closed"] == {"expected": 30, "available": 30, "missing": 0}
    assert (closing["rows"], closing["available"]) == (20, 20)
    assert (revision["rows"], revision["available"]) == (1, 0)
    assert revision["supersedes"] == [split["id"], closing["id"]]
    assert split["supersedes"] == []
    assert [each["url"].rpartition("/")[2] for each in closing["files"]] == [
        name for zipped in rest for name in (zipped, zipped.replace(".zip", ".parquet"))
    ]
    for release, names in ((split, [first]), (closing, rest), (revision, [revised])):
        for file in release["files"]:
            assert file["url"].startswith(f"{gateway.issuer}/v1/files/{code}/")
            answer = retailer.get(file["url"].removeprefix(gateway.issuer))
            assert len(answer.content) == file["bytes"]
            assert answer.headers["etag"] == f'"{file["sha256"]}"'
            assert answer.headers["content-type"] == file["media_type"]
        assert len(release["files"]) == 2 * len(names)


def test_a_closing_release_exists_even_without_a_file(gateway: Gateway, retailer: Retailer, code: str) -> None:
    gateway.deliveries.issue(code, slot_start(), [], after_min=75, closed=(0, 0, 0))
    (release,) = until_published(retailer, 1)
    assert (release["kind"], release["files"], release["rows"]) == ("closing", [], 0)


def test_the_manifest_is_signed_inside_over_all_but_two_members(
    gateway: Gateway, retailer: Retailer, code: str
) -> None:
    gateway.deliveries.issue(code, slot_start(), ROWS, after_min=75, closed=(30, 30, 0))
    (release,) = until_published(retailer, 1)
    (member,) = retailer.get("/v1/release-keys").json()["keys"]
    registry = jws.JWSRegistry(algorithms=["Ed25519"])
    found = jws.deserialize_compact(
        release["manifest"], OKPKey.import_key(member), algorithms=["Ed25519"], registry=registry
    )
    assert found.headers()["kid"] == member["kid"]
    unsigned = {name: value for name, value in release.items() if name not in {"published_at", "manifest"}}
    assert json.loads(found.payload) == unsigned


def test_cursors_skip_nothing_and_repeat_nothing(gateway: Gateway, retailer: Retailer, code: str) -> None:
    for number in range(7):
        start = slot_start() + timedelta(minutes=30 * number)
        gateway.deliveries.issue(code, start, ROWS[:2], after_min=75, closed=(2, 2, 0))
    every = [each["id"] for each in until_published(retailer, 7)]
    assert len(set(every)) == 7
    seen, cursor = [], ""
    while True:
        page = feed(retailer, f"?limit=3{cursor}")
        seen += [each["id"] for each in page["releases"]]
        cursor = f"&after={page['next']}"
        if not page["releases"]:
            break
        assert len(page["releases"]) <= 3
    assert seen == every
    assert feed(retailer, f"?limit=3{cursor}")["releases"] == []
    gateway.deliveries.issue(code, slot_start(), [(ROWS[0][0], 5)], revision=1, after_min=120)
    page = until(lambda: _nonempty(feed(retailer, f"?limit=3{cursor}")), "the revision")
    assert [each["kind"] for each in page["releases"]] == ["revision"]


def _nonempty(page: dict[str, Any]) -> dict[str, Any] | None:
    return page if page["releases"] else None


def test_a_waiting_client_is_answered_as_soon_as_something_is_there(
    gateway: Gateway, retailer: Retailer, code: str
) -> None:
    cursor = feed(retailer)["next"]
    found: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: found.append(feed(retailer, f"?after={cursor}&wait=25")))
    begun = time.monotonic()
    waiting.start()
    gateway.deliveries.issue(code, slot_start(), ROWS, after_min=75, closed=(30, 30, 0))
    waiting.join()
    assert [each["kind"] for each in found[0]["releases"]] == ["closing"]
    assert time.monotonic() - begun < 20
    empty = feed(retailer, f"?after={found[0]['next']}&wait=1")
    assert empty["releases"] == []


def test_a_client_that_is_stopped_while_it_waits_gets_nothing(gateway: Gateway, folder: Path, code: str) -> None:
    retailer = Retailer(gateway, f"stopped-{code}").register(folder, [code])
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(retailer.get("/v1/releases?wait=25")))
    waiting.start()
    gateway.koma("gateway", "client", "suspend", f"stopped-{code}", "--by", "Person A")
    gateway.deliveries.issue(code, slot_start(), ROWS, after_min=75, closed=(30, 30, 0))
    waiting.join()
    assert answers[0].status_code == 401


def test_a_cursor_of_another_feed_is_gone_and_no_cursor_is_invalid(retailer: Retailer, code: str) -> None:
    epoch, places = json.loads(base64.urlsafe_b64decode(feed(retailer)["next"] + "=="))
    old = base64url(json.dumps(["0" * len(epoch), places]).encode())
    answer = retailer.get(f"/v1/releases?after={old}")
    assert (answer.status_code, answer.json()["code"]) == (410, "feed.cursor_gone")
    for query, pointer in (
        ("after=nonsense", "#/query/after"),
        ("after=", "#/query/after"),
        ("wait=26", "#/query/wait"),
        ("wait=x", "#/query/wait"),
        ("limit=0", "#/query/limit"),
        ("limit=501", "#/query/limit"),
    ):
        answer = retailer.get(f"/v1/releases?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid"), query
        assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    answer = retailer.get("/v1/releases", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json()["code"]) == (406, "format.unsupported")


def test_ret_004_a_feed_holds_the_client_s_own_codes_only(
    gateway: Gateway, folder: Path, retailer: Retailer, code: str
) -> None:
    """RET-004: one client of two codes, another of a third; a code that is added later is told from its start."""
    other, later = next(CODES), next(CODES)
    for each in (code, other, later):
        gateway.deliveries.issue(each, slot_start(), ROWS, after_min=75, closed=(30, 30, 0))
    assert {each["retailer_code"] for each in until_published(retailer, 1)} == {code}
    several = Retailer(gateway, f"several-{code}").register(folder, [other])
    cursor = feed(several)["next"]
    assert {each["retailer_code"] for each in until_published(several, 1)} == {other}
    several.register(folder, [other, later])

    def told() -> dict[str, Any] | None:
        return _nonempty(feed(several, f"?after={cursor}"))

    assert [each["retailer_code"] for each in until(told, "the later code")["releases"]] == [later]


def test_what_no_manifest_names_is_not_listed(gateway: Gateway, retailer: Retailer, code: str) -> None:
    """RET-005: files that lie there before their manifest line are invisible; so is a half-written line."""
    start = slot_start()
    gateway.deliveries.issue(code, start, ROWS, after_min=75, closed=(30, 30, 0))
    until_published(retailer, 1)
    manifest = gateway.deliveries.root / code / "20260822" / "manifest.jsonl"
    whole = manifest.read_text()
    (name,) = gateway.deliveries.issue(code, start, [(ROWS[0][0], 5)], revision=1, after_min=120)
    full = until_published(retailer, 2)
    assert len(full) == 2
    manifest.write_text(whole)  # as if it had not been written yet; what was issued is fact and stays
    assert len(feed(retailer)["releases"]) == 2
    assert retailer.get(f"/v1/files/{code}/{name}").status_code == 200
    half = '{"file":"W41110202608221630020001.zip"'
    manifest.write_text(whole + half)
    (gateway.deliveries.root / code / "20260822" / "W41110202608221630020001.zip").write_bytes(b"early")
    assert len(feed(retailer, "?wait=1")["releases"]) == 2
    assert retailer.get(f"/v1/files/{code}/W41110202608221630020001.zip").status_code == 404


def ask_part(gateway: Gateway, part: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """Ask the guard itself, as whoever owns the DMZ could, or the policy without the edge before it."""
    transport = httpx.HTTPTransport(uds=str(gateway.runtime / f"{part}.sock"))
    with httpx.Client(transport=transport, base_url="http://part", timeout=20) as client:
        return client.get(path, headers=headers)


@pytest.mark.parametrize("part", ["policy", "guard"])
def test_ret_004_each_lock_alone_keeps_another_retailer_s_objects_shut(
    gateway: Gateway, retailer: Retailer, code: str, part: str
) -> None:
    """RET-004, RET-005: no lock leans on the other; what they name is never a file of somebody else."""
    other = next(CODES)
    (name,) = gateway.deliveries.issue(code, slot_start(), ROWS, after_min=75, closed=(30, 30, 0))
    assert gateway.deliveries.issue(other, slot_start(), ROWS, after_min=75, closed=(30, 30, 0)) == [name]
    until_published(retailer, 1)
    token = retailer.token()

    def ask(path: str) -> httpx.Response:
        proof = retailer.proof("GET", gateway.issuer + path, token)
        return ask_part(gateway, part, path, {"Authorization": f"DPoP {token}", "DPoP": proof})

    own = ask(f"/v1/files/{code}/{name}")
    assert own.status_code == 200
    assert code in own.headers["x-accel-redirect"]
    shut = [
        f"/v1/files/{other}/{name}",
        f"/v1/files/{code}%2f..%2f{other}/{name}",
        f"/v1/files/{code}/..%2f{other}%2f{name}",
        f"/v1/slots/{other}/20260822/34",
        f"/v1/files/{code}/manifest.jsonl",
    ]
    for path in shut:
        answer = ask(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        assert "x-accel-redirect" not in answer.headers


def test_whoever_owns_the_dmz_and_its_signing_key_reads_nothing_without_a_retailer_s_key(
    gateway: Gateway, retailer: Retailer, code: str
) -> None:
    """The second lock: tokens of any content, signed with the real key, do not replace the retailer's own proof."""
    (name,) = gateway.deliveries.issue(code, slot_start(), ROWS, after_min=75, closed=(30, 30, 0))
    until_published(retailer, 1)
    path = f"/v1/files/{code}/{name}"
    url = gateway.issuer + path
    signing = ECKey.import_key(json.loads((gateway.home / "gateway/dmz/token-keys.json").read_text())["keys"][0])
    thief = Retailer(gateway, retailer.client_id)
    real = retailer.token()
    claims = json.loads(base64.urlsafe_b64decode(real.split(".")[1] + "=="))
    forged = jws_of(
        {"typ": "at+jwt", "kid": signing.thumbprint()},
        {**claims, "cnf": {"jkt": thief.key.thumbprint()}, "jti": uuid.uuid4().hex},
        signing,
        "ES256",
    )

    def status(token: str, proof: str) -> int:
        return ask_part(gateway, "guard", path, {"Authorization": f"DPoP {token}", "DPoP": proof}).status_code

    assert status(forged, thief.proof("GET", url, forged)) == 401
    assert status(real, thief.proof("GET", url, real)) == 401
    assert status(forged, retailer.proof("GET", url, real)) == 401
    assert status(real, retailer.proof("GET", url + "x", real)) == 401
    assert status(real, retailer.proof("HEAD", url, real)) == 401
    assert status(real, retailer.proof("GET", url, real, iat=int(time.time()) - 61)) == 401
    outdated = jws_of({"typ": "at+jwt"}, {**claims, "epoch": claims["epoch"] - 1}, signing, "ES256")
    assert status(outdated, retailer.proof("GET", url, outdated)) == 401
    seen = retailer.proof("GET", url, real)
    assert status(real, seen) == 200
    assert status(real, seen) == 401  # a proof that passed once was kept by the thief
    fresh = retailer.get(path, real)
    assert fresh.status_code == 200


def test_the_inward_port_takes_no_stranger(gateway: Gateway) -> None:
    """Mutual TLS: without the DMZ's certificate nothing is answered inside."""
    listing = (gateway.runtime / "inner" / "inner.conf").read_text()
    port = int(listing.partition("listen 127.0.0.1:")[2].partition(" ")[0])
    with httpx.Client(verify=False, timeout=10) as client:  # noqa: S501  whom it meets is not the question here
        answer = client.get(f"https://127.0.0.1:{port}/zone/registrations")
    assert answer.status_code == 400
    assert b"retailers" not in answer.content


def test_open_resources_need_no_token(gateway: Gateway, retailer: Retailer) -> None:
    http = retailer.http
    assert http.get(f"{gateway.issuer}/v1/status").json() == {
        "status": "ok",
        "inner_zone": True,
        "replay_store": True,
    }
    assert http.head(f"{gateway.issuer}/v1/status").status_code == 200
    described = http.get(f"{gateway.issuer}/v1/openapi.json").json()
    assert "/v1/releases" in described["paths"]
    assert http.get(f"{gateway.issuer}/v1/problems/auth.proof").json()["status"] == 401
    assert http.get(f"{gateway.issuer}/v1/problems/nothing").json()["code"] == "not_found"


def test_a_bad_manifest_line_holds_back_its_own_retailer_only(gateway: Gateway, folder: Path, code: str) -> None:
    good = next(CODES)
    retailer = Retailer(gateway, f"both-{code}").register(folder, [code, good])
    for each in (code, good):
        gateway.deliveries.issue(each, slot_start(), ROWS, after_min=75, closed=(30, 30, 0))
    until_published(retailer, 2)
    manifest = gateway.deliveries.root / code / "20260822" / "manifest.jsonl"
    whole = manifest.read_text()
    manifest.write_text(whole + '{"file":"W41110202608221630010001.zip","broken":true}\n')
    later: datetime = slot_start() + timedelta(minutes=30)
    gateway.deliveries.issue(good, later, ROWS, after_min=75, closed=(30, 30, 0))
    assert len(until_published(retailer, 3)) == 3
    log = gateway.home / "gateway" / "inner" / "guard.log"
    until(lambda: f"{code}/20260822/manifest.jsonl line 3" in log.read_text(), "the line to be named in the log")
    manifest.write_text(whole)
    (name,) = gateway.deliveries.issue(code, slot_start(), [(ROWS[0][0], 7)], revision=1, after_min=120)
    until(lambda: retailer.get(f"/v1/files/{code}/{name}").status_code == 200, "the repaired manifest")
