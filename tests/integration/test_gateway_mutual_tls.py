# SPDX-License-Identifier: Apache-2.0
"""File list and file receive over mutual TLS, as existing retailer clients speak them."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.gateway_deliveries import points, slot_start
from tests.gateway_world import Gateway, Retailer, running_gateway, tls_client, until

pytestmark = pytest.mark.xdist_group("test_gateway_mutual_tls")  # one gateway serves the module

ROWS = [(point, 100 + index) for index, point in enumerate(points(30))]
START = slot_start()


@dataclass
class Certificate:
    certificate: Path
    key: Path


def make(
    folder: Path, name: str, *, days: int = 30, started: int = 1, issuer: Certificate | None = None, **kind: bool
) -> Certificate:
    """A client certificate: self-signed, or issued by another; `rsa_key=True` for an RSA key."""
    key = rsa.generate_private_key(65537, 2048) if kind.get("rsa_key") else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = subject, key
    if issuer is not None:
        issuer_name = x509.load_pem_x509_certificate(issuer.certificate.read_bytes()).subject
        loaded = serialization.load_pem_private_key(issuer.key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        issuer_key = loaded
    begin = datetime.now(UTC) - timedelta(days=started)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .sign(issuer_key, hashes.SHA256())
    )
    made = Certificate(folder / f"{name}.pem", folder / f"{name}-key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def names(gateway: Gateway) -> list[str]:
    """What 10013 was issued, oldest first: an old slot, two of today, a revision of the old one; 10021 has one too."""
    issue = gateway.deliveries.issue
    old = START - timedelta(days=5)
    issued = [*issue("10013", old, ROWS, after_min=75, closed=(30, 30, 0))]
    issued += issue("10013", START, ROWS[:20], after_min=40)
    issued += issue("10013", START, ROWS[20:], split=2, after_min=75, closed=(30, 30, 0))
    issued += issue("10013", old, [(ROWS[0][0], 1)], revision=1, after_min=5 * 24 * 60 + 80)
    issue("10021", START, ROWS, after_min=75, closed=(30, 30, 0))
    return issued


@pytest.fixture(scope="module")
def door(gateway: Gateway, folder: Path, names: list[str]) -> httpx.Client:
    """A retailer's client with a registered certificate, once all is published."""
    made = make(folder, "r1")
    codes = ("--retailer", "10013", "10022")
    gateway.register("r1", *codes, "--scope", "slots.read", "--cert", str(made.certificate))
    found = tls_client(gateway, made.certificate, made.key)
    until(lambda: found.get("/10013/FileListReceiver").text.count("rfilename") == 3, "the list")
    return found


def answers(door: httpx.Client, status: int) -> bool:
    return door.get("/10013/FileListReceiver").status_code == status


def listed(page: str) -> list[tuple[int, str, int]]:
    return [
        (int(number), name, int(size))
        for number, name, size in re.findall(r'rfilename(\d+):"([^"]*)",rfilesize\1:"(\d+)"', page)
    ]


def test_the_list_holds_the_zips_of_the_last_days_oldest_first(
    gateway: Gateway, names: list[str], door: httpx.Client
) -> None:
    """By the instant of issue: a revision of an old slot that was issued now is listed now."""
    answer = door.get("/10013/FileListReceiver")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    found = listed(answer.text)
    assert [number for number, _, _ in found] == [1, 2, 3]
    assert [name for _, name, _ in found] == names[1:]
    for _, name, size in found:
        assert (gateway.deliveries.root / "10013" / name[6:14] / name).stat().st_size == size
    assert listed(door.get("/10022/FileListReceiver").text) == []


def test_the_list_of_a_day_holds_that_day_s_slots(names: list[str], door: httpx.Client) -> None:
    of_day = listed(door.get(f"/10013/FileListReceiver?date={START - timedelta(days=5):%Y%m%d}").text)
    assert [name for _, name, _ in of_day] == [names[0], names[3]]
    assert listed(door.get("/10013/FileListReceiver?date=20250101").text) == []


def test_a_file_arrives_and_stays(gateway: Gateway, names: list[str], door: httpx.Client) -> None:
    """Fetching removes nothing; ranges and conditions hold as on the other listener."""
    path = f"/10013/FileReceiver?file={names[0]}"
    content = (gateway.deliveries.root / "10013" / names[0][6:14] / names[0]).read_bytes()
    for answer in (door.get(path), door.get(path)):
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    part = door.get(path, headers={"Range": "bytes=10-"})
    assert (part.status_code, part.content) == (206, content[10:])
    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    assert door.get(path, headers={"If-None-Match": tag}).status_code == 304
    head = door.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(content)), b"")


