# SPDX-License-Identifier: Apache-2.0
"""The retailer's two ways in: OAuth with DPoP, and mutual TLS; and a download that goes on where it was cut.

Waits and retries are bounded: 429 and 503 by `Retry-After`, a broken line a few times; then the command fails, and the
next run goes on.
"""

import hashlib
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from gateway import jose
from gateway.errors import PullConnectionError, PullMismatchError, PullRefusedError
from gateway.proofs import token_hash
from gateway.pull_ledger import sync

TRIES = 5
WAIT_MAX_S = 30.0
PART_BYTES = 1 << 20

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TIMEOUT = httpx.Timeout(20.0, read=60.0)
_RENEW_S = 30
_CA_HINT = "--ca takes a PEM file with the CA of the gateway's certificate; the operator gives it out"

Ask = Callable[[dict[str, str]], Any]
"""Takes headers; gives a context manager of a streamed response."""


def trust_of(ca: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """TLS of the client: what it trusts, and what it shows.

    Raises:
        PullConnectionError: a file cannot be used.

    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise PullConnectionError(f"{ca} cannot be used: {_reason(error)}", hint=_CA_HINT) from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise PullConnectionError(
                f"{certificate} with {key} cannot be used: {_reason(error)}",
                hint="--cert and --key-file take PEM files that belong together",
            ) from error
    return context


def _reason(error: OSError) -> str:
    """What went wrong with a TLS file; OpenSSL's own words name a library and a line, its reason is enough."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or str(error)


def refused(response: httpx.Response) -> PullRefusedError:
    """Error of a refusal, with what the gateway said."""
    try:
        told = response.json()
        text = f"{told.get('code') or told.get('error')}: {told.get('detail') or told.get('error_description') or ''}"
        trace = told.get("trace_id", "")
    except ValueError:
        text, trace = "no reason given", ""
    trace = trace or response.headers.get("koma-trace-id", "")
    hint = f"Ask the operator with trace id {trace}" if trace else ""
    if text.startswith("invalid_client:"):
        hint = (
            "Is the client of --client-id registered, approved and not stopped, is --key the registered key, and does "
            f"the clock go right? {hint}"
        ).strip()
    return PullRefusedError(f"{response.request.url.path} answered {response.status_code} {text}", hint=hint)


def waited(response: httpx.Response) -> bool:
    """Wait as long as the gateway asks for; whether it asked."""
    if response.status_code not in {429, 503}:
        return False
    told = response.headers.get("retry-after", "")
    time.sleep(min(float(told) if told.isdigit() else 1.0, WAIT_MAX_S))
    return True


class OAuthDoor:
    """A gateway seen by a client with a key.

    Args:
        base: address of the gateway.
        client_id: id the key is registered for.
        key: signs assertions and proofs.
        trust: TLS of the client.

    """

    def __init__(self, base: str, client_id: str, key: jose.Key, trust: ssl.SSLContext) -> None:
        """Nothing is asked yet."""
        self._base, self._client_id, self._key = base.rstrip("/"), client_id, key
        self._http = httpx.Client(verify=trust, timeout=_TIMEOUT, trust_env=False)
        self._token, self._token_ends, self._nonce = "", 0.0, ""
        self._token_address = ""

    def close(self) -> None:
        """Close the line."""
        self._http.close()

    def json(self, path: str, query: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and body of a JSON resource; 200 and 410 are given back, all else is an error.

        Raises:
            PullRefusedError: refused.
            PullConnectionError: no answer.

        """
        address = self._base + path
        with self.stream(address, {"Accept": "application/json"}, query) as response:
            response.read()
            if response.status_code not in {200, 410}:
                raise refused(response)
            try:
                return response.status_code, response.json()
            except ValueError as error:
                raise PullMismatchError(f"{path} did not answer JSON") from error

    @contextmanager
    def stream(
        self, address: str, headers: dict[str, str], query: dict[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Answer of a GET, whatever its status; the token is renewed and a nonce taken up on the way.

        Raises:
            PullConnectionError: no answer after some tries.
            PullRefusedError: the address is not one of this gateway.

        """
        if not address.startswith(self._base + "/"):
            raise PullRefusedError(f"{address!r:.100} is not an address of this gateway")
        for attempt in range(TRIES):
            last = attempt == TRIES - 1
            sent = {**headers, **self._authorization("GET", address)}
            with connected(self._http.stream("GET", address, params=query, headers=sent)) as response:
                if response.status_code == 401 and not last:
                    self._learn(response)
                    continue
                if not last and response.status_code in {429, 503}:
                    response.read()
                    waited(response)
                    continue
                yield response
                return

    def _learn(self, response: httpx.Response) -> None:
        """Take up a nonce; else the token is at fault."""
        nonce = response.headers.get("dpop-nonce", "")
        if nonce and nonce != self._nonce:
            self._nonce = nonce
        else:
            self._token_ends = 0.0

    def _authorization(self, method: str, address: str) -> dict[str, str]:
        if time.monotonic() > self._token_ends:
            self._renew()
        return {
            "Authorization": f"DPoP {self._token}",
            "DPoP": self._proof(method, address, {"ath": token_hash(self._token)}),
        }

    def _renew(self) -> None:
        if not self._token_address:
            with connected(self._http.stream("GET", f"{self._base}/.well-known/oauth-authorization-server")) as found:
                found.read()
                if found.status_code != 200 or found.json().get("issuer") != self._base:
                    raise PullRefusedError(f"{self._base} is not the issuer it says it is")
                self._token_address = str(found.json()["token_endpoint"])
            if not self._token_address.startswith(self._base + "/"):
                raise PullRefusedError("the token endpoint lies elsewhere")
        for _ in range(TRIES):
            with connected(self._ask_token()) as response:
                response.read()
                nonce = response.headers.get("dpop-nonce", "")
                if response.status_code == 200:
                    told = response.json()
                    self._token = str(told["access_token"])
                    self._token_ends = time.monotonic() + float(told["expires_in"]) - _RENEW_S
                    self._nonce = nonce or self._nonce
                    return
                if response.status_code == 400 and nonce and nonce != self._nonce:
                    self._nonce = nonce
                elif not waited(response):
                    raise refused(response)
        raise PullConnectionError("the token endpoint did not answer")

    def _ask_token(self) -> Any:
        now = int(time.time())
        claims = {"iss": self._client_id, "sub": self._client_id, "aud": self._base, "iat": now, "exp": now + 60}
        header = {"typ": "client-authentication+jwt", "kid": self._key.thumbprint()}
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION,
            "client_assertion": jose.sign_claims(header, {**claims, "jti": uuid.uuid4().hex}, self._key),
            "scope": "slots.read",
        }
        headers = {"DPoP": self._proof("POST", self._token_address, {})}
        return self._http.stream("POST", self._token_address, data=form, headers=headers)

    def _proof(self, method: str, address: str, more: dict[str, str]) -> str:
        claims = {"jti": uuid.uuid4().hex, "htm": method, "htu": address, "iat": int(time.time()), **more}
        if self._nonce:
            claims["nonce"] = self._nonce
        member = {name: value for name, value in jose.public_member(self._key).items() if name not in {"use", "alg"}}
        return jose.sign_claims({"typ": "dpop+jwt", "jwk": member}, claims, self._key)


class CertificateDoor:
    """The file list and file receive, seen by a client with a certificate.

    Args:
        base: address of the mutual-TLS listener.
        trust: TLS of the client, with its certificate.

    """

    def __init__(self, base: str, trust: ssl.SSLContext) -> None:
        """Nothing is asked yet."""
        self._base = base.rstrip("/")
        self._http = httpx.Client(verify=trust, timeout=_TIMEOUT, trust_env=False)

    def close(self) -> None:
        """Close the line."""
        self._http.close()

    def list_page(self, retailer: str, day: str | None) -> str:
        """Page of a file list.

        Raises:
            PullRefusedError: refused.
            PullConnectionError: no answer.

        """
        query = {} if day is None else {"date": day}
        with self.stream(f"{self._base}/{retailer}/FileListReceiver", {}, query) as response:
            response.read()
            if response.status_code != 200:
                raise refused(response)
            return response.text

    def ask_file(self, retailer: str, name: str) -> Ask:
        """How to ask for a file."""
        return lambda headers: self.stream(f"{self._base}/{retailer}/FileReceiver", headers, {"file": name})

    @contextmanager
    def stream(self, address: str, headers: dict[str, str], query: dict[str, str]) -> Iterator[httpx.Response]:
        """Answer of a GET, whatever its status.

        Raises:
            PullConnectionError: no answer after some tries.

        """
        for attempt in range(TRIES):
            with connected(self._http.stream("GET", address, params=query, headers=headers)) as response:
                if attempt < TRIES - 1 and response.status_code in {429, 503}:
                    response.read()
                    waited(response)
                    continue
                yield response
                return


@contextmanager
def connected(opening: Any) -> Iterator[httpx.Response]:
    """Response of an opened request; what breaks on the way is a connection error.

    Raises:
        PullConnectionError: not reached, or the line broke.

    """
    try:
        with opening as response:
            yield response
    except httpx.TransportError as error:
        raise _not_connected(error) from error


def _not_connected(error: httpx.TransportError) -> PullConnectionError:
    """Error of a line that was not opened, or broke: only the latter is mended by another run."""
    url = error.request.url
    address = f"{url.scheme}://{url.netloc.decode('ascii')}"
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("certificate verify failed:")[2].partition("(_ssl")[0].strip() or text
        return PullConnectionError(f"the certificate of {address} is not trusted: {reason}", hint=_CA_HINT)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
        hint = "Does the gateway run there? See --gateway and KOMA_GATEWAY_URL, or --files and KOMA_FILES_URL"
        return PullConnectionError(f"{address} cannot be reached: {text}", hint=hint)
    return PullConnectionError(f"the line to {address} broke: {text}", hint="Run the command again to go on")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch."""

    target: Path
    bytes: int
    sha256: str | None
    """As announced; None where the announcement holds none (file list): then the answer's Repr-Digest counts."""


def download(wanted: Wanted, ask: Ask) -> int:
    """Fetch a file, going on where an earlier try was cut; durable when this returns. Gives bytes received.

    Raises:
        PullMismatchError: size or digest are not as announced.
        PullRefusedError: refused.
        PullConnectionError: the line broke too often.

    """
    part = wanted.target.with_name(f".{wanted.target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    received = 0
    for attempt in range(TRIES):
        begun = _size(part)
        try:
            digest = _fetch(part, wanted, ask)
        except PullConnectionError:
            received += max(_size(part) - begun, 0)
            if attempt == TRIES - 1:
                raise
            continue
        received += max(_size(part) - begun, 0)
        if _size(part) == wanted.bytes and digest == _sha256(part):
            sync([part])
            part.replace(wanted.target)
            sync([wanted.target.parent])
            return received
        part.unlink()
        if not begun:
            break
    raise PullMismatchError(f"{wanted.target.name} is not what was announced", hint="Tell the operator")


def _fetch(part: Path, wanted: Wanted, ask: Ask) -> str:
    """Append what is missing to a partial file; gives the digest that the whole must have."""
    have = _size(part)
    if have >= wanted.bytes:
        part.unlink(missing_ok=True)
        have = 0
    with ask({"Range": f"bytes={have}-"} if have else {}) as response:
        if response.status_code not in {200, 206}:
            response.read()
            raise refused(response)
        goes_on = response.status_code == 206
        if goes_on and not response.headers.get("content-range", "").startswith(f"bytes {have}-"):
            raise PullMismatchError(f"{wanted.target.name}: another range was sent than asked for")
        with part.open("ab" if goes_on else "wb") as file:
            for data in response.iter_raw(PART_BYTES):
                file.write(data)
        return wanted.sha256 or _repr_digest(response)


def _repr_digest(response: httpx.Response) -> str:
    told = response.headers.get("repr-digest", "")
    prefix, _, rest = told.partition("sha-256=:")
    if prefix or not rest.endswith(":"):
        raise PullMismatchError("the answer has no Repr-Digest")
    text = rest.rstrip(":").rstrip("=").replace("+", "-").replace("/", "_")
    return jose.decode_base64url(text).hex()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_of(address: str) -> str:
    """Path of an address."""
    return urlsplit(address).path
