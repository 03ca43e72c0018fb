# SPDX-License-Identifier: Apache-2.0
"""The gateway of the demonstration, run and used by its own commands, and the doors its retailers come through."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

KOMA: Final = Path(sys.executable).with_name("koma")
_KEPT: Final = {"KOMA_NGINX"}
"""Settings of the caller that hold here too: where a program lies is a fact of the machine."""
_START_S: Final = 60.0


class DemoError(Exception):
    """A step of the demonstration failed; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway.

    Attributes:
        home: the home it serves.
        issuer, files: base addresses of its two listeners.
        ca: certificate that a client trusts.
        environment: variables of its commands.
    """

    home: Path
    issuer: str
    files: str
    ca: Path
    environment: dict[str, str]

    def koma(self, *arguments: str) -> dict[str, Any]:
        """Run a command of `koma` and return its closing JSON line."""
        done = subprocess.run(
            [KOMA, *arguments],
            cwd=self.home,  # no koma.toml of the caller's
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"koma {' '.join(arguments)} ended with {done.returncode}: {done.stderr or done.stdout}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a retailer's keys lie: private key and JWKS of its assertions and proofs, certificate and its key."""

    key: Path
    jwks: Path
    cert: Path
    cert_key: Path


@contextmanager
def running_gateway(home: Path) -> Iterator[Gateway]:
    """Run `koma gateway up` on two free ports while the block runs."""
    issuer, files = (f"https://localhost:{port}" for port in _free_ports())
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KOMA_") or name in _KEPT}
    environment |= {"KOMA_HOME": str(home), "KOMA_GATEWAY_URL": issuer, "KOMA_FILES_URL": files}
    log = home / "run" / "gateway.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [KOMA, "gateway", "up"],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        said = _said(home / "run" / "gateway.json", process, log)
        yield Gateway(home, issuer, files, Path(said["ca"]), environment)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def register(gateway: Gateway, client: str, retailer: str, folder: Path) -> Keys:
    """Make a retailer's keys and register it, proposed by one person and approved by another."""
    made = gateway.koma("gateway", "client", "new-keys", str(folder), "--name", client)
    keys = Keys(*(Path(made[name]) for name in ("key", "jwks", "cert", "cert_key")))
    proposed = gateway.koma(
        *("gateway", "client", "propose", client, "--retailer", retailer, "--jwks", str(keys.jwks)),
        *("--cert", str(keys.cert), "--scope", "slots.read", "--by", "first.operator"),
    )
    gateway.koma("gateway", "client", "approve", proposed["change"], "--by", "second.operator")
    return keys


def pull_by_key(gateway: Gateway, client: str, keys: Keys, folder: Path) -> dict[str, Any]:
    """Fetch what is new over OAuth with DPoP and the release feed; return what `koma pull` says."""
    door = ("--client-id", client, "--key", str(keys.key), "--gateway", gateway.issuer)
    return gateway.koma("pull", *door, "--ca", str(gateway.ca), "--dest", str(folder), "--json")


def pull_by_certificate(gateway: Gateway, retailer: str, keys: Keys, folder: Path) -> dict[str, Any]:
    """Fetch what is new from the file list over mutual TLS; return what `koma pull` says."""
    door = ("--cert", str(keys.cert), "--key-file", str(keys.cert_key), "--files", gateway.files)
    return gateway.koma("pull", *door, "--retailer", retailer, "--ca", str(gateway.ca), "--dest", str(folder), "--json")


def _said(path: Path, process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """Return what the gateway writes about itself when both listeners answer."""
    ends = time.monotonic() + _START_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise DemoError(f"koma gateway up ended with {process.returncode}: {log.read_text(errors='replace')}")
        if path.exists():
            said: dict[str, Any] = json.loads(path.read_text())
            return said
        time.sleep(0.05)
    raise DemoError(f"koma gateway up did not answer in {_START_S:.0f} s; see {log}")


def _free_ports() -> tuple[int, int]:
    """Return two ports that nobody listens on."""
    with socket.create_server(("localhost", 0)) as first, socket.create_server(("localhost", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]