def test_ret_004_any_other_code_or_name_is_not_found(gateway: Gateway, names: list[str], door: httpx.Client) -> None:
    """RET-004, RET-005: one answer, whether it is another's, never was, or is no name at all."""
    other = next((gateway.deliveries.root / "10021" / f"{START:%Y%m%d}").glob("*.zip")).name
    bodies = set()
    for path in (
        "/10021/FileListReceiver",
        f"/10021/FileReceiver?file={other}",
        f"/10013/FileReceiver?file=../10021/{START:%Y%m%d}/{other}",
        f"/10013/FileReceiver?file=..%2F10021%2F{other}",
        f"/10013/FileReceiver?file={names[0].replace('.zip', '.parquet')}",
        "/10013/FileReceiver?file=manifest.jsonl",
        "/10013/FileReceiver?file=W41110203001010000000001.zip",
        "/10013/FileReceiver",
        f"/10013/../10021/FileReceiver?file={other}",
        f"/10013/%2e%2e/10021/FileReceiver?file={other}",
        "/10013/FileListReceiver?date=20269999",
        "/10013/FileListReceiver?date=../20260822",
        "/10013/Nothing",
        "/v1/releases",
        "/certificate/10021/list",
        "/zone/registrations",
    ):
        answer = door.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        bodies.add(answer.text.replace(answer.json()["trace_id"], ""))
    assert len(bodies) == 1
    answer = door.post("/10013/FileListReceiver")
    assert (answer.status_code, answer.json()["code"]) == (405, "request.method")


def test_without_a_registered_valid_certificate_nothing_is_answered(
    gateway: Gateway, folder: Path, names: list[str], door: httpx.Client
) -> None:
    unknown = make(folder, "unknown")
    expired = make(folder, "expired", days=10, started=20)
    for client in (
        tls_client(gateway),
        tls_client(gateway, unknown.certificate, unknown.key),
        tls_client(gateway, expired.certificate, expired.key),
    ):
        for path in ("/10013/FileListReceiver", f"/10013/FileReceiver?file={names[0]}", "/", "/10021/Nothing"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, "auth.certificate"), path
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_header_does_not_make_a_certificate(gateway: Gateway, folder: Path, door: httpx.Client) -> None:
    certificate = quote((folder / "r1.pem").read_text())
    client = tls_client(gateway)
    for name in ("Koma-Certificate", "koma_certificate", "X-SSL-Client-Cert"):
        answer = client.get("/10013/FileListReceiver", headers={name: certificate})
        assert answer.status_code == 403, name
    plain = Retailer(gateway, "x").http.get(
        f"{gateway.issuer}/10013/FileListReceiver", headers={"Koma-Certificate": certificate, "Koma-Listener": "files"}
    )
    assert plain.status_code == 404


def test_certificates_of_a_ca_and_of_rsa_serve_and_revocation_stops_them_at_once(
    gateway: Gateway, folder: Path, names: list[str]
) -> None:
    authority = make(folder, "authority")
    issued, big = make(folder, "issued", issuer=authority), make(folder, "big", rsa_key=True)
    certificates = ("--cert", str(issued.certificate), str(big.certificate))
    gateway.register("r3", "--retailer", "10013", "--scope", "slots.read", *certificates)
    doors = [tls_client(gateway, each.certificate, each.key) for each in (issued, big)]
    for each in doors:
        until(partial(answers, each, 200), "the certificate to be known")
    gateway.koma("gateway", "client", "revoke", "r3", "--by", "Person A")
    for each in doors:
        until(partial(answers, each, 403), "the revocation", 1.0)


def test_a_client_without_the_scope_reads_no_files_by_certificate_either(
    gateway: Gateway, folder: Path, names: list[str]
) -> None:
    made = make(folder, "usage-only")
    gateway.register("r6", "--retailer", "10013", "--scope", "usage.read", "--cert", str(made.certificate))
    client = tls_client(gateway, made.certificate, made.key)

    def known() -> httpx.Response | None:
        answer = client.get(f"/10013/FileReceiver?file={names[0]}")
        return answer if answer.json()["code"] != "auth.certificate" else None

    answer = until(known, "the certificate to be known")
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope")


def test_an_expired_certificate_or_one_of_another_client_cannot_be_registered(
    gateway: Gateway, folder: Path, door: httpx.Client
) -> None:
    expired = make(folder, "expired-too", days=10, started=20)
    refused = gateway.koma(
        *("gateway", "client", "propose", "r4", "--retailer", "10013", "--scope", "slots.read"),
        *("--cert", str(expired.certificate), "--by", "Person A", "--json"),
    )
    assert (refused.returncode, '"gateway.key"' in refused.stdout) == (1, True)
    proposed = gateway.koma(
        *("gateway", "client", "propose", "r5", "--retailer", "10013", "--scope", "slots.read"),
        *("--cert", str(folder / "r1.pem"), "--by", "Person A"),
    )
    change = proposed.stdout.split('"')[3]
    approved = gateway.koma("gateway", "client", "approve", change, "--by", "Person B", "--json")
    assert (approved.returncode, '"gateway.registration"' in approved.stdout) == (1, True)
