# SPDX-License-Identifier: Apache-2.0
"""A world around a gateway for tests: delivery trees by the contract, a running gateway, and a retailer at its door.

The retailer here shares no code with the gateway or its client: joserfc makes its tokens, httpx sends them.
"""

import base64
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey
from typer.testing import CliRunner

from gateway.commands.gateway import app
from tests.gateway_deliveries import Deliveries

WAIT_S = 60.0
KOMA = (sys.executable, "-c", "from koma.cli import main; main()")

Key = ECKey | RSAKey | OKPKey


def until(condition: Callable[[], Any], what: str, wait_s: float = WAIT_S) -> Any:
    """Ask until the answer is true, and give it."""
    ends = time.monotonic() + wait_s
    while not (found := condition()):
        assert time.monotonic() < ends, f"waited {wait_s} s for {what}"
        time.sleep(0.02)
    return found


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


# ---------------------------------------------------------------------------------------------------- the gateway


@dataclass
class Gateway:
    """A running gateway."""

    home: Path
    issuer: str
    files: str
    ca: Path
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    open: list[httpx.Client] = field(default_factory=list)
    """Clients that end with the gateway."""

    @property
    def deliveries(self) -> Deliveries:
        return Deliveries(self.home / "deliveries")

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def koma(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*KOMA, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def register(self, client_id: str, *arguments: str) -> None:
        """Register a client by two persons, with the command in this process: starting it anew takes a second."""
        proposed = self.command("propose", client_id, *arguments, "--by", "Person A")
        self.command("approve", json.loads(proposed)["change"], "--by", "Person B")

    def command(self, *arguments: str) -> str:
        """Run `koma gateway client …` in this process; gives what it printed."""
        done = CliRunner().invoke(app, ["client", *arguments], env=self.environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    @property
    def runtime(self) -> Path:
        """Folder of the sockets of this run."""
        (found,) = Path(self.environment["TMPDIR"]).glob("koma-gateway-*")
        return found

    def audit(self) -> list[dict[str, Any]]:
        text = (self.home / "gateway" / "inner" / "audit.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


def environment_of(home: Path, ports: Sequence[int], **more: str) -> dict[str, str]:
    """Environment of a gateway's processes and commands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KOMA_")}
    return {
        **kept,
        "KOMA_HOME": str(home),
        "KOMA_GATEWAY_URL": f"https://localhost:{ports[0]}",
        "KOMA_FILES_URL": f"https://localhost:{ports[1]}",
        **more,
    }


@contextmanager
def running_gateway(home: Path, **more: str) -> Iterator[Gateway]:
    """Run `koma gateway up` on free ports until the block is left."""
    with (
        tempfile.TemporaryDirectory(prefix="koma-") as short,  # sockets need short names
        (home / "up.out").open("wb") as out,
        subprocess.Popen(
            [*KOMA, "gateway", "up"],
            env=(environment := environment_of(home, free_ports(2), TMPDIR=short, **more)),
            stdout=out,
        ) as process,
    ):
        found: Gateway | None = None
        try:

            def said() -> str:
                assert process.poll() is None, "the gateway ended"
                return (home / "up.out").read_text()

            line = json.loads(until(said, "the gateway's line"))
            found = Gateway(home, line["issuer"], line["files"], Path(line["ca"]), process, environment)
            yield found
        finally:
            for client in found.open if found is not None else ():
                client.close()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)


# ---------------------------------------------------------------------------------------------------- a retailer


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jws_of(header: dict[str, Any], claims: object, key: Any, algorithm: str) -> str:
    """Compact JWS put together by hand, so that header and claims can be whatever a test wants; None is left out."""
    members = {name: value for name, value in {"alg": algorithm, **header}.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{base64url(json.dumps(members).encode())}.{base64url(payload)}"
    return f"{signed}.{base64url(jws.JWSRegistry.algorithms[algorithm].sign(signed.encode(), key))}"


def public(key: Key) -> dict[str, Any]:
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}


ALGORITHM = {ECKey: "ES256", RSAKey: "PS256", OKPKey: "Ed25519"}


@dataclass
class Retailer:
    """A retailer's own client: its keys, and what it sends."""

    gateway: Gateway
    client_id: str
    key: Key = field(default_factory=lambda: ECKey.generate_key("P-256"))
    nonce: str | None = None

    def __post_init__(self) -> None:
        self.http = httpx.Client(verify=self.gateway.trust, timeout=40, trust_env=False)
        self.gateway.open.append(self.http)

    @property
    def algorithm(self) -> str:
        return ALGORITHM[type(self.key)]

    def write_jwks(self, folder: Path) -> Path:
        file = folder / f"{self.client_id}.jwks.json"
        file.write_text(json.dumps({"keys": [public(self.key)]}))
        return file

    def register(self, folder: Path, codes: Sequence[str], *more: str, scope: str = "slots.read") -> "Retailer":
        arguments = [part for code in codes for part in ("--retailer", code)]
        jwks = str(self.write_jwks(folder))
        self.gateway.register(self.client_id, *arguments, "--jwks", jwks, "--scope", scope, *more)
        until(lambda: self.ask_token().status_code == 200, f"{self.client_id} to be known")
        return self

    def assertion(self, **claims: Any) -> str:
        now = int(time.time())
        base = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.gateway.issuer,
            "iat": now,
            "exp": now + 60,
            "jti": uuid.uuid4().hex,
        }
        wanted = {name: value for name, value in {**base, **claims}.items() if value is not None}
        return jws_of({"typ": "JWT"}, wanted, self.key, self.algorithm)

    def proof(
        self, method: str, url: str, token: str | None = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        base: dict[str, Any] = {"jti": uuid.uuid4().hex, "htm": method, "htu": url, "iat": int(time.time())}
        if token is not None:
            base["ath"] = base64url(hashlib.sha256(token.encode()).digest())
        if self.nonce is not None:
            base["nonce"] = self.nonce
        wanted = {name: value for name, value in {**base, **claims}.items() if value is not None}
        return jws_of({"typ": "dpop+jwt", "jwk": public(self.key), **(header or {})}, wanted, self.key, self.algorithm)

    def ask_token(self, *, proofs: Sequence[str] | None = None, **more: str) -> httpx.Response:
        url = f"{self.gateway.issuer}/oauth2/token"
        base = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion(),
        }
        sent = [self.proof("POST", url)] if proofs is None else proofs
        return self.http.post(url, data=base | more, headers=[("DPoP", each) for each in sent])

    def token(self, scope: str = "") -> str:
        answer = self.ask_token(scope=scope) if scope else self.ask_token()
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def get(
        self, path: str, token: str | None = None, method: str = "GET", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        held = token or self.token()
        url = self.gateway.issuer + path
        proof = self.proof(method, url.partition("?")[0], held)
        return self.http.request(
            method, url, headers={"Authorization": f"DPoP {held}", "DPoP": proof, **(headers or {})}
        )


def raw_request(gateway: Gateway, data: bytes) -> bytes:
    """Send bytes as they are over TLS; gives everything that comes back until the line is closed."""
    port = int(gateway.issuer.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        gateway.trust.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        line.sendall(data)
        answer = b""
        try:
            while part := line.recv(65536):
                answer += part
                if complete(answer):
                    break
        except (ConnectionResetError, ssl.SSLError):
            pass
        return answer


def complete(answer: bytes) -> bool:
    """Whether an answer has all the bytes its head announces."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    _, headers, _ = parse_raw(head + found)
    return len(body) >= int(headers.get("content-length", 0)) or head.startswith(b"HTTP/1.1 304")


class RawLine:
    """One TLS line for many raw requests; opened again whenever the other side closed it."""

    def __init__(self, gateway: Gateway) -> None:
        self._trust, self._port = gateway.trust, int(gateway.issuer.rpartition(":")[2])
        self._line: ssl.SSLSocket | None = None

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def ask(self, data: bytes, *, head: bool = False) -> bytes:
        """Answer to one request; empty where the line was closed unanswered."""
        if self._line is not None:
            answer = self._ask(self._line, data, head=head)
            if answer:
                return answer
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=20)
        self._line = self._trust.wrap_socket(plain, server_hostname="localhost")
        return self._ask(self._line, data, head=head)

    def _ask(self, line: ssl.SSLSocket, data: bytes, *, head: bool) -> bytes:
        answer = b""
        try:
            line.sendall(data)
            while not (b"\r\n\r\n" in answer if head else complete(answer)):
                part = line.recv(65536)
                if not part:
                    self.close()
                    break
                answer += part
        except (OSError, ssl.SSLError):
            self.close()
        if b"Connection: close" in answer:
            self.close()
        return answer


def parse_raw(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (small letters) and body of a raw answer; status 0 where it was closed unanswered."""
    if not answer:
        return 0, {}, b""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


def tls_client(gateway: Gateway, certificate: Path | None = None, key: Path | None = None) -> httpx.Client:
    """Client of the mutual-TLS listener."""
    trust = gateway.trust
    if certificate is not None:
        trust.load_cert_chain(certificate, key)
    client = httpx.Client(verify=trust, timeout=40, trust_env=False, base_url=gateway.files)
    gateway.open.append(client)
    return client
