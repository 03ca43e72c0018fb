# SPDX-License-Identifier: Apache-2.0
"""Where the gateway keeps what, and how its parts find each other.

`dmz/` and `inner/` stand for two machines: nothing under `inner/` is read by a part of the DMZ and the other way round;
what both need crosses the inward port. `zone/` holds the certificates of that port.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.errors import StartError
from koma.errors import HomeError
from koma.settings import Settings

RUNTIME_VARIABLE = "KOMA_GATEWAY_RUNTIME"
"""Folder of the sockets; set by `koma gateway up` for the processes it starts."""
INWARD_NAME = "inner.koma.internal"
"""Name in the certificate of the inward port; pinned by the edge."""


@dataclass(frozen=True, slots=True)
class Places:
    """Files and folders of the gateway below a home."""

    home: Path

    @property
    def root(self) -> Path:
        """Everything the gateway keeps."""
        return self.home / "gateway"

    @property
    def ca(self) -> Path:
        """Certificate of the development CA; what a retailer's client trusts."""
        return self.root / "ca.pem"

    @property
    def dmz(self) -> Path:
        """What the DMZ keeps: its keys, and logs that name routes only."""
        return self.root / "dmz"

    @property
    def inner(self) -> Path:
        """What the inner zone keeps: registrations, index, audit, release keys."""
        return self.root / "inner"

    @property
    def zone(self) -> Path:
        """Certificates of the inward port."""
        return self.root / "zone"

    @property
    def token_keys(self) -> Path:
        """Signing keys of the token service."""
        return self.dmz / "token-keys.json"

    @property
    def release_keys(self) -> Path:
        """Signing keys of the release manifests."""
        return self.inner / "release-keys.json"

    @property
    def registrations(self) -> Path:
        """The book of clients."""
        return self.inner / "registrations.sqlite"

    @property
    def index(self) -> Path:
        """Index of what the manifests say."""
        return self.inner / "releases.sqlite"

    @property
    def audit(self) -> Path:
        """Every decision, append-only."""
        return self.inner / "audit.jsonl"

    @property
    def deliveries(self) -> Path:
        """What the pipeline delivers; only read."""
        return self.home / "deliveries"

    @property
    def running(self) -> Path:
        """What `koma gateway up` says about itself while it runs."""
        return self.home / "run" / "gateway.json"


def check_home(home: Path, *, make: bool) -> None:
    """Refuse a home that cannot be one.

    Args:
        home: the data directory.
        make: whether it will be made where it is absent.

    Raises:
        HomeError: it is no folder, or absent and not to be made.

    """
    if home.is_dir():
        return
    absent = not (home.exists() or home.is_symlink())
    blocker = next((each for each in home.parents if each.exists()), home)
    if absent and make and blocker.is_dir():
        return
    what = "is not there" if absent and blocker.is_dir() else "is not a folder"
    place = home if not absent or blocker.is_dir() else blocker
    raise HomeError(f"{place} {what}", hint="Set KOMA_HOME or --home to the data directory")


@dataclass(frozen=True, slots=True)
class Sockets:
    """Unix sockets, in a folder of short name: a path of a socket has 107 bytes at most."""

    folder: Path

    @property
    def policy(self) -> Path:
        """Token service and policy."""
        return self.folder / "policy.sock"

    @property
    def inward(self) -> Path:
        """The edge's way inwards for the policy."""
        return self.folder / "inward.sock"

    @property
    def guard(self) -> Path:
        """Release guard."""
        return self.folder / "guard.sock"

    @property
    def edge_redis(self) -> Path:
        """Replay memory of the DMZ."""
        return self.folder / "edge-redis.sock"

    @property
    def inner_redis(self) -> Path:
        """Replay memory of the guard."""
        return self.folder / "inner-redis.sock"

    def redis_address(self, settings: Settings, *, inner: bool) -> str:
        """Address of a zone's replay memory."""
        return settings.redis_url or f"unix://{self.inner_redis if inner else self.edge_redis}"


def sockets_of(environ: Mapping[str, str] | None = None) -> Sockets:
    """Sockets of the running gateway, from the environment that it gave its processes.

    Raises:
        StartError: not started by `koma gateway up`.

    """
    folder = (os.environ if environ is None else environ).get(RUNTIME_VARIABLE)
    if not folder:
        raise StartError(f"{RUNTIME_VARIABLE} is not set", hint="Start the gateway with `koma gateway up`")
    return Sockets(Path(folder))


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port that a base address names."""

    host: str
    port: int


def address_of(url: str) -> Address:
    """Host and port of a base address.

    Raises:
        StartError: not https, or with a path.

    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path:
        raise StartError(f"{url!r:.80} cannot be listened on", hint="https://HOST:PORT is needed")
    return Address(parts.hostname, parts.port or 443)
